//! The input as plain bytes, every gzip member of it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::GzipDecoder;
use bytes::{Buf as _, BufMut as _, Bytes};
use futures::Stream;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio_util::io::StreamReader;

use crate::compression::{SNIFF_BYTES, detect};
use crate::{BadFile, Compression, EngineError};

/// Reads an input of any compression as plain bytes.
pub(crate) struct Inflate<S> {
    state: State<S>,
    pub(crate) compression: Compression,
    /// Gzip members begun so far.
    pub(crate) members: u64,
    /// Plain bytes given out so far.
    pub(crate) text_bytes: u64,
}

enum State<S> {
    Plain(Tracked<S>),
    /// Inside a member. Boxed: its window is large.
    Member(Box<GzipDecoder<Tracked<S>>>),
    /// Between members, or for an instant while one becomes the other.
    Between(Option<Tracked<S>>),
    End {
        input_bytes: u64,
    },
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Inflate<S> {
    /// Looks at the first bytes and says what the input is.
    pub(crate) async fn open(input: S) -> Result<Self, EngineError> {
        let mut reader = Tracked::new(input);
        let head = reader.peek(SNIFF_BYTES).await;
        let head = head.map_err(|source| EngineError::Input { byte_offset: 0, source })?;
        let compression = detect(head)?;
        Ok(match compression {
            Compression::None => Self { state: State::Plain(reader), compression, members: 0, text_bytes: 0 },
            Compression::Gzip => {
                Self { state: State::Between(Some(reader)), compression, members: 0, text_bytes: 0 }
            }
        })
    }

    /// Appends up to `want` bytes to `buf`; fewer only at the end, which it then says.
    pub(crate) async fn fill(&mut self, buf: &mut Vec<u8>, want: usize) -> Result<bool, EngineError> {
        let full = buf.len() + want;
        buf.reserve(want);
        while buf.len() < full {
            let missing = full - buf.len();
            let mut room = (&mut *buf).limit(missing);
            match &mut self.state {
                State::Plain(reader) => match reader.read_buf(&mut room).await {
                    Ok(0) => self.state = State::End { input_bytes: reader.consumed },
                    Ok(length) => self.text_bytes += length as u64,
                    Err(error) => return Err(reader.input_error(error)),
                },
                State::Member(decoder) => match decoder.read_buf(&mut room).await {
                    Ok(0) => self.leave_member(),
                    Ok(length) => self.text_bytes += length as u64,
                    Err(error) => return Err(gzip_error(decoder.get_mut(), &error, self.members)),
                },
                State::Between(_) => self.next_member().await?,
                State::End { .. } => return Ok(true),
            }
        }
        Ok(false)
    }

    /// Bytes of the input taken so far.
    pub(crate) fn input_bytes(&self) -> u64 {
        match &self.state {
            State::Plain(reader) => reader.consumed,
            State::Member(decoder) => decoder.get_ref().consumed,
            State::Between(reader) => reader.as_ref().map_or(0, |reader| reader.consumed),
            State::End { input_bytes } => *input_bytes,
        }
    }

    fn leave_member(&mut self) {
        if let State::Member(decoder) = std::mem::replace(&mut self.state, State::Between(None)) {
            self.state = State::Between(Some(decoder.into_inner()));
        }
    }

    /// Finds out what stands behind a member: the end, padding, the next member, or what can't be read.
    async fn next_member(&mut self) -> Result<(), EngineError> {
        let State::Between(reader) = &mut self.state else { return Ok(()) };
        let Some(mut reader) = reader.take() else {
            return Err(EngineError::Internal("a gzip member was left without its input".into()));
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
                Ok((_, _, Some(0x1f))) => {
                    self.members += 1;
                    self.state = State::Member(Box::new(GzipDecoder::new(reader)));
                    return Ok(());
                }
                Ok(_) => {
                    return Err(BadFile::new(
                        "trailing_garbage",
                        format!(
                            "bytes that are not gzip follow after gzip member {}: remove them",
                            self.members
                        ),
                    )
                    .at_byte(reader.consumed)
                    .into());
                }
            }
        }
    }
}

/// Tells a decoder's complaint from its input's, and names the place.
fn gzip_error<S>(reader: &mut Tracked<S>, error: &io::Error, member: u64) -> EngineError {
    if reader.failed.is_some() {
        return reader.input_error(io::Error::other("the input failed"));
    }
    let at = reader.consumed;
    let bad = if error.kind() == io::ErrorKind::UnexpectedEof {
        BadFile::new(
            "truncated_gzip",
            format!("the file ends inside gzip member {member}: send it again, whole"),
        )
    } else {
        BadFile::new(
            "corrupt_gzip",
            format!("gzip member {member} is damaged at or shortly after this byte ({error}): send it again"),
        )
    };
    bad.at_byte(at).into()
}

/// The input with its place, its first bytes to look at, and its own errors kept apart from a decoder's.
struct Tracked<S> {
    head: Bytes,
    reader: StreamReader<S, Bytes>,
    consumed: u64,
    failed: Option<io::Error>,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Tracked<S> {
    fn new(input: S) -> Self {
        Self { head: Bytes::new(), reader: StreamReader::new(input), consumed: 0, failed: None }
    }

    /// The first bytes, up to `want`, which stay to be read. To be called once, before any read.
    async fn peek(&mut self, want: usize) -> io::Result<&[u8]> {
        let mut head = Vec::new();
        while head.len() < want {
            let chunk = self.reader.fill_buf().await?;
            if chunk.is_empty() {
                break;
            }
            let length = chunk.len().min(want);
            head.extend_from_slice(&chunk[..length]);
            self.reader.consume(length);
        }
        self.head = head.into();
        Ok(&self.head)
    }
}

impl<S> Tracked<S> {
    fn input_error(&mut self, error: io::Error) -> EngineError {
        EngineError::Input { byte_offset: self.consumed, source: self.failed.take().unwrap_or(error) }
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> AsyncBufRead for Tracked<S> {
    fn poll_fill_buf(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        if !this.head.is_empty() {
            return Poll::Ready(Ok(&this.head));
        }
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
        if this.head.is_empty() {
            this.reader.consume(amount);
        } else {
            this.head.advance(amount);
        }
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
