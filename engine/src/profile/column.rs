//! One column's profile.

use foldhash::quality::FixedState;
use hyperloglockless::HyperLogLogPlus;

use super::value::{Instant, Value};

/// 4,096 registers of a byte each: an estimate is wrong by 1.6 % or less in two of three cases.
const PRECISION: u8 = 12;

/// A column is of a type that so many of its values have.
const MIN_SHARE: f64 = 0.95;

/// Of a text that is the least or the greatest, so many bytes are kept.
const MAX_TEXT_BYTES: usize = 64;

/// Of a column's name, so many characters are kept: more than any database allows.
const MAX_NAME_CHARACTERS: usize = 300;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnType {
    /// `true` and `false`.
    Boolean,
    /// Whole numbers of 64 bits.
    Integer,
    /// Numbers with a decimal point or an exponent, and whole ones.
    Number,
    /// `2024-02-29`.
    Date,
    /// `2024-02-29T12:00:00Z`, also with a space, without seconds, with another offset or none; and dates.
    Timestamp,
    /// Anything.
    String,
}

impl ColumnType {
    /// As the receipt spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::String => "string",
        }
    }
}

/// A column's least or greatest value.
#[derive(Debug, Clone, PartialEq)]
pub enum Bound {
    /// Of integers.
    Integer(i64),
    /// Of numbers.
    Number(f64),
    /// Of anything else, as it stands; of long ones, the first 64 bytes or less.
    Text(String),
}

/// What was seen of one column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnProfile {
    /// Its name in the output.
    pub name: String,
    /// What nearly all values are: 95 % or more. Nothing where there is no value.
    pub kind: Option<ColumnType>,
    /// The share of the values that fit the type.
    pub share: f64,
    /// Fields that say that there is no value: `NULL`, `NA` and the like.
    pub nulls: u64,
    /// Fields with nothing in them.
    pub empties: u64,
    /// The least of the values that fit the type; of strings, by their bytes.
    pub min: Option<Bound>,
    /// The greatest of them.
    pub max: Option<Bound>,
    /// The characters of the longest field.
    pub longest: u64,
    /// About how many values there are that differ, as texts.
    pub distinct_estimate: u64,
}

/// Perhaps more than there are values.
fn estimate(distinct: &mut HyperLogLogPlus<FixedState>) -> u64 {
    // No count of what was read is out of range.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, rounded")]
    let estimate = distinct.raw_count().round().max(0.0) as u64;
    estimate
}

/// A column in the making.
#[derive(Debug)]
pub(super) struct Column {
    name: String,
    nulls: u64,
    empties: u64,
    booleans: u64,
    dates: u64,
    timestamps: u64,
    strings: u64,
    integers: Range<i64>,
    numbers: Range<f64>,
    /// Of dates and timestamps, with how they stand in the file.
    times: [Option<(Instant, Text)>; 2],
    booleans_met: Extremes,
    texts: Extremes,
    longest: usize,
    distinct: HyperLogLogPlus<FixedState>,
}

/// The least and the greatest of some values, and how many there are.
#[derive(Debug, Clone, Copy, Default)]
struct Range<T> {
    count: u64,
    bounds: Option<(T, T)>,
}

impl<T: Copy + PartialOrd> Range<T> {
    fn add(&mut self, value: T) {
        self.count += 1;
        self.bounds = Some(match self.bounds {
            None => (value, value),
            Some((min, max)) => {
                (if value < min { value } else { min }, if value > max { value } else { max })
            }
        });
    }
}

/// The beginning of a text.
#[derive(Debug, Clone, Copy)]
struct Text {
    bytes: [u8; MAX_TEXT_BYTES],
    length: usize,
}

impl Text {
    fn new(field: &[u8]) -> Self {
        let (mut bytes, length) = ([0; MAX_TEXT_BYTES], field.len().min(MAX_TEXT_BYTES));
        bytes[..length].copy_from_slice(&field[..length]);
        Self { bytes, length }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Without a character that was cut.
    fn bound(&self) -> Bound {
        let text = self.bytes().utf8_chunks().next().map_or("", |chunk| chunk.valid());
        Bound::Text(text.to_owned())
    }
}

/// The least and the greatest of some texts, by their bytes.
#[derive(Debug, Default)]
struct Extremes([Option<Text>; 2]);

impl Extremes {
    fn add(&mut self, field: &[u8]) {
        let start = &field[..field.len().min(MAX_TEXT_BYTES)];
        let [min, max] = &mut self.0;
        if min.as_ref().is_none_or(|least| start < least.bytes()) {
            *min = Some(Text::new(start));
        }
        if max.as_ref().is_none_or(|greatest| start > greatest.bytes()) {
            *max = Some(Text::new(start));
        }
    }

    fn bounds(&self) -> (Option<Bound>, Option<Bound>) {
        let [min, max] = &self.0;
        (min.as_ref().map(Text::bound), max.as_ref().map(Text::bound))
    }
}

impl Column {
    /// Of a name that is very long, the beginning.
    pub(super) fn new(mut name: String) -> Self {
        if let Some((end, _)) = name.char_indices().nth(MAX_NAME_CHARACTERS) {
            name.truncate(end);
            name.shrink_to_fit();
        }
        Self {
            name,
            nulls: 0,
            empties: 0,
            booleans: 0,
            dates: 0,
            timestamps: 0,
            strings: 0,
            integers: Range::default(),
            numbers: Range::default(),
            times: [None; 2],
            booleans_met: Extremes::default(),
            texts: Extremes::default(),
            longest: 0,
            distinct: HyperLogLogPlus::with_hasher(PRECISION, FixedState::default()),
        }
    }

    pub(super) fn observe(&mut self, field: &[u8]) {
        // There are never more characters than bytes.
        if field.len() > self.longest {
            let characters = field.iter().filter(|byte| !(0x80..0xc0).contains(*byte)).count();
            self.longest = self.longest.max(characters);
        }
        match Value::of(field) {
            Value::Empty => {
                self.empties += 1;
                return;
            }
            Value::Null => {
                self.nulls += 1;
                return;
            }
            Value::Integer(value) => self.integers.add(value),
            Value::Number(value) => self.numbers.add(value),
            Value::Boolean => {
                self.booleans += 1;
                self.booleans_met.add(field);
            }
            Value::Date(instant) => {
                self.dates += 1;
                self.add_time(instant, field);
            }
            Value::Timestamp(instant) => {
                self.timestamps += 1;
                self.add_time(instant, field);
            }
            Value::String => self.strings += 1,
        }
        self.texts.add(field);
        self.distinct.insert(field);
    }

    fn add_time(&mut self, instant: Instant, field: &[u8]) {
        let [min, max] = &mut self.times;
        if min.is_none_or(|(least, _)| instant < least) {
            *min = Some((instant, Text::new(field)));
        }
        if max.is_none_or(|(greatest, _)| instant > greatest) {
            *max = Some((instant, Text::new(field)));
        }
    }

    /// The type, and how many values fit it.
    fn kind(&self) -> (Option<ColumnType>, u64, u64) {
        let numbers = self.integers.count + self.numbers.count;
        let times = self.dates + self.timestamps;
        let all = numbers + times + self.booleans + self.strings;
        let is_kind = |count: u64| count as f64 >= MIN_SHARE * all as f64;
        let (kind, fit) = if all == 0 {
            return (None, 0, 0);
        } else if is_kind(self.booleans) {
            (ColumnType::Boolean, self.booleans)
        } else if is_kind(numbers) && self.numbers.count == 0 {
            (ColumnType::Integer, numbers)
        } else if is_kind(numbers) {
            (ColumnType::Number, numbers)
        } else if is_kind(times) && self.timestamps == 0 {
            (ColumnType::Date, times)
        } else if is_kind(times) {
            (ColumnType::Timestamp, times)
        } else {
            (ColumnType::String, all)
        };
        (Some(kind), fit, all)
    }

    pub(super) fn finish(mut self) -> ColumnProfile {
        let (kind, fit, all) = self.kind();
        let (min, max) = match kind {
            Some(ColumnType::Integer) => {
                self.integers.bounds.map(|(min, max)| (Bound::Integer(min), Bound::Integer(max))).unzip()
            }
            Some(ColumnType::Number) => self.number_bounds().unzip(),
            Some(ColumnType::Date | ColumnType::Timestamp) => {
                let [min, max] = &self.times;
                (min.map(|(_, text)| text.bound()), max.map(|(_, text)| text.bound()))
            }
            Some(ColumnType::Boolean) => self.booleans_met.bounds(),
            Some(ColumnType::String) => self.texts.bounds(),
            None => (None, None),
        };
        ColumnProfile {
            kind,
            share: if all == 0 { 1.0 } else { fit as f64 / all as f64 },
            nulls: self.nulls,
            empties: self.empties,
            min,
            max,
            longest: self.longest as u64,
            distinct_estimate: estimate(&mut self.distinct).min(all),
            name: self.name,
        }
    }

    /// Of whole numbers, which stay exact, and others alike.
    fn number_bounds(&self) -> Option<(Bound, Bound)> {
        let (least, greatest) = self.numbers.bounds?;
        let (mut min, mut max) = (Bound::Number(least), Bound::Number(greatest));
        if let Some((smallest, largest)) = self.integers.bounds {
            if smallest as f64 <= least {
                min = Bound::Integer(smallest);
            }
            if largest as f64 >= greatest {
                max = Bound::Integer(largest);
            }
        }
        Some((min, max))
    }
}
