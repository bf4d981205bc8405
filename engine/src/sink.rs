//! Where bytes go.

use std::future::Future;
use std::io;

use bytes::Bytes;

use crate::recipe::Piece;

/// Takes a stream of bytes, in order. Whether they become visible is the owner's to say, afterwards.
pub trait Sink: Send {
    /// Takes the next bytes; waits while the sink has all it can hold.
    ///
    /// They may be a slice of the buffer that the input came in: whoever keeps them for long keeps all of it, and
    /// rather copies them.
    fn write(&mut self, chunk: Bytes) -> impl Future<Output = io::Result<()>> + Send;

    /// Takes the next piece of one of a partitioned output's objects, the pieces of each in order. Of a file whose recipe
    /// partitions the output, all of it comes this way; of any other, nothing.
    fn write_piece(&mut self, piece: Piece) -> impl Future<Output = io::Result<()>> + Send {
        drop(piece);
        let what = "the recipe partitions the output, and this is a place for one object alone";
        std::future::ready(Err(io::Error::new(io::ErrorKind::Unsupported, what)))
    }
}

impl Sink for Vec<u8> {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.extend_from_slice(&chunk);
        Ok(())
    }
}
