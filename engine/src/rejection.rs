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
    /// What a row is partitioned by has no room in a key.
    PartitionTooLong,
    /// Text below the table, at the end of the file.
    Footnote,
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
            Self::PartitionTooLong => "partition_too_long",
            Self::Footnote => "footnote",
        }
    }
}

/// The most raw bytes kept of a region too long to keep whole.
pub const CUT_BYTES: usize = 64 * 1024;

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
    /// A quote that is still open where the longest record would end.
    RunawayQuote {
        max_record_bytes: usize,
    },
    /// A quote that is still open at the end of the file.
    OpenQuote,
    /// A quote that closes so many lines below, where the row has another width.
    QuoteReaches {
        lines: u64,
    },
    TooLong {
        max_record_bytes: usize,
    },
    InvalidEncoding,
    NulByte,
    Footnote,
    /// What the recipe says.
    Recipe(&'a str),
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Width { header, row } if row < header => {
                write!(f, "the header has {header} fields, this row has {row}: add the others, or let it be padded")
            }
            Self::Width { header, row } => write!(
                f,
                "the header has {header} fields, this row has {row}: put a field that has a delimiter in it in quotes"
            ),
            Self::RunawayQuote { max_record_bytes } => write!(
                f,
                "a quote opens in this line and does not close within {max_record_bytes} bytes, the most a record may \
                 have: close it, double it if it is text, or allow longer records"
            ),
            Self::OpenQuote => f.write_str(
                "a quote opens in this line and does not close before the file ends: close it, or double it if it is \
                 text",
            ),
            Self::QuoteReaches { lines } => write!(
                f,
                "a quote opens in this line and closes {lines} lines below, which gives a row of another width: close \
                 it, or double it if it is text"
            ),
            Self::TooLong { max_record_bytes } => write!(
                f,
                "a record that starts in this line is longer than {max_record_bytes} bytes: allow longer records"
            ),
            Self::InvalidEncoding => f.write_str(
                "the row has bytes that the file's encoding does not have: write them in it, or let them be replaced",
            ),
            Self::NulByte => {
                f.write_str("the row has a zero byte: take it out, or let zero bytes be removed")
            }
            Self::Footnote => f.write_str(
                "the line is text below the table, behind a blank line at the end of the file: if it is none of the \
                 data, say how many such lines there are; if it is a row, add the other fields",
            ),
            Self::Recipe(message) => f.write_str(message),
        }
    }
}

fn as_text<S: Serializer>(text: &impl fmt::Display, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(text)
}

/// A row's bytes: as they are where the file is UTF-8 and they are, else in base64.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(tag = "raw_encoding", rename_all = "lowercase")]
pub(crate) enum Raw<'a> {
    /// As they are.
    Utf8 { raw: &'a str },
    /// In base64: they, or their file, are not UTF-8.
    Base64 {
        #[serde(serialize_with = "as_base64")]
        raw: &'a [u8],
    },
    /// Only the first 64 KiB of them, or none where the recipe withholds them, base64; read the rest at `byte_offset` of the decompressed source.
    Cut {
        #[serde(serialize_with = "as_base64")]
        raw: &'a [u8],
        /// Tells whether the bytes read again are the same: a CRC-32 of all of them. Of a row that is withheld, only
        /// its last 8 bits, which are too few to find a value by.
        checksum: u32,
    },
}

/// What is kept of the CRC-32 of a row that is withheld.
pub(crate) const WITHHELD_CHECKSUM: u32 = 0xff;

fn as_base64<S: Serializer>(raw: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(raw, &STANDARD))
}

impl<'a> Raw<'a> {
    /// All of a row's bytes. Of a file that is `decoded`, none pass for UTF-8, so that whoever mends them sees that.
    pub(crate) fn whole(bytes: &'a [u8], decoded: bool) -> Self {
        match simdutf8::basic::from_utf8(bytes) {
            Ok(raw) if !decoded => Self::Utf8 { raw },
            _ => Self::Base64 { raw: bytes },
        }
    }

    /// What was kept of a region of `length` bytes.
    pub(crate) fn of(kept: &'a [u8], length: u64, checksum: u32, decoded: bool) -> Self {
        if kept.len() as u64 == length {
            Self::whole(kept, decoded)
        } else {
            Self::Cut { raw: kept, checksum }
        }
    }

    /// None of the bytes.
    pub(crate) fn withheld(self) -> Self {
        let checksum = match self {
            Self::Utf8 { raw } => checksum(raw.as_bytes()),
            Self::Base64 { raw } => checksum(raw),
            Self::Cut { checksum, .. } => checksum,
        };
        Self::Cut { raw: b"", checksum: checksum & WITHHELD_CHECKSUM }
    }
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

impl Rejection<'_> {
    /// Appends it as a line of JSON.
    pub(crate) fn write(&self, out: &mut BytesMut) -> io::Result<()> {
        serde_json::to_writer(out.writer(), self)?;
        out.put_u8(b'\n');
        Ok(())
    }
}
