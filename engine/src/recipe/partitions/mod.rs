//! Clean rows by the values of some columns: an object for each, or several.
//!
//! Rows gather partition by partition, in as much memory as [`PartitionLimits`] allow for all of them together. Where that
//! is used up, the partition that has waited longest among those with at least an average share is handed on: as a piece of
//! its object, if it is large enough for one, else its object ends there and its next row begins another. So few
//! partitions are an object each, whatever the order of the rows; of very many, objects become small rather than memory
//! large. Where pieces end depends on the rows and the limits alone, never on the time: the same file gives the same bytes.

mod gathered;
mod path;

use std::collections::{BTreeSet, HashMap};
use std::mem;
use std::sync::Arc;

use bytes::Bytes;

use self::gathered::Gathered;
pub(super) use self::path::{append_name, append_value};
use super::parquet::ParquetFile;
use crate::encode::Codec;
use crate::{BadFile, Compression, EngineError};

/// How much of a partitioned output is held, and how much there may be of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionLimits {
    /// Bytes held of all partitions together. Decides where objects end.
    pub held_bytes: usize,
    /// Bytes of a piece of an object, about.
    pub piece_bytes: usize,
    /// The fewest bytes of a piece, but for an object's last one.
    pub least_piece_bytes: usize,
    /// Pieces of an object.
    pub max_pieces: u32,
    /// Bytes of a path, such as `country=DE/year=2026`.
    pub max_path_bytes: usize,
    /// Bytes of a part of it, such as `country=DE`: where they become folders' names, those have their limit.
    pub max_name_bytes: usize,
    /// The most bytes of a list of all objects, each of which takes those of its path and `listed_bytes` more.
    pub max_list_bytes: usize,
    /// What an object takes in that list beside its path.
    pub listed_bytes: usize,
}

impl Default for PartitionLimits {
    fn default() -> Self {
        Self {
            held_bytes: 256 * 1024 * 1024,
            piece_bytes: 8 * 1024 * 1024,
            least_piece_bytes: 5 * 1024 * 1024,
            max_pieces: 5000,
            max_path_bytes: 800,
            max_name_bytes: usize::MAX,
            max_list_bytes: 2 * 1024 * 1024,
            listed_bytes: 200,
        }
    }
}

/// The next bytes of one of a partitioned output's objects.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The object: they are counted from 0, in the order of their first pieces.
    pub object: u32,
    /// Its partition: `country=DE/year=2026`.
    pub path: Arc<str>,
    /// Which of its partition's objects it is, from 0.
    pub sequence: u32,
    /// How its bytes are compressed.
    pub compression: Compression,
    /// The bytes, at least [`PartitionLimits::least_piece_bytes`] unless they are the last.
    pub chunks: Vec<Bytes>,
    /// Whether the object ends with them.
    pub is_last: bool,
}

impl Piece {
    /// Its bytes.
    pub fn length(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }
}

/// What is held of a partition beside its rows: its place in the tables, its path, its name in them. An estimate on the
/// high side.
const PARTITION_BYTES: usize = 1024;

/// All partitions of a file.
pub(super) struct Partitions {
    limits: PartitionLimits,
    form: Form,
    places: HashMap<Arc<str>, usize>,
    all: Vec<Partition>,
    /// Which of them hold rows.
    open: BTreeSet<usize>,
    held: usize,
    rows: u64,
    objects: u32,
    list_bytes: usize,
}

/// How rows are written.
enum Form {
    Text { header: Vec<u8>, compression: Compression, codec: Option<Codec> },
    Parquet(Box<ParquetFile>),
}

/// A partition.
struct Partition {
    path: Arc<str>,
    /// Which of its objects is next or under way.
    sequence: u32,
    /// The object of which a piece was handed on already, and how many were.
    under_way: Option<(u32, u32)>,
    /// Its object's rows that were not handed on; nothing between objects.
    gathered: Option<Box<Gathered>>,
    /// How many bytes that is.
    held: usize,
    /// When its last row came: the how manieth it was.
    used: u64,
}

impl std::fmt::Debug for Partitions {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Partitions").field("count", &self.all.len()).finish_non_exhaustive()
    }
}

impl Partitions {
    /// Of text that begins with `header` in each object.
    pub(super) fn of_text(
        header: &[u8],
        compression: Compression,
        limits: PartitionLimits,
    ) -> Result<Self, EngineError> {
        let codec = (compression != Compression::None).then(|| Codec::new(compression)).transpose();
        let codec = codec.map_err(EngineError::Output)?;
        Ok(Self::new(Form::Text { header: header.to_owned(), compression, codec }, limits))
    }

    /// Of files like this one.
    pub(super) fn of_parquet(file: ParquetFile, limits: PartitionLimits) -> Self {
        Self::new(Form::Parquet(Box::new(file)), limits)
    }

    fn new(form: Form, limits: PartitionLimits) -> Self {
        Self {
            limits,
            form,
            places: HashMap::new(),
            all: Vec::new(),
            open: BTreeSet::new(),
            held: 0,
            rows: 0,
            objects: 0,
            list_bytes: 0,
        }
    }

    /// Whether there may be a path as long as this one, and names as long as those in it.
    pub(super) fn has_room(&self, path: &str) -> bool {
        let PartitionLimits { max_path_bytes, max_name_bytes, .. } = self.limits;
        path.len() <= max_path_bytes
            && (path.len() <= max_name_bytes || path.split('/').all(|name| name.len() <= max_name_bytes))
    }

    /// The partition of a path, which has room for a row then.
    pub(super) fn place(&mut self, path: &str) -> Result<usize, EngineError> {
        let at = match self.places.get(path) {
            Some(at) => *at,
            None => self.add(path)?,
        };
        self.rows += 1;
        let partition = &mut self.all[at];
        partition.used = self.rows;
        if partition.gathered.is_none() {
            let gathered = match &self.form {
                Form::Text { header, compression, .. } => Gathered::text(header, *compression),
                Form::Parquet(file) => Gathered::parquet(file.another()),
            };
            partition.gathered = Some(Box::new(gathered));
            self.open.insert(at);
        }
        Ok(at)
    }

    fn add(&mut self, path: &str) -> Result<usize, EngineError> {
        let path: Arc<str> = path.into();
        // Each has one object at least.
        let least = (self.all.len() + 1) * self.limits.listed_bytes;
        if least > self.limits.max_list_bytes {
            return Err(self.too_many().into());
        }
        let at = self.all.len();
        self.places.insert(Arc::clone(&path), at);
        self.held += PARTITION_BYTES + path.len();
        let (sequence, under_way, gathered) = (0, None, None);
        self.all.push(Partition { path, sequence, under_way, gathered, held: 0, used: 0 });
        Ok(at)
    }

    /// The file of a partition that was asked for with [`Self::place`], to push a row to.
    pub(super) fn file(&mut self, at: usize) -> Option<&mut ParquetFile> {
        self.all[at].gathered.as_mut()?.file()
    }

    /// Any file: all have the same columns.
    pub(super) fn any_file(&self) -> Option<&ParquetFile> {
        match &self.form {
            Form::Parquet(file) => Some(file),
            Form::Text { .. } => None,
        }
    }

    /// Takes a row of a partition that was asked for with [`Self::place`]: its text, or what was pushed to its file. Appends
    /// what has to be handed on to `out`.
    pub(super) fn take(&mut self, at: usize, row: &[u8], out: &mut Vec<Piece>) -> Result<(), EngineError> {
        let Some(gathered) = &mut self.all[at].gathered else {
            return Err(EngineError::Internal("a row came to a partition that has no room".into()));
        };
        let codec = self.form.codec();
        gathered.take(row, codec)?;
        let is_enough = gathered.packed_bytes() >= self.limits.piece_bytes || gathered.is_full();
        self.weigh(at);
        if is_enough {
            self.hand_on(at, out)?;
        }
        while self.held > self.limits.held_bytes {
            let Some(at) = self.longest_waiting() else { break };
            self.hand_on(at, out)?;
        }
        Ok(())
    }

    /// Ends one of the objects that hold rows, if there are any: all at once would be as much again as is held.
    pub(super) fn finish_one(&mut self, out: &mut Vec<Piece>) -> Result<bool, EngineError> {
        match self.open.pop_first() {
            Some(at) => self.end_object(at, out).map(|()| true),
            None => Ok(false),
        }
    }

    /// Sees how many bytes a partition holds now.
    fn weigh(&mut self, at: usize) {
        let partition = &mut self.all[at];
        let held = partition.gathered.as_ref().map_or(0, |gathered| gathered.held());
        self.held = self.held + held - mem::replace(&mut partition.held, held);
    }

    /// The partition whose last row came first among those that hold at least as much as the average: one that has very
    /// little is left to gather more.
    fn longest_waiting(&self) -> Option<usize> {
        let held: usize = self.open.iter().map(|at| self.all[*at].held).sum();
        let average = held / self.open.len().max(1);
        let large = self.open.iter().copied().filter(|at| self.all[*at].held >= average);
        large.min_by_key(|at| self.all[*at].used)
    }

    /// Hands on what a partition holds: a piece of its object, if it is enough for one, else the object ends.
    fn hand_on(&mut self, at: usize, out: &mut Vec<Piece>) -> Result<(), EngineError> {
        let Partition { gathered: Some(gathered), under_way, .. } = &mut self.all[at] else {
            return Ok(());
        };
        let pieces = under_way.map_or(0, |(_, pieces)| pieces);
        gathered.pack(self.form.codec())?;
        let is_piece = gathered.packed_bytes() >= self.limits.least_piece_bytes
            && pieces + 1 < self.limits.max_pieces
            && !gathered.is_full();
        if is_piece {
            self.piece(at, false, out)?;
            self.weigh(at);
            return Ok(());
        }
        self.open.remove(&at);
        self.end_object(at, out)
    }

    /// Ends the object of a partition that is among the open ones no more.
    fn end_object(&mut self, at: usize, out: &mut Vec<Piece>) -> Result<(), EngineError> {
        let Some(gathered) = &mut self.all[at].gathered else { return Ok(()) };
        gathered.finish(self.form.codec())?;
        self.piece(at, true, out)?;
        self.all[at].gathered = None;
        self.weigh(at);
        Ok(())
    }

    /// Appends what a partition has packed.
    fn piece(&mut self, at: usize, is_last: bool, out: &mut Vec<Piece>) -> Result<(), EngineError> {
        let partition = &mut self.all[at];
        let Some(gathered) = &mut partition.gathered else { return Ok(()) };
        let (object, pieces) = if let Some(under_way) = partition.under_way {
            under_way
        } else {
            self.list_bytes += partition.path.len() + self.limits.listed_bytes;
            if self.list_bytes > self.limits.max_list_bytes {
                return Err(self.too_many().into());
            }
            self.objects += 1;
            (self.objects - 1, 0)
        };
        out.push(Piece {
            object,
            path: Arc::clone(&partition.path),
            sequence: partition.sequence,
            compression: self.form.compression(),
            chunks: gathered.take_packed(),
            is_last,
        });
        partition.under_way = Some((object, pieces + 1));
        if is_last {
            partition.under_way = None;
            partition.sequence += 1;
        }
        Ok(())
    }

    fn too_many(&self) -> BadFile {
        let message = format!(
            "the rows of {} partitions become more objects than a receipt can list, after {} of them: partition by columns \
             with fewer values, sort the file by them, or give the function more memory, which makes objects larger",
            self.all.len(),
            self.objects
        );
        BadFile::new("too_many_objects", message)
    }
}

impl Form {
    fn compression(&self) -> Compression {
        match self {
            Self::Text { compression, .. } => *compression,
            Self::Parquet(_) => Compression::None,
        }
    }

    fn codec(&mut self) -> Option<&mut Codec> {
        match self {
            Self::Text { codec, .. } => codec.as_mut(),
            Self::Parquet(_) => None,
        }
    }
}
