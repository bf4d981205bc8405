//! A column: what its type is in Parquet, and its values until their row group is written.

use ::parquet::basic::{LogicalType, Repetition, TimeUnit, Type as Physical};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::writer::SerializedColumnWriter;
use ::parquet::schema::types::Type;
use bytes::BytesMut;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::Offset;

use super::super::kind::Kind;
use super::super::temporal::Temporal;
use super::super::value::Value;

/// Texts are handed to the writer so many at a time.
const TEXTS_AT_ONCE: usize = 1024;

const SECONDS_A_DAY: i64 = 86_400;

/// A column's values that are not written yet.
#[derive(Debug)]
pub(super) struct ParquetColumn {
    kind: ColumnKind,
    /// For each row: 1 where there is a value, 0 where there is none.
    levels: Vec<i16>,
    values: Values,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ColumnKind {
    Text,
    Integer,
    Number,
    Boolean,
    Date,
    Time,
    /// Days with times, at Greenwich or on nobody's clock.
    DateTime {
        is_utc: bool,
    },
    Year,
}

#[derive(Debug)]
enum Values {
    Long(Vec<i64>),
    Short(Vec<i32>),
    Number(Vec<f64>),
    Boolean(Vec<bool>),
    /// One behind the other, and where each ends.
    Text {
        bytes: BytesMut,
        ends: Vec<usize>,
    },
}

/// A value as its column has it.
enum Scalar {
    Long(i64),
    Short(i32),
    Number(f64),
    Boolean(bool),
}

impl ColumnKind {
    fn of(kind: &Kind) -> Self {
        let temporal = |temporal: Temporal, has_offset| match temporal {
            Temporal::Date => Self::Date,
            Temporal::Time => Self::Time,
            Temporal::DateTime => Self::DateTime { is_utc: has_offset },
        };
        match kind {
            Kind::Integer(_) => Self::Integer,
            Kind::Number(_) => Self::Number,
            Kind::Boolean { .. } => Self::Boolean,
            // As Table Schema has it, and as such values are compared: what says no offset is at Greenwich.
            Kind::Default(kind) => temporal(*kind, true),
            Kind::Pattern(pattern) => temporal(pattern.kind(), pattern.has_offset()),
            Kind::Year => Self::Year,
            Kind::Text(_) | Kind::Json(_) | Kind::YearMonth => Self::Text,
        }
    }

    fn scalar(self, value: &Value) -> Result<Scalar, &'static str> {
        match (self, *value) {
            (Self::Integer, Value::Integer(number)) => {
                let number = i64::try_from(number);
                number.map(Scalar::Long).map_err(|_large| "the integer has more than Parquet's 64 bits")
            }
            // More digits than are read exactly.
            (Self::Integer, Value::Number(_)) => Err("the integer has more than Parquet's 64 bits"),
            (Self::Number, Value::Number(number)) => Ok(Scalar::Number(number)),
            (Self::Boolean, Value::Boolean(value)) => Ok(Scalar::Boolean(value)),
            (Self::Date, Value::Date(day)) => micros(day, Time::midnight(), 0)
                .and_then(|micros| i32::try_from(micros.div_euclid(SECONDS_A_DAY * 1_000_000)).ok())
                .map(Scalar::Short)
                .ok_or("the day is out of range"),
            (Self::Time, Value::Time(time, None)) => {
                let micros = micros(Date::constant(1970, 1, 1), time, 0);
                micros.map(Scalar::Long).ok_or(FINE)
            }
            (Self::Time, Value::Time(_, Some(_))) => {
                Err("Parquet has no time of day with an offset: give the column the type `string`")
            }
            (Self::DateTime { .. }, Value::DateTime(day, time, offset)) => {
                micros(day, time, offset.unwrap_or_default()).map(Scalar::Long).ok_or(FINE)
            }
            (Self::Year, Value::Year(year)) => Ok(Scalar::Short(year.into())),
            _ => Err("the value is of another type than its column"),
        }
    }
}

const FINE: &str =
    "the time is finer than microseconds, or out of their range: give the column the type `string`";

/// Microseconds since 1970, of a clock that goes so many minutes before Greenwich; nothing if they are not whole.
fn micros(day: Date, time: Time, offset: i16) -> Option<i64> {
    let offset = Offset::from_seconds(i32::from(offset) * 60).ok()?;
    let timestamp = offset.to_timestamp(DateTime::from_parts(day, time)).ok()?;
    (time.subsec_nanosecond() % 1000 == 0).then(|| timestamp.as_microsecond())
}

impl ParquetColumn {
    pub(super) fn new(kind: Option<&Kind>) -> Self {
        Self::of_kind(kind.map_or(ColumnKind::Text, ColumnKind::of))
    }

    /// Another column of the same type, without values.
    pub(super) fn another(&self) -> Self {
        Self::of_kind(self.kind)
    }

    fn of_kind(kind: ColumnKind) -> Self {
        let values = match kind {
            ColumnKind::Text => Values::Text { bytes: BytesMut::new(), ends: Vec::new() },
            ColumnKind::Integer | ColumnKind::Time | ColumnKind::DateTime { .. } => Values::Long(Vec::new()),
            ColumnKind::Date | ColumnKind::Year => Values::Short(Vec::new()),
            ColumnKind::Number => Values::Number(Vec::new()),
            ColumnKind::Boolean => Values::Boolean(Vec::new()),
        };
        Self { kind, levels: Vec::new(), values }
    }

    /// Its field in the file's schema.
    pub(super) fn field(&self, name: &str) -> Result<Type, ParquetError> {
        let physical = match self.values {
            Values::Long(_) => Physical::INT64,
            Values::Short(_) => Physical::INT32,
            Values::Number(_) => Physical::DOUBLE,
            Values::Boolean(_) => Physical::BOOLEAN,
            Values::Text { .. } => Physical::BYTE_ARRAY,
        };
        let logical = match self.kind {
            ColumnKind::Text => Some(LogicalType::String),
            ColumnKind::Date => Some(LogicalType::Date),
            ColumnKind::Time => Some(LogicalType::time(false, TimeUnit::MICROS)),
            ColumnKind::DateTime { is_utc } => Some(LogicalType::timestamp(is_utc, TimeUnit::MICROS)),
            ColumnKind::Integer | ColumnKind::Number | ColumnKind::Boolean | ColumnKind::Year => None,
        };
        let builder = Type::primitive_type_builder(name, physical);
        builder.with_repetition(Repetition::OPTIONAL).with_logical_type(logical).build()
    }

    pub(super) fn is_text(&self) -> bool {
        self.kind == ColumnKind::Text
    }

    pub(super) fn misfit(&self, value: &Value) -> Option<&'static str> {
        if self.is_text() || *value == Value::Missing {
            return None;
        }
        self.kind.scalar(value).err()
    }

    /// Takes a field, and says how many bytes it takes.
    pub(super) fn push(&mut self, field: Option<(&Value, &[u8])>) -> usize {
        // Whatever doesn't fit has been rejected before.
        let field = field.and_then(|(value, text)| {
            if self.is_text() {
                Some((None, text))
            } else {
                Some((Some(self.kind.scalar(value).ok()?), text))
            }
        });
        let Some((scalar, text)) = field else {
            self.levels.push(0);
            return size_of::<i16>();
        };
        self.levels.push(1);
        let bytes = match (&mut self.values, scalar) {
            (Values::Long(values), Some(Scalar::Long(value))) => {
                values.push(value);
                size_of::<i64>()
            }
            (Values::Short(values), Some(Scalar::Short(value))) => {
                values.push(value);
                size_of::<i32>()
            }
            (Values::Number(values), Some(Scalar::Number(value))) => {
                values.push(value);
                size_of::<f64>()
            }
            (Values::Boolean(values), Some(Scalar::Boolean(value))) => {
                values.push(value);
                size_of::<bool>()
            }
            (Values::Text { bytes, ends }, _) => {
                bytes.extend_from_slice(text);
                ends.push(bytes.len());
                text.len() + size_of::<usize>()
            }
            // A kind has one sort of scalars.
            _ => 0,
        };
        bytes + size_of::<i16>()
    }

    /// Writes what has gathered, and begins anew.
    pub(super) fn write(&mut self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        let levels = Some(&self.levels[..]);
        match &mut self.values {
            Values::Long(values) => {
                writer.typed::<Int64Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Short(values) => {
                writer.typed::<Int32Type>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Number(values) => {
                writer.typed::<DoubleType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Boolean(values) => {
                writer.typed::<BoolType>().write_batch(values, levels, None)?;
                values.clear();
            }
            Values::Text { bytes, ends } => {
                let room = bytes.len();
                let text = bytes.split().freeze();
                let mut batch: Vec<ByteArray> = Vec::with_capacity(TEXTS_AT_ONCE);
                let (mut start, mut rest) = (0, ends.iter());
                for levels in self.levels.chunks(TEXTS_AT_ONCE) {
                    let count = levels.iter().filter(|level| **level > 0).count();
                    for end in rest.by_ref().take(count) {
                        batch.push(text.slice(start..*end).into());
                        start = *end;
                    }
                    writer.typed::<ByteArrayType>().write_batch(&batch, Some(levels), None)?;
                    batch.clear();
                }
                ends.clear();
                // As much as before, so that it does not grow step by step again.
                drop(text);
                bytes.reserve(room);
            }
        }
        self.levels.clear();
        Ok(())
    }
}
