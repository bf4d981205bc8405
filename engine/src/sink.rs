//! Where bytes go.

use std::future::Future;
use std::io;

use bytes::Bytes;

/// Takes a stream of bytes, in order. Whether they become visible is the owner's to say, afterwards.
pub trait Sink: Send {
    /// Takes the next bytes; waits while the sink has all it can hold.
    ///
    /// They may be a slice of the buffer that the input came in: whoever keeps them for long keeps all of it, and
    /// rather copies them.
    fn write(&mut self, chunk: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}

impl Sink for Vec<u8> {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.extend_from_slice(&chunk);
        Ok(())
    }
}
