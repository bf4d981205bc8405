//! What holds of each value of a column.

use std::cmp::Ordering;

use regex::bytes::Regex;
use serde_json::Value as Json;

use super::kind::{KeyFault, Kind};
use super::table_schema::{Constraints, FieldWord, TypeWord};
use super::value::Value;
use crate::Reason;

/// A rule for a column's values, and what is said where it does not hold. It never says a value of the file.
#[derive(Debug, Clone)]
pub(crate) struct Constraint {
    rule: Rule,
    pub(super) reason: Reason,
    pub(super) message: String,
}

#[derive(Debug, Clone)]
enum Rule {
    /// How a value may compare to this one.
    Bound(Value, fn(Ordering) -> bool),
    MinLength(u64),
    MaxLength(u64),
    Pattern(Regex),
    /// Texts, in order.
    Texts(Vec<Vec<u8>>),
    Values(Vec<Value>),
}

/// One end of what may be: of values, or of characters.
#[derive(Debug, Clone, Copy)]
pub(super) enum Limit {
    AtLeast(Value),
    MoreThan(Value),
    AtMost(Value),
    LessThan(Value),
    Shortest(u64),
    Longest(u64),
}

impl Constraint {
    /// Understands a field's constraints, save `required` and `unique`, which are no matter of one value's.
    pub(super) fn of(field: &FieldWord, kind: &Kind) -> Result<Vec<Self>, Vec<KeyFault>> {
        let given = &field.constraints;
        let mut faults = misplaced(given, field.kind);
        let mut made = Vec::new();
        let mut add = |key: &'static str, rule: Result<(Rule, String), String>, reason| match rule {
            Ok((rule, message)) => made.push(Self { rule, reason, message }),
            Err(wrong) => faults.push((key, wrong)),
        };
        for (key, limit, reason, accepts, what) in bounds(given) {
            let Some(limit) = limit else { continue };
            let rule = read(kind, limit)
                .map(|value| {
                    (Rule::Bound(value, accepts), format!("the value is not {what} {}", spelled(limit)))
                })
                .ok_or_else(|| format!("{} is no {}", spelled(limit), field.kind.name()));
            add(key, rule, reason);
        }
        if let Some(least) = given.min_length {
            let message = format!("the text has fewer than {least} characters");
            add("minLength", Ok((Rule::MinLength(least), message)), Reason::MinLength);
        }
        if let Some(most) = given.max_length {
            let message = format!("the text has more than {most} characters");
            add("maxLength", Ok((Rule::MaxLength(most), message)), Reason::MaxLength);
        }
        if let Some(pattern) = &given.pattern {
            let rule = Regex::new(&format!("^(?:{pattern})$"))
                .map(|regex| (Rule::Pattern(regex), format!("the text does not match the pattern {pattern}")))
                .map_err(|error| {
                    format!("not a pattern that can be matched in bounded time: {}", last_line(&error))
                });
            add("pattern", rule, Reason::Pattern);
        }
        if let Some(values) = &given.values {
            add("enum", enumerated(kind, values, field.kind), Reason::Enum);
        }
        if faults.is_empty() { Ok(made) } else { Err(faults) }
    }

    /// What it lets be, if that is a range.
    pub(super) fn limit(&self) -> Option<Limit> {
        match (&self.rule, self.reason) {
            (Rule::Bound(bound, _), Reason::Minimum) => Some(Limit::AtLeast(*bound)),
            (Rule::Bound(bound, _), Reason::ExclusiveMinimum) => Some(Limit::MoreThan(*bound)),
            (Rule::Bound(bound, _), Reason::Maximum) => Some(Limit::AtMost(*bound)),
            (Rule::Bound(bound, _), Reason::ExclusiveMaximum) => Some(Limit::LessThan(*bound)),
            (Rule::MinLength(least), _) => Some(Limit::Shortest(*least)),
            (Rule::MaxLength(most), _) => Some(Limit::Longest(*most)),
            _ => None,
        }
    }

    /// Whether it holds of a value that is not missing.
    pub(super) fn holds(&self, value: &Value, text: &[u8]) -> bool {
        match &self.rule {
            Rule::Bound(bound, accepts) => value.order(bound).is_some_and(accepts),
            Rule::MinLength(least) => characters(text) >= *least,
            Rule::MaxLength(most) => text.len() as u64 <= *most || characters(text) <= *most,
            Rule::Pattern(regex) => regex.is_match(text),
            Rule::Texts(texts) => texts.binary_search_by(|known| known.as_slice().cmp(text)).is_ok(),
            Rule::Values(values) => values.iter().any(|known| value.order(known) == Some(Ordering::Equal)),
        }
    }
}

type Bound<'a> = (&'static str, Option<&'a Json>, Reason, fn(Ordering) -> bool, &'static str);

fn bounds(given: &Constraints) -> [Bound<'_>; 4] {
    [
        ("minimum", given.minimum.as_ref(), Reason::Minimum, Ordering::is_ge, "at least"),
        ("maximum", given.maximum.as_ref(), Reason::Maximum, Ordering::is_le, "at most"),
        (
            "exclusiveMinimum",
            given.exclusive_minimum.as_ref(),
            Reason::ExclusiveMinimum,
            Ordering::is_gt,
            "more than",
        ),
        (
            "exclusiveMaximum",
            given.exclusive_maximum.as_ref(),
            Reason::ExclusiveMaximum,
            Ordering::is_lt,
            "less than",
        ),
    ]
}

/// Constraints that values of this type can't have.
fn misplaced(given: &Constraints, kind: TypeWord) -> Vec<KeyFault> {
    let is_ordered = matches!(
        kind,
        TypeWord::Number
            | TypeWord::Integer
            | TypeWord::Date
            | TypeWord::Time
            | TypeWord::DateTime
            | TypeWord::Year
            | TypeWord::YearMonth
    );
    let is_text = kind == TypeWord::String;
    let bounded = bounds(given).map(|(key, limit, ..)| (key, limit.is_some(), is_ordered));
    let texts = [
        ("minLength", given.min_length.is_some(), is_text),
        ("maxLength", given.max_length.is_some(), is_text),
        ("pattern", given.pattern.is_some(), is_text),
    ];
    let wrong = bounded.into_iter().chain(texts).filter(|(_, is_given, is_fitting)| *is_given && !is_fitting);
    wrong.map(|(key, ..)| (key, format!("a {} has no `{key}`", kind.name()))).collect()
}

fn enumerated(kind: &Kind, values: &[Json], of: TypeWord) -> Result<(Rule, String), String> {
    let mut known = Vec::new();
    for value in values {
        known.push(read(kind, value).ok_or_else(|| format!("{} is no {}", spelled(value), of.name()))?);
    }
    let names: Vec<String> = values.iter().map(spelled).collect();
    let message = format!("the value is none of {}", names.join(", "));
    let rule = if kind.is_text() {
        let mut texts: Vec<Vec<u8>> = names.into_iter().map(String::into_bytes).collect();
        texts.sort();
        Rule::Texts(texts)
    } else {
        Rule::Values(known)
    };
    Ok((rule, message))
}

/// A value of a recipe as one of the column's. A number of YAML's or JSON's is written with a point whatever the column's are.
fn read(kind: &Kind, value: &Json) -> Option<Value> {
    let text = spelled(value);
    let plain = match (value, kind) {
        (Json::Number(_), Kind::Number(_)) => Kind::Number(super::kind::Digits::default()),
        (Json::Bool(value), Kind::Boolean { .. }) => return Some(Value::Boolean(*value)),
        (Json::Number(_), Kind::Year) => return text.parse().ok().map(Value::Year),
        _ => kind.clone(),
    };
    plain.read(text.as_bytes(), &mut Vec::new())
}

fn spelled(value: &Json) -> String {
    match value {
        Json::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn characters(text: &[u8]) -> u64 {
    // All bytes but those that go on with a character.
    text.iter().filter(|byte| **byte & 0xc0 != 0x80).count() as u64
}

fn last_line(error: &regex::Error) -> String {
    error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned()
}
