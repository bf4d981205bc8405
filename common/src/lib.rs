//! What both functions agree on.
//!
//! # Layout
//!
//! - [`contract`]: what other programs rely on: object names, [`contract::Receipt`], [`contract::FileEvent`].
//! - [`config`]: the environment, read once and checked.
//! - [`yaml`]: files that people write, with every fault's place; [`glob`]: which of them is a key's; [`expression`]: the
//!   CEL in them.
//! - [`size`]: sizes as people write them.
//! - [`document`]: small JSON objects, read and written whole.
//! - [`store`]: objects: [`store::Store`] and its implementations.
//! - [`read`]: an object as a stream, by several ranges at once.
//! - [`mod@write`]: a stream as an object, by parts, visible only when complete.
//! - [`buffers`]: what both hold their bytes in, so that memory is flat.
//! - `connector`: the connections that objects are fetched through.
//! - `retry`: how both try again.
//! - [`secrets`]: what only those may know who sign or mask.
//! - [`topic`]: messages out, to SNS; [`queue`]: to SQS, and back to it.
//! - [`trace`]: one file, one trace: spans, how they travel, and where they go.
//! - [`telemetry`], [`metrics`]: logs and measurements.
//! - `receiver`: a receiver of spans in this process (feature `receiver`).
//! - `sim`: an S3 server in this process (feature `sim`).

pub mod aws;
pub mod buffers;
pub mod config;
mod connector;
pub mod contract;
pub mod document;
pub mod expression;
pub mod glob;
pub mod metrics;
pub mod queue;
pub mod read;
#[cfg(feature = "receiver")]
pub mod receiver;
mod retry;
pub mod secrets;
#[cfg(feature = "sim")]
pub mod sim;
pub mod size;
pub mod store;
pub mod telemetry;
pub mod topic;
pub mod trace;
pub mod write;
pub mod yaml;

/// The version of Penstock, as receipts state it.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
