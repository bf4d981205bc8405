//! Measuring the pipeline with files of any size.
//!
//! # Layout
//!
//! - [`command`]: the command line.
//! - [`generate`]: files of any size and dirt, as functions of a spec. `parallel`: made on several threads.
//! - `records`: small CSVs, in memory.
//! - [`sim`]: the processor against an S3 whose objects are computed: any size, no disk, one machine.
//! - [`run`]: files sent to a system, and every row accounted for; [`report`]: what is told of it.
//! - `copy`: a bare copy against the same S3, to compare with.
//! - `server`: that S3, in a process of its own, and how far a run has come.
//! - [`rows`]: what the benchmarks' objects and files are made of: few rows, computed once and repeated, so that serving
//!   them costs nothing. [`shape`]: the kinds of rows.
//!
//! `loadtest/bench` (Python) compares all that with other programs: `just bench`.

pub mod command;
mod copy;
pub mod generate;
mod parallel;
mod records;
pub mod report;
pub mod rows;
pub mod run;
mod server;
pub mod shape;
pub mod sim;
