//! Recipes: what a clean file is.
//!
//! - `file`: a recipe as it is written; `table_schema`: Frictionless Table Schema; `word`: how values are written.
//! - `work`: what it does to rows, understood: `check` and `constraint` by `kind` (`temporal`, `text_format`) and `value`,
//!   `row_expression`, `mask`, `form`. `glance`: which rows the schema lets be, without their values.
//! - `session`: that work on one file's rows; `parquet`: the rows as such a file, where the build has it; `partitions`: the
//!   rows as many objects.

mod check;
mod constraint;
mod file;
mod form;
mod glance;
mod guess;
mod kind;
mod mask;
#[cfg(not(feature = "parquet"))]
mod no_parquet;
#[cfg(feature = "parquet")]
mod parquet;
mod partitions;
mod row_expression;
mod session;
mod table_schema;
mod temporal;
mod text_format;
mod value;
mod word;
mod work;

use std::sync::Arc;

#[cfg(not(feature = "parquet"))]
use no_parquet as parquet;

pub(crate) use check::Violation;
pub use file::{
    CompressionWord, DeriveWord, FormatWord, OnViolation, OutputWord, QuotingWord, RaggedWord, RecipeFile,
    RejectsWord,
};
pub use guess::Guess;
pub use mask::{MaskKey, MaskWord, PartialWord};
pub use partitions::{PartitionLimits, Piece};
pub(crate) use session::{Session, Verdict};
pub use table_schema::{Constraints, FieldWord, SchemaWord, TableSchema, TypeWord};
pub use word::OneOrMany;
pub use work::Work;

use crate::Compression;
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
    /// Whether the output's columns are profiled.
    pub profile: bool,
    /// What it does to rows; nothing if they stay as they are.
    pub work: Option<Arc<Work>>,
    /// The output's compression, if it says so.
    pub compression: Option<Compression>,
    /// The output's format.
    pub format: FormatWord,
    /// Whether it says what the output is, so that the output's name follows.
    pub names_output: bool,
}

/// Lines that are held back until the file's end.
const MAX_FOOTNOTE_LINES: u64 = 1000;

impl Recipe {
    /// Understands a recipe. `schema` is the one in the file that it names, if it names one.
    ///
    /// # Errors
    ///
    /// Everything in it that makes no sense.
    pub fn new(file: &RecipeFile, schema: Option<&TableSchema>) -> Result<Self, Vec<RecipeFault>> {
        let mut faults = Vec::new();
        let told = told(file);
        if let Some(what) = told.contradiction() {
            let which = if file.quote.is_some() { "/quote" } else { "/delimiter" };
            faults.push(RecipeFault::new(which, what));
        }
        if file.footnote_lines.is_some_and(|lines| lines > MAX_FOOTNOTE_LINES) {
            let what = format!("more than {MAX_FOOTNOTE_LINES} lines are no footnotes");
            faults.push(RecipeFault::new("/footnote_lines", what));
        }
        if file.matches.0.is_empty() {
            faults.push(RecipeFault::new("/match", "the list is empty: `**` matches every key"));
        }
        let schema = match &file.schema {
            Some(SchemaWord::Here(schema)) => Some((schema, "/schema")),
            // What is wrong in another file stands in no place of this one but where that is named.
            Some(SchemaWord::File(_)) => schema.map(|schema| (schema, "/schema")),
            None => None,
        };
        let work = Work::new(file, schema).unwrap_or_else(|wrong| {
            faults.extend(wrong);
            None
        });
        let output = file.output.as_ref();
        let recipe = Self {
            work: work.map(Arc::new),
            compression: match output
                .filter(|output| output.format != FormatWord::Parquet)
                .and_then(|output| output.compression)
            {
                Some(CompressionWord::None) => Some(Compression::None),
                Some(CompressionWord::Gzip) => Some(Compression::Gzip),
                Some(CompressionWord::Zstd) => Some(Compression::Zstd),
                // Parquet compresses inside; of another format than CSV, the input's name says nothing.
                Some(CompressionWord::Snappy) | None => {
                    output.filter(|output| output.format != FormatWord::Csv).map(|_| Compression::None)
                }
            },
            format: output.map(|output| output.format).unwrap_or_default(),
            names_output: output
                .is_some_and(|output| output.format != FormatWord::Csv || output.compression.is_some()),
            told,
            policies: policies(file),
            profile: file.profile.unwrap_or_default(),
            max_record_bytes: file.max_record_bytes.as_ref().map(|size| size.0),
        };
        if faults.is_empty() { Ok(recipe) } else { Err(faults) }
    }

    /// The output's name, for an input of this name; of a partitioned one, that of the folder.
    pub fn output_name(&self, input: &str) -> String {
        if !self.names_output || self.is_partitioned() {
            return input.to_owned();
        }
        let strip = |name: &str, suffixes: &[&str]| {
            let suffix = suffixes.iter().find(|suffix| name.to_ascii_lowercase().ends_with(**suffix));
            let stripped = name[..name.len() - suffix.map_or(0, |suffix| suffix.len())].to_owned();
            // A name that is nothing else stays.
            if stripped.is_empty() || stripped.ends_with('/') { name.to_owned() } else { stripped }
        };
        let name = strip(input, &[".gz", ".zst", ".bz2", ".xz", ".zip"]);
        let name = strip(&name, &[".csv", ".tsv", ".txt", ".ndjson", ".jsonl"]);
        format!("{name}{}", suffix(self.format, self.compression.unwrap_or(Compression::None)))
    }

    /// Whether its output is many objects, by what rows have in some columns.
    pub fn is_partitioned(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.is_partitioned())
    }

    /// The same recipe with an output of plain CSV, to be looked at.
    #[must_use]
    pub fn for_preview(&self) -> Self {
        let work = self.work.as_ref().map(|work| Arc::new(work.as_csv()));
        Self { work, compression: None, format: FormatWord::Csv, names_output: false, ..self.clone() }
    }

    /// Whether it masks by a key.
    pub fn needs_mask_key(&self) -> bool {
        self.work.as_ref().is_some_and(|work| work.needs_key())
    }

    /// Sets what the recipe says of a run.
    pub fn apply(&self, options: &mut Options) {
        options.told = self.told.clone();
        options.policies = self.policies;
        options.profile = self.profile;
        options.work.clone_from(&self.work);
        options.output_compression = self.compression.or(options.output_compression);
        options.max_record_bytes = self.max_record_bytes.unwrap_or(options.max_record_bytes);
    }
}

/// How the names of outputs end that have this format, compressed or not.
pub fn suffix(format: FormatWord, compression: Compression) -> String {
    let format = match format {
        FormatWord::Csv => ".csv",
        FormatWord::Tsv => ".tsv",
        FormatWord::Ndjson => ".ndjson",
        FormatWord::Parquet => ".parquet",
    };
    let compression = match compression {
        Compression::Gzip => ".gz",
        Compression::Zstd => ".zst",
        _ => "",
    };
    format!("{format}{compression}")
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
        footnote_lines: file.footnote_lines,
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
        assert!(published == json_schema(), "penstock recipe schema > recipes/recipe.schema.json");
    }
}
