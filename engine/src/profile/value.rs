//! What a field is. Only what no reader can take for something else has a type: `03/04/2024` is a string, and so is
//! what a number would lose something of, such as `007` and `+49`.

/// A field's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    Empty,
    /// A word for "nothing here".
    Null,
    Boolean,
    Integer(i64),
    Number(f64),
    /// A day, as the time at which it begins.
    Date(Instant),
    Timestamp(Instant),
    String,
}

/// Seconds since 1970 in UTC, and nanoseconds. A time without an offset is taken as it stands.
pub(super) type Instant = (i64, u32);

const NULLS: &[&[u8]] = &[b"null", b"na", b"n/a", b"nan", b"none", b"nil", b"\\N", b"#N/A"];

impl Value {
    pub(super) fn of(field: &[u8]) -> Self {
        match field {
            [] => Self::Empty,
            [b'0'..=b'9' | b'-' | b'.', ..] => numeric(field).unwrap_or(Self::String),
            _ if field.len() > 5 => Self::String,
            _ if NULLS.iter().any(|null| null.eq_ignore_ascii_case(field)) => Self::Null,
            _ if field.eq_ignore_ascii_case(b"true") || field.eq_ignore_ascii_case(b"false") => Self::Boolean,
            _ => Self::String,
        }
    }
}

fn numeric(field: &[u8]) -> Option<Value> {
    if field.len() >= 10 && field[4] == b'-' {
        return time(field);
    }
    let digits = field.strip_prefix(b"-").unwrap_or(field);
    // Of digits alone, so few always fit.
    if digits.len() <= 18 && digits.iter().all(u8::is_ascii_digit) {
        if digits.is_empty() || (digits[0] == b'0' && digits.len() > 1) {
            return None;
        }
        let value = digits.iter().fold(0, |value, digit| 10 * value + i64::from(digit - b'0'));
        return Some(Value::Integer(if digits.len() < field.len() { -value } else { value }));
    }
    number(field, digits)
}

fn number(field: &[u8], digits: &[u8]) -> Option<Value> {
    let whole = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if whole > 1 && digits[0] == b'0' {
        return None;
    }
    let mut rest = &digits[whole..];
    let mut decimals = 0;
    if let Some(behind) = rest.strip_prefix(b".") {
        decimals = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
        rest = &behind[decimals..];
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = exponent.strip_prefix(b"-").or(exponent.strip_prefix(b"+")).unwrap_or(exponent);
        if exponent.is_empty() || !exponent.iter().all(u8::is_ascii_digit) {
            return None;
        }
    } else if !rest.is_empty() {
        return None;
    }
    if whole + decimals == 0 {
        return None;
    }
    let text = std::str::from_utf8(field).ok()?;
    // A whole number of more than 64 bits would lose digits as a number, and one beyond a float's range everything.
    if digits.len() == whole {
        return text.parse().map(Value::Integer).ok();
    }
    text.parse().ok().filter(|value: &f64| value.is_finite()).map(Value::Number)
}

/// ISO 8601: a date, and a time behind a `T` or a space, down to nanoseconds, with an offset or without.
fn time(field: &[u8]) -> Option<Value> {
    let (date, time) = field.split_at(10);
    let (year, month, day) = (digits(&date[..4])?, digits(&date[5..7])?, digits(&date[8..])?);
    if date[7] != b'-' || !(1..=12).contains(&month) || day < 1 || day > days_of(year, month) {
        return None;
    }
    let midnight = 86_400 * days_since_1970(year, month, day);
    let Some((b'T' | b' ', time)) = time.split_first() else {
        return time.is_empty().then_some(Value::Date((midnight, 0)));
    };
    let (hour, minute) = (digits(time.get(..2)?)?, digits(time.get(3..5)?)?);
    if time[2] != b':' || hour > 23 || minute > 59 {
        return None;
    }
    let (mut second, mut nanos, mut rest) = (0, 0, &time[5..]);
    if let [b':', behind @ ..] = rest {
        second = digits(behind.get(..2)?)?;
        rest = &behind[2..];
        if second > 60 {
            return None;
        }
        if let [b'.' | b',', behind @ ..] = rest {
            let length = behind.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&length) {
                return None;
            }
            let fraction =
                behind[..length].iter().fold(0, |value, digit| 10 * value + u32::from(digit - b'0'));
            nanos = fraction * 10_u32.pow(u32::try_from(9 - length).ok()?);
            rest = &behind[length..];
        }
    }
    Some(Value::Timestamp((midnight + 3600 * hour + 60 * minute + second - offset(rest)?, nanos)))
}

/// Seconds east of Greenwich.
fn offset(text: &[u8]) -> Option<i64> {
    let (sign, text) = match text {
        [] | [b'Z'] => return Some(0),
        [b'+', text @ ..] => (1, text),
        [b'-', text @ ..] => (-1, text),
        _ => return None,
    };
    let minutes = match text {
        [_, _] => 0,
        [_, _, b':', minutes @ ..] | [_, _, minutes @ ..] if minutes.len() == 2 => digits(minutes)?,
        _ => return None,
    };
    let hours = digits(&text[..2])?;
    (hours < 24 && minutes < 60).then_some(sign * (3600 * hours + 60 * minutes))
}

fn digits(text: &[u8]) -> Option<i64> {
    text.iter().try_fold(0, |value, byte| byte.is_ascii_digit().then(|| 10 * value + i64::from(byte - b'0')))
}

fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Of the Gregorian calendar, whose years are counted from March so that a leap day is a year's last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    days + (153 * month + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_what_they_look_like() {
        for (field, value) in [
            ("", Value::Empty),
            ("NULL", Value::Null),
            ("n/a", Value::Null),
            ("\\N", Value::Null),
            ("TRUE", Value::Boolean),
            ("yes", Value::String),
            ("0", Value::Integer(0)),
            ("-17", Value::Integer(-17)),
            ("9223372036854775807", Value::Integer(i64::MAX)),
            ("9223372036854775808", Value::String),
            ("12345678901234567890", Value::String),
            ("1e999", Value::String),
            ("-1e999", Value::String),
            ("007", Value::String),
            ("+49", Value::String),
            ("-", Value::String),
            (".", Value::String),
            ("-.5", Value::Number(-0.5)),
            ("1.", Value::Number(1.0)),
            ("00.5", Value::String),
            ("0.50", Value::Number(0.5)),
            ("6.02e23", Value::Number(6.02e23)),
            ("1e", Value::String),
            ("1,5", Value::String),
            ("1 000", Value::String),
            ("192.168.0.1", Value::String),
            ("03/04/2024", Value::String),
            ("1970-01-02", Value::Date((86_400, 0))),
            ("1969-12-31", Value::Date((-86_400, 0))),
            ("2000-02-29", Value::Date((951_782_400, 0))),
            ("1900-02-29", Value::String),
            ("2024-13-01", Value::String),
            ("2024-1-01", Value::String),
            ("1970-01-01T00:00:01Z", Value::Timestamp((1, 0))),
            ("1970-01-01 01:00", Value::Timestamp((3600, 0))),
            ("1970-01-01T01:00:00.25+01:00", Value::Timestamp((0, 250_000_000))),
            ("1970-01-01T00:00:00-0130", Value::Timestamp((5400, 0))),
            ("1970-01-01T00:00:00+02", Value::Timestamp((-7200, 0))),
            ("1970-01-01T24:00:00", Value::String),
            ("1970-01-01T00:00:00 Z", Value::String),
            ("1970-01-01T", Value::String),
            ("1234-5678-9", Value::String),
            ("éééé", Value::String),
        ] {
            assert_eq!(Value::of(field.as_bytes()), value, "{field}");
        }
    }

    #[test]
    fn no_bytes_are_too_strange() {
        let mut random = fastrand::Rng::with_seed(3);
        let alphabet = b"0123456789-:.TZ+ eE\xff";
        for _ in 0..200_000 {
            let length = random.usize(0..32);
            let field: Vec<u8> = (0..length).map(|_| alphabet[random.usize(0..alphabet.len())]).collect();
            let is_number = std::str::from_utf8(&field).is_ok_and(|text| text.parse::<f64>().is_ok());
            let numeric = matches!(Value::of(&field), Value::Integer(_) | Value::Number(_));
            assert!(is_number || !numeric, "{field:?}");
        }
    }
}
