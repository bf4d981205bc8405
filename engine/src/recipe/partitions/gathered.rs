//! What a partition holds of its object: rows that gather, and bytes that are packed to be handed on.

use bytes::{Bytes, BytesMut};

use super::super::parquet::ParquetFile;
use crate::encode::{Codec, Joint, block_bytes};
use crate::{Compression, EngineError};

/// What is kept of packed bytes beside themselves.
const PACKED_BYTES: usize = 64;

/// Room for text at first; it doubles up to a block.
const LEAST_CAPACITY: usize = 1024;

/// Rows of one partition.
pub(super) struct Gathered {
    rows: Rows,
    packed: Vec<Bytes>,
    packed_bytes: usize,
}

enum Rows {
    Text {
        /// Less than a block.
        text: BytesMut,
        block_bytes: usize,
        joint: Joint,
    },
    Parquet(Box<ParquetFile>),
}

impl Gathered {
    /// Of text that begins with `header`.
    pub(super) fn text(header: &[u8], compression: Compression) -> Self {
        let mut text = BytesMut::with_capacity(LEAST_CAPACITY.max(header.len()));
        text.extend_from_slice(header);
        Self::new(Rows::Text { text, block_bytes: block_bytes(compression), joint: Joint::new(compression) })
    }

    pub(super) fn parquet(file: ParquetFile) -> Self {
        Self::new(Rows::Parquet(Box::new(file)))
    }

    fn new(rows: Rows) -> Self {
        Self { rows, packed: Vec::new(), packed_bytes: 0 }
    }

    pub(super) fn file(&mut self) -> Option<&mut ParquetFile> {
        match &mut self.rows {
            Rows::Parquet(file) => Some(file),
            Rows::Text { .. } => None,
        }
    }

    /// Takes a row's text, or what was pushed to the file.
    pub(super) fn take(&mut self, row: &[u8], codec: Option<&mut Codec>) -> Result<(), EngineError> {
        // Before there is more than a block, or the room for it would double once more.
        if matches!(&self.rows, Rows::Text { text, block_bytes, .. } if text.len() + row.len() > *block_bytes)
        {
            self.pack(codec)?;
        }
        let bytes = match &mut self.rows {
            Rows::Text { text, .. } => {
                if text.is_empty() {
                    text.reserve(LEAST_CAPACITY);
                }
                text.extend_from_slice(row);
                None
            }
            Rows::Parquet(file) => file.advance()?,
        };
        self.append(bytes.into_iter());
        Ok(())
    }

    /// Packs the rows that have gathered.
    pub(super) fn pack(&mut self, codec: Option<&mut Codec>) -> Result<(), EngineError> {
        match &mut self.rows {
            Rows::Text { text, .. } if text.is_empty() => {}
            Rows::Text { text, joint, .. } => match codec {
                None => {
                    // All of it: what is split off keeps all of the memory.
                    let block = std::mem::take(text).freeze();
                    self.append([block].into_iter());
                }
                Some(codec) => {
                    let dictionary = joint.dictionary(text);
                    let packed = codec.pack(text, &dictionary).map_err(EngineError::Output)?;
                    joint.add(&packed);
                    let begin = joint.begin();
                    // Its room would be held, too, by partitions whose rows may never come again.
                    *text = BytesMut::new();
                    self.append(begin.into_iter().chain([packed.bytes]));
                }
            },
            Rows::Parquet(file) => {
                let bytes = file.flush()?;
                self.append(bytes.into_iter());
            }
        }
        Ok(())
    }

    /// Packs the rows that have gathered and what ends the object.
    pub(super) fn finish(&mut self, codec: Option<&mut Codec>) -> Result<(), EngineError> {
        self.pack(codec)?;
        let end = match &mut self.rows {
            Rows::Text { joint, .. } => joint.end(),
            Rows::Parquet(file) => Some(file.finish()?),
        };
        self.append(end.into_iter());
        Ok(())
    }

    /// Whether the object has to end, whatever its size.
    pub(super) fn is_full(&self) -> bool {
        match &self.rows {
            Rows::Text { .. } => false,
            Rows::Parquet(file) => file.is_full(),
        }
    }

    /// Bytes that are packed.
    pub(super) fn packed_bytes(&self) -> usize {
        self.packed_bytes
    }

    /// Gives up what is packed.
    pub(super) fn take_packed(&mut self) -> Vec<Bytes> {
        self.packed_bytes = 0;
        std::mem::take(&mut self.packed)
    }

    /// Bytes of memory, as far as they are known to every build of this program: objects end by them.
    pub(super) fn held(&self) -> usize {
        let rows = match &self.rows {
            Rows::Text { text, joint, .. } if text.is_empty() => joint.held(),
            // Its room doubles.
            Rows::Text { text, joint, .. } => {
                text.len().max(LEAST_CAPACITY).next_power_of_two() + joint.held()
            }
            Rows::Parquet(file) => file.held(),
        };
        rows + self.packed_bytes + self.packed.len() * PACKED_BYTES
    }

    fn append(&mut self, bytes: impl Iterator<Item = Bytes>) {
        for bytes in bytes {
            self.packed_bytes += bytes.len();
            self.packed.push(bytes);
        }
    }
}
