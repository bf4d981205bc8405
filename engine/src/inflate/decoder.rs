//! What decodes one member, whatever its format.

use std::io;

use async_compression::tokio::bufread::{BzDecoder, DeflateDecoder, GzipDecoder, XzDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use bytes::Bytes;
use futures::Stream;
use tokio::io::{AsyncReadExt as _, Take};

use super::InflateLimits;
use super::tracked::Tracked;
use super::zip::Entry;
use crate::Compression;

/// What an xz decoder needs beside its window.
const XZ_OVERHEAD_BYTES: u64 = 2 * 1024 * 1024;

/// Decodes one member.
pub(super) enum Decoder<S> {
    Gzip(GzipDecoder<Tracked<S>>),
    Zstd(ZstdDecoder<Tracked<S>>),
    Bzip2(BzDecoder<Tracked<S>>),
    Xz(XzDecoder<Tracked<S>>),
    /// A file in a zip, deflated or as it is.
    Deflate(DeflateDecoder<Tracked<S>>),
    Stored(Take<Tracked<S>>),
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Decoder<S> {
    pub(super) fn new(reader: Tracked<S>, compression: Compression, limits: InflateLimits) -> Self {
        match compression {
            Compression::Zstd => {
                let window = DParameter::window_log_max(limits.max_window_log);
                Self::Zstd(ZstdDecoder::with_params(reader, &[window]))
            }
            Compression::Bzip2 => Self::Bzip2(BzDecoder::new(reader)),
            Compression::Xz => {
                let most = (1u64 << limits.max_window_log) + XZ_OVERHEAD_BYTES;
                Self::Xz(XzDecoder::with_mem_limit(reader, most))
            }
            _ => Self::Gzip(GzipDecoder::new(reader)),
        }
    }

    pub(super) fn of_entry(reader: Tracked<S>, entry: &Entry) -> Self {
        match entry.stored_bytes {
            Some(length) => Self::Stored(reader.take(length)),
            None => Self::Deflate(DeflateDecoder::new(reader)),
        }
    }

    pub(super) async fn read(&mut self, room: &mut (impl bytes::BufMut + Send)) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read_buf(room).await,
            Self::Zstd(decoder) => decoder.read_buf(room).await,
            Self::Bzip2(decoder) => decoder.read_buf(room).await,
            Self::Xz(decoder) => decoder.read_buf(room).await,
            Self::Deflate(decoder) => decoder.read_buf(room).await,
            Self::Stored(input) => match input.read_buf(room).await {
                Ok(0) if input.limit() > 0 => Err(io::ErrorKind::UnexpectedEof.into()),
                read => read,
            },
        }
    }

    pub(super) fn input(&self) -> &Tracked<S> {
        match self {
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
            Self::Bzip2(decoder) => decoder.get_ref(),
            Self::Xz(decoder) => decoder.get_ref(),
            Self::Deflate(decoder) => decoder.get_ref(),
            Self::Stored(input) => input.get_ref(),
        }
    }

    pub(super) fn into_input(self) -> Tracked<S> {
        match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.into_inner(),
            Self::Bzip2(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
            Self::Deflate(decoder) => decoder.into_inner(),
            Self::Stored(input) => input.into_inner(),
        }
    }
}

/// Whether a decoder failed because its window is larger than it may be.
pub(super) fn asks_for_memory(error: &io::Error) -> bool {
    let text = error.to_string();
    text.contains("too much memory") || text.to_ascii_lowercase().contains("memory limit")
}
