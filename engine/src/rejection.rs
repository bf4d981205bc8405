//! Rows that were set aside, and why.

use std::fmt;
use std::io;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut as _, BytesMut};
use serde::{Serialize, Serializer};

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
    /// Bytes that the encoding does not have.
    InvalidEncoding,
    /// Zero bytes.
    NulByte,
    /// No value of the type that the schema gives the column.
    WrongType,
    /// No value, and the schema wants one.
    Required,
    /// A value that another row has, too.
    Unique,
    /// Less than the least.
    Minimum,
    /// More than the greatest.
    Maximum,
    /// Not more than it has to be.
    ExclusiveMinimum,
    /// Not less than it has to be.
    ExclusiveMaximum,
    /// Too few characters.
    MinLength,
    /// Too many characters.
    MaxLength,
    /// Another form than the pattern's.
    Pattern,
    /// None of the values that there are.
    Enum,
    /// A primary key without a value, or another row's.
    PrimaryKey,
    /// An expression of the recipe that has no value for the row.
    Expression,
}

impl Reason {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::TooFewFields => "too_few_fields",
            Self::TooManyFields => "too_many_fields",
            Self::RecordTooLong => "record_too_long",
            Self::UnclosedQuote => "unclosed_quote",
            Self::InvalidEncoding => "invalid_encoding",
            Self::NulByte => "nul_byte",
            Self::WrongType => "wrong_type",
            Self::Required => "required",
            Self::Unique => "unique",
            Self::Minimum => "minimum",
            Self::Maximum => "maximum",
            Self::ExclusiveMinimum => "exclusive_minimum",
            Self::ExclusiveMaximum => "exclusive_maximum",
            Self::MinLength => "min_length",
            Self::MaxLength => "max_length",
            Self::Pattern => "pattern",
            Self::Enum => "enum",
            Self::PrimaryKey => "primary_key",
            Self::Expression => "expression",
        }
    }
}

/// The most raw bytes kept of a region too long to keep whole.
pub(crate) const CUT_BYTES: usize = 64 * 1024;

/// One row or region that was set aside: a line of the rejects file. It borrows what it tells of, so that a file of
/// nothing but bad rows costs no memory for each.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Rejection<'a> {
    /// The 1-based line at which it starts.
    pub line: u64,
    /// How many lines it spans.
    pub lines: u64,
    /// Where it starts in the decompressed text.
    pub byte_offset: u64,
    /// How many bytes it spans, its line end included.
    pub byte_length: u64,
    /// The column that is at fault, where it is one.
    pub column: Option<&'a str>,
    /// Why.
    pub reason: Reason,
    /// Why, for people. Never a value.
    #[serde(serialize_with = "as_text")]
    pub message: Message<'a>,
    /// Its bytes, its line end included, and how they are spelled.
    #[serde(flatten)]
    pub raw: Raw<'a>,
}

/// Why a row was set aside, for people.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Message<'a> {
    Width {
        header: usize,
        row: usize,
    },
    UnclosedQuote,
    TooLong {
        max_record_bytes: usize,
    },
    InvalidEncoding,
    NulByte,
    /// What the recipe says.
    Recipe(&'a str),
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Width { header, row } => write!(f, "the header has {header} fields, this row has {row}"),
            Self::UnclosedQuote => {
                f.write_str("a quote opens in this line and does not close within the longest record")
            }
            Self::TooLong { max_record_bytes } => {
                write!(f, "a record that starts in this line is longer than {max_record_bytes} bytes")
            }
            Self::InvalidEncoding => f.write_str("the row has bytes that the file's encoding does not have"),
            Self::NulByte => f.write_str("the row has a zero byte"),
            Self::Recipe(message) => f.write_str(message),
        }
    }
}

fn as_text<S: Serializer>(text: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(text)
}

/// A row's bytes: as they are where they are UTF-8, else in base64.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "raw_encoding", rename_all = "lowercase")]
pub(crate) enum Raw<'a> {
    /// As they are.
    Utf8 { raw: &'a str },
    /// In base64: they are not UTF-8.
    Base64 {
        #[serde(serialize_with = "as_base64")]
        raw: &'a [u8],
    },
    /// Only the first 64 KiB of them, or none where the recipe withholds them, base64; read the rest at `byte_offset` of the decompressed source.
    Cut {
        #[serde(serialize_with = "as_base64")]
        raw: &'a [u8],
    },
}

fn as_base64<S: Serializer>(raw: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(raw, &STANDARD))
}

impl<'a> Raw<'a> {
    /// All of a row's bytes.
    pub(crate) fn whole(bytes: &'a [u8]) -> Self {
        match simdutf8::basic::from_utf8(bytes) {
            Ok(raw) => Self::Utf8 { raw },
            Err(_) => Self::Base64 { raw: bytes },
        }
    }

    /// What was kept of a region of `length` bytes.
    pub(crate) fn of(kept: &'a [u8], length: u64) -> Self {
        if kept.len() as u64 == length { Self::whole(kept) } else { Self::Cut { raw: kept } }
    }
}

impl Rejection<'_> {
    /// Appends it as a line of JSON.
    pub(crate) fn write(&self, out: &mut BytesMut) -> io::Result<()> {
        serde_json::to_writer(out.writer(), self)?;
        out.put_u8(b'\n');
        Ok(())
    }
}
