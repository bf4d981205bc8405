//! What becomes of rows that are not as they should be. The defaults lose nothing and change no value.

use schemars::JsonSchema;
use serde::Deserialize;

/// What is done with each kind of fault.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Policies {
    /// Rows of another width than the header's.
    pub ragged: Ragged,
    /// Rows with bytes that their encoding does not have.
    pub invalid_bytes: InvalidBytes,
    /// Rows with zero bytes.
    pub nul: NulBytes,
    /// Rows that a stray quote makes unreadable.
    pub stray_quotes: StrayQuotes,
    /// A quote that opens and does not close within the longest record.
    pub runaway_quote: RunawayQuote,
    /// Whether spaces and tabs around fields go.
    pub trim: bool,
    /// Whether a field that a spreadsheet would take for a formula gets an apostrophe in front.
    pub neutralize_formulas: bool,
    /// The most rows that may be rejected before the file fails.
    pub max_rejects: Option<MaxRejects>,
}

/// What is done with rows of another width than the header's. What neither mends is rejected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ragged {
    /// Rows that are too short get empty fields at their end.
    pub pad: bool,
    /// Rows that are too long lose the empty fields at their end.
    pub truncate_empty: bool,
}

/// What is done with bytes that the encoding does not have.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum InvalidBytes {
    /// The row is rejected.
    #[default]
    Reject,
    /// They become U+FFFD.
    Replace,
}

/// What is done with zero bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NulBytes {
    /// They stay.
    #[default]
    Keep,
    /// They are left out.
    Remove,
    /// The row is rejected.
    Reject,
}

/// What is done with a row that has another width than the header's, and a quote where none belongs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum StrayQuotes {
    /// It is rejected.
    #[default]
    Reject,
    /// It is read with one of its quotes taken as it stands, if that gives the header's width in one way only.
    Repair,
}

/// What is done when a quote opens and does not close within the longest record.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum RunawayQuote {
    /// Its line is rejected, and reading goes on at the next.
    #[default]
    Resync,
    /// The file fails.
    Fail,
}

/// How many rows may be rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxRejects {
    /// So many.
    Rows(u64),
    /// So many of a hundred rows; known at the end of the file.
    Percent(f64),
}

impl Policies {
    /// Whether every row has to be taken apart.
    pub(crate) fn touch_every_row(&self) -> bool {
        self.trim || self.neutralize_formulas || self.nul != NulBytes::Keep
    }
}
