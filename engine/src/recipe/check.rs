//! Rows against a schema.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hasher as _};

use super::RecipeFault;
use super::constraint::Constraint;
use super::kind::{KeyFault, Kind};
use super::table_schema::{FieldWord, TableSchema};
use super::value::Value;
use crate::fields::Fields;
use crate::{BadFile, Reason};

/// The most values that are remembered to find the same ones again, of all columns together: 9 MiB.
pub(crate) const MAX_UNIQUE_VALUES: usize = 450_000;

/// A schema, understood.
#[derive(Debug, Clone, Default)]
pub(crate) struct Schema {
    pub(super) columns: Vec<ColumnRule>,
    /// Which of them no two rows have alike together.
    primary_key: Vec<usize>,
}

/// What holds of a column.
#[derive(Debug, Clone)]
pub(super) struct ColumnRule {
    pub(super) name: String,
    pub(super) kind: Kind,
    /// Whether the empty text stands for a missing value, and which others do.
    empty_is_missing: bool,
    missing: Vec<Vec<u8>>,
    pub(super) constraints: Vec<Constraint>,
    required: bool,
    unique: bool,
    /// What is said of a value of another type.
    wrong_type: String,
}

/// Why a row is not as it should be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Violation<'a> {
    /// The column; nothing where it is several.
    pub(crate) column: Option<&'a str>,
    pub(crate) reason: Reason,
    pub(crate) message: &'a str,
}

impl Schema {
    /// Understands a schema that stands at `pointer`.
    pub(super) fn new(written: &TableSchema, pointer: &str) -> Result<Self, Vec<RecipeFault>> {
        let mut faults = Vec::new();
        let mut columns: Vec<ColumnRule> = Vec::new();
        let empty = vec![String::new()];
        let missing = written.missing_values.as_ref().unwrap_or(&empty);
        for (at, field) in written.fields.iter().enumerate() {
            let here = format!("{pointer}/fields/{at}");
            if columns.iter().any(|other| other.name == field.name) {
                let message = format!("another field is called `{}` already", field.name);
                faults.push(RecipeFault::new(format!("{here}/name"), message));
            }
            match ColumnRule::new(field, missing) {
                Ok(rule) => columns.push(rule),
                Err(wrong) => faults.extend(
                    wrong
                        .into_iter()
                        .map(|(key, message)| RecipeFault::new(format!("{here}/{key}"), message)),
                ),
            }
        }
        let mut primary_key = Vec::new();
        for name in written.primary_key.iter().flat_map(|names| &names.0) {
            match columns.iter().position(|column| column.name == *name) {
                Some(at) => primary_key.push(at),
                None if faults.is_empty() => {
                    let message = format!("no field is called `{name}`");
                    faults.push(RecipeFault::new(format!("{pointer}/primaryKey"), message));
                }
                // One of those that are wrong.
                None => {}
            }
        }
        if faults.is_empty() { Ok(Self { columns, primary_key }) } else { Err(faults) }
    }
}

impl ColumnRule {
    fn new(field: &FieldWord, missing: &[String]) -> Result<Self, Vec<KeyFault>> {
        let kind = Kind::new(field)?;
        let constraints = Constraint::of(field, &kind).map_err(|wrong| {
            let under = |(key, message)| {
                let key = match key {
                    "minimum" => "constraints/minimum",
                    "maximum" => "constraints/maximum",
                    "exclusiveMinimum" => "constraints/exclusiveMinimum",
                    "exclusiveMaximum" => "constraints/exclusiveMaximum",
                    "minLength" => "constraints/minLength",
                    "maxLength" => "constraints/maxLength",
                    "pattern" => "constraints/pattern",
                    _ => "constraints/enum",
                };
                (key, message)
            };
            wrong.into_iter().map(under).collect::<Vec<_>>()
        })?;
        let missing = field.missing_values.as_deref().unwrap_or(missing);
        let format = field.format.as_deref().filter(|format| *format != "default");
        let format = format.map(|format| format!(" ({format})")).unwrap_or_default();
        Ok(Self {
            name: field.name.clone(),
            wrong_type: format!("the value is no {}{format}", field.kind.name()),
            kind,
            empty_is_missing: missing.iter().any(String::is_empty),
            missing: missing
                .iter()
                .filter(|text| !text.is_empty())
                .map(|text| text.clone().into_bytes())
                .collect(),
            constraints,
            required: field.constraints.required,
            unique: field.constraints.unique,
        })
    }

    /// Whether nothing is wrong with a field that has no text.
    pub(super) fn may_be_empty(&self) -> bool {
        self.empty_is_missing && !self.required
    }

    /// Whether a text may be taken for a value without looking whether it stands for none: none does, or it may.
    pub(super) fn lets_texts_be(&self) -> bool {
        self.missing.is_empty() || !self.required
    }

    pub(super) fn is_missing(&self, text: &[u8]) -> bool {
        if text.is_empty() {
            self.empty_is_missing
        } else {
            self.missing.iter().any(|missing| missing == text)
        }
    }

    /// Reads the value of a text, or says why it has none. In its place at once: to hand it on costs as much as to read it.
    #[inline]
    pub(super) fn look(
        &self,
        text: &[u8],
        scratch: &mut Vec<u8>,
        value: &mut Value,
    ) -> Result<(), (Reason, &str)> {
        *value = Value::Missing;
        if self.is_missing(text) {
            return if self.required {
                Err((Reason::Required, "there is no value, and there has to be one"))
            } else {
                Ok(())
            };
        }
        if !self.kind.read_into(text, scratch, value) {
            return Err((Reason::WrongType, &self.wrong_type));
        }
        match self.constraints.iter().find(|constraint| !constraint.holds(value, text)) {
            None => Ok(()),
            Some(broken) => {
                *value = Value::Missing;
                Err((broken.reason, &broken.message))
            }
        }
    }
}

impl Schema {
    /// Whether rows are compared with each other.
    pub(super) fn compares_rows(&self) -> bool {
        !self.primary_key.is_empty() || self.columns.iter().any(|column| column.unique)
    }
}

/// Rows of one file against a schema.
#[derive(Debug, Default)]
pub(super) struct Checker {
    /// Where each of the schema's columns is in the file.
    pub(super) places: Vec<usize>,
    /// What each has in the row that was looked at last.
    pub(super) values: Vec<Value>,
    /// Whether rows are compared with each other.
    compares: bool,
    /// Whether a row is looked at further once something is wrong with it.
    looks_on: bool,
    seen: HashSet<u128>,
    scratch: Vec<u8>,
}

impl Checker {
    /// For a file with these columns. `keeps_all`: rows that violate the schema are kept, so their other values are wanted.
    pub(super) fn new(schema: &Schema, names: &[Vec<u8>], keeps_all: bool) -> Result<Self, BadFile> {
        let mut places = Vec::new();
        let mut lacking = Vec::new();
        for column in &schema.columns {
            match names.iter().position(|name| name == column.name.as_bytes()) {
                Some(at) => places.push(at),
                None => lacking.push(column.name.as_str()),
            }
        }
        if !lacking.is_empty() {
            return Err(lacks(&lacking));
        }
        Ok(Self {
            values: vec![Value::Missing; places.len()],
            places,
            compares: schema.compares_rows(),
            // Rows that are rejected count where rows are compared.
            looks_on: keeps_all || schema.compares_rows(),
            ..Self::default()
        })
    }

    /// Looks at a row, and says the first thing that is wrong with it.
    pub(super) fn look<'a>(
        &mut self,
        schema: &'a Schema,
        fields: &Fields,
    ) -> Result<Option<Violation<'a>>, BadFile> {
        let mut first = None;
        for (at, column) in schema.columns.iter().enumerate() {
            match column.look(fields.get(self.places[at]), &mut self.scratch, &mut self.values[at]) {
                Ok(()) => {}
                Err((reason, message)) => {
                    first.get_or_insert(Violation { column: Some(&column.name), reason, message });
                    if !self.looks_on {
                        break;
                    }
                }
            }
        }
        if self.compares
            && let Some(repeated) = self.compare(schema, fields)?
        {
            first.get_or_insert(repeated);
        }
        Ok(first)
    }

    fn compare<'a>(&mut self, schema: &'a Schema, fields: &Fields) -> Result<Option<Violation<'a>>, BadFile> {
        let mut first = None;
        for (at, column) in schema.columns.iter().enumerate().filter(|(_, column)| column.unique) {
            if self.values[at] != Value::Missing && !self.remember(fields, &[at], at)? {
                let message = "another row has the same value, and no two may";
                first.get_or_insert(Violation {
                    column: Some(&column.name),
                    reason: Reason::Unique,
                    message,
                });
            }
        }
        let key = &schema.primary_key[..];
        if !key.is_empty() {
            let column = (key.len() == 1).then(|| schema.columns[key[0]].name.as_str());
            let mut wrong = |message| {
                first.get_or_insert(Violation { column, reason: Reason::PrimaryKey, message });
            };
            if key.iter().all(|at| self.values[*at] == Value::Missing) {
                wrong("the primary key has no value");
            } else if !self.remember(fields, key, usize::MAX)? {
                wrong("another row has the same primary key, and no two may");
            }
        }
        Ok(first)
    }

    /// Remembers what a row has in these columns. Returns whether no other had the same. By a hash of 128 bits: that two
    /// values have the same one is less likely than a fault of the machine.
    fn remember(&mut self, fields: &Fields, columns: &[usize], of: usize) -> Result<bool, BadFile> {
        let hash = |seed: u8| {
            let mut hasher = DefaultHasher::new();
            hasher.write_u8(seed);
            hasher.write_usize(of);
            for at in columns {
                self.values[*at].hash_as(fields.get(self.places[*at]), &mut hasher);
            }
            hasher.finish()
        };
        let digest = (u128::from(hash(0)) << 64) | u128::from(hash(1));
        if self.seen.len() >= MAX_UNIQUE_VALUES && !self.seen.contains(&digest) {
            return Err(BadFile::new(
                "too_many_unique",
                format!(
                    "more than {MAX_UNIQUE_VALUES} values would have to be remembered to see that they are unique: \
                     leave `unique` and `primaryKey` out of the recipe"
                ),
            ));
        }
        Ok(self.seen.insert(digest))
    }
}

/// A file without columns that the recipe needs.
pub(super) fn lacks(names: &[&str]) -> BadFile {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    BadFile::new(
        "missing_column",
        format!("the header has no {}: the recipe names what the file doesn't have", names.join(", ")),
    )
}
