//! Rows that were set aside, and why.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

/// Why a row was set aside. The names are part of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Fewer fields than the header has.
    TooFewFields,
    /// More fields than the header has.
    TooManyFields,
    /// Longer than `max_record_bytes`.
    RecordTooLong,
    /// A quote that opens and never closes.
    UnclosedQuote,
}

impl Reason {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooFewFields => "too_few_fields",
            Self::TooManyFields => "too_many_fields",
            Self::RecordTooLong => "record_too_long",
            Self::UnclosedQuote => "unclosed_quote",
        }
    }
}

/// How `raw` holds the row's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RawEncoding {
    /// As they are: they were valid UTF-8.
    Utf8,
    /// In base64: they were not.
    Base64,
    /// Only the first 64 KiB of them, base64; read the rest at `byte_offset` of the decompressed source.
    Cut,
}

/// The most raw bytes kept of a region too long to keep whole.
pub(crate) const CUT_BYTES: usize = 64 * 1024;

/// One row or region that was set aside: a line of the rejects file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Rejection {
    /// The 1-based line at which it starts.
    pub line: u64,
    /// How many lines it spans.
    pub lines: u64,
    /// Where it starts in the decompressed text.
    pub byte_offset: u64,
    /// How many bytes it spans, its line end included.
    pub byte_length: u64,
    /// The column that is at fault, where it is one.
    pub column: Option<String>,
    /// Why.
    pub reason: Reason,
    /// Why, for people. Never a value.
    pub message: String,
    /// Its bytes, its line end included.
    pub raw: String,
    /// How `raw` holds them.
    pub raw_encoding: RawEncoding,
}

impl Rejection {
    /// Puts the bytes into `raw` exactly, or marks them as cut when `whole` says there were more.
    pub(crate) fn encode_raw(bytes: &[u8], whole: bool) -> (String, RawEncoding) {
        if !whole {
            return (STANDARD.encode(bytes), RawEncoding::Cut);
        }
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => (text.to_owned(), RawEncoding::Utf8),
            Err(_) => (STANDARD.encode(bytes), RawEncoding::Base64),
        }
    }
}
