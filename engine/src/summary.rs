//! What a run found and did.

use std::collections::BTreeMap;

use crate::profile::ColumnProfile;
use crate::{Comment, Compression, Escape, Quote, Reason, Renamed};

/// Everything that [`run`](crate::run()) can say of a file. The receipt is made from it.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// How the text is written.
    pub dialect: Dialect,
    /// What the input's first bytes said.
    pub input_compression: Compression,
    /// Members, frames or streams read; 0 for plain input.
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
    /// What the output's columns hold, the first thousand of them, where that was asked for.
    pub columns: Vec<ColumnProfile>,
    /// Columns of the output that are not among those.
    pub columns_left_out: u64,
    /// Rows in the output that violate the recipe's schema, which only counts them, by what is wrong first.
    pub warnings: BTreeMap<Reason, u64>,
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

/// How the text is written, as told or as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: Vec<u8>,
    /// Around fields.
    pub quote: Quote,
    /// How a quote stands inside a quoted field.
    pub escape: Escape,
    /// What begins a comment.
    pub comment: Comment,
    /// The encoding's name in the Encoding Standard, in small letters.
    pub encoding: String,
    /// Whether a byte-order mark stood first (it is skipped).
    pub bom: bool,
    /// What ends the first record: `\n`, `\r\n` or `\r`; absent in a file without a line's end.
    pub terminator: Option<&'static str>,
    /// Lines of the file that hold the columns' names: 0 where they were made.
    pub header_lines: u64,
    /// Whether the output has a header: false only for a file without rows.
    pub header: bool,
    /// Lines before the header that are none of the table's.
    pub preamble_lines: u64,
    /// Lines behind the table that are none of its: told of, or text below a blank line.
    pub footnote_lines: u64,
    /// Comments that were skipped.
    pub comment_lines: u64,
    /// Columns whose name is not the header's: it was empty, or another column's. The first hundred.
    pub renamed: Vec<Renamed>,
    /// Rows that were mended as the policies say: padded, cut, or with a stray quote taken as it stands.
    pub rows_mended: u64,
    /// Rows in which bytes that the encoding does not have were replaced.
    pub rows_replaced: u64,
    /// How sure all this is.
    pub confidence: Confidence,
}

/// How sure what was found is, out of a hundred; 100 for what was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Confidence {
    /// The encoding.
    pub encoding: u8,
    /// Delimiter, quote and escape.
    pub structure: u8,
    /// Where the names stand, or that there are none.
    pub header: u8,
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
    /// The header's lines.
    pub header: u64,
    /// Byte-order mark, preamble, comments, blank lines, and footnotes that were told of.
    pub skipped: u64,
}

impl Spans {
    /// The sum of all spans.
    pub fn total(&self) -> u64 {
        self.kept + self.rejected + self.filtered + self.header + self.skipped
    }
}
