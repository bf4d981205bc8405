//! Objects that are computed from the offset.

use std::sync::Arc;

use bytes::Bytes;

/// An input object, whose bytes can be computed from any offset.
pub trait Input: Send + Sync + 'static {
    /// Bytes of the object.
    fn size(&self) -> u64;

    /// Some of its bytes from `offset`, at least one and as many as come at no cost; `length` are wanted.
    fn read(&self, offset: u64, length: u64) -> Bytes;
}

impl<T: Input + ?Sized> Input for Arc<T> {
    fn size(&self) -> u64 {
        T::size(self)
    }

    fn read(&self, offset: u64, length: u64) -> Bytes {
        T::read(self, offset, length)
    }
}

/// An input object: a head, then a body over and over.
#[derive(Debug, Clone)]
pub struct Repeated {
    /// What stands first.
    pub head: Bytes,
    /// What follows. Not empty.
    pub body: Bytes,
    /// How often.
    pub times: u64,
}

impl Input for Repeated {
    fn size(&self) -> u64 {
        self.head.len() as u64 + self.body.len() as u64 * self.times
    }

    /// Up to where head or body ends, so that nothing need be copied.
    fn read(&self, offset: u64, _: u64) -> Bytes {
        let head = self.head.len() as u64;
        let (part, at) = if offset < head {
            (&self.head, offset)
        } else {
            (&self.body, (offset - head) % self.body.len() as u64)
        };
        part.slice(usize::try_from(at).unwrap_or(usize::MAX)..)
    }
}
