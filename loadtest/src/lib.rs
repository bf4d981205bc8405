//! Measuring the pipeline with files of any size.
//!
//! # Layout
//!
//! - [`command`]: the command line.
//! - [`sim`]: the processor against an S3 whose objects are computed: any size, no disk, one machine.
//! - [`rows`]: the rows that such objects are made of.

pub mod command;
pub mod rows;
pub mod sim;
