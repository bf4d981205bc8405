//! Days and times as texts.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime::BrokenDownTime;

use super::value::Value;
use crate::eight::Shape;

/// What a format can hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Temporal {
    Date,
    Time,
    DateTime,
}

/// Reads a text of the default format: ISO 8601's, with what Frictionless takes besides.
pub(super) fn default(kind: Temporal, text: &[u8]) -> Option<Value> {
    match kind {
        Temporal::Date => lenient_date(text).map(Value::Date),
        Temporal::Time => {
            let (time, offset, is_next_day) = clock(text)?;
            (!is_next_day).then_some(Value::Time(time, offset))
        }
        Temporal::DateTime => {
            let (day, separator, rest) = (text.get(..10)?, text.get(10)?, text.get(11..)?);
            let day = Date::new(
                number(&day[..4])?,
                (day[4] == b'-').then(|| number(&day[5..7]))??,
                (day[7] == b'-').then(|| number(&day[8..]))??,
            )
            .ok()
            .filter(|day| day.year() > 0 && separator.is_ascii())?;
            let (time, offset, is_next_day) = clock(rest)?;
            let day = if is_next_day { day.tomorrow().ok()? } else { day };
            Some(Value::DateTime(day, time, offset))
        }
    }
}

/// Whether a text is a day as `YYYY-MM-DD`. [`default`] takes others, too.
pub(super) fn is_plain_date(text: &[u8]) -> bool {
    text.len() == 10
        && text.first_chunk().zip(text.last_chunk()).is_some_and(|(front, back)| is_day(*front, *back))
}

/// The same of `YYYY-MM-DD`, any character, `HH:MM:SS`, and perhaps `Z`.
pub(super) fn is_plain_datetime(text: &[u8]) -> bool {
    let text = text.strip_suffix(b"Z").unwrap_or(text);
    let (Some(front), Some(back), 19) = (text.first_chunk(), text.last_chunk(), text.len()) else {
        return false;
    };
    let Some([hour_10, hour_1, _, minute_10, _, _, second_10, _]) = TIME.digits(*back) else { return false };
    let is_time = 10 * hour_10 + hour_1 < 24 && minute_10 < 6 && second_10 < 6;
    is_time && text[10].is_ascii() && is_day(*front, [text[8], text[9]])
}

/// Whether `YYYY-MM-` and `DD` are a day.
fn is_day(front: [u8; 8], day: [u8; 2]) -> bool {
    let Some([y_1000, y_100, y_10, y_1, _, month_10, month_1, _]) = DATE.digits(front) else { return false };
    if !day.iter().all(u8::is_ascii_digit) {
        return false;
    }
    let (month, day) = (10 * month_10 + month_1, 10 * (day[0] - b'0') + (day[1] - b'0'));
    let [y_1000, y_100, y_10, y_1] = [y_1000, y_100, y_10, y_1].map(i16::from);
    let year = 1000 * y_1000 + 100 * y_100 + 10 * y_10 + y_1;
    let is_known = year > 0 && (1..=12).contains(&month) && day > 0;
    is_known && (day <= 28 || Date::new(year, month.cast_signed(), day.cast_signed()).is_ok())
}

const DATE: Shape = Shape::of(*b"0000-00-");
const TIME: Shape = Shape::of(*b"00:00:00");

/// `YYYY-MM-DD`, where month and day may have one digit.
fn lenient_date(text: &[u8]) -> Option<Date> {
    let (year, rest) = (text.get(..4)?, text.get(4..)?.strip_prefix(b"-")?);
    let dash = rest.iter().position(|byte| *byte == b'-').filter(|at| matches!(at, 1 | 2))?;
    let (month, day) = (&rest[..dash], &rest[dash + 1..]);
    if !matches!(day.len(), 1 | 2) {
        return None;
    }
    Date::new(number(year)?, number(month)?, number(day)?).ok().filter(|date| date.year() > 0)
}

/// `HH:MM:SS`, with fractions and an offset if there are any, and whether it is midnight as a day's end.
fn clock(text: &[u8]) -> Option<(Time, Option<i16>, bool)> {
    let (hour, minute, second) = (text.get(..2)?, text.get(3..5)?, text.get(6..8)?);
    if text[2] != b':' || text[5] != b':' {
        return None;
    }
    let (hour, minute, second): (i8, i8, i8) = (number(hour)?, number(minute)?, number(second)?);
    let mut rest = &text[8..];
    let mut nanosecond = 0i32;
    if let [b'.' | b',', digits @ ..] = rest {
        let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return None;
        }
        let known = digits[..length].iter().map(|digit| digit - b'0');
        for digit in known.chain(std::iter::repeat(0)).take(9) {
            nanosecond = nanosecond * 10 + i32::from(digit);
        }
        rest = &digits[length..];
    }
    let offset = offset(rest)?;
    if hour == 24 {
        return (minute == 0 && second == 0 && nanosecond == 0).then_some((Time::midnight(), offset, true));
    }
    Some((Time::new(hour, minute, second, nanosecond).ok()?, offset, false))
}

/// Nothing, `Z`, `±HH`, `±HHMM` or `±HH:MM`, in minutes.
#[allow(clippy::option_option, reason = "no offset is one of the things that can be there")]
fn offset(text: &[u8]) -> Option<Option<i16>> {
    let (sign, digits) = match text {
        [] => return Some(None),
        b"Z" | b"z" => return Some(Some(0)),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes): (i16, i16) = match digits.len() {
        2 => (number(digits)?, 0),
        4 => (number(&digits[..2])?, number(&digits[2..])?),
        5 if digits[2] == b':' => (number(&digits[..2])?, number(&digits[3..])?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(Some(sign * (hours * 60 + minutes)))
}

/// A number of nothing but digits.
pub(super) fn number<T: TryFrom<u32>>(digits: &[u8]) -> Option<T> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    T::try_from(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))).ok()
}

/// A pattern as `strptime` has them.
#[derive(Debug, Clone)]
pub(super) struct Pattern {
    text: String,
    kind: Temporal,
    has_offset: bool,
}

impl Pattern {
    /// Reads a pattern, and sees whether it holds what its type needs.
    pub(super) fn new(text: &str, kind: Temporal) -> Result<Self, String> {
        let mut pattern = Self { text: text.to_owned(), kind, has_offset: false };
        let day = DateTime::constant(2006, 11, 25, 14, 7, 9, 0);
        let mut known = BrokenDownTime::from(day);
        known.set_offset(Some(jiff::tz::Offset::UTC));
        let written = known
            .to_string(text)
            .map_err(|error| format!("`{text}` is no pattern of a {}: {error}", pattern.kind.name()))?;
        if pattern.read(written.as_bytes()).is_none() {
            let wanted = match kind {
                Temporal::Date => "a day, such as %d/%m/%Y",
                Temporal::Time => "a time, such as %H:%M",
                Temporal::DateTime => "a day and a time, such as %d/%m/%Y %H:%M",
            };
            return Err(format!("`{text}` does not hold {wanted}"));
        }
        // A pattern with an offset writes another one differently.
        known.set_offset(Some(jiff::tz::offset(1)));
        pattern.has_offset = known.to_string(text).is_ok_and(|other| other != written);
        Ok(pattern)
    }

    /// What it holds.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "Parquet alone wants to know"))]
    pub(super) fn kind(&self) -> Temporal {
        self.kind
    }

    /// Whether it says how far from Greenwich.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code, reason = "Parquet alone wants to know"))]
    pub(super) fn has_offset(&self) -> bool {
        self.has_offset
    }

    pub(super) fn read(&self, text: &[u8]) -> Option<Value> {
        let read = BrokenDownTime::parse(&self.text, text).ok()?;
        let offset = read.offset().and_then(|offset| i16::try_from(offset.seconds() / 60).ok());
        // Python's %Y has four digits.
        if let Some(year) = read.year().filter(|year| self.text.contains("%Y") && *year < 1000) {
            let digits = format!("{year:04}");
            text.windows(4).find(|window| *window == digits.as_bytes())?;
        }
        match self.kind {
            Temporal::Date => read.to_date().ok().map(Value::Date),
            Temporal::Time => read.to_time().ok().map(|time| Value::Time(time, offset)),
            Temporal::DateTime => {
                let day = read.to_datetime().ok()?;
                Some(Value::DateTime(day.date(), day.time(), offset))
            }
        }
    }
}

impl Temporal {
    fn name(self) -> &'static str {
        match self {
            Self::Date => "date",
            Self::Time => "time",
            Self::DateTime => "datetime",
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{date, time};
    use proptest::prelude::*;

    use super::*;

    fn read(kind: Temporal, text: &str) -> Option<Value> {
        default(kind, text.as_bytes())
    }

    #[test]
    fn days_are_read() {
        assert_eq!(read(Temporal::Date, "2026-11-25"), Some(Value::Date(date(2026, 11, 25))));
        assert_eq!(read(Temporal::Date, "2026-1-5"), Some(Value::Date(date(2026, 1, 5))));
        for text in [
            "2026-02-30",
            "26-01-01",
            "2026-01",
            "2026-01-01 ",
            "2026-001-01",
            "0000-01-01",
            "2026-+1-01",
            "",
        ] {
            assert_eq!(read(Temporal::Date, text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read() {
        let noon = time(12, 0, 0, 0);
        assert_eq!(read(Temporal::Time, "12:00:00"), Some(Value::Time(noon, None)));
        assert_eq!(read(Temporal::Time, "12:00:00Z"), Some(Value::Time(noon, Some(0))));
        assert_eq!(
            read(Temporal::Time, "12:00:00.5+01:30"),
            Some(Value::Time(time(12, 0, 0, 500_000_000), Some(90)))
        );
        for text in ["12:00", "25:00:00", "12:60:00", "12:00:00.", "12:00:00+1", "noon", "12-00-00"] {
            assert_eq!(read(Temporal::Time, text), None, "{text}");
        }
        let day = date(2026, 11, 25);
        assert_eq!(
            read(Temporal::DateTime, "2026-11-25T12:00:00-0200"),
            Some(Value::DateTime(day, noon, Some(-120)))
        );
        assert_eq!(read(Temporal::DateTime, "2026-11-25 12:00:00"), Some(Value::DateTime(day, noon, None)));
        assert_eq!(
            read(Temporal::DateTime, "2026-11-24T24:00:00"),
            Some(Value::DateTime(day, Time::midnight(), None))
        );
        for text in [
            "2026-11-25",
            "2026-11-25T12:00",
            "2026-1-5T12:00:00",
            "2026-11-31T12:00:00",
            "2026-11-25T12:00:00 Z",
        ] {
            assert_eq!(read(Temporal::DateTime, text), None, "{text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// What a glance takes, the reading takes; and it takes nearly all that programs write.
        #[test]
        fn a_glance_says_nothing_else(
            text in "[0-2][09][0-9]{2}-[01][0-9]-[0-3][0-9]([T é][0-2][0-9]:[0-6][0-9]:[0-6][0-9][Zz]?)?|[0-9:./Z-]{10,20}",
        ) {
            for (kind, is_plain) in [
                (Temporal::Date, is_plain_date(text.as_bytes())),
                (Temporal::DateTime, is_plain_datetime(text.as_bytes())),
            ] {
                let is_read = read(kind, &text).is_some();
                // Midnight as a day's end is one of those that it leaves to the reading.
                let is_odd = !text.is_ascii() || text.contains("24:00:00") || text.ends_with('z') || text.contains('.');
                prop_assert!(is_read == is_plain || (is_read && is_odd), "{text} {kind:?}");
            }
        }
    }

    #[test]
    fn patterns_are_read_and_have_to_hold_what_is_wanted() {
        let pattern = Pattern::new("%d.%m.%Y", Temporal::Date).unwrap();
        assert_eq!(pattern.read(b"5.11.2026"), Some(Value::Date(date(2026, 11, 5))));
        assert_eq!(pattern.read(b"31.11.2026"), None);
        assert_eq!(pattern.read(b"05.11.26"), None);
        assert_eq!(pattern.read(b"05.11.0026"), Some(Value::Date(date(26, 11, 5))));
        assert_eq!(pattern.read(b"05.11.2026 "), None);
        let pattern = Pattern::new("%Y%m%d %H%M%z", Temporal::DateTime).unwrap();
        assert_eq!(
            pattern.read(b"20261125 1200+0100"),
            Some(Value::DateTime(date(2026, 11, 25), time(12, 0, 0, 0), Some(60)))
        );
        assert!(pattern.has_offset());
        assert!(!Pattern::new("%H:%M", Temporal::Time).unwrap().has_offset());
        assert!(Pattern::new("%d.%m", Temporal::Date).unwrap_err().contains("does not hold a day"));
        assert!(Pattern::new("%Y-%m-%d %!", Temporal::DateTime).is_err());
    }
}
