//! A zip that holds one file, read from front to back: what stands before that file, and behind it.

use std::io;

use bytes::Bytes;
use flate2::Crc;
use futures::Stream;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use super::tracked::Tracked;
use super::zip_directory::{Contents, Listed, RECORD};
use super::zip_header::{HEADER_BYTES, Header, METHOD_DEFLATED, METHOD_STORED, Sizes, long};
use crate::run::breathe;
use crate::{BadFile, EngineError};

/// What a local file header and a data descriptor begin with.
const FILE: &[u8; 4] = b"PK\x03\x04";
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";

/// The file that is read.
pub(super) struct Entry {
    /// Its length if it is not compressed.
    pub(super) stored_bytes: Option<u64>,
    header: Header,
    /// Where its header begins.
    offset: u64,
    /// What stands before it.
    contents: Contents,
}

/// What a file was, once it was read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) sizes: Sizes,
    /// Its checksum.
    pub(super) crc: u32,
}

pub(super) fn refused(what: &str) -> EngineError {
    let message = format!("the file is a zip {what}: unpack it, or send plain, gzip, zstd, bzip2 or xz");
    BadFile::new("unsupported_format", message).at_byte(0).into()
}

pub(super) fn corrupt<S>(reader: &Tracked<S>, what: &str) -> EngineError {
    BadFile::new("corrupt_zip", format!("{what}: send it again")).at_byte(reader.consumed).into()
}

/// Reads up to the first byte of the zip's first file. Folders before it are passed over.
pub(super) async fn open<S>(reader: &mut Tracked<S>) -> Result<Entry, EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let mut magic = [0; 4];
    read(reader, &mut magic).await?;
    let mut contents = Contents::default();
    loop {
        if &magic != FILE {
            return Err(refused("without a file in it"));
        }
        let offset = reader.consumed - 4;
        let header = read_header(reader).await?;
        if header.may_be_passed_over() {
            magic = pass_over(reader, header, offset, &mut contents).await?;
            continue;
        }
        if header.is_of_office() {
            return Err(refused("made by an office program (such as .xlsx)"));
        }
        if header.is_encrypted() {
            return Err(refused("with a password"));
        }
        let stored_bytes = match header.method {
            METHOD_DEFLATED => None,
            METHOD_STORED if header.sizes_are_behind() => {
                return Err(refused("that says how long its file is only at its end"));
            }
            METHOD_STORED => Some(header.sizes.size),
            _ => return Err(refused("compressed by another method than deflate")),
        };
        return Ok(Entry { stored_bytes, header, offset, contents });
    }
}

/// Checks the file that was read, that no other follows, and that the directory says the same.
pub(super) async fn finish<S>(reader: &mut Tracked<S>, entry: Entry, seen: Seen) -> Result<(), EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let Entry { header, offset, mut contents, .. } = entry;
    let mut magic = check(reader, &header, seen).await?;
    contents.add(listed(header, offset, seen));
    while &magic == FILE {
        let offset = reader.consumed - 4;
        let header = read_header(reader).await?;
        if !header.may_be_passed_over() {
            return Err(refused("with more than one file in it"));
        }
        magic = pass_over(reader, header, offset, &mut contents).await?;
    }
    if &magic != RECORD {
        return Err(corrupt(reader, "the zip's directory does not follow its file"));
    }
    contents.compare(reader).await
}

fn listed(header: Header, offset: u64, seen: Seen) -> Listed {
    let Header { name, method, .. } = header;
    Listed { offset, name, method, crc: seen.crc, sizes: seen.sizes }
}

/// Compares what was read with what the zip says of it, before it or behind. Returns what the next entry begins with.
async fn check<S>(reader: &mut Tracked<S>, header: &Header, seen: Seen) -> Result<[u8; 4], EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let mut magic = [0; 4];
    read(reader, &mut magic).await?;
    let crc = if header.sizes_are_behind() {
        // The signature of a descriptor may be missing.
        let mut sum = magic;
        if &magic == DESCRIPTOR {
            read(reader, &mut sum).await?;
        }
        magic = pass_sizes(reader, seen.sizes).await?;
        u32::from_le_bytes(sum)
    } else if header.sizes == seen.sizes {
        header.crc
    } else {
        return Err(corrupt(reader, "the zip's file is not as long as its header says"));
    };
    if crc == seen.crc {
        Ok(magic)
    } else {
        Err(corrupt(reader, "the zip's file is not what its checksum says"))
    }
}

/// Passes over a descriptor's two sizes. They have 32 bits or 64, and nothing that stands before says which: Java
/// writes 64 for a large file, other programs for any. Returns what stands behind them.
async fn pass_sizes<S>(reader: &mut Tracked<S>, seen: Sizes) -> Result<[u8; 4], EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let mut sizes = [0; 8];
    read(reader, &mut sizes).await?;
    let mut magic = [0; 4];
    read(reader, &mut magic).await?;
    let are_long = |size: u64| size > u64::from(u32::MAX);
    let (packed, size) = (u64::from(long(&sizes, 0)), u64::from(long(&sizes, 4)));
    // Both fit where nothing at all was packed: then what follows tells.
    let is_next = &magic == FILE || &magic == RECORD;
    if (packed, size) == (seen.packed, seen.size) && is_next {
        return Ok(magic);
    }
    let mut high = [0; 4];
    read(reader, &mut high).await?;
    let size = u64::from(long(&magic, 0)) | u64::from(long(&high, 0)) << 32;
    if (u64::from_le_bytes(sizes), size) == (seen.packed, seen.size) {
        read(reader, &mut magic).await?;
        return Ok(magic);
    }
    let what = if are_long(seen.size) || are_long(seen.packed) { "64-bit sizes" } else { "sizes" };
    Err(corrupt(reader, &format!("the zip's file is not as long as its {what} say")))
}

/// Passes over an entry that is none of the data: a folder, or what macOS adds. Returns what the next entry begins with.
async fn pass_over<S>(
    reader: &mut Tracked<S>,
    header: Header,
    offset: u64,
    contents: &mut Contents,
) -> Result<[u8; 4], EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    // Entries may be many and hold nothing.
    breathe().await;
    let from = reader.consumed;
    let mut start = Vec::new();
    let (size, crc) = match header.method {
        METHOD_DEFLATED if !header.is_encrypted() => inflate(reader, contents.room(), &mut start).await?,
        METHOD_STORED if !header.sizes_are_behind() && header.sizes.size <= contents.room() => {
            // Bounded above.
            start = vec![0; usize::try_from(header.sizes.size).unwrap_or_default()];
            read(reader, &mut start).await?;
            let mut crc = Crc::new();
            crc.update(&start);
            (header.sizes.size, crc.sum())
        }
        // A folder that is nothing, and says so only behind it.
        METHOD_STORED if header.is_folder() => (0, 0),
        _ => return Err(refused("with more than one file in it")),
    };
    if !header.is_passed_over(&start, size) {
        return Err(refused("with more than one file in it"));
    }
    let seen = Seen { sizes: Sizes { packed: reader.consumed - from, size }, crc };
    let magic = check(reader, &header, seen).await?;
    contents.add_passed(listed(header, offset, seen))?;
    Ok(magic)
}

/// Unpacks what nobody wants, to find its end, but no more than `most` bytes. Returns how many bytes those are and
/// their checksum, and puts the first of them into `start`.
async fn inflate<S>(
    reader: &mut Tracked<S>,
    most: u64,
    start: &mut Vec<u8>,
) -> Result<(u64, u32), EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let (mut inflate, mut crc) = (flate2::Decompress::new(false), Crc::new());
    let mut room = [0; 4096];
    loop {
        let bytes = match reader.fill_buf().await {
            Ok(bytes) => bytes,
            Err(error) => return Err(reader.input_error(error)),
        };
        let (is_end, before, out) = (bytes.is_empty(), inflate.total_in(), inflate.total_out());
        let status = inflate.decompress(bytes, &mut room, flate2::FlushDecompress::None);
        let (Ok(used), Ok(length)) =
            (usize::try_from(inflate.total_in() - before), usize::try_from(inflate.total_out() - out))
        else {
            return Err(corrupt(reader, "an entry of the zip is damaged"));
        };
        crc.update(&room[..length]);
        start.extend_from_slice(&room[..length.min(16_usize.saturating_sub(start.len()))]);
        reader.consume(used);
        match status {
            Ok(flate2::Status::StreamEnd) => {
                return Ok((inflate.total_out(), crc.sum()));
            }
            Ok(_) if inflate.total_out() > most => {
                return Err(refused("with more than one file in it"));
            }
            Ok(_) if is_end => return Err(truncated(reader)),
            Ok(_) => {}
            Err(_damaged) => return Err(corrupt(reader, "an entry of the zip is damaged")),
        }
    }
}

async fn read_header<S>(reader: &mut Tracked<S>) -> Result<Header, EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let mut fixed = [0; HEADER_BYTES];
    read(reader, &mut fixed).await?;
    let (name, extra) = Header::lengths(&fixed);
    let mut name = vec![0; name];
    read(reader, &mut name).await?;
    let mut extra = vec![0; extra];
    read(reader, &mut extra).await?;
    Ok(Header::new(&fixed, name, &extra))
}

fn truncated<S>(reader: &Tracked<S>) -> EngineError {
    BadFile::new("truncated_zip", "the file ends inside the zip: send it again, whole")
        .at_byte(reader.consumed)
        .into()
}

/// Fills `into`.
pub(super) async fn read<S>(reader: &mut Tracked<S>, into: &mut [u8]) -> Result<(), EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    match reader.read_exact(into).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && reader.failed.is_none() => {
            Err(truncated(reader))
        }
        Err(error) => Err(reader.input_error(error)),
    }
}
