//! A clean file in Apache Parquet: rows gather column by column, and are written a row group at a time.

mod column;
mod writer;

use std::sync::Arc;

use ::parquet::basic::{Compression, GzipLevel, Repetition, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties};
use ::parquet::schema::types::{SchemaDescriptor, Type};
use bytes::Bytes;

use self::column::ParquetColumn;
use self::writer::FileWriter;
use super::file::CompressionWord;
use super::kind::Kind;
use super::value::Value;
use crate::{BadFile, EngineError};

/// Whether this build writes Parquet.
pub(super) const IS_BUILT: bool = true;

/// What a column without values takes.
const COLUMN_BYTES: usize = 256;

/// A file that is being written. Its bytes are handed on with each row group.
#[derive(Debug)]
pub(super) struct ParquetFile {
    writer: FileWriter,
    columns: Vec<ParquetColumn>,
    /// Bytes of the values that have gathered, and how many make a row group.
    gathered: usize,
    row_group_bytes: usize,
    /// Whether the room for values stays when a row group is written. Of many files it would add up.
    keeps_room: bool,
}

impl ParquetFile {
    /// Begins a file of these columns, each with what its values are; texts, where that is not known.
    pub(super) fn begin<'a>(
        columns: impl Iterator<Item = (&'a str, Option<&'a Kind>)>,
        compression: CompressionWord,
        row_group_bytes: usize,
    ) -> Result<Self, EngineError> {
        let (mut gathering, mut fields) = (Vec::new(), Vec::new());
        for (name, kind) in columns {
            let column = ParquetColumn::new(kind);
            fields.push(Arc::new(column.field(name).map_err(|error| broken(&error))?));
            gathering.push(column);
        }
        let schema = Type::group_type_builder("rows").with_repetition(Repetition::REQUIRED);
        let schema = schema.with_fields(fields).build().map_err(|error| broken(&error))?;
        let schema = Arc::new(SchemaDescriptor::new(Arc::new(schema)));
        let writer = FileWriter::new(schema, Arc::new(properties(compression)));
        Ok(Self { writer, columns: gathering, gathered: 0, row_group_bytes, keeps_room: true })
    }

    /// Another file of the same columns, one of many.
    pub(super) fn another(&self) -> Self {
        let columns = self.columns.iter().map(ParquetColumn::another).collect();
        let (writer, row_group_bytes) = (self.writer.another(), self.row_group_bytes);
        Self { writer, columns, gathered: 0, row_group_bytes, keeps_room: false }
    }

    /// Bytes of memory, about: room for values grows by doubling.
    pub(super) fn held(&self) -> usize {
        let empty = self.columns.len() * COLUMN_BYTES;
        empty + self.gathered + self.gathered / 2 + self.writer.held_bytes()
    }

    /// Whether there is no room for what the file's end would say of another row group.
    pub(super) fn is_full(&self) -> bool {
        self.writer.end_bytes() > 2 * self.row_group_bytes
    }

    /// Whether a column's values are written as texts.
    pub(super) fn is_text(&self, column: usize) -> bool {
        self.columns[column].is_text()
    }

    /// Why a value can't stand in its column, if it can't.
    pub(super) fn misfit(&self, column: usize, value: &Value) -> Option<&'static str> {
        self.columns[column].misfit(value)
    }

    /// Takes a column's field of the next row: its value, and what a text shows; nothing if it has none.
    pub(super) fn push(&mut self, column: usize, field: Option<(&Value, &[u8])>) {
        self.gathered += self.columns[column].push(field);
    }

    /// The file's next bytes, once there are enough values for a row group.
    pub(super) fn advance(&mut self) -> Result<Option<Bytes>, EngineError> {
        if self.gathered < self.row_group_bytes { Ok(None) } else { self.flush() }
    }

    /// The file's next bytes, with all values so far.
    pub(super) fn flush(&mut self) -> Result<Option<Bytes>, EngineError> {
        if self.gathered == 0 {
            return Ok(None);
        }
        self.write_row_group()?;
        self.take().map(Some)
    }

    /// The file's last bytes.
    pub(super) fn finish(&mut self) -> Result<Bytes, EngineError> {
        if self.gathered > 0 {
            self.write_row_group()?;
        }
        // The end is written in one piece, in their place.
        self.columns = Vec::new();
        self.writer.finish().map_err(|error| broken(&error))?;
        self.take()
    }

    fn write_row_group(&mut self) -> Result<(), EngineError> {
        // What the end says is held until then, beside the values of one row group.
        if self.is_full() {
            return Err(BadFile::new(
                "too_many_row_groups",
                format!(
                    "what the Parquet file's end says of row groups would be more than {} bytes, which have to be remembered until \
                     then: select fewer columns, split the file, or give the function more memory, which makes row groups larger",
                    2 * self.row_group_bytes
                ),
            )
            .into());
        }
        self.gathered = 0;
        self.writer.write(&mut self.columns).map_err(|error| broken(&error))?;
        if !self.keeps_room {
            self.columns = self.columns.iter().map(ParquetColumn::another).collect();
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Bytes, EngineError> {
        self.writer.take().map_err(EngineError::Output)
    }
}

/// How files are written.
fn properties(compression: CompressionWord) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(match compression {
            CompressionWord::None => Compression::UNCOMPRESSED,
            CompressionWord::Snappy => Compression::SNAPPY,
            CompressionWord::Gzip => Compression::GZIP(GzipLevel::default()),
            CompressionWord::Zstd => Compression::ZSTD(ZstdLevel::default()),
        })
        // Of pages it would have to be held until the end, and there are many.
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .build()
}

/// Memory takes all that is written to it, and values are of their columns' types.
fn broken(error: &ParquetError) -> EngineError {
    EngineError::Internal(format!("the Parquet file can't be written: {error}"))
}
