//! A file or standard input as a stream, read by a thread of its own: reading and parsing use two cores, and a
//! pipe that brings nothing never keeps Ctrl-C waiting.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::Context as _;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};
use futures::{Stream, TryStreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::mpsc;

use crate::terminal::Terminal;

/// Bytes read at once, and the number of such chunks on their way.
const CHUNK_BYTES: usize = 256 * 1024;
const CHUNKS_AHEAD: usize = 4;

/// The input: its chunks, counted and hashed as they pass.
pub(crate) struct Input {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    size: u64,
    crc: Digest,
    bar: ProgressBar,
}

impl Input {
    /// Opens a file, or standard input for `-`, and begins to read.
    pub(crate) fn open(path: &Path, terminal: &Terminal) -> anyhow::Result<Self> {
        let (reader, length): (Box<dyn Read + Send>, _) = if path == Path::new("-") {
            (Box::new(io::stdin()), None)
        } else {
            let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
            let meta = file.metadata().with_context(|| format!("look at {}", path.display()))?;
            anyhow::ensure!(!meta.is_dir(), "{} is a folder, not a file", path.display());
            (Box::new(file), meta.is_file().then_some(meta.len()))
        };
        let (sender, chunks) = mpsc::channel(CHUNKS_AHEAD);
        std::thread::spawn(move || read_all(reader, &sender));
        let bar = match length {
            _ if !terminal.draws() => ProgressBar::hidden(),
            Some(length) => ProgressBar::new(length)
                .with_style(style("{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}")),
            None => ProgressBar::no_length().with_style(style("{spinner} {bytes} {binary_bytes_per_sec}")),
        };
        let bar = if bar.is_hidden() { bar } else { terminal.bars().add(bar) };
        Ok(Self { chunks, size: 0, crc: Digest::new(CrcAlgorithm::Crc64Nvme), bar })
    }

    /// Bytes that have passed.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads what is left, so that it is counted and hashed.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        while self.try_next().await?.is_some() {}
        Ok(())
    }

    /// Bytes that passed, and their checksum, which stands for an `ETag`.
    pub(super) fn finish(self) -> (u64, String) {
        self.bar.finish_and_clear();
        (self.size, format!("{:016x}", self.crc.finalize()))
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn read_all(mut reader: Box<dyn Read + Send>, sender: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let read = match reader.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                chunk.truncate(length);
                // A pipe brings little at a time: such a chunk must not hold a whole buffer.
                if length < CHUNK_BYTES / 2 {
                    chunk.shrink_to_fit();
                }
                Ok(chunk.into())
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => Err(error),
        };
        let failed = read.is_err();
        // Nobody listens any more once the run has failed or was broken off.
        if sender.blocking_send(read).is_err() || failed {
            return;
        }
    }
}

impl Stream for Input {
    type Item = io::Result<Bytes>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let polled = this.chunks.poll_recv(cx);
        if let Poll::Ready(Some(Ok(chunk))) = &polled {
            this.size += chunk.len() as u64;
            this.crc.update(chunk);
            this.bar.inc(chunk.len() as u64);
        }
        polled
    }
}
