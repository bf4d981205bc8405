//! Penstock's core: CSV bytes in, clean CSV bytes out, and the sum that proves that no row was lost.
//!
//! No AWS and no Lambda in here, and no runtime: whoever calls [`run`] brings the bytes and takes them away.
//!
//! # Layout
//!
//! - [`run`](run()): one file from first byte to last. Read this first: it narrates the flow.
//! - `flow`: text on its way through the rows into the sinks.
//! - `text`: the input's plain bytes; `compression`: what its first bytes say it is; `inflate`: gzip and the like.
//! - `sample`: its first bytes, and what they say of all of it; `encoding`: which one it is, and UTF-8 of it; `sniff`:
//!   delimiter, quotes, preamble and header; `dialect`, `policy`: what the caller can say instead.
//! - [`recipe`]: what a recipe says of all that, and of the rows; [`words`]: how people say it.
//! - `scan`: where a record ends, how many fields it has, and how far it is from its canonical form.
//! - `lines`: the same for lines whose fields have no quotes in them, many bytes at a time; `eight`: so many digits at a time.
//! - `parse`, `fields`, `line_end`, `write`: the same for any other dialect, and its fields in the canonical one; `header`:
//!   the columns' names.
//! - `rows`: records into kept rows and rejections; a pure push machine.
//! - `tail`: the lines behind the table, where they were told of.
//! - `recode`: the rows whose quotes are in disorder, through `csv-async`; `repair`: those that one stray quote spoils.
//! - `replay`: rejected rows, once more.
//! - `outputs`, `encode`, `sink`: what rows become, the output's compression, and where it goes.
//! - `profile`: what the clean columns hold.
//! - `rejection`, `summary`, `error`: what comes out beside the rows.

mod compression;
mod dialect;
mod eight;
mod encode;
mod encoding;
mod error;
mod fields;
mod flow;
mod header;
mod inflate;
mod line_end;
mod lines;
mod outputs;
mod parse;
mod policy;
mod profile;
pub mod recipe;
mod recode;
mod rejection;
mod repair;
mod replay;
mod rows;
mod run;
mod sample;
mod scan;
mod sink;
mod sniff;
mod summary;
mod tail;
mod text;
pub mod words;
mod write;

pub use compression::Compression;
pub use dialect::{Comment, Escape, Quote, Terminator, Told};
pub use encoding_rs::Encoding;
pub use error::{BadFile, EngineError};
pub use header::Renamed;
pub use inflate::InflateLimits;
pub use policy::{InvalidBytes, MaxRejects, NulBytes, Policies, Ragged, RunawayQuote, StrayQuotes};
pub use profile::{Bound, ColumnProfile, ColumnType, MAX_PROFILED_COLUMNS};
pub use rejection::{CUT_BYTES, Reason};
pub use replay::{Replayed, replay};
pub use run::{Options, run};
pub use sink::Sink;
pub use summary::{Confidence, Counts, Dialect, Spans, Summary};
