//! The output's columns, and what the recipe does to each.

use super::super::check::lacks;
use super::super::form::json_key;
use super::super::kind::Kind;
use super::super::mask::MaskWord;
use super::super::row_expression::RowExpression;
use super::super::work::{Cast, Work};
use crate::BadFile;

/// The columns, and where those are among them that the recipe names.
pub(super) struct Columns {
    pub(super) all: Vec<Column>,
    /// The columns of each new column's expression.
    pub(super) derive: Vec<Vec<usize>>,
    /// The filter's.
    pub(super) filter: Vec<usize>,
    /// Those by which the output is partitioned.
    pub(super) by: Vec<usize>,
}

/// A column of the output.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) json_key: Vec<u8>,
    pub(super) source: Source,
    /// Where it is in the schema.
    pub(super) rule: Option<usize>,
    /// Whether it is written in the one form of its type.
    pub(super) cast: bool,
    pub(super) mask: Option<MaskWord>,
    /// Which of the columns it is that are written; nothing if its value is its partition's.
    pub(super) place: Option<usize>,
}

/// Where a column's values come from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Field(usize),
    Derived(usize),
}

impl Columns {
    /// Those of a file that has these.
    pub(super) fn of(work: &Work, names: &[Vec<u8>]) -> Result<Self, BadFile> {
        let mut columns = chosen(work, names)?;
        let mut derive = Vec::new();
        for (at, new) in work.derive.iter().enumerate() {
            derive.push(places(&new.expression, &columns)?);
            columns.push(Column::new(new.name.clone(), Source::Derived(at)));
        }
        let filter = work.filter.as_ref().map(|filter| places(filter, &columns)).transpose()?;
        let place = |name: &String| {
            columns.iter().position(|column| column.name == *name).ok_or_else(|| lacks(&[name]))
        };
        let masks: Result<Vec<_>, _> =
            work.mask.iter().map(|(name, mask)| Ok::<_, BadFile>((place(name)?, *mask))).collect();
        let casts: Vec<usize> = match &work.cast {
            Cast::None => Vec::new(),
            Cast::All => (0..columns.len()).collect(),
            Cast::Columns(names) => names.iter().map(place).collect::<Result<_, BadFile>>()?,
        };
        let by: Vec<usize> = work.partition_by.iter().map(place).collect::<Result<_, BadFile>>()?;
        for at in casts {
            columns[at].cast = columns[at].rule.is_some();
        }
        for (at, mask) in masks? {
            columns[at].mask = Some(mask);
        }
        if let Some(twin) = columns
            .iter()
            .enumerate()
            .find(|(at, column)| columns[..*at].iter().any(|other| other.name == column.name))
        {
            let message =
                format!("two columns would be called `{}`: rename or drop one of them", twin.1.name);
            return Err(BadFile::new("duplicate_column", message));
        }
        let written: Vec<usize> = (0..columns.len()).filter(|at| !by.contains(at)).collect();
        if written.is_empty() {
            let message = "the output is partitioned by every column that it has, and none is left for its objects: \
                           partition by fewer";
            return Err(BadFile::new("no_columns", message));
        }
        for (place, at) in written.into_iter().enumerate() {
            columns[at].place = Some(place);
        }
        Ok(Self { all: columns, derive, filter: filter.unwrap_or_default(), by })
    }
}

impl Column {
    fn new(name: String, source: Source) -> Self {
        Self { json_key: json_key(&name), name, source, rule: None, cast: false, mask: None, place: None }
    }

    /// What its values are in the output, where that is known.
    pub(super) fn kind<'a>(&self, work: &'a Work) -> Option<&'a Kind> {
        match self.source {
            // What stands for a value is a text.
            _ if self.mask.is_some() => None,
            Source::Derived(at) => work.derive[at].kind.as_ref(),
            Source::Field(_) => self.rule.map(|rule| &work.schema.columns[rule].kind),
        }
    }
}

/// The file's columns that are kept, under their new names.
fn chosen(work: &Work, names: &[Vec<u8>]) -> Result<Vec<Column>, BadFile> {
    let file: Vec<String> = names.iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let place = |name: &String| file.iter().position(|known| known == name);
    let wanted = work.select.iter().flatten().chain(&work.drop).chain(work.rename.keys());
    let lacking: Vec<&str> = wanted.filter(|name| place(name).is_none()).map(String::as_str).collect();
    if !lacking.is_empty() {
        return Err(lacks(&lacking));
    }
    let kept: Vec<usize> = match &work.select {
        Some(names) => names.iter().filter_map(place).collect(),
        None => (0..file.len()).collect(),
    };
    let kept = kept.into_iter().filter(|at| !work.drop.contains(&file[*at]));
    let columns: Vec<Column> = kept
        .map(|at| {
            let name = work.rename.get(&file[at]).unwrap_or(&file[at]).clone();
            let rule = work.schema.columns.iter().position(|column| column.name == file[at]);
            Column { rule, ..Column::new(name, Source::Field(at)) }
        })
        .collect();
    if columns.is_empty() && work.derive.is_empty() {
        return Err(BadFile::new("no_columns", "the recipe leaves no column of the file"));
    }
    Ok(columns)
}

/// Where an expression's columns are.
fn places(expression: &RowExpression, columns: &[Column]) -> Result<Vec<usize>, BadFile> {
    let place = |name: &String| columns.iter().position(|column| column.name == *name);
    let lacking: Vec<&str> =
        expression.columns.iter().filter(|name| place(name).is_none()).map(String::as_str).collect();
    if lacking.is_empty() {
        Ok(expression.columns.iter().filter_map(place).collect())
    } else {
        Err(lacks(&lacking))
    }
}
