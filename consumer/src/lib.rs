//! The consumer: what the processor published, verified, told to people, and catalogued. Never twice.
//!
//! # Layout
//!
//! - [`Consumer`] (`handler`): a batch from SQS, each message on its own. Read this first.
//! - `delivery`: a record as it comes from the queue, raw or wrapped by SNS: its event and its trace.
//! - `process`: one message from claim to catalogue; it narrates the flow.
//! - `claim`: who acts on an event, and until when.
//! - `verify`: whether the file is there, whole, and as its receipt says.
//! - `alert`: what people are told.
//! - `catalog`: the record of a file, and the ledger of what was done.
//! - `error`: why a message was not done.
//! - `spans`: a message as a span.

mod alert;
mod catalog;
mod claim;
mod delivery;
mod error;
mod handler;
mod process;
mod spans;
mod verify;

pub use handler::{Consumer, HandlerError, Invocation};
