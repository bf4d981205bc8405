//! A recipe as it is written. What its keys are called is what its users know it by.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::mask::MaskWord;
use super::table_schema::{SchemaWord, TypeWord};
use super::word::{
    CommentWord, DelimiterWord, EncodingWord, EscapeWord, MaxRejectsWord, OneOrMany, QuoteWord, SizeWord,
};
use crate::dialect::Terminator;
use crate::policy::{InvalidBytes, NulBytes, RunawayQuote, StrayQuotes};

/// What a clean file is, of the files whose keys `match`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Penstock recipe")]
pub struct RecipeFile {
    /// The keys that the recipe is for: patterns with `*`, `?` and `**`. A key that several recipes match has the one with
    /// the most specific pattern.
    #[serde(rename = "match")]
    pub matches: OneOrMany<String>,
    /// What the files are, for people.
    pub description: Option<String>,

    /// What stands between fields.
    pub delimiter: Option<DelimiterWord>,
    /// What stands around fields.
    pub quote: Option<QuoteWord>,
    /// How a quote stands inside quotes.
    pub escape: Option<EscapeWord>,
    /// The text's encoding; a byte-order mark is believed first.
    pub encoding: Option<EncodingWord>,
    /// What ends a record; without it, whichever of the three comes.
    pub terminator: Option<Terminator>,
    /// Records that hold the columns' names, joined with a space; 0 if there are none: `column_1`, `column_2`, …
    pub header_lines: Option<u64>,
    /// Lines above the header that are no part of the table.
    pub preamble_lines: Option<u64>,
    /// Lines at the end of the file that are no part of the table; 0 if there are none.
    #[schemars(range(max = 1000))]
    pub footnote_lines: Option<u64>,
    /// What begins a line that is a comment.
    pub comment: Option<CommentWord>,

    /// Rows of another width than the header's: rejected, padded with empty fields, or freed of the empty fields at their
    /// end. A list of the last two does both.
    pub ragged: Option<OneOrMany<RaggedWord>>,
    /// Bytes that the encoding does not have: their row is rejected, or they become U+FFFD.
    pub invalid_bytes: Option<InvalidBytes>,
    /// Zero bytes: they stay, are left out, or cost their row.
    pub nul_bytes: Option<NulBytes>,
    /// A row that a stray quote gives another width: rejected, or read with one quote taken as it stands, if that fits in
    /// one way only.
    pub stray_quotes: Option<StrayQuotes>,
    /// A quote that does not close within the longest record: its line is rejected and the next one read, or the file
    /// fails.
    pub on_runaway_quote: Option<RunawayQuote>,
    /// The longest record; memory is bounded by it.
    pub max_record_bytes: Option<SizeWord>,
    /// The most rows that may be rejected before the file fails.
    pub max_rejects: Option<MaxRejectsWord>,
    /// Whether spaces and tabs around fields go.
    pub trim: Option<bool>,
    /// Whether fields that a spreadsheet would take for formulas get an apostrophe in front.
    pub neutralize_formulas: Option<bool>,

    /// Whether the receipt says what the output's columns hold: every field is looked at for it.
    pub profile: Option<bool>,

    /// A Frictionless Table Schema, or the name of a file with one, beside the recipe.
    pub schema: Option<SchemaWord>,
    /// A row that violates the schema: rejected, only counted, or the file fails.
    pub on_violation: Option<OnViolation>,

    /// The columns to keep, in this order.
    pub select: Option<Vec<String>>,
    /// The columns to leave out.
    pub drop: Option<Vec<String>>,
    /// Other names for columns: the old one, and the new one.
    pub rename: Option<BTreeMap<String, String>>,
    /// The columns whose values are written in one form (`2026-11-25`, `1234.5`, `true`), by their new names, or `all` that
    /// the schema gives a type.
    pub cast: Option<OneOrMany<String>>,
    /// New columns, each with an expression for its value.
    pub derive: Option<Vec<DeriveWord>>,
    /// An expression that holds for the rows to keep.
    pub filter: Option<String>,
    /// The columns whose values are made unreadable, by their names in the output.
    pub mask: Option<BTreeMap<String, MaskWord>>,
    /// What the rejects hold of a row: its bytes (`raw`), or its place and code alone (`place`). `raw` if not given, but
    /// `place` where the recipe masks.
    pub rejects: Option<RejectsWord>,

    /// How the clean file is written.
    pub output: Option<OutputWord>,
}

/// What becomes of a row that violates the schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnViolation {
    /// It is rejected.
    #[default]
    Reject,
    /// It is kept, and counted.
    Warn,
    /// The file fails.
    Fail,
}

/// A new column.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeriveWord {
    /// Its name.
    pub name: String,
    /// An expression in CEL over the columns so far.
    pub value: String,
    /// What its values are; a row with another is rejected. If not given, whatever the expression gives, and texts in
    /// `parquet`.
    #[serde(rename = "type")]
    pub kind: Option<TypeWord>,
}

/// What the rejects hold of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RejectsWord {
    /// Its bytes.
    Raw,
    /// Its place and code.
    Place,
}

/// How the clean file is written.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OutputWord {
    /// `csv` if not given.
    #[serde(default)]
    pub format: FormatWord,
    /// If not given, `zstd` of `parquet`, which compresses inside, none of `tsv` and `ndjson`, and as the input's of `csv`.
    pub compression: Option<CompressionWord>,
    /// Between fields, in `csv`; a comma if not given.
    pub delimiter: Option<DelimiterWord>,
    /// Which fields are quoted, in `csv`; those that need it if not given.
    pub quoting: Option<QuotingWord>,
    /// Whether the columns' names are written first, in `csv` and `tsv`; they are if not given.
    pub header: Option<bool>,
    /// The columns, by their names in the output, whose values decide which object a row goes to: under
    /// `column=value/` for each, as Hive, Athena and DuckDB read it. They stand in the key alone, not in the object.
    pub partition_by: Option<Vec<String>>,
}

/// What the clean file is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FormatWord {
    /// RFC 4180, with `\n`.
    #[default]
    Csv,
    /// Tabs between fields; a field with a tab, a line's end or a quote in it is quoted as in CSV.
    Tsv,
    /// A JSON object a line; what the schema calls a number or a boolean is one, and no value is `null`.
    Ndjson,
    /// Apache Parquet, with columns of the schema's types.
    Parquet,
}

/// How the clean file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CompressionWord {
    /// Not at all.
    None,
    /// Snappy, in `parquet` alone.
    Snappy,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
}

/// Which fields are quoted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum QuotingWord {
    /// Those that need it.
    Necessary,
    /// All.
    All,
}

/// What becomes of a row of another width than the header's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RaggedWord {
    /// It is rejected.
    Reject,
    /// It gets empty fields at its end.
    Pad,
    /// It loses the empty fields at its end.
    TruncateEmpty,
}
