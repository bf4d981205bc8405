//! Penstock's core: CSV bytes in, clean CSV bytes out, and the sum that proves that no row was lost.
//!
//! No AWS and no Lambda in here, and no runtime: whoever calls [`run`] brings the bytes and takes them away.
//!
//! # Layout
//!
//! - [`run`](run()): one file from first byte to last. Read this first: it narrates the flow.
//! - `text`: the input's plain bytes; `compression`: what its first bytes say it is; `inflate`: gzip and zstd.
//! - `scan`: where a record ends, how many fields it has, and how far it is from its canonical form.
//! - `rows`: records into kept rows and rejections; a pure push machine.
//! - `recode`: the rows whose quotes are in disorder, through `csv-async`.
//! - `outputs`, `encode`, `sink`: what rows become, the output's compression, and where it goes.
//! - `rejection`, `summary`, `error`: what comes out beside the rows.

mod compression;
mod encode;
mod error;
mod inflate;
mod outputs;
mod recode;
mod rejection;
mod rows;
mod run;
mod scan;
mod sink;
mod summary;
mod text;

pub use compression::Compression;
pub use error::{BadFile, EngineError};
pub use inflate::InflateLimits;
pub use rejection::Reason;
pub use run::{Options, run};
pub use sink::Sink;
pub use summary::{Counts, Dialect, Spans, Summary};
