//! What a column's values are: reading them, and writing them in one form.

use std::io::Write as _;

use serde::de::IgnoredAny;

use super::table_schema::{FieldWord, TypeWord};
use super::temporal::{self, Pattern, Temporal};
use super::text_format::TextFormat;
use super::value::Value;

/// A type with its format.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Text(TextFormat),
    /// JSON that begins with this byte.
    Json(u8),
    Integer(Digits),
    Number(Digits),
    Boolean {
        yes: Vec<Vec<u8>>,
        no: Vec<Vec<u8>>,
    },
    Default(Temporal),
    Pattern(Pattern),
    Year,
    YearMonth,
}

/// How a number is written.
#[derive(Debug, Clone, Default)]
pub(crate) struct Digits {
    /// Before the decimals, where that is no point.
    decimal: Option<Vec<u8>>,
    /// Between groups of digits; empty for none.
    group: Vec<u8>,
    /// Whether other characters may stand around it.
    dressed: bool,
}

/// A fault in a field's words: which key, and what is wrong.
pub(super) type KeyFault = (&'static str, String);

impl Kind {
    /// Understands a field's type and format.
    pub(super) fn new(field: &FieldWord) -> Result<Self, Vec<KeyFault>> {
        let mut faults = Vec::new();
        let kind = Self::with_format(field).unwrap_or_else(|wrong| {
            faults.push(("format", wrong));
            Self::Text(TextFormat::Default)
        });
        let (is_number, is_integer) = (field.kind == TypeWord::Number, field.kind == TypeWord::Integer);
        let is_boolean = field.kind == TypeWord::Boolean;
        for (key, is_given, is_fitting, of) in [
            ("decimalChar", field.decimal_char.is_some(), is_number, "numbers"),
            ("groupChar", field.group_char.is_some(), is_number, "numbers"),
            ("bareNumber", field.bare_number.is_some(), is_number || is_integer, "numbers and integers"),
            ("trueValues", field.true_values.is_some(), is_boolean, "booleans"),
            ("falseValues", field.false_values.is_some(), is_boolean, "booleans"),
        ] {
            if is_given && !is_fitting {
                faults.push((key, format!("`{key}` is for {of}, and this is a {}", field.kind.name())));
            }
        }
        if is_number && field.decimal_char.is_some() && field.decimal_char == field.group_char {
            faults.push(("groupChar", "`groupChar` is the decimal character: give another one".into()));
        }
        if faults.is_empty() { Ok(kind) } else { Err(faults) }
    }

    fn with_format(field: &FieldWord) -> Result<Self, String> {
        // The specification's first version wrote patterns so.
        let format = field.format.as_deref().map(|format| format.strip_prefix("fmt:").unwrap_or(format));
        let format = format.filter(|format| *format != "default");
        let words = |given: &Option<Vec<String>>, otherwise: &[&str]| match given {
            Some(words) => words.iter().map(|word| word.clone().into_bytes()).collect(),
            None => otherwise.iter().map(|word| word.as_bytes().to_vec()).collect(),
        };
        let temporal = |kind| match format {
            None => Ok(Self::Default(kind)),
            Some("any") => Err("`any` guesses; give a pattern, such as %d/%m/%Y".to_owned()),
            Some(pattern) => Pattern::new(pattern, kind).map(Self::Pattern),
        };
        let kind = match field.kind {
            TypeWord::Date => return temporal(Temporal::Date),
            TypeWord::Time => return temporal(Temporal::Time),
            TypeWord::DateTime => return temporal(Temporal::DateTime),
            TypeWord::String => return TextFormat::new(format).map(Self::Text),
            TypeWord::Any => Self::Text(TextFormat::Default),
            TypeWord::Object => Self::Json(b'{'),
            TypeWord::Array => Self::Json(b'['),
            TypeWord::Integer => {
                Self::Integer(Digits { dressed: field.bare_number == Some(false), ..Digits::default() })
            }
            TypeWord::Number => Self::Number(Digits {
                decimal: field
                    .decimal_char
                    .as_ref()
                    .filter(|text| *text != ".")
                    .map(|text| text.clone().into()),
                group: field.group_char.clone().unwrap_or_default().into(),
                dressed: field.bare_number == Some(false),
            }),
            TypeWord::Boolean => Self::Boolean {
                yes: words(&field.true_values, &["true", "True", "TRUE", "1"]),
                no: words(&field.false_values, &["false", "False", "FALSE", "0"]),
            },
            TypeWord::Year => Self::Year,
            TypeWord::YearMonth => Self::YearMonth,
        };
        match format {
            None => Ok(kind),
            Some(format) => Err(format!("a {} has no format `{format}`", field.kind.name())),
        }
    }

    /// Whether texts of this kind are values of their own, rather than numbers or the like.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Json(_))
    }

    /// The value of a text that is not missing; nothing if it is none of this kind. `scratch` is to be used again.
    pub(crate) fn read(&self, text: &[u8], scratch: &mut Vec<u8>) -> Option<Value> {
        let mut value = Value::Missing;
        self.read_into(text, scratch, &mut value).then_some(value)
    }

    /// The same into `value`. Returns whether it is one of this kind.
    #[inline]
    pub(crate) fn read_into(&self, text: &[u8], scratch: &mut Vec<u8>, value: &mut Value) -> bool {
        match self {
            // Those that a table is full of, without a way round.
            Self::Integer(digits)
                if let Some(number) = digits.clean(text, scratch).and_then(short_integer) =>
            {
                *value = Value::Integer(number.into());
                return true;
            }
            Self::Number(digits)
                if let Some(number) = digits.clean(text, scratch).and_then(short_decimal) =>
            {
                *value = Value::Number(number);
                return true;
            }
            Self::Text(TextFormat::Default) => {
                *value = Value::Text;
                return true;
            }
            _ => {}
        }
        match self.read_any(text, scratch) {
            Some(read) => {
                *value = read;
                true
            }
            None => false,
        }
    }

    fn read_any(&self, text: &[u8], scratch: &mut Vec<u8>) -> Option<Value> {
        match self {
            Self::Text(format) => format.is_met(text).then_some(Value::Text),
            Self::Json(first) => {
                let is_json = text.trim_ascii_start().first() == Some(first)
                    && serde_json::from_slice::<IgnoredAny>(text).is_ok();
                is_json.then_some(Value::Text)
            }
            Self::Integer(digits) => integer(digits.clean(text, scratch)?),
            Self::Number(digits) => number(digits.clean(text, scratch)?),
            Self::Boolean { yes, no } => {
                let is_in = |words: &[Vec<u8>]| words.iter().any(|word| word == text);
                if is_in(no) {
                    Some(Value::Boolean(false))
                } else {
                    is_in(yes).then_some(Value::Boolean(true))
                }
            }
            Self::Default(kind) => temporal::default(*kind, text),
            Self::Pattern(pattern) => pattern.read(text),
            Self::Year => (text.len() == 4).then(|| temporal::number(text).map(Value::Year))?,
            Self::YearMonth => {
                let dash = text.iter().position(|byte| *byte == b'-')?;
                let month = temporal::number(&text[dash + 1..]).filter(|month| (1..=12).contains(month))?;
                Some(Value::YearMonth(temporal::number(&text[..dash])?, month))
            }
        }
    }

    /// Appends a value, read from `text`, in the one form that values of its kind have.
    pub(crate) fn write(&self, value: &Value, text: &[u8], scratch: &mut Vec<u8>, out: &mut Vec<u8>) {
        let written = match value {
            Value::Missing => Ok(()),
            Value::Text => {
                out.extend_from_slice(text);
                Ok(())
            }
            Value::Integer(_) | Value::Number(_) => {
                if let Self::Integer(digits) | Self::Number(digits) = self
                    && let Some(clean) = digits.clean(text, scratch)
                {
                    write_number(clean, out);
                }
                Ok(())
            }
            Value::Boolean(value) => write!(out, "{value}"),
            Value::Date(day) => write!(out, "{day}"),
            Value::Time(time, offset) => write!(out, "{time}").and_then(|()| write_offset(*offset, out)),
            Value::DateTime(day, time, offset) => {
                write!(out, "{day}T{time}").and_then(|()| write_offset(*offset, out))
            }
            Value::Year(year) => write!(out, "{year:04}"),
            Value::YearMonth(year, month) => write!(out, "{year:04}-{month:02}"),
        };
        // Memory takes all that is written to it.
        written.unwrap_or_default();
    }
}

fn write_offset(offset: Option<i16>, out: &mut Vec<u8>) -> std::io::Result<()> {
    match offset {
        None => Ok(()),
        Some(0) => write!(out, "Z"),
        Some(minutes) => {
            let sign = if minutes < 0 { '-' } else { '+' };
            write!(out, "{sign}{:02}:{:02}", minutes.abs() / 60, minutes.abs() % 60)
        }
    }
}

impl Digits {
    /// Whether numbers are written as programs write them.
    pub(super) fn is_plain(&self) -> bool {
        self.decimal.is_none() && self.group.is_empty() && !self.dressed
    }

    /// A number's text with nothing around it, without groups, and with a point before the decimals.
    fn clean<'a>(&self, text: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
        let mut text = text.trim_ascii();
        if self.dressed {
            let front = text.iter().position(|byte| byte.is_ascii_digit() || *byte == b'-')?;
            let back = text.iter().rposition(u8::is_ascii_digit)?;
            text = text.get(front..=back)?;
        }
        if self.decimal.is_none() && self.group.is_empty() {
            return Some(text);
        }
        scratch.clear();
        let mut rest = text;
        while let Some(first) = rest.first() {
            if !self.group.is_empty() && rest.starts_with(&self.group) {
                rest = &rest[self.group.len()..];
            } else if let Some(decimal) = self.decimal.as_ref().filter(|decimal| rest.starts_with(decimal)) {
                scratch.push(b'.');
                rest = &rest[decimal.len()..];
            } else if *first == b'.' && self.decimal.is_some() {
                return None;
            } else {
                scratch.push(*first);
                rest = &rest[1..];
            }
        }
        Some(scratch)
    }
}

/// The longest number of nothing but digits that fits `i128`.
const MAX_EXACT_DIGITS: usize = 38;

fn integer(text: &[u8]) -> Option<Value> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text.strip_prefix(b"+").unwrap_or(text)),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() > MAX_EXACT_DIGITS {
        return str::from_utf8(text).ok()?.parse().ok().map(Value::Number);
    }
    let number = digits.iter().fold(0i128, |number, digit| number * 10 + i128::from(digit - b'0'));
    Some(Value::Integer(if is_negative { -number } else { number }))
}

fn number(text: &[u8]) -> Option<Value> {
    str::from_utf8(text).ok()?.parse().ok().map(Value::Number)
}

/// An integer of no more digits than a word has.
fn short_integer(text: &[u8]) -> Option<i64> {
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    let mut number = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(digit - b'0');
    }
    Some(if is_negative { -number } else { number })
}

/// A decimal of few digits, without an exponent. Both numbers are exact then, and so is their quotient rounded once: it is
/// what the standard library reads.
fn short_decimal(text: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    };
    if digits.len() > POWERS.len() {
        return None;
    }
    let (mut mantissa, mut point) = (0u64, None);
    for (at, byte) in digits.iter().enumerate() {
        match byte {
            b'0'..=b'9' => mantissa = mantissa * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
    }
    let decimals = point.map_or(0, |at| digits.len() - at - 1);
    if digits.len() - usize::from(point.is_some()) == 0 || digits.len() > 15 + usize::from(point.is_some()) {
        return None;
    }
    #[allow(clippy::cast_precision_loss, reason = "it has 15 digits at most")]
    let number = mantissa as f64 / POWERS[decimals];
    Some(if is_negative { -number } else { number })
}

/// Appends a number as JSON spells it, digit for digit; what is none to JSON (`NaN`, `INF`) in capitals.
fn write_number(text: &[u8], out: &mut Vec<u8>) {
    let (sign, digits) = match text {
        [b'-', digits @ ..] => (&b"-"[..], digits),
        _ => (&b""[..], text.strip_prefix(b"+").unwrap_or(text)),
    };
    out.extend_from_slice(sign);
    if digits.iter().any(|byte| byte.is_ascii_alphabetic() && !matches!(byte, b'e' | b'E')) {
        let is_infinite = digits.first().is_some_and(|byte| byte.eq_ignore_ascii_case(&b'i'));
        out.extend_from_slice(if is_infinite { b"INF" } else { b"NaN" });
        return;
    }
    let exponent = digits.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (digits, exponent) = digits.split_at(exponent.unwrap_or(digits.len()));
    let point = digits.iter().position(|byte| *byte == b'.').unwrap_or(digits.len());
    let (whole, decimals) = digits.split_at(point);
    let zeros = whole.iter().take_while(|byte| **byte == b'0').count();
    out.extend_from_slice(if zeros == whole.len() { b"0" } else { &whole[zeros..] });
    if decimals.len() > 1 {
        out.extend_from_slice(decimals);
    }
    if let Some((_, exponent)) = exponent.split_first() {
        out.push(b'e');
        out.extend_from_slice(exponent.strip_prefix(b"+").unwrap_or(exponent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(kind: TypeWord) -> FieldWord {
        FieldWord { name: "x".into(), kind, ..FieldWord::default() }
    }

    fn read(field: &FieldWord, text: &str) -> Option<Value> {
        Kind::new(field).unwrap().read(text.as_bytes(), &mut Vec::new())
    }

    /// A text in the form that all values of its kind have.
    fn cast(field: &FieldWord, text: &str) -> String {
        let kind = Kind::new(field).unwrap();
        let value = kind.read(text.as_bytes(), &mut Vec::new()).unwrap();
        let mut out = Vec::new();
        kind.write(&value, text.as_bytes(), &mut Vec::new(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_read_exactly_and_written_as_json_has_them() {
        let integer = field(TypeWord::Integer);
        assert_eq!(read(&integer, " -007 "), Some(Value::Integer(-7)));
        assert_eq!(
            cast(&integer, "+0012345678901234567890123456789012345678901"),
            "12345678901234567890123456789012345678901"
        );
        for text in ["1.0", "1e3", "", "-", "1 2", "0x1", "1_000", "½"] {
            assert_eq!(read(&integer, text), None, "{text}");
        }
        let number = field(TypeWord::Number);
        for (text, written) in [
            ("1.50", "1.50"),
            (".5", "0.5"),
            ("+5.", "5"),
            ("-0.0", "-0.0"),
            ("1E+05", "1e05"),
            ("007", "7"),
            ("inf", "INF"),
            ("-Infinity", "-INF"),
            ("nan", "NaN"),
        ] {
            assert_eq!(cast(&number, text), written, "{text}");
        }
        for text in ["1,5", "", "x", "1..2", "--1", "1 000"] {
            assert_eq!(read(&number, text), None, "{text}");
        }
        let german = FieldWord {
            decimal_char: Some(",".into()),
            group_char: Some(".".into()),
            ..field(TypeWord::Number)
        };
        assert_eq!(cast(&german, "1.234.567,80"), "1234567.80");
        let dressed =
            FieldWord { bare_number: Some(false), decimal_char: Some(",".into()), ..field(TypeWord::Number) };
        assert_eq!(cast(&dressed, "EUR -5,20 netto"), "-5.20");
        assert_eq!(read(&dressed, "5.20"), None);
    }

    #[test]
    fn the_other_kinds_are_read_and_written() {
        assert_eq!(cast(&field(TypeWord::Boolean), "TRUE"), "true");
        assert_eq!(read(&field(TypeWord::Boolean), "yes"), None);
        let yes = FieldWord {
            true_values: Some(vec!["ja".into()]),
            false_values: Some(vec!["nein".into()]),
            ..field(TypeWord::Boolean)
        };
        assert_eq!((cast(&yes, "nein"), read(&yes, "true")), ("false".into(), None));
        let day = FieldWord { format: Some("%d.%m.%Y".into()), ..field(TypeWord::Date) };
        assert_eq!(cast(&day, "5.11.2026"), "2026-11-05");
        assert_eq!(
            cast(&field(TypeWord::DateTime), "2026-11-25 12:00:00,25+0130"),
            "2026-11-25T12:00:00.25+01:30"
        );
        assert_eq!(cast(&field(TypeWord::Time), "01:02:03z"), "01:02:03Z");
        assert_eq!(cast(&field(TypeWord::YearMonth), "2026-3"), "2026-03");
        assert_eq!(read(&field(TypeWord::YearMonth), "2026-13"), None);
        assert_eq!(
            (cast(&field(TypeWord::Year), "0987"), read(&field(TypeWord::Year), "987")),
            ("0987".into(), None)
        );
        assert_eq!(read(&field(TypeWord::Object), "{\"a\": [1]}"), Some(Value::Text));
        assert_eq!(
            (read(&field(TypeWord::Object), "[1]"), read(&field(TypeWord::Array), "[1")),
            (None, None)
        );
    }

    #[test]
    fn a_format_that_makes_no_sense_is_refused() {
        let wrong = |field: &FieldWord| {
            Kind::new(field).unwrap_err().into_iter().map(|(key, _)| key).collect::<Vec<_>>()
        };
        assert_eq!(wrong(&FieldWord { format: Some("any".into()), ..field(TypeWord::Date) }), ["format"]);
        assert_eq!(wrong(&FieldWord { format: Some("%Y".into()), ..field(TypeWord::Integer) }), ["format"]);
        assert_eq!(wrong(&FieldWord { format: Some("wkt".into()), ..field(TypeWord::String) }), ["format"]);
        let chars = FieldWord {
            decimal_char: Some(",".into()),
            true_values: Some(vec![]),
            ..field(TypeWord::Integer)
        };
        assert_eq!(wrong(&chars), ["decimalChar", "trueValues"]);
    }

    #[test]
    fn short_decimals_are_what_the_standard_library_reads() {
        let mut state = 1u64;
        let mut texts: Vec<String> =
            ["", "-", ".", "-.", "5.", ".5", "-0", "+1", "1e5", "1.2.3", "0.1", "999999999999999"]
                .map(str::to_owned)
                .into();
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let digits = format!("{:018}", state >> 8);
            let (length, point) = ((state >> 20) % 18, (state >> 40) % 18);
            let mut text = digits[..usize::try_from(length).unwrap()].to_owned();
            if point <= length {
                text.insert(usize::try_from(point).unwrap(), '.');
            }
            texts.extend([format!("-{text}"), text]);
        }
        for text in texts {
            if let Some(number) = short_decimal(text.as_bytes()) {
                let theirs: f64 = text.parse().unwrap();
                assert_eq!(number.to_bits(), theirs.to_bits(), "{text}");
            }
        }
        assert_eq!(short_decimal(b"35.38"), Some(35.38));
    }
}
