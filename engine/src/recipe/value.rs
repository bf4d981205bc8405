//! A field's text as the value that it stands for.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use jiff::civil::{Date, Time};

/// What a field stands for. A text is the field itself, so it is not repeated here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// No value: a missing one.
    Missing,
    /// The text as it stands.
    Text,
    Integer(i128),
    Number(f64),
    Boolean(bool),
    Date(Date),
    /// With minutes east of Greenwich, where they are said.
    Time(Time, Option<i16>),
    DateTime(Date, Time, Option<i16>),
    Year(i16),
    YearMonth(i16, i8),
}

impl Value {
    /// Which of two values of one type comes first; nothing if that can't be said.
    pub(crate) fn order(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(ours), Self::Integer(theirs)) => Some(ours.cmp(theirs)),
            (Self::Number(ours), Self::Number(theirs)) => ours.partial_cmp(theirs),
            (Self::Boolean(ours), Self::Boolean(theirs)) => Some(ours.cmp(theirs)),
            (Self::Date(ours), Self::Date(theirs)) => Some(ours.cmp(theirs)),
            (Self::Time(ours, offset), Self::Time(theirs, other)) => {
                let midnight = Date::ZERO;
                Some(instant(midnight, *ours, *offset).cmp(&instant(midnight, *theirs, *other)))
            }
            (Self::DateTime(day, time, offset), Self::DateTime(other_day, other_time, other)) => {
                Some(instant(*day, *time, *offset).cmp(&instant(*other_day, *other_time, *other)))
            }
            (Self::Year(ours), Self::Year(theirs)) => Some(ours.cmp(theirs)),
            (Self::YearMonth(year, month), Self::YearMonth(other_year, other_month)) => {
                Some((year, month).cmp(&(other_year, other_month)))
            }
            _ => None,
        }
    }

    /// Hashes what makes two values of one type the same; of a text, `text`.
    pub(crate) fn hash_as(&self, text: &[u8], hasher: &mut impl Hasher) {
        match self {
            Self::Missing => 0u8.hash(hasher),
            Self::Text => text.hash(hasher),
            Self::Integer(value) => value.hash(hasher),
            // There are two zeros, and they are the same.
            Self::Number(value) => (value + 0.0).to_bits().hash(hasher),
            Self::Boolean(value) => value.hash(hasher),
            Self::Date(value) => value.hash(hasher),
            Self::Time(time, offset) => instant(Date::ZERO, *time, *offset).hash(hasher),
            Self::DateTime(day, time, offset) => instant(*day, *time, *offset).hash(hasher),
            Self::Year(value) => value.hash(hasher),
            Self::YearMonth(year, month) => (year, month).hash(hasher),
        }
    }
}

/// Nanoseconds since the first of January of year 0; what says no offset is at Greenwich.
fn instant(day: Date, time: Time, offset: Option<i16>) -> i128 {
    let days = i128::from(Date::ZERO.until(day).map_or(0, |span| span.get_days()));
    let seconds =
        ((i128::from(time.hour()) * 60 + i128::from(time.minute()) - i128::from(offset.unwrap_or(0))) * 60)
            + i128::from(time.second());
    (days * 86_400 + seconds) * 1_000_000_000 + i128::from(time.subsec_nanosecond())
}
