//! A text as a file: in pieces that are compressed by themselves, on any number of threads, to the same bytes.

use std::io::{self, Write as _};

use flate2::write::DeflateEncoder;
use flate2::{Compress, Crc, FlushCompress};

use super::spec::Compression;
use super::text::Text;
use crate::parallel::in_order;

/// Text of a piece, at least: what is compressed by itself must be long to be compressed well.
const PIECE_BYTES: usize = 1024 * 1024;

/// What gzip and bgzip take where nothing else is said.
const GZIP_LEVEL: u32 = 6;

/// Zstd's own default.
const ZSTD_LEVEL: i32 = 3;

/// Magic, deflate, no flags, no time, no level, unknown system: nothing that would differ between two runs.
const GZIP_HEADER: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";

/// The last block of a deflate stream, with nothing in it.
const DEFLATE_END: &[u8] = b"\x03\0";

/// Text of a BGZF block, as htslib has it: what can't be compressed still fits 64 KiB.
const BGZF_TEXT_BYTES: usize = 0xff00;

/// A gzip header with an extra field `BC` of two bytes, in which the block's length minus one stands.
const BGZF_HEADER: &[u8] = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0";

/// The empty block that ends a file: `SAMv1`, 4.1.2.
const BGZF_END: &[u8] = b"\x1f\x8b\x08\x04\0\0\0\0\0\xff\x06\0BC\x02\0\x1b\0\x03\0\0\0\0\0\0\0\0\0";

/// A text cut into the pieces of a file.
#[derive(Debug, Clone, Copy)]
struct Pieces<'a> {
    text: &'a Text,
    compression: Compression,
    /// Cycles of each.
    cycles: u64,
}

impl<'a> Pieces<'a> {
    fn new(text: &'a Text, compression: Compression) -> Self {
        Self { text, compression, cycles: PIECE_BYTES.div_ceil(text.cycle.bytes()) as u64 }
    }

    /// How many there are: the header stands in the first, also where there are no rows.
    fn count(&self) -> u64 {
        self.text.cycles().div_ceil(self.cycles).max(1)
    }

    /// Rows up to the end of a piece.
    fn rows_to(&self, piece: u64) -> u64 {
        ((piece + 1) * self.cycles * self.text.cycle.rows() as u64).min(self.text.rows())
    }

    /// A piece, in the empty `out`, and its text's checksum, where the end tells of it. `plain` is for the text.
    fn make(&self, piece: u64, plain: &mut Vec<u8>, mut out: Vec<u8>) -> io::Result<(Vec<u8>, Crc)> {
        let target = if self.compression == Compression::None { &mut out } else { &mut *plain };
        target.clear();
        if piece == 0 {
            target.extend_from_slice(self.text.header());
        }
        let last = ((piece + 1) * self.cycles).min(self.text.cycles());
        (piece * self.cycles..last).for_each(|cycle| self.text.write_cycle(cycle, target));
        let mut crc = Crc::new();
        if self.compression == Compression::Gzip {
            crc.update(plain);
        }
        compress(self.compression, plain, &mut out)?;
        Ok((out, crc))
    }

    /// What stands before the pieces.
    fn begin(&self) -> &'static [u8] {
        if self.compression == Compression::Gzip { GZIP_HEADER } else { b"" }
    }

    /// What stands behind them; `crc` is of all.
    fn end(&self, crc: &Crc) -> Vec<u8> {
        match self.compression {
            Compression::Gzip => {
                [DEFLATE_END, &crc.sum().to_le_bytes(), &crc.amount().to_le_bytes()].concat()
            }
            Compression::Bgzip => BGZF_END.to_vec(),
            Compression::None | Compression::Zstd => Vec::new(),
        }
    }
}

/// Makes a file of a text, and hands it on in order. `take` gets bytes, and how many rows are made; what it gives back is
/// used for bytes to come.
///
/// # Errors
///
/// What `take` met, or the compressor.
pub fn pack(
    text: &Text,
    compression: Compression,
    threads: usize,
    mut take: impl FnMut(Vec<u8>, u64) -> io::Result<Vec<u8>>,
) -> io::Result<()> {
    let pieces = Pieces::new(text, compression);
    take(pieces.begin().to_vec(), 0)?;
    let make = |piece, plain: &mut Vec<u8>, out| pieces.make(piece, plain, out);
    let mut crc = Crc::new();
    in_order(pieces.count(), threads, make, |piece, made: io::Result<(Vec<u8>, Crc)>| {
        let (bytes, of_piece) = made?;
        crc.combine(&of_piece);
        take(bytes, pieces.rows_to(piece))
    })?;
    take(pieces.end(&crc), text.rows()).map(drop)
}

/// Appends `plain`, compressed by itself.
fn compress(compression: Compression, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    match compression {
        Compression::None => Ok(()),
        Compression::Gzip => deflate(plain, out),
        Compression::Zstd => {
            out.extend_from_slice(&zstd::bulk::compress(plain, ZSTD_LEVEL)?);
            Ok(())
        }
        Compression::Bgzip => plain.chunks(BGZF_TEXT_BYTES).try_for_each(|block| bgzf_block(block, out)),
    }
}

/// Appends blocks of a deflate stream that end at a byte's border and refer to nothing before them.
fn deflate(mut plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let mut deflate = Compress::new(flate2::Compression::new(GZIP_LEVEL), false);
    loop {
        out.reserve(plain.len() / 2 + 4096);
        let before = deflate.total_in();
        deflate.compress_vec(plain, out, FlushCompress::Sync)?;
        let taken = usize::try_from(deflate.total_in() - before).unwrap_or_default();
        plain = &plain[taken..];
        // Room that is left says that the flush is complete.
        if plain.is_empty() && out.len() < out.capacity() {
            return Ok(());
        }
    }
}

fn bgzf_block(plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    let begin = out.len();
    out.extend_from_slice(BGZF_HEADER);
    out.extend_from_slice(&[0; 2]);
    let mut encoder = DeflateEncoder::new(&mut *out, flate2::Compression::new(GZIP_LEVEL));
    encoder.write_all(plain)?;
    encoder.finish()?;
    let mut crc = Crc::new();
    crc.update(plain);
    out.extend_from_slice(&crc.sum().to_le_bytes());
    out.extend_from_slice(&crc.amount().to_le_bytes());
    let length = u16::try_from(out.len() - begin - 1).map_err(io::Error::other)?;
    let at = begin + BGZF_HEADER.len();
    out[at..at + 2].copy_from_slice(&length.to_le_bytes());
    Ok(())
}
