//! The output's compression.

use async_compression::tokio::write::GzipEncoder;
use bytes::Bytes;
use tokio::io::AsyncWriteExt as _;

use crate::{Compression, EngineError};

/// Compresses the output as it comes.
pub(crate) enum Deflate {
    None,
    Gzip(Box<GzipEncoder<Vec<u8>>>),
}

impl Deflate {
    pub(crate) fn new(compression: Compression) -> Self {
        match compression {
            Compression::None => Self::None,
            Compression::Gzip => Self::Gzip(Box::new(GzipEncoder::new(Vec::new()))),
        }
    }

    /// Takes plain bytes, returns what can be written of them so far: maybe nothing.
    pub(crate) async fn push(&mut self, plain: Vec<u8>) -> Result<Bytes, EngineError> {
        match self {
            Self::None => Ok(plain.into()),
            Self::Gzip(encoder) => {
                encoder.write_all(&plain).await.map_err(EngineError::Output)?;
                Ok(std::mem::take(encoder.get_mut()).into())
            }
        }
    }

    /// Ends the stream and returns what was still inside.
    pub(crate) async fn finish(self) -> Result<Bytes, EngineError> {
        match self {
            Self::None => Ok(Bytes::new()),
            Self::Gzip(mut encoder) => {
                encoder.shutdown().await.map_err(EngineError::Output)?;
                Ok(encoder.into_inner().into())
            }
        }
    }
}
