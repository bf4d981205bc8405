//! What a recipe does to rows, understood; no file's columns are known yet.

use std::collections::BTreeMap;

use super::RecipeFault;
use super::check::Schema;
use super::file::{
    CompressionWord, FormatWord, OnViolation, OutputWord, QuotingWord, RecipeFile, RejectsWord,
};
use super::form::Form;
use super::kind::Kind;
use super::mask::MaskWord;
use super::parquet;
use super::row_expression::RowExpression;
use super::table_schema::{FieldWord, TableSchema};

/// What is done to every row, in this order.
#[derive(Debug, Clone, Default)]
pub struct Work {
    pub(super) schema: Schema,
    pub(super) on_violation: OnViolation,
    pub(super) select: Option<Vec<String>>,
    pub(super) drop: Vec<String>,
    pub(super) rename: BTreeMap<String, String>,
    pub(super) cast: Cast,
    pub(super) derive: Vec<Derive>,
    pub(super) filter: Option<RowExpression>,
    pub(super) mask: BTreeMap<String, MaskWord>,
    pub(super) form: Form,
    /// The columns by whose values the output is partitioned.
    pub(super) partition_by: Vec<String>,
    /// Whether rejects hold no bytes of rows.
    pub(crate) withholds: bool,
}

/// A new column.
#[derive(Debug, Clone)]
pub(super) struct Derive {
    pub(super) name: String,
    pub(super) expression: RowExpression,
    /// What its values are, where that is said.
    pub(super) kind: Option<Kind>,
}

/// Which columns are written in one form.
#[derive(Debug, Clone, Default)]
pub(super) enum Cast {
    #[default]
    None,
    /// All with a type.
    All,
    Columns(Vec<String>),
}

impl Work {
    /// Understands what a recipe says of rows; nothing if it says nothing of them.
    pub(super) fn new(
        file: &RecipeFile,
        schema: Option<(&TableSchema, &str)>,
    ) -> Result<Option<Self>, Vec<RecipeFault>> {
        let mut faults = Vec::new();
        let understood =
            schema.map_or_else(|| Ok(Schema::default()), |(schema, pointer)| Schema::new(schema, pointer));
        let schema = understood.unwrap_or_else(|wrong| {
            faults.extend(wrong);
            Schema::default()
        });
        let mut work = Self {
            schema,
            on_violation: file.on_violation.unwrap_or_default(),
            select: file.select.clone(),
            drop: file.drop.clone().unwrap_or_default(),
            rename: file.rename.clone().unwrap_or_default(),
            mask: file.mask.clone().unwrap_or_default(),
            form: form(file, &mut faults),
            partition_by: partition_by(file, &mut faults),
            withholds: match file.rejects {
                Some(rejects) => rejects == RejectsWord::Place,
                None => file.mask.as_ref().is_some_and(|masks| !masks.is_empty()),
            },
            ..Self::default()
        };
        if file.schema.is_none() && file.on_violation.is_some() {
            faults.push(RecipeFault::new("/on_violation", "there is no `schema` that a row could violate"));
        }
        if matches!(work.form, Form::Parquet(_)) && work.on_violation == OnViolation::Warn {
            let what = "a value that violates the schema would be kept as it is, and a column of Parquet has values of \
                        its type alone: choose `reject` or `fail`";
            faults.push(RecipeFault::new("/on_violation", what));
        }
        check_names(file, &mut faults);
        work.cast = work.understand_cast(file, &mut faults);
        for (at, derive) in file.derive.iter().flatten().enumerate() {
            let kind =
                derive.kind.and_then(|kind| Kind::new(&FieldWord { kind, ..FieldWord::default() }).ok());
            match RowExpression::compile(&derive.value) {
                Ok(expression) => work.derive.push(Derive { name: derive.name.clone(), expression, kind }),
                Err(wrong) => faults.push(RecipeFault::new(format!("/derive/{at}/value"), wrong)),
            }
        }
        work.filter = file.filter.as_ref().and_then(|source| {
            let compiled = RowExpression::compile(source);
            compiled.map_err(|wrong| faults.push(RecipeFault::new("/filter", wrong))).ok()
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok((!work.is_idle()).then_some(work))
    }

    /// The same with canonical CSV as its output.
    pub(super) fn as_csv(&self) -> Self {
        Self { form: Form::default(), partition_by: Vec::new(), ..self.clone() }
    }

    /// Whether rows are compared with each other.
    pub(crate) fn compares_rows(&self) -> bool {
        self.schema.compares_rows()
    }

    /// Whether there is no output without columns.
    pub(crate) fn needs_columns(&self) -> bool {
        matches!(self.form, Form::Parquet(_)) && !self.is_partitioned()
    }

    /// Whether the output is many objects.
    pub(crate) fn is_partitioned(&self) -> bool {
        !self.partition_by.is_empty()
    }

    /// Whether a mask needs a key.
    pub(crate) fn needs_key(&self) -> bool {
        self.mask.values().any(|mask| mask.needs_key())
    }

    /// Whether rows stay as they are.
    fn is_idle(&self) -> bool {
        self.schema.columns.is_empty()
            && self.select.is_none()
            && self.drop.is_empty()
            && self.rename.is_empty()
            && self.derive.is_empty()
            && self.filter.is_none()
            && self.mask.is_empty()
            && self.form == Form::default()
            && self.partition_by.is_empty()
            && !self.withholds
    }

    fn understand_cast(&self, file: &RecipeFile, faults: &mut Vec<RecipeFault>) -> Cast {
        let Some(names) = &file.cast else { return Cast::None };
        if names.0 == ["all"] {
            return Cast::All;
        }
        for (at, name) in names.0.iter().enumerate() {
            let old = self.rename.iter().find(|(_, new)| *new == name).map_or(name, |(old, _)| old);
            if faults.is_empty() && !self.schema.columns.iter().any(|column| column.name == *old) {
                let message =
                    format!("the schema gives `{old}` no type, so `{name}` has no form to be written in");
                faults.push(RecipeFault::new(format!("/cast/{at}"), message));
            }
        }
        Cast::Columns(names.0.clone())
    }
}

fn form(file: &RecipeFile, faults: &mut Vec<RecipeFault>) -> Form {
    let Some(output) = &file.output else { return Form::default() };
    check_output(output, faults);
    let mut refuse = |key: &str, is_given: bool, format: &str| {
        if is_given {
            faults.push(RecipeFault::new(format!("/output/{key}"), format!("{format} has no `{key}`")));
        }
    };
    let header = output.header.unwrap_or(true);
    match output.format {
        FormatWord::Csv => Form::Separated {
            delimiter: output.delimiter.as_ref().map_or_else(|| b",".to_vec(), |word| word.0.clone()),
            quote_all: output.quoting == Some(QuotingWord::All),
            header,
        },
        FormatWord::Tsv => {
            refuse("delimiter", output.delimiter.is_some(), "tsv");
            Form::Separated {
                delimiter: b"\t".to_vec(),
                quote_all: output.quoting == Some(QuotingWord::All),
                header,
            }
        }
        FormatWord::Ndjson => {
            refuse("delimiter", output.delimiter.is_some(), "ndjson");
            refuse("quoting", output.quoting.is_some(), "ndjson");
            refuse("header", output.header.is_some(), "ndjson");
            Form::Ndjson
        }
        FormatWord::Parquet => {
            refuse("delimiter", output.delimiter.is_some(), "parquet");
            refuse("quoting", output.quoting.is_some(), "parquet");
            refuse("header", output.header.is_some(), "parquet");
            Form::Parquet(output.compression.unwrap_or(CompressionWord::Zstd))
        }
    }
}

/// The columns by whose values the output is partitioned.
fn partition_by(file: &RecipeFile, faults: &mut Vec<RecipeFault>) -> Vec<String> {
    let Some(names) = file.output.as_ref().and_then(|output| output.partition_by.as_ref()) else {
        return Vec::new();
    };
    if names.is_empty() {
        let what = "there is no column to partition by: name one, or leave `partition_by` out";
        faults.push(RecipeFault::new("/output/partition_by", what));
    }
    let renamed =
        |name: &String| file.rename.as_ref().and_then(|names| names.get(name)).unwrap_or(name).clone();
    // Without `select`, any column may be the file's.
    let known: Option<Vec<String>> = file.select.as_ref().map(|select| {
        let derived = file.derive.iter().flatten().map(|derive| derive.name.clone());
        select.iter().map(renamed).chain(derived).collect()
    });
    let gone: Vec<String> = file.drop.iter().flatten().map(renamed).collect();
    for (at, name) in names.iter().enumerate() {
        let what = if names[..at].contains(name) {
            format!("`{name}` is there already")
        } else if known.as_ref().is_some_and(|known| !known.contains(name)) || gone.contains(name) {
            format!(
                "the output has no `{name}`: partition by a column that is kept, by its name in the output"
            )
        } else {
            continue;
        };
        faults.push(RecipeFault::new(format!("/output/partition_by/{at}"), what));
    }
    names.clone()
}

/// A format or a compression that there is not.
fn check_output(output: &OutputWord, faults: &mut Vec<RecipeFault>) {
    if output.format == FormatWord::Parquet && !parquet::IS_BUILT {
        let what = "this build of Penstock writes no Parquet: build it with the cargo feature `parquet`, or choose csv, tsv \
                    or ndjson";
        faults.push(RecipeFault::new("/output/format", what));
    }
    if output.format != FormatWord::Parquet && output.compression == Some(CompressionWord::Snappy) {
        let what = "`snappy` is for parquet alone: choose none, gzip or zstd";
        faults.push(RecipeFault::new("/output/compression", what));
    }
}

/// Names that can't be right, whatever the file's columns are.
fn check_names(file: &RecipeFile, faults: &mut Vec<RecipeFault>) {
    let twice = |names: &[String]| {
        names
            .iter()
            .enumerate()
            .find(|(at, name)| names[..*at].contains(name))
            .map(|(at, name)| (at, name.clone()))
    };
    let select = file.select.as_deref().unwrap_or_default();
    if file.select.is_some() && select.is_empty() {
        faults.push(RecipeFault::new("/select", "nothing is selected: name a column, or leave `select` out"));
    }
    if let Some((at, name)) = twice(select) {
        faults.push(RecipeFault::new(format!("/select/{at}"), format!("`{name}` is selected already")));
    }
    let dropped = file.drop.as_deref().unwrap_or_default();
    for (at, name) in dropped.iter().enumerate() {
        if file.select.is_some() && !select.contains(name) {
            let message = format!("`{name}` is not selected, so there is nothing to drop");
            faults.push(RecipeFault::new(format!("/drop/{at}"), message));
        }
    }
    let renamed: Vec<&String> = file.rename.iter().flat_map(BTreeMap::keys).collect();
    for name in renamed {
        let is_gone = dropped.contains(name) || (file.select.is_some() && !select.contains(name));
        if is_gone {
            let pointer = format!("/rename/{}", name.replace('~', "~0").replace('/', "~1"));
            faults.push(RecipeFault::new(pointer, format!("`{name}` is not kept, so it can't be renamed")));
        }
    }
    let targets: Vec<String> = file
        .rename
        .iter()
        .flat_map(BTreeMap::values)
        .chain(file.derive.iter().flatten().map(|derive| &derive.name))
        .cloned()
        .collect();
    if let Some((_, name)) = twice(&targets) {
        faults.push(RecipeFault::new("/rename", format!("two columns would be called `{name}`")));
    }
}
