//! What a run found and did.

use std::collections::BTreeMap;

use crate::{Compression, Reason};

/// Everything that [`run`](crate::run()) can say of a file. The receipt is made from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How the text is written.
    pub dialect: Dialect,
    /// What the input's first bytes said.
    pub input_compression: Compression,
    /// Gzip members or zstd frames read; 0 for plain input.
    pub members: u64,
    /// How the output was compressed.
    pub output_compression: Compression,
    /// Rows.
    pub counts: Counts,
    /// Bytes of the input object.
    pub input_bytes: u64,
    /// Bytes of text, once decompressed: the sum of `spans`.
    pub decompressed_bytes: u64,
    /// Bytes handed to the output sink.
    pub output_bytes: u64,
    /// Where every decompressed byte went.
    pub spans: Spans,
    /// Rejections by reason.
    pub by_reason: BTreeMap<Reason, u64>,
}

impl Summary {
    /// Whether the sums add up, as design and receipt promise. Nothing may be committed when they don't.
    pub fn adds_up(&self) -> bool {
        let Counts { rows_in, rows_out, rows_rejected, rows_filtered } = self.counts;
        rows_in == rows_out + rows_rejected + rows_filtered
            && self.spans.total() == self.decompressed_bytes
            && self.by_reason.values().sum::<u64>() == rows_rejected
    }
}

/// How the text is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: u8,
    /// Around fields.
    pub quote: u8,
    /// IANA name: `utf-8` when every kept row is valid UTF-8, else `unknown-8bit` (bytes passed through).
    pub encoding: &'static str,
    /// Whether a UTF-8 byte-order mark stood first (it is skipped).
    pub bom: bool,
    /// What ends the first line: `\n`, `\r\n` or `\r`; absent in a file without a line's end.
    pub terminator: Option<&'static str>,
    /// Whether a header was found: false only for an empty file.
    pub header: bool,
}

/// Rows; the header is not one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All rows of the input; a rejected region counts as one.
    pub rows_in: u64,
    /// Rows in the output.
    pub rows_out: u64,
    /// Rows and regions set aside.
    pub rows_rejected: u64,
    /// Rows that the recipe left out.
    pub rows_filtered: u64,
}

/// Where every decompressed byte went: each is in exactly one of these.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Spans {
    /// Rows in the output, with their line ends.
    pub kept: u64,
    /// Rejected rows and regions.
    pub rejected: u64,
    /// Rows that the recipe left out.
    pub filtered: u64,
    /// The header line.
    pub header: u64,
    /// Byte-order mark and blank lines.
    pub skipped: u64,
}

impl Spans {
    /// The sum of all spans.
    pub fn total(&self) -> u64 {
        self.kept + self.rejected + self.filtered + self.header + self.skipped
    }
}
