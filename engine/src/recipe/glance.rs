//! What a glance at a plain line shows: that nothing is wrong with it, without the values that its fields stand for.
//!
//! It is what nearly every row of nearly every file is let through by. Where it can't tell, the schema's own rule for the
//! column is asked, so that this never says anything else than that.

use std::ops::RangeInclusive;

use super::check::{ColumnRule, Schema};
use super::constraint::{Constraint, Limit};
use super::kind::Kind;
use super::temporal::{Temporal, is_plain_date, is_plain_datetime};
use super::text_format::TextFormat;
use super::value::Value;
use crate::eight::Eight;
use crate::lines::Line;

/// What every field of a plain line is looked at for.
#[derive(Debug)]
pub(super) struct Glance {
    columns: Vec<Column>,
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Column {
    /// Where it is in the file.
    place: usize,
    /// Where it is in the schema.
    rule: usize,
    /// Whether it may be empty.
    may_lack: bool,
    look: Look,
}

/// What is seen at once. What isn't is left to the column's rule.
#[derive(Debug)]
enum Look {
    /// An integer of few digits.
    Integer(RangeInclusive<i64>),
    /// A decimal of few digits.
    Number(RangeInclusive<f64>),
    Date,
    DateTime,
    /// A text of so many bytes.
    Text(RangeInclusive<usize>),
    /// Nothing.
    Nothing,
}

impl Glance {
    /// For a file whose columns are at these `places`, in the schema's order; nothing if rows are compared with each other.
    pub(super) fn of(schema: &Schema, places: &[usize]) -> Option<Self> {
        let column = |(rule, place): (usize, &usize)| {
            let known = &schema.columns[rule];
            let (may_lack, look) = (known.may_be_empty(), Look::of(known));
            let is_free = may_lack
                && matches!(&look, Look::Text(bytes) if *bytes.end() == usize::MAX && *bytes.start() <= 1);
            (!is_free).then_some(Column { place: *place, rule, may_lack, look })
        };
        let columns = || places.iter().enumerate().filter_map(column).collect();
        (!schema.compares_rows()).then(|| Self { columns: columns(), scratch: Vec::new() })
    }

    /// Whether no rule is broken.
    pub(super) fn is_sound(&mut self, schema: &Schema, line: &Line<'_>) -> bool {
        let Self { columns, scratch } = self;
        columns.iter().all(|column| {
            let text = line.field(column.place);
            let is_seen = match &column.look {
                _ if text.is_empty() => column.may_lack,
                Look::Integer(range) => line
                    .eight(column.place)
                    .and_then(Eight::integer)
                    .is_some_and(|number| range.contains(&i64::from(number))),
                Look::Number(range) => line
                    .eight(column.place)
                    .and_then(Eight::decimal)
                    .is_some_and(|number| range.contains(&number)),
                Look::Date => is_plain_date(text),
                Look::DateTime => is_plain_datetime(text),
                Look::Text(bytes) => bytes.contains(&text.len()),
                Look::Nothing => false,
            };
            is_seen || schema.columns[column.rule].look(text, scratch, &mut Value::Missing).is_ok()
        })
    }
}

impl Look {
    fn of(rule: &ColumnRule) -> Self {
        let looked = match &rule.kind {
            _ if !rule.lets_texts_be() => None,
            Kind::Integer(digits) if digits.is_plain() => integers(&rule.constraints).map(Self::Integer),
            Kind::Number(digits) if digits.is_plain() => numbers(&rule.constraints).map(Self::Number),
            Kind::Default(Temporal::Date) if rule.constraints.is_empty() => Some(Self::Date),
            Kind::Default(Temporal::DateTime) if rule.constraints.is_empty() => Some(Self::DateTime),
            Kind::Text(TextFormat::Default) => lengths(&rule.constraints).map(Self::Text),
            _ => None,
        };
        looked.unwrap_or(Self::Nothing)
    }
}

/// The integers that the constraints let be, if they are about nothing else.
fn integers(constraints: &[Constraint]) -> Option<RangeInclusive<i64>> {
    let (mut least, mut most) = (i128::MIN, i128::MAX);
    for constraint in constraints {
        match constraint.limit()? {
            Limit::AtLeast(Value::Integer(bound)) => least = least.max(bound),
            Limit::MoreThan(Value::Integer(bound)) => least = least.max(bound.saturating_add(1)),
            Limit::AtMost(Value::Integer(bound)) => most = most.min(bound),
            Limit::LessThan(Value::Integer(bound)) => most = most.min(bound.saturating_sub(1)),
            _ => return None,
        }
    }
    // What is seen at once has far fewer digits than these.
    let near = |bound: i128| i64::try_from(bound).unwrap_or(if bound < 0 { i64::MIN } else { i64::MAX });
    Some(near(least)..=near(most))
}

fn numbers(constraints: &[Constraint]) -> Option<RangeInclusive<f64>> {
    let (mut least, mut most) = (f64::NEG_INFINITY, f64::INFINITY);
    for constraint in constraints {
        match constraint.limit()? {
            Limit::AtLeast(Value::Number(bound)) if !bound.is_nan() => least = least.max(bound),
            Limit::MoreThan(Value::Number(bound)) if bound.is_finite() => least = least.max(bound.next_up()),
            Limit::AtMost(Value::Number(bound)) if !bound.is_nan() => most = most.min(bound),
            Limit::LessThan(Value::Number(bound)) if bound.is_finite() => most = most.min(bound.next_down()),
            _ => return None,
        }
    }
    Some(least..=most)
}

/// So many bytes are surely as many characters as may be.
fn lengths(constraints: &[Constraint]) -> Option<RangeInclusive<usize>> {
    let (mut least, mut most) = (1, usize::MAX);
    for constraint in constraints {
        match constraint.limit()? {
            // A character has four bytes at most.
            Limit::Shortest(characters) if characters > 1 => {
                least = least.max(usize::try_from(characters).ok()?.checked_mul(4)?);
            }
            Limit::Shortest(_) => {}
            Limit::Longest(characters) => most = most.min(usize::try_from(characters).unwrap_or(usize::MAX)),
            _ => return None,
        }
    }
    Some(least..=most)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value as Json, json};

    use super::super::table_schema::TableSchema;
    use super::*;
    use crate::lines::Lines;

    fn fields() -> impl Strategy<Value = Json> {
        let bound =
            prop::sample::select(vec![json!(null), json!(0), json!(7), json!(-3), json!(12.5), json!("9")]);
        let length = prop::sample::select(vec![json!(null), json!(0), json!(1), json!(2), json!(5)]);
        let kind =
            prop::sample::select(vec!["string", "integer", "number", "date", "datetime", "year", "any"]);
        let missing = prop::sample::select(vec![json!([""]), json!([]), json!(["", "7", "-"]), json!(["7"])]);
        let key = prop::sample::select(vec!["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"]);
        (kind, missing, any::<bool>(), (key, bound), (length.clone(), length)).prop_map(
            |(kind, missing, required, (key, bound), (shortest, longest))| {
                let mut constraints = json!({ "required": required });
                if matches!(kind, "integer" | "number") && !bound.is_null() {
                    constraints[key] = bound;
                }
                if kind == "string" {
                    constraints["minLength"] = shortest;
                    constraints["maxLength"] = longest;
                }
                json!({ "name": "x", "type": kind, "missingValues": missing, "constraints": constraints })
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        /// A glance finds sound what the column's rule does, and nothing else.
        #[test]
        fn it_says_what_the_rule_says(
            field in fields(),
            text in "|[79]|-?[0-9]{1,2}|[0-9]{0,9}\\.?[0-9]{0,3}|[a-cé]{1,6}|2026-[01][0-9]-[0-3][0-9](T2[0-9]:00:00Z)?| 7|\\+7|7e1|-",
            is_quoted in any::<bool>(),
        ) {
            let field = serde_json::from_value(field).unwrap();
            let written = TableSchema { fields: vec![field], ..TableSchema::default() };
            // A bound that is no integer is none for a column of integers.
            let Ok(schema) = Schema::new(&written, "") else { return Ok(()) };
            let quote = if is_quoted { "\"" } else { "" };
            let row = format!("before,{quote}{text}{quote}\n");
            let mut lines = Lines::new(row.as_bytes(), b',', Some(b'"'), None);
            let line = lines.line(0, 2).unwrap();
            let mut glance = Glance::of(&schema, &[1]).unwrap();
            let rule = schema.columns[0].look(text.as_bytes(), &mut Vec::new(), &mut Value::Missing);
            prop_assert_eq!(glance.is_sound(&schema, &line), rule.is_ok());
        }
    }
}
