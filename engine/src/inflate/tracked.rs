//! The input with its place, its own errors kept apart from a decoder's.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use tokio::io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, ReadBuf};
use tokio_util::io::StreamReader;

use crate::EngineError;

/// The input with its place, its own errors kept apart from a decoder's.
pub(super) struct Tracked<S> {
    reader: StreamReader<S, Bytes>,
    pub(super) consumed: u64,
    pub(super) failed: Option<io::Error>,
}

impl<S: Stream<Item = io::Result<Bytes>>> Tracked<S> {
    pub(super) fn new(input: S) -> Self {
        Self { reader: StreamReader::new(input), consumed: 0, failed: None }
    }

    pub(super) fn input_error(&mut self, error: io::Error) -> EngineError {
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
