//! The input's plain bytes, wherever they come from: as they are, decompressed here, or decompressed on a thread of
//! its own so that two cores work at once.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures::stream::Fuse;
use futures::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use crate::compression::{SNIFF_BYTES, detect};
use crate::inflate::{Inflate, Progress};
use crate::{Compression, EngineError, Options};

/// Chunks of input, and blocks of text, that wait between two threads: enough to even out their speeds.
const WAITING: usize = 4;

/// Reads an input of any compression as blocks of plain bytes.
pub(crate) struct Text<S> {
    source: Source<S>,
    pub(crate) compression: Compression,
}

enum Source<S> {
    Plain(Plain<S>),
    Here(Box<Inflate<Input<S>>>),
    Apart(Apart<S>),
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Text<S> {
    /// Looks at the first bytes and says what the input is.
    pub(crate) async fn open(stream: S, options: &Options) -> Result<Self, EngineError> {
        let mut input = Input { ready: VecDeque::new(), stream: stream.fuse() };
        let head = input.peek(SNIFF_BYTES).await;
        let head = head.map_err(|source| EngineError::Input { byte_offset: 0, source })?;
        let compression = detect(head)?;
        let block_bytes = options.block_bytes.max(1);
        let source = match compression {
            Compression::None => Source::Plain(Plain { input, rest: Bytes::new(), block_bytes, taken: 0 }),
            _ if options.threads > 1 => Source::Apart(Apart::start(input, compression, options)?),
            _ => Source::Here(Box::new(Inflate::new(input, compression, options.inflate, block_bytes))),
        };
        Ok(Self { source, compression })
    }

    /// The next bytes; nothing at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        match &mut self.source {
            Source::Plain(plain) => plain.next().await,
            Source::Here(inflate) => inflate.next().await,
            Source::Apart(apart) => apart.next().await,
        }
    }

    pub(crate) fn progress(&self) -> Progress {
        match &self.source {
            Source::Plain(Plain { taken, .. }) => {
                Progress { members: 0, input_bytes: *taken, text_bytes: *taken }
            }
            Source::Here(inflate) => inflate.progress(),
            Source::Apart(apart) => apart.progress,
        }
    }
}

/// Plain text needs no work: its chunks are handed on as they are, at most a block at a time.
struct Plain<S> {
    input: Input<S>,
    rest: Bytes,
    block_bytes: usize,
    taken: u64,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Plain<S> {
    async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        while self.rest.is_empty() {
            match self.input.next().await {
                None => return Ok(None),
                Some(Ok(chunk)) => self.rest = chunk,
                Some(Err(source)) => return Err(EngineError::Input { byte_offset: self.taken, source }),
            }
        }
        let block = self.rest.split_to(self.block_bytes.min(self.rest.len()));
        self.taken += block.len() as u64;
        Ok(Some(block))
    }
}

/// A thread that decompresses. Its input is fed, whenever its output is waited for, by the task that owns the input.
struct Apart<S> {
    input: Option<Input<S>>,
    chunks: PollSender<io::Result<Bytes>>,
    texts: mpsc::Receiver<Result<Decompressed, EngineError>>,
    progress: Progress,
}

struct Decompressed {
    /// Nothing at the end.
    block: Option<Bytes>,
    progress: Progress,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Apart<S> {
    fn start(input: Input<S>, compression: Compression, options: &Options) -> Result<Self, EngineError> {
        let (chunks, mut received) = mpsc::channel(WAITING);
        let (sender, texts) = mpsc::channel(WAITING);
        let received = futures::stream::poll_fn(move |cx| received.poll_recv(cx));
        let mut inflate = Inflate::new(received, compression, options.inflate, options.block_bytes.max(1));
        let work = move || {
            futures::executor::block_on(async {
                loop {
                    let next = inflate.next().await;
                    let next = next.map(|block| Decompressed { block, progress: inflate.progress() });
                    let last = next.as_ref().map_or(true, |text| text.block.is_none());
                    // Nobody listens any more once the run was given up.
                    if sender.send(next).await.is_err() || last {
                        return;
                    }
                }
            });
        };
        let spawned = std::thread::Builder::new().name("inflate".into()).spawn(work);
        spawned.map_err(|error| EngineError::Internal(format!("start a thread: {error}")))?;
        let progress = Progress { members: 0, input_bytes: 0, text_bytes: 0 };
        Ok(Self { input: Some(input), chunks: PollSender::new(chunks), texts, progress })
    }

    async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        let text = std::future::poll_fn(|cx| {
            self.feed(cx);
            self.texts.poll_recv(cx)
        });
        let died = || EngineError::Internal("the thread that decompresses died".into());
        let text = text.await.ok_or_else(died)??;
        self.progress = text.progress;
        Ok(text.block)
    }

    /// Hands on as many chunks as there are and as the thread has room for.
    fn feed(&mut self, cx: &mut Context<'_>) {
        while let Some(input) = &mut self.input {
            // A thread that has ended has said why: whoever waits for its text hears it.
            let Poll::Ready(Ok(())) = self.chunks.poll_reserve(cx) else { return };
            match input.poll_next_unpin(cx) {
                Poll::Pending => return,
                Poll::Ready(Some(chunk)) => {
                    if chunk.is_err() {
                        self.input = None;
                    }
                    if self.chunks.send_item(chunk).is_err() {
                        return;
                    }
                }
                Poll::Ready(None) => {
                    self.input = None;
                    // The place that was reserved would keep the channel open.
                    self.chunks.close();
                    self.chunks.abort_send();
                }
            }
        }
    }
}

/// The input, from its first byte on also after a look at its first bytes.
pub(crate) struct Input<S> {
    ready: VecDeque<Bytes>,
    stream: Fuse<S>,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Input<S> {
    /// The first bytes, `want` of them or more unless there are fewer. They stay to be read.
    async fn peek(&mut self, want: usize) -> io::Result<&[u8]> {
        let mut head = Bytes::new();
        while head.len() < want {
            let Some(chunk) = self.stream.next().await.transpose()? else { break };
            head = if head.is_empty() {
                chunk
            } else {
                let mut joined = BytesMut::with_capacity(head.len() + chunk.len());
                joined.extend_from_slice(&head);
                joined.extend_from_slice(&chunk);
                joined.freeze()
            };
        }
        self.ready.push_front(head);
        Ok(self.ready.front().map_or(&[], |head| &head[..head.len().min(want)]))
    }
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Stream for Input<S> {
    type Item = io::Result<Bytes>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(chunk) = self.ready.pop_front() {
            return Poll::Ready(Some(Ok(chunk)));
        }
        self.stream.poll_next_unpin(cx)
    }
}
