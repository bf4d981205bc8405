//! Recipes: what a clean file is.
//!
//! - `file`: a recipe as it is written; `word`: how its values are.
//! - here: what the engine does by it.

mod file;
mod word;

pub use file::{RaggedWord, RecipeFile};
pub use word::OneOrMany;

use crate::dialect::Told;
use crate::policy::{Policies, Ragged};
use crate::run::Options;

/// Something in a recipe that makes no sense, though it is written as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipeFault {
    /// Where, as RFC 6901 spells it.
    pub pointer: String,
    /// What is wrong, and what to do.
    pub message: String,
}

impl RecipeFault {
    fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// A recipe, understood.
#[derive(Debug, Clone, Default)]
pub struct Recipe {
    /// What it says of the dialect.
    pub told: Told,
    /// What becomes of bad rows.
    pub policies: Policies,
    /// The longest record, if it says so.
    pub max_record_bytes: Option<usize>,
}

impl Recipe {
    /// Understands a recipe.
    ///
    /// # Errors
    ///
    /// Everything in it that makes no sense.
    pub fn new(file: &RecipeFile) -> Result<Self, Vec<RecipeFault>> {
        let mut faults = Vec::new();
        let told = told(file);
        if let Some(what) = told.contradiction() {
            let which = if file.quote.is_some() { "/quote" } else { "/delimiter" };
            faults.push(RecipeFault::new(which, what));
        }
        if file.matches.0.is_empty() {
            faults.push(RecipeFault::new("/match", "the list is empty: `**` matches every key"));
        }
        let recipe = Self {
            told,
            policies: policies(file),
            max_record_bytes: file.max_record_bytes.as_ref().map(|size| size.0),
        };
        if faults.is_empty() { Ok(recipe) } else { Err(faults) }
    }

    /// Sets what the recipe says of a run.
    pub fn apply(&self, options: &mut Options) {
        options.told = self.told.clone();
        options.policies = self.policies;
        options.max_record_bytes = self.max_record_bytes.unwrap_or(options.max_record_bytes);
    }
}

fn told(file: &RecipeFile) -> Told {
    Told {
        delimiter: file.delimiter.as_ref().map(|word| word.0.clone()),
        quote: file.quote.as_ref().map(|word| word.0),
        escape: file.escape.as_ref().map(|word| word.0),
        encoding: file.encoding.as_ref().map(|word| word.0),
        terminator: file.terminator,
        header_lines: file.header_lines,
        preamble_lines: file.preamble_lines,
        comment: file.comment.as_ref().map(|word| word.0.clone()),
        trusts_header: false,
    }
}

fn policies(file: &RecipeFile) -> Policies {
    let ragged = file.ragged.as_ref().map(|words| &words.0[..]).unwrap_or_default();
    Policies {
        ragged: Ragged {
            pad: ragged.contains(&RaggedWord::Pad),
            truncate_empty: ragged.contains(&RaggedWord::TruncateEmpty),
        },
        invalid_bytes: file.invalid_bytes.unwrap_or_default(),
        nul: file.nul_bytes.unwrap_or_default(),
        stray_quotes: file.stray_quotes.unwrap_or_default(),
        runaway_quote: file.on_runaway_quote.unwrap_or_default(),
        trim: file.trim.unwrap_or_default(),
        neutralize_formulas: file.neutralize_formulas.unwrap_or_default(),
        max_rejects: file.max_rejects.as_ref().map(|word| word.0),
    }
}

/// The JSON Schema of a recipe's file.
pub fn json_schema() -> serde_json::Value {
    schemars::schema_for!(RecipeFile).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_json_schema_is_current() {
        let published = include_str!("../../../recipes/recipe.schema.json");
        let published: serde_json::Value = serde_json::from_str(published).unwrap();
        assert_eq!(published, json_schema(), "penstock recipe schema > recipes/recipe.schema.json");
    }
}
