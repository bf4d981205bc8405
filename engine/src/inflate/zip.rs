//! A zip that holds one file, read from front to back: what stands before that file, and behind it.

use std::io;

use bytes::Bytes;
use flate2::Crc;
use futures::Stream;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _};

use super::tracked::Tracked;
use crate::{BadFile, EngineError};

/// What a local file header, a data descriptor and a central directory begin with.
const FILE: &[u8; 4] = b"PK\x03\x04";
const DESCRIPTOR: &[u8; 4] = b"PK\x07\x08";
const DIRECTORY: &[u8; 4] = b"PK\x01\x02";

/// The rest of a local file header.
const HEADER_BYTES: usize = 26;

const ENCRYPTED: u16 = 1;
const SIZES_BEHIND: u16 = 1 << 3;

/// Sizes of 64 bits stand in a field of their own.
const ZIP64: u32 = u32::MAX;

/// More than what nothing at all is compressed to.
const MAX_FOLDER_BYTES: u32 = 64;

/// The file that is read.
pub(super) struct Entry {
    /// Its length if it is not compressed.
    pub(super) stored_bytes: Option<u64>,
    /// Its checksum, unless that stands behind it.
    crc: Option<u32>,
    /// Whether its sizes have 64 bits.
    is_zip64: bool,
}

fn refused(what: &str) -> EngineError {
    let message = format!("the file is a zip {what}: unpack it, or send plain, gzip, zstd, bzip2 or xz");
    BadFile::new("unsupported_format", message).at_byte(0).into()
}

fn corrupt<S>(reader: &Tracked<S>, what: &str) -> EngineError {
    BadFile::new("corrupt_zip", format!("{what}: send it again")).at_byte(reader.consumed).into()
}

/// Reads up to the first byte of the zip's first file. Folders before it are passed over.
pub(super) async fn open<S>(reader: &mut Tracked<S>) -> Result<Entry, EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    loop {
        let mut magic = [0; 4];
        read(reader, &mut magic).await?;
        if &magic != FILE {
            return Err(refused("without a file in it"));
        }
        let mut header = [0; HEADER_BYTES];
        read(reader, &mut header).await?;
        let short = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
        let long =
            |at: usize| u32::from_le_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
        let (flags, method, crc, packed, size) = (short(2), short(4), long(10), long(14), long(18));
        let mut name = vec![0; usize::from(short(22))];
        read(reader, &mut name).await?;
        let mut extra = vec![0; usize::from(short(24))];
        read(reader, &mut extra).await?;
        let behind = flags & SIZES_BEHIND != 0;
        if name.ends_with(b"/") && !behind && size == 0 && packed <= MAX_FOLDER_BYTES {
            // Nothing, but some tools compress it.
            read(reader, &mut vec![0; packed as usize]).await?;
            continue;
        }
        if name == b"[Content_Types].xml" || name == b"mimetype" || name.starts_with(b"xl/") {
            return Err(refused("made by an office program (such as .xlsx)"));
        }
        return match method {
            _ if flags & ENCRYPTED != 0 => Err(refused("with a password")),
            0 if behind || size == ZIP64 => Err(refused("that says how long its file is only at its end")),
            0 | 8 => Ok(Entry {
                stored_bytes: (method == 0).then_some(size.into()),
                crc: (!behind).then_some(crc),
                // Its field is the first that tools write, and only a file of 4 GiB or more needs one.
                is_zip64: packed == ZIP64 || extra.starts_with(b"\x01\0"),
            }),
            _ => Err(refused("compressed by another method than deflate")),
        };
    }
}

/// Checks the file that was read, and that no other follows.
pub(super) async fn finish<S>(reader: &mut Tracked<S>, entry: &Entry, crc: &Crc) -> Result<(), EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    let mut magic = [0; 4];
    read(reader, &mut magic).await?;
    let mut expected = entry.crc;
    if expected.is_none() {
        // The signature of a descriptor may be missing.
        let mut sum = magic;
        if &magic == DESCRIPTOR {
            read(reader, &mut sum).await?;
        }
        let mut sizes = [0; 16];
        read(reader, &mut sizes[..if entry.is_zip64 { 16 } else { 8 }]).await?;
        expected = Some(u32::from_le_bytes(sum));
        read(reader, &mut magic).await?;
    }
    if expected != Some(crc.sum()) {
        return Err(corrupt(reader, "the zip's file is not what its checksum says"));
    }
    match &magic {
        DIRECTORY => {}
        FILE => return Err(refused("with more than one file in it")),
        _ => return Err(corrupt(reader, "the zip's directory does not follow its file")),
    }
    // The directory repeats what is known. What ends it has 22 bytes or more.
    let mut rest = 0;
    loop {
        let length = match reader.fill_buf().await {
            Ok(bytes) => bytes.len(),
            Err(error) => return Err(reader.input_error(error)),
        };
        if length == 0 {
            break;
        }
        rest += length;
        reader.consume(length);
    }
    if rest < 22 { Err(corrupt(reader, "the zip ends inside its directory")) } else { Ok(()) }
}

async fn read<S>(reader: &mut Tracked<S>, into: &mut [u8]) -> Result<(), EngineError>
where
    S: Stream<Item = io::Result<Bytes>> + Unpin,
{
    match reader.read_exact(into).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && reader.failed.is_none() => {
            Err(BadFile::new("truncated_zip", "the file ends inside the zip: send it again, whole")
                .at_byte(reader.consumed)
                .into())
        }
        Err(error) => Err(reader.input_error(error)),
    }
}
