//! A recipe as it is written. What its keys are called is what its users know it by.

use schemars::JsonSchema;
use serde::Deserialize;

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
