//! What computed objects, or files, are made of: rows of a shape, compressed or not.

use std::io::{self, Write};

use anyhow::Context as _;
use bytes::Bytes;
use clap::ValueEnum as _;
use clap::builder::PossibleValue;
use common::sim::{Input as _, Repeated};

use crate::shape::Shape;

/// Bytes of text that are computed once and repeated: twice the largest window of a compressor, so that repeating
/// them flatters none, and a decompressor has to hold all of that window.
const BODY_BYTES: u64 = 2 << ZSTD_WINDOW_LOG;

/// 8 MiB: the largest window that RFC 8878 wants every decoder to take.
const ZSTD_WINDOW_LOG: u32 = 23;

/// What to compute. The same for the same arguments, on every machine.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct Kind {
    /// Bytes of text, at least: a number with KiB, MiB, GiB, TiB or KB, MB, GB, TB
    #[arg(long, default_value = "1GiB", value_parser = common::size::parse)]
    pub size: u64,
    /// What the rows look like
    #[arg(long, default_value = "trips")]
    pub shape: Shape,
    /// How the text is compressed
    #[arg(long, default_value = "none")]
    pub compression: Compression,
}

/// How the text is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Compression {
    /// Not at all
    None,
    /// By gzip, level 6
    Gzip,
    /// By zstd, level 3, with a window of 8 MiB
    Zstd,
}

impl Kind {
    /// The same on a command line.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let name = |value: Option<PossibleValue>| value.map(|value| value.get_name().to_owned());
        let shape = name(self.shape.to_possible_value());
        let compression = name(self.compression.to_possible_value());
        let size = Some(self.size.to_string());
        [("--size", size), ("--shape", shape), ("--compression", compression)]
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name}={}", value?)))
            .collect()
    }
}

/// Rows, and the object that holds them.
#[derive(Debug, Clone)]
pub struct Rows {
    /// Rows, without the header.
    pub count: u64,
    /// Bytes of text.
    pub text_bytes: u64,
    /// The object, compressed or not.
    pub object: Repeated,
}

impl Rows {
    /// An object of this kind. Compressed, it is one gzip member or zstd frame for the header, and one for each
    /// repetition.
    pub fn compute(kind: &Kind) -> anyhow::Result<Self> {
        let (text, count) = text(kind);
        let text_bytes = text.size();
        let member = |bytes: &[u8]| {
            let mut encoder = Encoder::new(Vec::new(), kind.compression)?;
            encoder.write_all(bytes).and_then(|()| encoder.finish()).map(Bytes::from)
        };
        let object = match kind.compression {
            Compression::None => text,
            Compression::Gzip | Compression::Zstd => {
                let (head, body) = (member(&text.head), member(&text.body));
                Repeated {
                    head: head.context("compress the header")?,
                    body: body.context("compress the rows")?,
                    times: text.times,
                }
            }
        };
        Ok(Self { count, text_bytes, object })
    }
}

/// Writes a file of this kind. Compressed, it is a single gzip member or zstd frame.
pub fn write(kind: &Kind, output: impl Write) -> io::Result<()> {
    let (text, _) = text(kind);
    let mut encoder = Encoder::new(output, kind.compression)?;
    encoder.write_all(&text.head)?;
    for _ in 0..text.times {
        encoder.write_all(&text.body)?;
    }
    encoder.finish()?.flush()
}

/// The text, and how many rows it has.
fn text(kind: &Kind) -> (Repeated, u64) {
    let mut random = fastrand::Rng::with_seed(1);
    let (mut body, mut rows) = (Vec::new(), 0);
    while rows == 0 || (body.len() as u64) < BODY_BYTES.min(kind.size) {
        body.extend_from_slice(kind.shape.row(&mut random).as_bytes());
        rows += 1;
    }
    let times = kind.size.div_ceil(body.len() as u64).max(1);
    (Repeated { head: kind.shape.header().into(), body: body.into(), times }, rows * times)
}

/// A compressor, or none.
enum Encoder<W: Write> {
    Plain(W),
    Gzip(flate2::write::GzEncoder<W>),
    Zstd(zstd::stream::write::Encoder<'static, W>),
}

impl<W: Write> Encoder<W> {
    fn new(output: W, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::None => Self::Plain(output),
            Compression::Gzip => {
                Self::Gzip(flate2::write::GzEncoder::new(output, flate2::Compression::new(6)))
            }
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(output, 3)?;
                encoder.window_log(ZSTD_WINDOW_LOG)?;
                encoder.long_distance_matching(false)?;
                Self::Zstd(encoder)
            }
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(output) => output.write_all(bytes),
            Self::Gzip(encoder) => encoder.write_all(bytes),
            Self::Zstd(encoder) => encoder.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(output) => Ok(output),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn kind(size: u64, compression: Compression) -> Kind {
        Kind { size, shape: Shape::Trips, compression }
    }

    #[test]
    fn an_object_is_as_large_as_asked_for_and_its_rows_are_counted() {
        for size in [1, 1 << 20, 40 << 20] {
            let rows = Rows::compute(&kind(size, Compression::None)).unwrap();
            assert!((size..size + BODY_BYTES + 1000).contains(&rows.text_bytes));
            let mut file = Vec::new();
            write(&kind(size, Compression::None), &mut file).unwrap();
            assert_eq!(file.len() as u64, rows.object.size());
            assert_eq!(memchr::memchr_iter(b'\n', &file).count() as u64, rows.count + 1);
        }
    }

    #[test]
    fn what_is_compressed_is_the_same_text() {
        let mut plain = Vec::new();
        write(&kind(1 << 20, Compression::None), &mut plain).unwrap();
        for compression in [Compression::Gzip, Compression::Zstd] {
            let object = Rows::compute(&kind(1 << 20, compression)).unwrap().object;
            let mut file = Vec::new();
            write(&kind(1 << 20, compression), &mut file).unwrap();
            for compressed in [&[&object.head[..], &object.body].concat(), &file] {
                assert!(compressed.len() < plain.len() / 2);
                let mut text = Vec::new();
                match compression {
                    Compression::Gzip => {
                        flate2::read::MultiGzDecoder::new(&compressed[..]).read_to_end(&mut text).map(drop)
                    }
                    _ => zstd::stream::copy_decode(&compressed[..], &mut text),
                }
                .unwrap();
                assert!(text == plain, "{compression:?}");
            }
        }
    }

    /// RFC 8878, 3.1.1.1: without a single segment, the byte after magic and descriptor tells the window.
    #[test]
    fn a_zstd_frame_declares_the_largest_window_and_fills_it() {
        let object = Rows::compute(&kind(64 << 20, Compression::Zstd)).unwrap().object;
        let mut file = Vec::new();
        write(&kind(1, Compression::Zstd), &mut file).unwrap();
        for frame in [&object.head[..], &object.body, &file] {
            assert_eq!(frame[..4], [0x28, 0xb5, 0x2f, 0xfd]);
            let single_segment = frame[4] & 0b10_0000 != 0;
            assert!(!single_segment);
            let (exponent, mantissa) = (u32::from(frame[5] >> 3), frame[5] & 0b111);
            assert_eq!((10 + exponent, mantissa), (ZSTD_WINDOW_LOG, 0));
        }
        let text = zstd::stream::decode_all(&object.body[..]).unwrap();
        assert!(text.len() >= 2 << ZSTD_WINDOW_LOG);
        let mut narrow = zstd::stream::read::Decoder::new(&object.body[..]).unwrap();
        narrow.window_log_max(ZSTD_WINDOW_LOG - 1).unwrap();
        assert!(narrow.read_to_end(&mut Vec::new()).is_err());
    }
}
