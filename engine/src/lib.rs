//! Penstock's core: CSV bytes in, clean CSV bytes out, and the sum that proves that no row was lost.
//!
//! No AWS and no Lambda in here, and no runtime: whoever calls [`run`] brings the bytes and takes them away.
//!
//! # Layout
//!
//! - [`run`](run()): one file from first byte to last. Read this first: it narrates the flow.
//! - `compression`: what the first bytes say the input is.
//! - `inflate`: the input as plain bytes, every gzip member of it.
//! - `scan`: where a record ends, how many fields it has, and whether it is canonical already.
//! - `rows`: records into kept rows and [`Rejection`]s; a pure push machine.
//! - `recode`: the rows whose bytes must change, through `csv-async`.
//! - `deflate`: the output's compression.
//! - `rejection`, `summary`, `error`: what comes out beside the rows.

mod compression;
mod deflate;
mod error;
mod inflate;
mod recode;
mod rejection;
mod rows;
mod run;
mod scan;
mod sink;
mod summary;

pub use compression::Compression;
pub use error::{BadFile, EngineError};
pub use rejection::{RawEncoding, Reason, Rejection};
pub use run::{Options, run};
pub use sink::Sink;
pub use summary::{Counts, Dialect, Spans, Summary};
