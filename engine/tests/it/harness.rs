//! Runs the engine on bytes in memory.

use std::io::{self, Read as _, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use engine::{BadFile, EngineError, Options, Summary};
use futures::Stream;

pub(crate) struct Ran {
    pub(crate) output: Vec<u8>,
    pub(crate) rejects: Vec<serde_json::Value>,
    pub(crate) summary: Summary,
}

/// Bytes in chunks of the given sizes, over and over; a size of 0 is an empty chunk, and each chunk is `Pending` once.
pub(crate) struct Chunks {
    rest: Bytes,
    sizes: Vec<usize>,
    next: usize,
    ready: bool,
}

impl Chunks {
    pub(crate) fn new(input: &[u8], sizes: &[usize]) -> Self {
        let sizes = if sizes.iter().all(|size| *size == 0) { vec![usize::MAX] } else { sizes.to_vec() };
        Self { rest: Bytes::copy_from_slice(input), sizes, next: 0, ready: false }
    }
}

impl Stream for Chunks {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.ready = !this.ready;
        if this.ready {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if this.rest.is_empty() {
            return Poll::Ready(None);
        }
        let size = this.sizes[this.next % this.sizes.len()].min(this.rest.len());
        this.next += 1;
        Poll::Ready(Some(Ok(this.rest.split_to(size))))
    }
}

pub(crate) fn run_chunked(input: &[u8], sizes: &[usize], options: &Options) -> Result<Ran, EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut output, mut rejects) = (Vec::new(), Vec::new());
    let summary =
        runtime.block_on(engine::run(Chunks::new(input, sizes), &mut output, &mut rejects, options))?;
    Ok(Ran { output, rejects: parsed(&rejects), summary })
}

/// The lines of a rejects file.
pub(crate) fn parsed(rejects: &[u8]) -> Vec<serde_json::Value> {
    let lines = rejects.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

pub(crate) fn run(input: &[u8]) -> Ran {
    run_chunked(input, &[], &Options::default()).unwrap()
}

pub(crate) fn run_bad(input: &[u8]) -> BadFile {
    match run_chunked(input, &[], &Options::default()) {
        Err(EngineError::BadFile(bad)) => bad,
        Err(error) => panic!("another error: {error:?}"),
        Ok(ran) => panic!("processed: {:?}", ran.summary),
    }
}

pub(crate) fn gzip(input: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn gunzip(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(input).read_to_end(&mut out).unwrap();
    out
}

/// With the checksum that zstd's own tool writes.
pub(crate) fn zstd(input: &[u8]) -> Vec<u8> {
    let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
    encoder.include_checksum(true).unwrap();
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn unzstd(input: &[u8]) -> Vec<u8> {
    zstd::decode_all(input).unwrap()
}
