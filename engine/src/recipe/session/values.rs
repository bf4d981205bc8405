//! A row's values: what the file has, what the schema makes of it, and what expressions add.

use std::io::Write as _;
use std::sync::Arc;

use cel::Value as CelValue;
use cel::common::value::CowVal;
use cel::context::VariableResolver;

use super::super::check::Checker;
use super::super::form::{Form, JsonType};
use super::super::kind::Kind;
use super::super::mask::MaskKey;
use super::super::row_expression::{RowExpression, to_cel};
use super::super::value::Value;
use super::super::work::Work;
use super::columns::{Column, Source};
use crate::fields::Fields;
use crate::write::is_formula;

/// What is known of the columns of the row that is being looked at.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) work: Arc<Work>,
    pub(super) key: Option<MaskKey>,
    pub(super) neutralizes: bool,
    pub(super) columns: Vec<Column>,
    pub(super) checker: Checker,
    /// What the expressions gave: as it is written, and as what it counts.
    pub(super) derived_texts: Fields,
    pub(super) derived: Vec<Value>,
}

/// What a field is written to before it is shown.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    written: Vec<u8>,
    masked: Vec<u8>,
    scratch: Vec<u8>,
}

/// A column's field as the output has it.
pub(super) struct Shown<'a> {
    pub(super) text: &'a [u8],
    pub(super) value: Value,
    pub(super) json: JsonType,
}

impl Values {
    /// What an expression gives, whose columns are at these places.
    pub(super) fn evaluate(
        &self,
        expression: &RowExpression,
        places: &[usize],
        fields: &Fields,
    ) -> Result<CelValue, String> {
        expression.evaluate(&Row { values: self, names: &expression.columns, places, fields })
    }

    /// Takes an expression's value as the field of the next derived column.
    pub(super) fn derive(
        &mut self,
        at: usize,
        value: CelValue,
        kind: Option<&Kind>,
        Buffers { written, scratch, .. }: &mut Buffers,
    ) -> Result<(), String> {
        written.clear();
        let (value, done) = match value {
            CelValue::Null => (Value::Missing, Ok(())),
            CelValue::Bool(value) => (Value::Boolean(value), write!(written, "{value}")),
            CelValue::Int(number) => (Value::Integer(number.into()), write!(written, "{number}")),
            CelValue::UInt(number) => (Value::Integer(number.into()), write!(written, "{number}")),
            CelValue::Float(number) if number.is_finite() => {
                (Value::Number(number), write!(written, "{number}"))
            }
            CelValue::Float(_) => return Err("its value is no number that can be written".into()),
            CelValue::String(text) => {
                written.extend_from_slice(text.as_bytes());
                (Value::Text, Ok(()))
            }
            other => return Err(format!("a {} can't be a field", other.type_of())),
        };
        done.map_err(|error| error.to_string())?;
        self.derived[at] = match kind.filter(|_| value != Value::Missing) {
            None => value,
            Some(kind) => {
                let read = kind.read(written, scratch);
                read.ok_or("its value is not of the type that the column has")?
            }
        };
        self.derived_texts.push(written);
        Ok(())
    }

    /// A column's text, its value, and how it is read.
    pub(super) fn column<'a>(
        &'a self,
        column: &Column,
        fields: &'a Fields,
    ) -> (&'a [u8], Value, Option<&'a Kind>) {
        match (column.source, column.rule) {
            (Source::Derived(at), _) => {
                (self.derived_texts.get(at), self.derived[at], self.work.derive[at].kind.as_ref())
            }
            (Source::Field(at), None) => (fields.get(at), Value::Text, None),
            (Source::Field(at), Some(rule)) => {
                let (text, known) = (fields.get(at), &self.work.schema.columns[rule]);
                let value = self.checker.values[rule];
                // What is only counted stays as it is.
                let is_wrong = value == Value::Missing && !known.is_missing(text);
                (text, if is_wrong { Value::Text } else { value }, Some(&known.kind))
            }
        }
    }

    /// A column's field as the output has it. `is_text`: where it goes there are texts alone, so it is written in the one
    /// form of its type.
    pub(super) fn show<'a>(
        &'a self,
        at: usize,
        is_text: bool,
        fields: &'a Fields,
        Buffers { written, masked, scratch }: &'a mut Buffers,
    ) -> Shown<'a> {
        let column = &self.columns[at];
        let (text, value, kind) = self.column(column, fields);
        let is_scalar = matches!(value, Value::Integer(_) | Value::Number(_) | Value::Boolean(_));
        let is_canonical = match self.work.form {
            Form::Separated { .. } => column.cast,
            Form::Ndjson => column.cast || is_scalar,
            Form::Parquet(_) => column.cast || is_text,
        };
        let mut shown = text;
        if let Some(kind) = kind.filter(|_| is_canonical) {
            written.clear();
            if value != Value::Text || kind.is_text() {
                kind.write(&value, text, scratch, written);
            } else {
                written.extend_from_slice(text);
            }
            shown = written;
        }
        let mut json = match value {
            Value::Missing => JsonType::Null,
            Value::Integer(_) | Value::Boolean(_) => JsonType::Bare,
            Value::Number(number) if number.is_finite() => JsonType::Bare,
            _ => JsonType::Text,
        };
        if let Some(mask) = column.mask {
            masked.clear();
            // No value is none, however it is written.
            let text = if value == Value::Missing { b"" } else { shown };
            mask.write(text, self.key.as_ref(), masked);
            shown = masked;
            json = if shown.is_empty() && value == Value::Missing { JsonType::Null } else { JsonType::Text };
        }
        if self.neutralizes && is_formula(shown) && json == JsonType::Text {
            scratch.clear();
            scratch.push(b'\'');
            scratch.extend_from_slice(shown);
            shown = scratch;
        }
        Shown { text: shown, value, json }
    }
}

/// A row as an expression sees it.
struct Row<'a> {
    values: &'a Values,
    names: &'a [String],
    places: &'a [usize],
    fields: &'a Fields,
}

impl VariableResolver for Row<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let at = self.names.iter().position(|name| name == variable)?;
        let column = &self.values.columns[*self.places.get(at)?];
        let (text, value, kind) = self.values.column(column, self.fields);
        Some(to_cel(&value, text, || {
            let mut written = Vec::new();
            if let Some(kind) = kind {
                kind.write(&value, text, &mut Vec::new(), &mut written);
            }
            String::from_utf8(written).unwrap_or_default()
        }))
    }
}
