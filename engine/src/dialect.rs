//! How a text is written: what the caller says of it, and what is read by in the end.

use encoding_rs::Encoding;
use schemars::JsonSchema;
use serde::Deserialize;

/// The byte around fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quote {
    /// This byte.
    Byte(u8),
    /// None: a quote is a byte as any other.
    None,
}

impl Quote {
    /// As people and receipts write it.
    pub fn name(self) -> Option<String> {
        self.byte().map(|byte| char::from(byte).to_string())
    }

    pub(crate) fn byte(self) -> Option<u8> {
        match self {
            Self::Byte(byte) => Some(byte),
            Self::None => None,
        }
    }
}

/// How a quote stands inside a quoted field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Escape {
    /// Twice.
    Doubled,
    /// Behind this byte, which also takes the meaning from itself, a delimiter or a line's end, inside quotes or not.
    /// Before anything else it is a byte as any other.
    Byte(u8),
    /// As it is: a quote closes a field only before a delimiter or a line's end.
    None,
}

/// What ends a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Terminator {
    /// `\n`, `\r\n` and `\r`, whichever comes.
    Any,
    /// `\n` alone.
    Lf,
    /// `\r\n` alone.
    CrLf,
    /// `\r` alone.
    Cr,
}

/// What begins a line that is none of the table's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comment {
    /// These bytes.
    Prefix(Vec<u8>),
    /// Nothing: every line counts.
    None,
}

/// What the caller says of a dialect; what it leaves open is found out from the first bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Between fields: one byte or more, in UTF-8.
    pub delimiter: Option<Vec<u8>>,
    /// Around fields.
    pub quote: Option<Quote>,
    /// How a quote stands inside a quoted field.
    pub escape: Option<Escape>,
    /// The text's encoding.
    pub encoding: Option<&'static Encoding>,
    /// What ends a record.
    pub terminator: Option<Terminator>,
    /// Records that the columns' names stand in; 0 where they are to be made.
    pub header_lines: Option<u64>,
    /// Lines before the header that are none of the table's.
    pub preamble_lines: Option<u64>,
    /// Lines at the end of the file that are none of the table's.
    pub footnote_lines: Option<u64>,
    /// What begins a comment.
    pub comment: Option<Comment>,
    /// Whether the header alone says how wide the rows are. If not, and most of the first rows agree on another width,
    /// then names are added to it, or its empty ones go.
    pub trusts_header: bool,
}

impl Told {
    /// Why what is told makes no sense together, if it doesn't.
    pub fn contradiction(&self) -> Option<&'static str> {
        let quote = self.quote.unwrap_or(Quote::Byte(b'"')).byte();
        let escape = match self.escape {
            Some(Escape::Byte(escape)) => Some(escape),
            _ => None,
        };
        let first = self.delimiter.as_ref()?.first().copied();
        (first == quote || first == escape)
            .then_some("the delimiter begins with the quote or the escape: give three that differ")
    }

    /// RFC 4180 in UTF-8, with a header: nothing is left to find out.
    pub fn rfc4180() -> Self {
        Self {
            delimiter: Some(b",".to_vec()),
            quote: Some(Quote::Byte(b'"')),
            escape: Some(Escape::Doubled),
            encoding: Some(encoding_rs::UTF_8),
            terminator: Some(Terminator::Any),
            header_lines: Some(1),
            preamble_lines: Some(0),
            footnote_lines: Some(0),
            comment: Some(Comment::None),
            trusts_header: true,
        }
    }
}

/// How the records are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reading {
    pub delimiter: Vec<u8>,
    pub quote: Quote,
    pub escape: Escape,
    pub terminator: Terminator,
    pub comment: Comment,
    /// Whether nobody told of comments: then a line as wide as the table is none, whatever it begins with.
    pub comment_is_found: bool,
    pub header_lines: u64,
    pub preamble_lines: u64,
    /// Whether nobody told of footnotes: then text below a blank line at the end is rejected as such.
    pub finds_footnotes: bool,
    /// Fields that most rows have, where a look at the first rows says so.
    pub width: Option<usize>,
}

impl Reading {
    /// Whether a record that needs nothing done can go to the output byte for byte.
    pub(crate) fn is_canonical(&self) -> bool {
        self.delimiter == b","
            && self.quote == Quote::Byte(b'"')
            && self.escape == Escape::Doubled
            && self.terminator == Terminator::Any
    }
}

impl Default for Reading {
    fn default() -> Self {
        Self {
            delimiter: b",".to_vec(),
            quote: Quote::Byte(b'"'),
            escape: Escape::Doubled,
            terminator: Terminator::Any,
            comment: Comment::None,
            comment_is_found: false,
            header_lines: 1,
            preamble_lines: 0,
            finds_footnotes: false,
            width: None,
        }
    }
}
