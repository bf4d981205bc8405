//! The output's compression: blocks whose borders the text alone decides, so that however many threads compress them,
//! the bytes are the same.
//!
//! Gzip is one member: each block is deflated with the end of the one before it as its dictionary, and ends at a
//! byte's border. Zstd is a frame a block, as the format has no such border inside a frame.

use std::collections::VecDeque;
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Bytes, BytesMut};
use flate2::{Compress, Crc, FlushCompress, Status};
use futures::channel::oneshot;
use zstd::bulk::Compressor;

use crate::{Compression, EngineError, Sink};

/// Measured on numbers, dates and words: see `docs/architecture.md`. Beyond 3 a second of CPU costs more than the bytes
/// that it saves.
const GZIP_LEVEL: u32 = 3;

/// Zstd's own default, and for the same reason.
const ZSTD_LEVEL: i32 = 3;

/// Large enough that the borders cost nothing worth naming (0.1 %), small enough that many can be under way.
const GZIP_BLOCK_BYTES: usize = 256 * 1024;

/// A frame knows nothing of the one before it, so it has to be larger to compress as well.
const ZSTD_BLOCK_BYTES: usize = 1024 * 1024;

/// How far back deflate can refer.
const DICTIONARY_BYTES: usize = 32 * 1024;

/// Magic, deflate, no flags, no time, no level, unknown system: nothing that would differ between two runs.
const GZIP_HEADER: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";

/// The last block of a deflate stream, with nothing in it.
const DEFLATE_END: &[u8] = b"\x03\0";

/// Takes clean text, hands on the output's bytes, and counts them.
pub(crate) struct Encoder {
    pub(crate) compression: Compression,
    /// Blocks compressed at once.
    threads: usize,
    block: BytesMut,
    joint: Joint,
    packer: Packer,
    pending: VecDeque<oneshot::Receiver<io::Result<Packed>>>,
    pub(crate) output_bytes: u64,
}

/// What holds the blocks of one stream together.
pub(crate) struct Joint {
    compression: Compression,
    /// The end of the block before.
    dictionary: Bytes,
    crc: Crc,
    begun: bool,
}

impl Joint {
    pub(crate) fn new(compression: Compression) -> Self {
        Self { compression, dictionary: Bytes::new(), crc: Crc::new(), begun: false }
    }

    /// What the next block, `block`, is compressed with: the end of the one before it.
    pub(crate) fn dictionary(&mut self, block: &[u8]) -> Bytes {
        if self.compression != Compression::Gzip {
            return Bytes::new();
        }
        // A copy: the block itself is eight times as large.
        let end = Bytes::copy_from_slice(&block[block.len().saturating_sub(DICTIONARY_BYTES)..]);
        std::mem::replace(&mut self.dictionary, end)
    }

    /// What stands before the first block; nothing before another.
    pub(crate) fn begin(&mut self) -> Option<Bytes> {
        let is_first = !std::mem::replace(&mut self.begun, true);
        (is_first && self.compression == Compression::Gzip).then(|| Bytes::from_static(GZIP_HEADER))
    }

    /// Takes the next block's checksum.
    pub(crate) fn add(&mut self, packed: &Packed) {
        self.crc.combine(&packed.crc);
    }

    /// What stands behind the last block.
    pub(crate) fn end(&self) -> Option<Bytes> {
        let (sum, amount) = (self.crc.sum().to_le_bytes(), self.crc.amount().to_le_bytes());
        (self.compression == Compression::Gzip).then(|| [DEFLATE_END, &sum, &amount].concat().into())
    }

    /// Bytes that it holds.
    pub(crate) fn held(&self) -> usize {
        self.dictionary.len()
    }
}

/// Bytes of text in a block.
pub(crate) fn block_bytes(compression: Compression) -> usize {
    match compression {
        Compression::Zstd => ZSTD_BLOCK_BYTES,
        _ => GZIP_BLOCK_BYTES,
    }
}

/// What compresses blocks: nothing has been needed yet, this thread, or others.
enum Packer {
    Idle,
    Here(Box<Codec>),
    Apart(SyncSender<Job>),
}

impl Encoder {
    pub(crate) fn new(compression: Compression, threads: usize) -> Self {
        Self {
            compression,
            threads: threads.max(1),
            block: BytesMut::new(),
            joint: Joint::new(compression),
            packer: Packer::Idle,
            pending: VecDeque::new(),
            output_bytes: 0,
        }
    }

    /// Takes the next clean text.
    pub(crate) async fn push(&mut self, text: Bytes, sink: &mut impl Sink) -> Result<(), EngineError> {
        if self.compression == Compression::None {
            return self.send(text, sink).await;
        }
        let block_bytes = block_bytes(self.compression);
        let mut text = &text[..];
        while !text.is_empty() {
            self.block.reserve(block_bytes - self.block.len());
            let (taken, rest) = text.split_at(text.len().min(block_bytes - self.block.len()));
            self.block.extend_from_slice(taken);
            text = rest;
            if self.block.len() == block_bytes {
                self.pack_block(sink).await?;
            }
        }
        Ok(())
    }

    /// Ends the stream.
    pub(crate) async fn finish(&mut self, sink: &mut impl Sink) -> Result<(), EngineError> {
        match self.compression {
            Compression::None => return Ok(()),
            // An empty file is one empty frame: nothing at all would be no zstd file.
            Compression::Zstd if self.block.is_empty() && self.joint.begun => {}
            Compression::Gzip if self.block.is_empty() => {}
            _ => self.pack_block(sink).await?,
        }
        while !self.pending.is_empty() {
            self.settle_one(sink).await?;
        }
        self.begin(sink).await?;
        match self.joint.end() {
            Some(end) => self.send(end, sink).await,
            None => Ok(()),
        }
    }

    /// Compresses the block that has gathered: at once, or later on another thread.
    async fn pack_block(&mut self, sink: &mut impl Sink) -> Result<(), EngineError> {
        let block = self.block.split().freeze();
        let dictionary = self.joint.dictionary(&block);
        self.begin(sink).await?;
        if matches!(self.packer, Packer::Idle) {
            self.packer = self.start().map_err(EngineError::Output)?;
        }
        match &mut self.packer {
            Packer::Idle => Ok(()),
            Packer::Here(codec) => {
                let packed = codec.pack(&block, &dictionary).map_err(EngineError::Output)?;
                self.take(packed, sink).await
            }
            Packer::Apart(jobs) => {
                let (reply, packed) = oneshot::channel();
                // The channel holds as many jobs as may be pending, so this never waits.
                let job = Job { block, dictionary, reply };
                jobs.send(job)
                    .map_err(|_dead| EngineError::Internal("the compressing threads died".into()))?;
                self.pending.push_back(packed);
                while self.pending.len() >= 2 * self.threads {
                    self.settle_one(sink).await?;
                }
                Ok(())
            }
        }
    }

    fn start(&self) -> io::Result<Packer> {
        if self.threads == 1 {
            return Ok(Packer::Here(Box::new(Codec::new(self.compression)?)));
        }
        let (jobs, received) = sync_channel(2 * self.threads);
        let received = Arc::new(Mutex::new(received));
        for _ in 0..self.threads {
            let (mut codec, received) = (Codec::new(self.compression)?, Arc::clone(&received));
            std::thread::Builder::new().name("deflate".into()).spawn(move || work(&mut codec, &received))?;
        }
        Ok(Packer::Apart(jobs))
    }

    /// Waits for the oldest block.
    async fn settle_one(&mut self, sink: &mut impl Sink) -> Result<(), EngineError> {
        let Some(packed) = self.pending.pop_front() else { return Ok(()) };
        let packed =
            packed.await.map_err(|_dead| EngineError::Internal("a compressing thread died".into()))?;
        self.take(packed.map_err(EngineError::Output)?, sink).await
    }

    async fn take(&mut self, packed: Packed, sink: &mut impl Sink) -> Result<(), EngineError> {
        self.joint.add(&packed);
        self.send(packed.bytes, sink).await
    }

    /// Sends what stands before the first block.
    async fn begin(&mut self, sink: &mut impl Sink) -> Result<(), EngineError> {
        match self.joint.begin() {
            Some(header) => self.send(header, sink).await,
            None => Ok(()),
        }
    }

    async fn send(&mut self, bytes: Bytes, sink: &mut impl Sink) -> Result<(), EngineError> {
        self.output_bytes += bytes.len() as u64;
        sink.write(bytes).await.map_err(EngineError::Output)
    }
}

struct Job {
    block: Bytes,
    dictionary: Bytes,
    reply: oneshot::Sender<io::Result<Packed>>,
}

/// A compressed block, and the checksum of its text.
pub(crate) struct Packed {
    pub(crate) bytes: Bytes,
    crc: Crc,
}

/// Compresses blocks until the encoder is dropped.
fn work(codec: &mut Codec, jobs: &Mutex<Receiver<Job>>) {
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { block, dictionary, reply }) = job else { return };
        let packed = codec.pack(&block, &dictionary);
        // Nobody waits any more once the run was given up.
        if reply.send(packed).is_err() {
            return;
        }
    }
}

/// Compresses one block after another, of whatever streams.
pub(crate) enum Codec {
    Gzip { room: Vec<u8> },
    Zstd { compressor: Compressor<'static>, room: Vec<u8> },
}

impl Codec {
    pub(crate) fn new(compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Zstd => {
                let mut compressor = Compressor::new(ZSTD_LEVEL)?;
                compressor.include_checksum(true)?;
                Self::Zstd { compressor, room: Vec::new() }
            }
            _ => Self::Gzip {
                // More than a block that can't be compressed needs: stored, it grows by 5 bytes for each 16 KiB.
                room: Vec::with_capacity(GZIP_BLOCK_BYTES + GZIP_BLOCK_BYTES / 256),
            },
        })
    }

    pub(crate) fn pack(&mut self, block: &[u8], dictionary: &[u8]) -> io::Result<Packed> {
        let mut crc = Crc::new();
        let bytes = match self {
            Self::Zstd { compressor, room } => {
                room.clear();
                room.reserve(zstd::zstd_safe::compress_bound(block.len()));
                compressor.compress_to_buffer(block, room)?;
                // As large as it is, not as it might have been.
                Bytes::copy_from_slice(room)
            }
            Self::Gzip { room } => {
                crc.update(block);
                room.clear();
                // A new one each time: after `reset`, zlib-rs 0.6 still lets the blocks before shape its matches.
                let mut deflate = Compress::new(flate2::Compression::new(GZIP_LEVEL), false);
                if !dictionary.is_empty() {
                    deflate.set_dictionary(dictionary)?;
                }
                let status = deflate.compress_vec(block, room, FlushCompress::Sync)?;
                if status != Status::Ok || deflate.total_in() != block.len() as u64 {
                    return Err(io::Error::other("deflate did not take the whole block"));
                }
                Bytes::copy_from_slice(room)
            }
        };
        Ok(Packed { bytes, crc })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    /// Text that is neither random nor dull.
    fn text(bytes: usize) -> Vec<u8> {
        let mut text = Vec::new();
        let mut state = 1u64;
        while text.len() < bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            text.extend_from_slice(format!("{},{:04x},card\n", state >> 44, state >> 48 & 0xff).as_bytes());
        }
        text.truncate(bytes);
        text
    }

    fn encoded(compression: Compression, threads: usize, pieces: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(compression, threads);
        futures::executor::block_on(async {
            for piece in pieces {
                encoder.push(Bytes::copy_from_slice(piece), &mut out).await.unwrap();
            }
            encoder.finish(&mut out).await.unwrap();
        });
        assert_eq!(encoder.output_bytes, out.len() as u64);
        out
    }

    fn decoded(compression: Compression, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        match compression {
            // A reader of one member only: all of the text is in the first.
            Compression::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut text).unwrap(),
            Compression::Zstd => zstd::Decoder::new(bytes).unwrap().read_to_end(&mut text).unwrap(),
            _ => bytes.to_vec().as_slice().read_to_end(&mut text).unwrap(),
        };
        text
    }

    #[test]
    fn neither_threads_nor_pieces_change_a_byte() {
        for compression in [Compression::Gzip, Compression::Zstd, Compression::None] {
            for length in [0, 1, GZIP_BLOCK_BYTES - 1, GZIP_BLOCK_BYTES, ZSTD_BLOCK_BYTES, 2_500_001] {
                let text = text(length);
                let one = encoded(compression, 1, &[&text]);
                assert_eq!(decoded(compression, &one), text, "{compression:?} {length}");
                for threads in [1, 2, 5] {
                    let pieces: Vec<&[u8]> = text.chunks(70_001).collect();
                    assert!(
                        encoded(compression, threads, &pieces) == one,
                        "{compression:?} {length} {threads}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_compressed_fits_its_room() {
        let mut state = 7u64;
        let noise: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .take(3 * GZIP_BLOCK_BYTES)
        .collect();
        assert_eq!(decoded(Compression::Gzip, &encoded(Compression::Gzip, 1, &[&noise])), noise);
    }

    #[test]
    fn the_borders_of_blocks_cost_next_to_nothing() {
        let text = text(8 * GZIP_BLOCK_BYTES);
        let mut whole = Compress::new(flate2::Compression::new(GZIP_LEVEL), false);
        let mut room = Vec::with_capacity(text.len());
        whole.compress_vec(&text, &mut room, FlushCompress::Finish).unwrap();
        let blocks = encoded(Compression::Gzip, 1, &[&text]).len();
        assert!(blocks * 1000 < room.len() * 1005, "{blocks} bytes in blocks, {} as a whole", room.len());
    }
}
