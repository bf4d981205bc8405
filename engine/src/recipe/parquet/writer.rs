//! A Parquet file as it grows: row groups, and the end that tells of them.
//!
//! The crate's `SerializedFileWriter` holds what the end says of row groups as structures until then: 0.8 to 1.1 KB for each
//! column of each, measured with 60.1, and without a bound where a column's greatest text can't be cut short. Here they are
//! held as the bytes that they are in the file, a seventh of that, and counted. The crate encodes them; they are
//! cut out of what it writes, which is checked to be what Thrift's compact protocol and `parquet.thrift` have there.

use std::io::{self, Write as _};
use std::iter::zip;

use ::parquet::errors::ParquetError;
use ::parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData};
use ::parquet::file::properties::WriterPropertiesPtr;
use ::parquet::file::writer::{SerializedRowGroupWriter, TrackedWrite};
use ::parquet::schema::types::SchemaDescPtr;
use bytes::Bytes;

use super::column::ParquetColumn;

const MAGIC: &[u8] = b"PAR1";

/// `FileMetaData`'s field 4, `row_groups`, which comes right behind field 3, the number of rows: a list.
const ROW_GROUPS: u8 = 0x19;

/// The low half of a list's header: of structures. The other half is its length.
const STRUCTURES: u8 = 0x0c;

/// No rows, and an empty list.
const EMPTY: [u8; 3] = [0, ROW_GROUPS, STRUCTURES];

/// What a file takes of which a row group was written: a buffer of 8 KiB, and what belongs to it.
const BEGUN_BYTES: usize = 10 * 1024;

/// Where a file begins and ends. What is written is taken out of it as it comes.
pub(super) struct FileWriter {
    /// Nothing before the first row group: it has a buffer of its own.
    out: Option<TrackedWrite<Vec<u8>>>,
    schema: SchemaDescPtr,
    properties: WriterPropertiesPtr,
    /// What the end says of each row group, one behind the other.
    groups: Vec<u8>,
    /// Where the end has the number of rows, which is before them.
    at: usize,
    count: usize,
    rows: i64,
}

impl std::fmt::Debug for FileWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let held = self.groups.len();
        f.debug_struct("FileWriter").field("count", &self.count).field("held", &held).finish_non_exhaustive()
    }
}

impl FileWriter {
    pub(super) fn new(schema: SchemaDescPtr, properties: WriterPropertiesPtr) -> Self {
        Self { out: None, schema, properties, groups: Vec::new(), at: 0, count: 0, rows: 0 }
    }

    /// Begins another file of the same schema, written alike.
    pub(super) fn another(&self) -> Self {
        Self::new(self.schema.clone(), self.properties.clone())
    }

    /// Bytes of memory, about.
    pub(super) fn held_bytes(&self) -> usize {
        if self.out.is_some() { BEGUN_BYTES + self.groups.len() } else { 0 }
    }

    /// Bytes that the file's end has of row groups, which are held until then.
    pub(super) fn end_bytes(&self) -> usize {
        self.groups.len()
    }

    /// Writes what has gathered in the columns.
    pub(super) fn write(&mut self, columns: &mut [ParquetColumn]) -> Result<(), ParquetError> {
        let ordinal = i32::try_from(self.count).map_err(|error| ParquetError::External(Box::new(error)))?;
        let (schema, properties) = (self.schema.clone(), self.properties.clone());
        let mut group =
            SerializedRowGroupWriter::new(schema, properties, begun(&mut self.out)?, ordinal, None);
        for column in columns {
            let mut writer =
                group.next_column()?.ok_or_else(|| ParquetError::General("a column is too many".into()))?;
            column.write(&mut writer)?;
            writer.close()?;
        }
        let group = group.close()?;
        let rows = group.num_rows();
        let (without, with) = (self.end_of(Vec::new())?, self.end_of(vec![(*group).clone()])?);
        let (at, encoded) = cut(&without, &with, rows).ok_or_else(|| {
            ParquetError::General("the end of a Parquet file is not as `parquet.thrift` has it".into())
        })?;
        self.groups.extend_from_slice(encoded);
        (self.at, self.count, self.rows) = (at, self.count + 1, self.rows + rows);
        Ok(())
    }

    /// Ends the file.
    pub(super) fn finish(&mut self) -> Result<(), ParquetError> {
        let empty = self.end_of(Vec::new())?;
        let (mut counts, mut behind) = (Vec::new(), &empty[self.at..]);
        if self.count > 0 {
            counts = list_of(self.count, self.rows);
            behind = behind.get(EMPTY.len()..).unwrap_or_default();
        }
        let end = [&empty[..self.at], &counts, &self.groups, behind];
        let length = end.iter().map(|piece| piece.len()).sum::<usize>();
        let length = u32::try_from(length).map_err(|error| ParquetError::External(Box::new(error)))?;
        let out = begun(&mut self.out)?;
        for piece in end {
            out.write_all(piece)?;
        }
        out.write_all(&length.to_le_bytes())?;
        out.write_all(MAGIC)?;
        self.groups = Vec::new();
        Ok(())
    }

    /// The bytes since this was last asked for.
    pub(super) fn take(&mut self) -> io::Result<Bytes> {
        let out = begun(&mut self.out)?;
        out.flush()?;
        Ok(std::mem::take(out.inner_mut()).into())
    }

    /// What would be the end of a file with these row groups, without the length and the magic bytes.
    fn end_of(&self, groups: Vec<RowGroupMetaData>) -> Result<Vec<u8>, ParquetError> {
        let (version, creator) = (self.properties.writer_version(), self.properties.created_by().to_owned());
        let file = FileMetaData::new(version.as_num(), 0, Some(creator), None, self.schema.clone(), None);
        let mut end = Vec::new();
        ParquetMetaDataWriter::new(&mut end, &ParquetMetaData::new(file, groups)).finish()?;
        end.truncate(end.len().saturating_sub(size_of::<u32>() + MAGIC.len()));
        Ok(end)
    }
}

/// The file, with what it begins with.
fn begun(out: &mut Option<TrackedWrite<Vec<u8>>>) -> io::Result<&mut TrackedWrite<Vec<u8>>> {
    if let Some(out) = out {
        Ok(out)
    } else {
        let mut begun = TrackedWrite::new(Vec::new());
        begun.write_all(MAGIC)?;
        Ok(out.insert(begun))
    }
}

/// Of the ends of a file without row groups and with one, of so many rows: where they part, which is at the number of rows,
/// and the row group. Nothing if the ends are otherwise.
fn cut<'a>(without: &[u8], with: &'a [u8], rows: i64) -> Option<(usize, &'a [u8])> {
    let at = zip(without, with).position(|(one, other)| one != other)?;
    let behind = without.get(at..)?.strip_prefix(&EMPTY)?;
    let group = with.get(at..)?.strip_prefix(&list_of(1, rows)[..])?.strip_suffix(behind)?;
    Some((at, group))
}

/// The number of rows, and what begins a list of so many row groups.
fn list_of(count: usize, rows: i64) -> Vec<u8> {
    /// A list as long as this has its length behind its header, and this in it.
    const LONG: u8 = 15;
    let mut bytes = Vec::new();
    // Signed numbers go by their distance from zero: 0, -1, 1, -2, …
    varint((rows << 1 ^ rows >> 63).cast_unsigned(), &mut bytes);
    bytes.push(ROW_GROUPS);
    match u8::try_from(count) {
        Ok(short) if short < LONG => bytes.push(short << 4 | STRUCTURES),
        _ => {
            bytes.push(LONG << 4 | STRUCTURES);
            varint(count as u64, &mut bytes);
        }
    }
    bytes
}

/// Seven bits in each byte, the lowest first; the eighth says that more follow.
fn varint(mut number: u64, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(0x80 | number.to_le_bytes()[0]);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ::parquet::basic::Repetition;
    use ::parquet::file::properties::WriterProperties;
    use ::parquet::file::writer::SerializedFileWriter;
    use ::parquet::schema::types::{SchemaDescriptor, Type};

    use super::super::properties;
    use super::*;
    use crate::recipe::file::CompressionWord;
    use crate::recipe::kind::Kind;
    use crate::recipe::value::Value;

    /// A number, and a text.
    fn columns() -> Vec<ParquetColumn> {
        vec![ParquetColumn::new(Some(&Kind::Year)), ParquetColumn::new(None)]
    }

    fn schema(columns: &[ParquetColumn]) -> Arc<Type> {
        let fields = columns.iter().enumerate();
        let fields = fields.map(|(at, column)| Arc::new(column.field(&format!("column {at}")).unwrap()));
        let schema = Type::group_type_builder("rows").with_repetition(Repetition::REQUIRED);
        Arc::new(schema.with_fields(fields.collect()).build().unwrap())
    }

    fn fill(columns: &mut [ParquetColumn], rows: i16, text: &str) {
        for row in 0..rows {
            columns[0].push((row % 3 > 0).then_some((&Value::Year(row), b"")));
            columns[1].push(Some((&Value::Text, format!("{text}{row}").as_bytes())));
        }
    }

    /// A file of row groups of so many rows, and what was held for its end.
    fn ours(properties: &Arc<WriterProperties>, groups: &[i16], text: &str) -> (Vec<u8>, usize) {
        let mut columns = columns();
        let schema = Arc::new(SchemaDescriptor::new(schema(&columns)));
        let mut writer = FileWriter::new(schema, properties.clone());
        let mut file = Vec::new();
        for rows in groups {
            fill(&mut columns, *rows, text);
            writer.write(&mut columns).unwrap();
            file.extend_from_slice(&writer.take().unwrap());
        }
        let held = writer.end_bytes();
        writer.finish().unwrap();
        file.extend_from_slice(&writer.take().unwrap());
        (file, held)
    }

    /// The same by the crate's own writer.
    fn theirs(properties: &Arc<WriterProperties>, groups: &[i16], text: &str) -> Vec<u8> {
        let mut columns = columns();
        let mut writer = SerializedFileWriter::new(Vec::new(), schema(&columns), properties.clone()).unwrap();
        for rows in groups {
            fill(&mut columns, *rows, text);
            let mut group = writer.next_row_group().unwrap();
            for column in &mut columns {
                let mut writer = group.next_column().unwrap().unwrap();
                column.write(&mut writer).unwrap();
                writer.close().unwrap();
            }
            group.close().unwrap();
        }
        writer.into_inner().unwrap()
    }

    #[test]
    fn a_file_is_what_the_crates_own_writer_makes() {
        for compression in [CompressionWord::None, CompressionWord::Snappy, CompressionWord::Zstd] {
            let properties = Arc::new(properties(compression));
            // Numbers of rows and of row groups of one byte and of several.
            for groups in [vec![], vec![1], vec![64], vec![3; 14], vec![9; 15], vec![200; 16], vec![5; 300]] {
                for text in ["", "\u{10ffff}\u{10ffff}\u{10ffff}\u{10ffff}", &"long text ".repeat(30)] {
                    let (ours, _) = ours(&properties, &groups, text);
                    assert!(
                        ours == theirs(&properties, &groups, text),
                        "{} of {:?}",
                        groups.len(),
                        groups.first()
                    );
                }
            }
        }
    }

    #[test]
    fn what_is_held_for_the_end_is_what_the_end_has() {
        let properties = Arc::new(properties(CompressionWord::None));
        let (few, one) = ours(&properties, &[2], "text");
        let (_, many) = ours(&properties, &[2; 100], "text");
        // Places in the file get more digits.
        assert!((100 * one..100 * one + 1000).contains(&many), "{one} {many}");
        // Two columns' statistics, with the group's own.
        assert!((100..300).contains(&one) && one < few.len(), "{one}");
        // Texts are cut to 64 bytes, but one that can't be made greater in fewer.
        let (_, long) = ours(&properties, &[2], &"long".repeat(1000));
        assert!(long < one + 2 * 64, "{long}");
        let (_, greatest) = ours(&properties, &[2], &"\u{10ffff}".repeat(1000));
        assert!((4000..5000).contains(&greatest), "{greatest}");
    }

    #[test]
    fn an_end_that_is_otherwise_is_not_taken() {
        let with = [&[9, 9][..], &list_of(1, 64), &[5, 5, 5], &[7]].concat();
        assert_eq!(cut(&[9, 9, 0, ROW_GROUPS, STRUCTURES, 7], &with, 64), Some((2, &[5, 5, 5][..])));
        for without in [
            &[9, 9, 0, ROW_GROUPS, STRUCTURES, 8][..],
            &[9, 9, 0, 0x29, STRUCTURES, 7],
            &[9, 9, 1, ROW_GROUPS, STRUCTURES, 7],
            &[9, 9],
            &[],
        ] {
            assert_eq!(cut(without, &with, 64), None, "{without:?}");
        }
        assert_eq!(cut(&[9, 9, 0, ROW_GROUPS, STRUCTURES, 7], &with, 65), None);
    }
}
