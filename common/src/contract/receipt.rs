//! The receipt: what became of a file, and the sums that prove it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Column, Source};

/// The version of the receipt's layout.
pub const SCHEMA_VERSION: u32 = 1;

/// What became of a file. Written last, as `receipts/<input key>.json`: it is the commit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Names this outcome of this input under this recipe; see [`super::event_id`].
    pub event_id: String,
    /// 0, and one more with each replay that an operator asks for.
    pub attempt: u32,
    /// Of `penstock process --replay`, the CRC-64/NVME of the rejects whose rows were processed, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replay: Option<String>,
    /// How it ended.
    pub status: Status,
    /// The input.
    pub source: Source,
    /// The rules applied.
    pub recipe: RecipeRef,
    /// How the text was written; absent when the file failed before that was known.
    pub dialect: Option<Dialect>,
    /// How the bytes were and are compressed.
    pub compression: Option<Compression>,
    /// Rows.
    pub counts: Counts,
    /// Bytes.
    pub bytes: ByteCounts,
    /// The clean objects; empty when the file failed.
    pub outputs: Vec<Output>,
    /// The rejected rows' object; absent when nothing was rejected.
    pub rejects: Option<Rejects>,
    /// Rows in the outputs that violate the recipe's schema, where it only counts them, by what is wrong first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub warnings: BTreeMap<String, u64>,
    /// What the output's columns hold, the first thousand of them; empty unless that was asked for.
    #[serde(default)]
    pub columns: Vec<Column>,
    /// Columns of the output that are not among those, as there are more than a thousand.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub columns_left_out: u64,
    /// Why it failed.
    pub error: Option<Failure>,
    /// How long it took.
    pub timing: Timing,
    /// The process's peak resident memory so far, in bytes.
    pub peak_memory_bytes: u64,
    /// Which Penstock.
    pub penstock_version: String,
}

/// Whether a count need not be said; serde wants a reference.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Receipt {
    /// Whether the sums add up: rows, and every decompressed byte in exactly one span.
    pub fn adds_up(&self) -> bool {
        let Counts { rows_in, rows_out, rows_rejected, rows_filtered } = self.counts;
        let by_reason: u64 = self.rejects.iter().flat_map(|rejects| rejects.by_reason.values()).sum();
        rows_in == rows_out + rows_rejected + rows_filtered
            && self.bytes.decompressed == self.bytes.spans.total()
            && by_reason == rows_rejected
    }
}

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Every row is accounted for.
    Processed,
    /// Nothing of it is under `clean/`.
    Failed,
}

impl Status {
    /// As the receipt spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Failed => "failed",
        }
    }
}

/// The rules applied to a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipeRef {
    /// Its name.
    pub name: String,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// How the text is written, as told or as found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dialect {
    /// Between fields.
    pub delimiter: String,
    /// Around fields; absent where quotes mean nothing.
    pub quote: Option<String>,
    /// How a quote stands inside a quoted field: `doubled`, `none`, or behind this byte.
    pub escape: Option<String>,
    /// The encoding's name in the Encoding Standard, in small letters.
    pub encoding: String,
    /// Whether a byte-order mark stood first.
    pub bom: bool,
    /// What ends the first record; absent if nothing does.
    pub terminator: Option<String>,
    /// Whether the columns' names are the file's.
    pub header: bool,
    /// Lines that hold them; where there are none, names were made.
    #[serde(default)]
    pub header_lines: u64,
    /// Lines before the header that are no data.
    pub preamble_lines: u64,
    /// Lines behind the table that are no data.
    #[serde(default)]
    pub footnote_lines: u64,
    /// What begins a comment; absent where nothing does.
    #[serde(default)]
    pub comment: Option<String>,
    /// Comments that were skipped.
    #[serde(default)]
    pub comment_lines: u64,
    /// Columns whose name is not the header's, as it was empty or another column's. The first hundred.
    #[serde(default)]
    pub renamed_columns: Vec<RenamedColumn>,
    /// Rows in the output that were mended: padded, cut, or with a stray quote taken as it stands.
    #[serde(default)]
    pub rows_mended: u64,
    /// Rows in the output in which bytes that the encoding does not have were replaced.
    #[serde(default)]
    pub rows_replaced: u64,
    /// How sure what was found is; absent in receipts from before it was looked for.
    #[serde(default)]
    pub confidence: Option<Confidence>,
}

/// A column whose name in the output is not the header's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenamedColumn {
    /// From 1.
    pub column: u64,
    /// Its name in the output; of a long one, the first hundred characters.
    pub name: String,
}

/// How sure what was found is, in per cent; 100 for what was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confidence {
    /// The encoding.
    pub encoding: u8,
    /// Delimiter, quote and escape.
    pub structure: u8,
    /// Where the names stand, or that there are none.
    pub header: u8,
}

/// How bytes are compressed: `none`, `gzip`, `zstd`, `bzip2`, `xz` or `zip`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compression {
    /// The input, by its magic bytes.
    pub input: String,
    /// Members, frames or streams of the input; 0 for plain.
    pub members: u64,
    /// The output.
    pub output: String,
}

/// Rows; the header is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// `rows_out + rows_rejected + rows_filtered`.
    pub rows_in: u64,
    /// In the output.
    pub rows_out: u64,
    /// In the rejects; a region counts as one.
    pub rows_rejected: u64,
    /// Left out by the recipe.
    pub rows_filtered: u64,
}

/// Bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteCounts {
    /// Of the input object.
    pub input: u64,
    /// Of its text.
    pub decompressed: u64,
    /// Of the output objects.
    pub output: u64,
    /// `decompressed`, by where each byte went.
    pub spans: ByteSpans,
}

/// Where every decompressed byte went: each is in exactly one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByteSpans {
    /// Kept rows, line ends included.
    pub kept: u64,
    /// Rejected rows and regions.
    pub rejected: u64,
    /// Rows left out by the recipe.
    pub filtered: u64,
    /// The header.
    pub header: u64,
    /// Preamble, comments, blank lines, byte-order mark, footnotes that were told of.
    pub skipped: u64,
}

impl ByteSpans {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.kept + self.rejected + self.filtered + self.header + self.skipped
    }
}

/// One clean object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Without quotes. Readers trust only objects whose `ETag` a receipt names.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// CRC-64/NVME of the whole object, base64, as S3 gives it.
    pub checksum_crc64nvme: String,
    /// Parts of its upload; 0 for a single PUT.
    pub parts: u32,
}

/// The rejected rows' object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejects {
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// How many of each reason.
    pub by_reason: BTreeMap<String, u64>,
    /// Without quotes; absent, as size and checksum, where they are no object: in a receipt of `penstock process`.
    #[serde(default)]
    pub etag: Option<String>,
    /// Bytes.
    #[serde(default)]
    pub size: Option<u64>,
    /// CRC-64/NVME of the whole object, base64.
    #[serde(default)]
    pub checksum_crc64nvme: Option<String>,
}

/// Why a file failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Stable: `corrupt_gzip`, `not_csv`, …
    pub code: String,
    /// For people. Never a value from the file.
    pub message: String,
    /// Line of the text, where known.
    pub line: Option<u64>,
    /// Byte of the input object, where known.
    pub byte_offset: Option<u64>,
}

/// When, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// When the work began.
    pub started_at: Timestamp,
    /// When the receipt was made: the file's time in event and catalogue.
    pub finished_at: Timestamp,
    /// Milliseconds between them.
    pub duration_ms: u64,
}
