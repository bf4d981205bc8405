//! The consumer: what the processor published, verified, told to people and programs, and catalogued. Never twice.
//!
//! # Layout
//!
//! - [`Consumer`] (`handler`): a batch from SQS, each message on its own. Read this first.
//! - `invocation`: how long it may take.
//! - `delivery`: a record as it comes from the queue, raw or wrapped by SNS: its event and its trace.
//! - `process`: one message from claim to catalogue; it narrates the flow.
//! - `claim`: who acts on an event, and until when.
//! - `verify`: whether the file is there, whole, and as its receipt says.
//! - [`notify`]: who is told of what, and how; [`http`]: a client for addresses that others name.
//! - [`catalog`]: the record of a file, and the ledger of what was done.
//! - `daily`: the digest, once a day; `digest`: what it says.
//! - `error`: why a message was not done; `backoff`: when it comes back; [`dead_letter`]: when it does not.
//! - `spans`: a message as a span.

mod backoff;
pub mod catalog;
mod claim;
mod daily;
pub mod dead_letter;
mod delivery;
mod digest;
mod error;
mod handler;
pub mod http;
mod invocation;
pub mod notify;
mod process;
mod spans;
mod verify;

pub use daily::Sent;
pub use handler::{Consumer, HandlerError};
pub use invocation::Invocation;
