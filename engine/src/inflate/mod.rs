//! Compressed input as plain bytes: every gzip member of it, every zstd frame, every bzip2 or xz stream, a zip's only
//! file.

mod decoder;
mod tracked;
mod zip;
mod zip_directory;
mod zip_header;

use std::io;
use std::pin::Pin;

use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::Crc;
use futures::Stream;
use tokio::io::{AsyncBufRead as _, AsyncBufReadExt as _};

use decoder::Decoder;
use tracked::Tracked;
use zip::{Entry, Seen};
use zip_header::Sizes;

use crate::run::breathe;
use crate::{BadFile, Compression, EngineError};

/// How much a compressed file may grow into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InflateLimits {
    /// The most bytes of text.
    pub max_text_bytes: u64,
    /// The most bytes of text for each byte of input, once there are 64 MiB of text: a small file harms nobody.
    pub max_ratio: u64,
    /// The largest window that a zstd frame or an xz stream may ask for, as a power of two: the decoder holds it in
    /// memory.
    pub max_window_log: u32,
}

/// So many members are begun before others have a turn: a millisecond or less.
const MEMBERS_AT_A_STRETCH: u64 = 64;

/// Text below this is never taken for a bomb.
const HARMLESS_TEXT_BYTES: u64 = 64 * 1024 * 1024;

impl Default for InflateLimits {
    /// 1 TiB, more than Lambda's longest run can read; 1,000 to one, close to the most that deflate can do and far
    /// beyond any table worth keeping; 8 MiB of window, which RFC 8878 asks every decoder to allow.
    fn default() -> Self {
        Self { max_text_bytes: 1 << 40, max_ratio: 1000, max_window_log: 23 }
    }
}

/// What has been read so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Gzip members or zstd frames begun; 0 for plain input.
    pub members: u64,
    /// Bytes of the input taken.
    pub input_bytes: u64,
    /// Plain bytes given out.
    pub text_bytes: u64,
}

/// Reads a compressed input as plain bytes.
pub(crate) struct Inflate<S> {
    state: State<S>,
    compression: Compression,
    limits: InflateLimits,
    block: BytesMut,
    block_bytes: usize,
    members: u64,
    /// Where the member begins that is being read.
    member_start: u64,
    text_bytes: u64,
    /// The file in a zip that is being read, and what it has been so far.
    entry: Option<(Entry, Crc)>,
}

enum State<S> {
    /// Inside a member. Boxed: its window is large.
    Member(Box<Decoder<S>>),
    /// Between members, or for an instant while one becomes the other.
    Between(Option<Tracked<S>>),
    End {
        input_bytes: u64,
    },
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Inflate<S> {
    /// Reads what [`detect`](crate::compression::detect) found to be compressed, in blocks of `block_bytes`.
    pub(crate) fn new(input: S, compression: Compression, limits: InflateLimits, block_bytes: usize) -> Self {
        Self {
            state: State::Between(Some(Tracked::new(input))),
            compression,
            limits,
            block: BytesMut::new(),
            block_bytes,
            members: 0,
            member_start: 0,
            text_bytes: 0,
            entry: None,
        }
    }

    /// The next block of plain bytes: whole but for the last; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        self.block.reserve(self.block_bytes);
        while self.block.len() < self.block_bytes {
            match &mut self.state {
                State::Member(decoder) => {
                    let missing = self.block_bytes - self.block.len();
                    let start = self.block.len();
                    let mut room = (&mut self.block).limit(missing);
                    match decoder.read(&mut room).await {
                        Ok(0) => self.leave_member().await?,
                        Ok(length) => {
                            self.text_bytes += length as u64;
                            if let Some((_, crc)) = &mut self.entry {
                                crc.update(&self.block[start..]);
                            }
                            self.check_limits()?;
                        }
                        Err(error) => return Err(self.decoder_error(error)),
                    }
                }
                State::Between(_) => self.next_member().await?,
                State::End { .. } => break,
            }
        }
        let block = self.block.split().freeze();
        Ok((!block.is_empty()).then_some(block))
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress { members: self.members, input_bytes: self.input_bytes(), text_bytes: self.text_bytes }
    }

    fn input_bytes(&self) -> u64 {
        match &self.state {
            State::Member(decoder) => decoder.input().consumed,
            State::Between(reader) => reader.as_ref().map_or(0, |reader| reader.consumed),
            State::End { input_bytes } => *input_bytes,
        }
    }

    /// Stops a decompression bomb before it costs much.
    fn check_limits(&self) -> Result<(), BadFile> {
        let InflateLimits { max_text_bytes, max_ratio, .. } = self.limits;
        let input_bytes = self.input_bytes().max(1);
        if self.text_bytes > max_text_bytes {
            return Err(BadFile::new(
                "decompressed_too_large",
                format!(
                    "the file decompresses to more than {max_text_bytes} bytes, the most allowed: \
                     raise MAX_DECOMPRESSED_BYTES (--max-decompressed) if it is genuine, or split it"
                ),
            )
            .at_byte(input_bytes));
        }
        if self.text_bytes > HARMLESS_TEXT_BYTES && self.text_bytes / input_bytes > max_ratio {
            return Err(BadFile::new(
                "decompression_bomb",
                format!(
                    "the file decompresses to more than {max_ratio} times its size, the most allowed: \
                     raise MAX_COMPRESSION_RATIO (--max-ratio) if it is genuine"
                ),
            )
            .at_byte(input_bytes));
        }
        Ok(())
    }

    async fn leave_member(&mut self) -> Result<(), EngineError> {
        let State::Member(decoder) = std::mem::replace(&mut self.state, State::Between(None)) else {
            return Ok(());
        };
        let mut reader = decoder.into_input();
        if let Some((entry, crc)) = self.entry.take() {
            let packed = reader.consumed - self.member_start;
            let seen = Seen { sizes: Sizes { packed, size: self.text_bytes }, crc: crc.sum() };
            zip::finish(&mut reader, entry, seen).await?;
            self.state = State::End { input_bytes: reader.consumed };
            return Ok(());
        }
        self.state = State::Between(Some(reader));
        Ok(())
    }

    /// Finds out what stands behind a member: the end, padding, the next member, or what can't be read.
    async fn next_member(&mut self) -> Result<(), EngineError> {
        let State::Between(reader) = &mut self.state else { return Ok(()) };
        let Some(mut reader) = reader.take() else {
            return Err(EngineError::Internal("a compressed member was left without its input".into()));
        };
        if self.compression == Compression::Zip {
            let entry = zip::open(&mut reader).await?;
            self.members = 1;
            self.member_start = reader.consumed;
            self.state = State::Member(Box::new(Decoder::of_entry(reader, &entry)));
            self.entry = Some((entry, Crc::new()));
            return Ok(());
        }
        loop {
            let buffered = reader.fill_buf().await.map(|bytes| {
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                (bytes.is_empty(), zeros, bytes.get(zeros).copied())
            });
            match buffered {
                Err(error) => return Err(reader.input_error(error)),
                Ok((true, _, _)) => {
                    self.state = State::End { input_bytes: reader.consumed };
                    return Ok(());
                }
                // Tapes and some tools pad with zeros.
                Ok((_, zeros, _)) if zeros > 0 && self.members > 0 => Pin::new(&mut reader).consume(zeros),
                Ok((_, _, Some(first))) if begins_member(self.compression, first) => {
                    self.members += 1;
                    self.member_start = reader.consumed;
                    // Members may be many and hold nothing: then no block is ever handed on.
                    if self.members.is_multiple_of(MEMBERS_AT_A_STRETCH) {
                        breathe().await;
                    }
                    self.state = State::Member(Box::new(Decoder::new(reader, self.compression, self.limits)));
                    return Ok(());
                }
                Ok(_) => {
                    let (name, member) = (self.compression.name(), self.members);
                    return Err(BadFile::new(
                        "trailing_garbage",
                        format!("bytes that are not {name} follow after {name} member {member}: remove them"),
                    )
                    .at_byte(reader.consumed)
                    .into());
                }
            }
        }
    }

    /// Tells a decoder's complaint from its input's, and names the place.
    fn decoder_error(&mut self, error: io::Error) -> EngineError {
        let State::Member(decoder) = std::mem::replace(&mut self.state, State::Between(None)) else {
            return EngineError::Internal(error.to_string());
        };
        let (mut reader, name) = (decoder.into_input(), self.compression.member());
        let (member, start) = (self.members, self.member_start);
        if reader.failed.is_some() {
            return reader.input_error(error);
        }
        let (truncated, corrupt, too_large) = codes(self.compression);
        let bad = if error.kind() == io::ErrorKind::UnexpectedEof {
            BadFile::new(truncated, format!("the file ends inside {name} {member}: send it again, whole"))
        } else if decoder::asks_for_memory(&error) {
            let most = (1u64 << self.limits.max_window_log) >> 20;
            BadFile::new(
                too_large,
                format!(
                    "{name} {member} asks for a window of more than {most} MiB: compress it at a lower level \
                     (zstd below 20 and without --long, xz at 6 or below), or give the function 4096 MiB or more"
                ),
            )
        } else {
            BadFile::new(
                corrupt,
                format!(
                    "{name} {member}, which begins at byte {start}, is damaged; that shows near this byte \
                     ({error}): send it again"
                ),
            )
        };
        bad.at_byte(reader.consumed).into()
    }
}

/// Whether a member can begin with this byte. The decoder looks at the rest.
fn begins_member(compression: Compression, first: u8) -> bool {
    match compression {
        // A frame, or one that is to be skipped, as some tools append for an index.
        Compression::Zstd => first == 0x28 || (0x50..=0x5f).contains(&first),
        Compression::Bzip2 => first == b'B',
        Compression::Xz => first == 0xfd,
        _ => first == 0x1f,
    }
}

/// What a file is told to be that ends too early, is damaged, or asks for too much memory.
fn codes(compression: Compression) -> (&'static str, &'static str, &'static str) {
    match compression {
        Compression::Zstd => ("truncated_zstd", "corrupt_zstd", "zstd_window_too_large"),
        Compression::Bzip2 => ("truncated_bzip2", "corrupt_bzip2", "corrupt_bzip2"),
        Compression::Xz => ("truncated_xz", "corrupt_xz", "xz_window_too_large"),
        Compression::Zip => ("truncated_zip", "corrupt_zip", "corrupt_zip"),
        Compression::None | Compression::Gzip => ("truncated_gzip", "corrupt_gzip", "corrupt_gzip"),
    }
}
