//! Penstock on your machine: the `penstock` command.
//!
//! # Layout
//!
//! - [`command`]: the command line; [`ending`]: how commands end, and their exit codes.
//! - [`process`]: the engine on one local file.
//! - [`demo`]: files through the whole system, and an account of every row.
//! - [`up`]: the whole system, to play with.
//! - [`mod@upload`]: a file into the input bucket, as the root of its trace.
//! - [`catalog`], [`dlq`], [`replay`]: a [`deployed`] stage's files: what became of them, what was given up, and once more;
//!   [`confirm`]: a question first; [`s3_event`]: what S3 sends of a file; `table`: rows in columns.
//! - [`stack`]: the whole system on MiniStack: installed, built, started, deployed, stopped.
//! - [`trace`]: one file's trace, from this machine or from X-Ray; [`mod@waterfall`]: drawn in the terminal;
//!   [`page`]: pages that need nothing else, the trace's among them.
//! - [`terminal`], [`interrupt`], [`workspace`]: what is written where, how a run is broken off, where the
//!   repository lies.

pub mod catalog;
pub mod command;
pub mod confirm;
pub mod demo;
pub mod deployed;
pub mod dlq;
pub mod ending;
pub mod interrupt;
pub mod page;
pub mod process;
mod recipe;
pub mod replay;
pub mod s3_event;
pub mod stack;
mod table;
pub mod terminal;
pub mod trace;
pub mod up;
pub mod upload;
pub mod waterfall;
pub mod workspace;
