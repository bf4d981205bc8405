//! Compressed input as plain bytes: every gzip member of it, every zstd frame.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::Stream;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio_util::io::StreamReader;

use crate::run::breathe;
use crate::{BadFile, Compression, EngineError};

/// How much a compressed file may grow into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InflateLimits {
    /// The most bytes of text.
    pub max_text_bytes: u64,
    /// The most bytes of text for each byte of input, once there are 64 MiB of text: a small file harms nobody.
    pub max_ratio: u64,
    /// The largest window that a zstd frame may ask for, as a power of two: the decoder holds it in memory.
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

enum Decoder<S> {
    Gzip(GzipDecoder<Tracked<S>>),
    Zstd(ZstdDecoder<Tracked<S>>),
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Decoder<S> {
    async fn read(&mut self, room: &mut (impl bytes::BufMut + Send)) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read_buf(room).await,
            Self::Zstd(decoder) => decoder.read_buf(room).await,
        }
    }

    fn input(&self) -> &Tracked<S> {
        match self {
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        }
    }

    fn into_input(self) -> Tracked<S> {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.into_inner(),
        }
    }
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
        }
    }

    /// The next block of plain bytes: whole but for the last; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        self.block.reserve(self.block_bytes);
        while self.block.len() < self.block_bytes {
            match &mut self.state {
                State::Member(decoder) => {
                    let missing = self.block_bytes - self.block.len();
                    let mut room = (&mut self.block).limit(missing);
                    match decoder.read(&mut room).await {
                        Ok(0) => self.leave_member(),
                        Ok(length) => {
                            self.text_bytes += length as u64;
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

    fn leave_member(&mut self) {
        if let State::Member(decoder) = std::mem::replace(&mut self.state, State::Between(None)) {
            self.state = State::Between(Some(decoder.into_input()));
        }
    }

    /// Finds out what stands behind a member: the end, padding, the next member, or what can't be read.
    async fn next_member(&mut self) -> Result<(), EngineError> {
        let State::Between(reader) = &mut self.state else { return Ok(()) };
        let Some(mut reader) = reader.take() else {
            return Err(EngineError::Internal("a compressed member was left without its input".into()));
        };
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
                    self.state = State::Member(Box::new(self.decoder(reader)));
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

    fn decoder(&self, reader: Tracked<S>) -> Decoder<S> {
        match self.compression {
            Compression::Zstd => {
                let window = DParameter::window_log_max(self.limits.max_window_log);
                Decoder::Zstd(ZstdDecoder::with_params(reader, &[window]))
            }
            _ => Decoder::Gzip(GzipDecoder::new(reader)),
        }
    }

    /// Tells a decoder's complaint from its input's, and names the place.
    fn decoder_error(&mut self, error: io::Error) -> EngineError {
        let State::Member(decoder) = std::mem::replace(&mut self.state, State::Between(None)) else {
            return EngineError::Internal(error.to_string());
        };
        let (mut reader, name) = (decoder.into_input(), self.compression.name());
        let (member, start) = (self.members, self.member_start);
        if reader.failed.is_some() {
            return reader.input_error(error);
        }
        let zstd = self.compression == Compression::Zstd;
        let bad = if error.kind() == io::ErrorKind::UnexpectedEof {
            BadFile::new(
                if zstd { "truncated_zstd" } else { "truncated_gzip" },
                format!("the file ends inside {name} member {member}: send it again, whole"),
            )
        } else if zstd && error.to_string().contains("too much memory") {
            let most = (1u64 << self.limits.max_window_log) >> 20;
            BadFile::new(
                "zstd_window_too_large",
                format!(
                    "zstd frame {member} asks for a window of more than {most} MiB: compress it without --long \
                     and below level 20, or give the function 4096 MiB or more"
                ),
            )
        } else {
            BadFile::new(
                if zstd { "corrupt_zstd" } else { "corrupt_gzip" },
                format!(
                    "{name} member {member}, which begins at byte {start}, is damaged; that shows near this byte \
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
        _ => first == 0x1f,
    }
}

/// The input with its place, its own errors kept apart from a decoder's.
struct Tracked<S> {
    reader: StreamReader<S, Bytes>,
    consumed: u64,
    failed: Option<io::Error>,
}

impl<S: Stream<Item = io::Result<Bytes>>> Tracked<S> {
    fn new(input: S) -> Self {
        Self { reader: StreamReader::new(input), consumed: 0, failed: None }
    }

    fn input_error(&mut self, error: io::Error) -> EngineError {
        EngineError::Input { byte_offset: self.consumed, source: self.failed.take().unwrap_or(error) }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> AsyncBufRead for Tracked<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        Poll::Ready(match ready!(Pin::new(&mut this.reader).poll_fill_buf(cx)) {
            Ok(bytes) => Ok(bytes),
            Err(error) => {
                // A decoder may wrap what it is given, or take it for its own: the original waits here.
                let kind = error.kind();
                this.failed = Some(error);
                Err(kind.into())
            }
        })
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        let this = self.get_mut();
        this.consumed += amount as u64;
        this.reader.consume(amount);
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> AsyncRead for Tracked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let available = ready!(self.as_mut().poll_fill_buf(cx))?;
        let length = available.len().min(buf.remaining());
        buf.put_slice(&available[..length]);
        self.consume(length);
        Poll::Ready(Ok(()))
    }
}
