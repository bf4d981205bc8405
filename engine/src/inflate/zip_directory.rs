//! What a zip's directory, which stands behind its entries, says of them: no more and no other ones than were read.

use std::io;

use bytes::Bytes;
use futures::Stream;
use tokio::io::AsyncBufReadExt as _;

use super::tracked::Tracked;
use super::zip::{corrupt, read, refused};
use super::zip_header::{Sizes, long, quad, short};
use crate::{BadFile, EngineError};

/// What a record of the directory begins with, what ends the directory, and the same for large zips.
pub(super) const RECORD: &[u8; 4] = b"PK\x01\x02";
const END: &[u8; 4] = b"PK\x05\x06";
const LONG_END: &[u8; 4] = b"PK\x06\x06";
const LOCATOR: &[u8; 4] = b"PK\x06\x07";

/// What is passed over is small and few: more is a file that somebody may miss.
const MAX_PASSED_BYTES: u64 = 1024 * 1024;
const MAX_ENTRIES: usize = 1000;

/// An entry as it was read.
pub(super) struct Listed {
    /// Where its header begins.
    pub(super) offset: u64,
    pub(super) name: Vec<u8>,
    pub(super) method: u16,
    pub(super) crc: u32,
    pub(super) sizes: Sizes,
}

/// All that was read, in order.
#[derive(Default)]
pub(super) struct Contents {
    entries: Vec<Listed>,
    passed_bytes: u64,
}

impl Contents {
    /// Takes the file that is read.
    pub(super) fn add(&mut self, entry: Listed) {
        self.entries.push(entry);
    }

    /// Takes an entry that was passed over.
    pub(super) fn add_passed(&mut self, entry: Listed) -> Result<(), EngineError> {
        self.passed_bytes += entry.name.len() as u64 + entry.sizes.packed.max(entry.sizes.size);
        if self.passed_bytes > MAX_PASSED_BYTES || self.entries.len() == MAX_ENTRIES {
            return Err(refused("with more beside its file than 1,000 entries or 1 MiB"));
        }
        self.add(entry);
        Ok(())
    }

    /// How many bytes may be passed over yet.
    pub(super) fn room(&self) -> u64 {
        MAX_PASSED_BYTES - self.passed_bytes
    }

    /// Reads the directory behind the first four bytes of its first record, and the zip's end.
    pub(super) async fn compare<S>(self, reader: &mut Tracked<S>) -> Result<(), EngineError>
    where
        S: Stream<Item = io::Result<Bytes>> + Unpin,
    {
        let start = reader.consumed - 4;
        let mut left = self.entries;
        let count = left.len() as u64;
        let mut magic = *RECORD;
        while &magic == RECORD {
            let listed = read_record(reader).await?;
            let Ok(at) = left.binary_search_by_key(&listed.offset, |entry| entry.offset) else {
                return Err(differs(reader));
            };
            let entry = left.remove(at);
            if (entry.name, entry.method, entry.crc, entry.sizes)
                != (listed.name, listed.method, listed.crc, listed.sizes)
            {
                return Err(differs(reader));
            }
            read(reader, &mut magic).await?;
        }
        if !left.is_empty() {
            return Err(differs(reader));
        }
        let size = reader.consumed - 4 - start;
        read_end(reader, magic, [count, size, start]).await
    }
}

fn differs<S>(reader: &Tracked<S>) -> EngineError {
    corrupt(reader, "the zip's directory has other entries than the zip")
}

/// A record of the directory, behind its first four bytes.
async fn read_record<S>(reader: &mut Tracked<S>) -> Result<Listed, EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let mut fixed = [0; 42];
    read(reader, &mut fixed).await?;
    let mut name = vec![0; usize::from(short(&fixed, 24))];
    read(reader, &mut name).await?;
    let mut extra = vec![0; usize::from(short(&fixed, 26))];
    read(reader, &mut extra).await?;
    let mut comment = vec![0; usize::from(short(&fixed, 28))];
    read(reader, &mut comment).await?;
    let (sizes, offset) = Sizes::and_offset(long(&fixed, 20), long(&fixed, 16), long(&fixed, 38), &extra);
    Ok(Listed { offset, name, method: short(&fixed, 6), crc: long(&fixed, 12), sizes })
}

/// What ends the zip, and that nothing stands behind it. `facts` are the directory's records, bytes, and place.
async fn read_end<S>(reader: &mut Tracked<S>, mut magic: [u8; 4], facts: [u64; 3]) -> Result<(), EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let is_long = &magic == LONG_END;
    if is_long {
        let place = reader.consumed - 4;
        let mut length = [0; 8];
        read(reader, &mut length).await?;
        let length = usize::try_from(u64::from_le_bytes(length)).unwrap_or(usize::MAX);
        if !(44..=usize::from(u16::MAX)).contains(&length) {
            return Err(corrupt(reader, "the zip's end is damaged"));
        }
        let mut end = vec![0; length];
        read(reader, &mut end).await?;
        let mut locator = [0; 20];
        read(reader, &mut locator).await?;
        if [20, 28, 36].map(|at| quad(&end, at)) != facts
            || !locator.starts_with(LOCATOR)
            || quad(&locator, 8) != place
        {
            return Err(differs(reader));
        }
        read(reader, &mut magic).await?;
    }
    if &magic != END {
        return Err(corrupt(reader, "the zip's end does not follow its directory"));
    }
    let mut end = [0; 18];
    read(reader, &mut end).await?;
    let [count, size, start] = facts;
    let is = |said: u64, all_ones: u64, fact: u64| said == fact || (is_long && said == all_ones);
    if !is(short(&end, 6).into(), u16::MAX.into(), count)
        || !is(long(&end, 8).into(), u32::MAX.into(), size)
        || !is(long(&end, 12).into(), u32::MAX.into(), start)
    {
        return Err(differs(reader));
    }
    let mut comment = vec![0; usize::from(short(&end, 16))];
    read(reader, &mut comment).await?;
    match reader.fill_buf().await {
        Ok([]) => Ok(()),
        Ok(_) => {
            let what = "more bytes follow behind the zip's end: send what they are as a file of its own";
            Err(BadFile::new("trailing_garbage", what).at_byte(reader.consumed).into())
        }
        Err(error) => Err(reader.input_error(error)),
    }
}
