//! The processor: an S3 event in, a clean file, its rejects, its receipt and a message out.
//!
//! # Layout
//!
//! - [`handler`]: an event's records, one file each. Read this first, then [`mod@file`].
//! - [`mod@file`]: one file, in the order that makes every effect happen exactly once.
//! - [`decision`]: what to do about a file, from what is in the output bucket already. Pure.
//! - [`outputs`]: what is written: rejects, clean file, receipt.
//! - `partitions`: a clean file of many objects.
//! - [`recipes`]: the recipes that there are, and which one is a file's.
//! - [`receipt`]: receipts, from what the engine found.
//! - [`give_up`]: when a file is given up before it is done.
//! - [`budget`]: what a memory budget is spent on.
//! - [`context`]: what lives as long as the function.
//! - [`shutdown`]: how the process ends when it is told to.
//! - `spans`: a file as a span.

pub mod budget;
pub mod context;
pub mod decision;
pub mod file;
pub mod give_up;
pub mod handler;
pub mod outputs;
mod partitions;
pub mod receipt;
pub mod recipes;
pub mod shutdown;
mod spans;

pub use context::Processor;
