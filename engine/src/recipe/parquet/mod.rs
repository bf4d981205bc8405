//! A clean file in Apache Parquet: rows gather column by column, and are written a row group at a time.

mod column;

use std::sync::Arc;

use ::parquet::basic::{Compression, GzipLevel, Repetition, ZstdLevel};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::types::{Type, TypePtr};
use bytes::Bytes;

use self::column::ParquetColumn;
use super::file::CompressionWord;
use super::kind::Kind;
use super::value::Value;
use crate::{BadFile, EngineError};

/// Whether this build writes Parquet.
pub(super) const IS_BUILT: bool = true;

/// What a file's end says of a column in a row group, and what is held for that until then: an estimate, not measured.
const CHUNK_BYTES: usize = 1024;

/// What a column without values takes, and a file of which a row group was written: a buffer of 8 KiB, and what belongs to it.
const COLUMN_BYTES: usize = 256;
const WRITER_BYTES: usize = 10 * 1024;

/// A file that is being written. Its bytes are handed on with each row group.
#[derive(Debug)]
pub(super) struct ParquetFile {
    schema: TypePtr,
    properties: WriterPropertiesPtr,
    /// Nothing before the first row group: it has buffers of its own.
    writer: Option<SerializedFileWriter<Vec<u8>>>,
    columns: Vec<ParquetColumn>,
    /// Bytes of the values that have gathered, and how many make a row group.
    gathered: usize,
    row_group_bytes: usize,
    /// Columns written so far, each row group's counted.
    chunks: usize,
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
        let properties = WriterProperties::builder()
            .set_compression(match compression {
                CompressionWord::None => Compression::UNCOMPRESSED,
                CompressionWord::Snappy => Compression::SNAPPY,
                CompressionWord::Gzip => Compression::GZIP(GzipLevel::default()),
                CompressionWord::Zstd => Compression::ZSTD(ZstdLevel::default()),
            })
            // Of pages it would have to be held until the end, and there are many.
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .build();
        Ok(Self {
            schema: Arc::new(schema),
            properties: Arc::new(properties),
            writer: None,
            columns: gathering,
            gathered: 0,
            row_group_bytes,
            chunks: 0,
        })
    }

    /// Another file of the same columns.
    pub(super) fn another(&self) -> Self {
        Self {
            schema: Arc::clone(&self.schema),
            properties: Arc::clone(&self.properties),
            writer: None,
            columns: self.columns.iter().map(ParquetColumn::another).collect(),
            gathered: 0,
            row_group_bytes: self.row_group_bytes,
            chunks: 0,
        }
    }

    /// Bytes of memory, about: room for values grows by doubling.
    pub(super) fn held(&self) -> usize {
        let columns = self.columns.len();
        let writer = if self.writer.is_some() { WRITER_BYTES + self.chunks * CHUNK_BYTES } else { 0 };
        columns * COLUMN_BYTES + self.gathered + self.gathered / 2 + writer
    }

    /// Whether there is no room for what the file's end would say of another row group.
    pub(super) fn is_full(&self) -> bool {
        let chunks = self.chunks + self.columns.len();
        self.chunks > 0 && chunks * CHUNK_BYTES > 2 * self.row_group_bytes
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

    /// Gives up the room that values had which were written.
    pub(super) fn shrink(&mut self) {
        if self.gathered == 0 {
            self.columns = self.columns.iter().map(ParquetColumn::another).collect();
        }
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
        self.writer()?.finish().map_err(|error| broken(&error))?;
        self.take()
    }

    fn write_row_group(&mut self) -> Result<(), EngineError> {
        // What the end says is held until then, beside the values of one row group.
        if self.is_full() {
            return Err(BadFile::new(
                "too_many_row_groups",
                format!(
                    "more than {} columns of row groups would have to be remembered for the Parquet file's end: select \
                     fewer columns, split the file, or give the function more memory, which makes row groups larger",
                    2 * self.row_group_bytes / CHUNK_BYTES
                ),
            )
            .into());
        }
        self.gathered = 0;
        self.chunks += self.columns.len();
        let mut columns = std::mem::take(&mut self.columns);
        let writer = self.writer()?;
        let mut written = || {
            let mut group = writer.next_row_group()?;
            for column in &mut columns {
                let mut writer = group
                    .next_column()?
                    .ok_or_else(|| ParquetError::General("a column is too many".into()))?;
                column.write(&mut writer)?;
                writer.close()?;
            }
            group.close()?;
            writer.flush().map_err(|error| ParquetError::External(Box::new(error)))
        };
        written().map_err(|error| broken(&error))?;
        self.columns = columns;
        Ok(())
    }

    /// The writer, which is begun if it is not yet.
    fn writer(&mut self) -> Result<&mut SerializedFileWriter<Vec<u8>>, EngineError> {
        let begun = if let Some(writer) = self.writer.take() {
            writer
        } else {
            let (schema, properties) = (Arc::clone(&self.schema), Arc::clone(&self.properties));
            SerializedFileWriter::new(Vec::new(), schema, properties).map_err(|error| broken(&error))?
        };
        Ok(self.writer.insert(begun))
    }

    fn take(&mut self) -> Result<Bytes, EngineError> {
        let writer = self.writer()?;
        writer.flush().map_err(EngineError::Output)?;
        Ok(std::mem::take(writer.inner_mut()).into())
    }
}

/// Memory takes all that is written to it, and values are of their columns' types.
fn broken(error: &ParquetError) -> EngineError {
    EngineError::Internal(format!("the Parquet file can't be written: {error}"))
}
