//! The engine from outside: files in, files out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod against_csv;
mod against_python;
mod corpus;
mod dialects;
mod encodings;
mod foreign;
mod formats;
mod gzip;
mod harness;
mod limits;
#[cfg(feature = "parquet")]
mod parquet;
mod partitions;
mod plain_lines;
mod properties;
mod recipes;
mod replay;
mod rows;
mod zstd;
