//! Buffers of one size, used again and again, so that memory is flat and the same in every run.
//!
//! What comes from a network comes in pieces of any size, and a piece may keep a much larger block alive: hyper's read
//! buffers grow to some 400 KiB, and one that holds 100 bytes is as large as one that is full. To hold such pieces has
//! no bound that can be stated. So their bytes are copied into buffers from here, and the pieces are dropped at once.
//!
//! A pool does not bound what is taken from it: its users do, by their plans, and state as `warm` how many buffers that
//! comes to. Until that many have been allocated, [`Buffers::take`] allocates a new one, even if another is free. From
//! then on the one that has been free for the longest is taken again, and a new one is allocated only if none is free.
//! So any file that is larger than the plan's bound fills all of its buffers early, and none is added later, however
//! fast or slow each side happens to be: the peak of a file of 32 GiB is that of one of 64 MiB. Were a free buffer
//! always preferred, the peak would be whatever the timing made it, and creep up in a long run.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// Bytes of a buffer for ranges and parts: they are a few buffers each, so what is unused of the last is little.
const PIECE_BUFFER_BYTES: u64 = 1024 * 1024;

/// A pool of buffers. Clones share it.
#[derive(Clone)]
pub struct Buffers {
    pool: Arc<Pool>,
}

struct Pool {
    buffer_bytes: usize,
    warm: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Those that came back, the one that has waited longest first.
    free: VecDeque<Vec<u8>>,
    allocated: usize,
}

impl Pool {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Buffers {
    /// A pool of buffers of `buffer_bytes`, none of them allocated yet. `warm` is how many its users hold at most.
    pub fn new(buffer_bytes: usize, warm: usize) -> Self {
        Self { pool: Arc::new(Pool { buffer_bytes: buffer_bytes.max(1), warm, state: Mutex::default() }) }
    }

    /// A pool for ranges or parts of `each_bytes`, `count` of them in memory at most.
    pub(crate) fn for_pieces(each_bytes: u64, count: usize) -> Self {
        let whole = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        let buffer_bytes = each_bytes.clamp(1, PIECE_BUFFER_BYTES);
        Self::new(whole(buffer_bytes), whole(each_bytes.div_ceil(buffer_bytes)).saturating_mul(count))
    }

    /// An empty buffer: a new one until `warm` have been allocated, then the oldest free one, if there is one.
    pub fn take(&self) -> Buffer {
        let mut state = self.pool.state();
        let reused = if state.allocated < self.pool.warm { None } else { state.free.pop_front() };
        let bytes = reused.unwrap_or_else(|| {
            state.allocated += 1;
            Vec::with_capacity(self.pool.buffer_bytes)
        });
        Buffer { bytes, pool: Arc::downgrade(&self.pool) }
    }

    /// Frees the buffers that nobody holds, where no more will be taken.
    pub fn release(&self) {
        let mut state = self.pool.state();
        state.allocated -= state.free.len();
        state.free = VecDeque::new();
    }

    /// How many buffers there are, taken and free.
    pub fn allocated(&self) -> usize {
        self.pool.state().allocated
    }
}

/// A buffer from a pool, to which it returns when dropped. Where the pool is gone by then, it is freed.
pub struct Buffer {
    bytes: Vec<u8>,
    pool: Weak<Pool>,
}

impl Buffer {
    /// Copies as many of `bytes` as there is room for, and says how many that were.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.remaining());
        self.bytes.extend_from_slice(&bytes[..taken]);
        taken
    }

    /// Bytes that are in it.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes for which there is room.
    pub fn remaining(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
    }

    /// What is in it, to be shared without copying. The buffer returns when the last slice of it is dropped.
    pub fn freeze(self) -> Bytes {
        if self.is_empty() { Bytes::new() } else { Bytes::from_owner(self) }
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade() else { return };
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        pool.state().free.push_back(bytes);
    }
}

/// Bytes of any number, gathered in pooled buffers in the order in which they came.
pub(crate) struct Pieces {
    buffers: Buffers,
    full: Vec<Bytes>,
    open: Option<Buffer>,
    length: u64,
}

impl Pieces {
    pub(crate) fn new(buffers: Buffers) -> Self {
        Self { buffers, full: Vec::new(), open: None, length: 0 }
    }

    /// Bytes gathered.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    pub(crate) fn append(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        while !bytes.is_empty() {
            let mut open = self.open.take().unwrap_or_else(|| self.buffers.take());
            bytes = &bytes[open.append(bytes)..];
            if open.remaining() == 0 {
                self.full.push(open.freeze());
            } else {
                self.open = Some(open);
            }
        }
    }

    /// What was gathered. What is appended afterwards begins a new buffer.
    pub(crate) fn share(&mut self) -> Vec<Bytes> {
        self.full.extend(self.open.take().map(Buffer::freeze));
        self.full.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(buffers: &Buffers, byte: u8) -> Bytes {
        let mut buffer = buffers.take();
        assert_eq!(buffer.append(&[byte; 4]), 4);
        buffer.freeze()
    }

    #[test]
    fn a_buffer_takes_what_fits_and_gives_it_back_unchanged() {
        let mut buffer = Buffers::new(8, 1).take();
        assert_eq!((buffer.len(), buffer.remaining(), buffer.is_empty()), (0, 8, true));
        assert_eq!(buffer.append(b"abcde"), 5);
        assert_eq!(buffer.append(b"fghij"), 3);
        assert_eq!((buffer.len(), buffer.remaining(), buffer.append(b"k")), (8, 0, 0));
        assert_eq!(buffer.freeze(), &b"abcdefgh"[..]);
    }

    #[test]
    fn new_ones_are_allocated_until_the_pool_is_warm_although_others_are_free() {
        let buffers = Buffers::new(4, 3);
        for _ in 0..3 {
            drop(filled(&buffers, 1));
        }
        assert_eq!(buffers.allocated(), 3);
        for _ in 0..100 {
            drop(filled(&buffers, 1));
        }
        assert_eq!(buffers.allocated(), 3);
    }

    #[test]
    fn a_warm_pool_hands_out_the_oldest_free_one_and_adds_one_only_if_none_is_free() {
        let buffers = Buffers::new(4, 2);
        let (first, second) = (filled(&buffers, 1), filled(&buffers, 2));
        let places = [first.as_ptr(), second.as_ptr()];
        drop(second);
        drop(first);
        let (third, fourth) = (filled(&buffers, 3), filled(&buffers, 4));
        assert_eq!([fourth.as_ptr(), third.as_ptr()], places);
        assert_eq!(buffers.allocated(), 2);
        let _fifth = filled(&buffers, 5);
        assert_eq!(buffers.allocated(), 3);
        assert_eq!((&third[..], &fourth[..]), (&[3u8; 4][..], &[4u8; 4][..]));
    }

    #[test]
    fn a_buffer_returns_with_the_last_slice_of_it() {
        let buffers = Buffers::new(4, 1);
        let whole = filled(&buffers, 7);
        let (clone, slice) = (whole.clone(), whole.slice(1..2));
        drop(whole);
        drop(clone);
        drop(buffers.take());
        assert_eq!(buffers.allocated(), 2, "the slice still holds the first");
        assert_eq!(&slice[..], [7]);
        drop(slice);
        let held = [buffers.take(), buffers.take()];
        assert_eq!((buffers.allocated(), held.iter().map(Buffer::len).sum::<usize>()), (2, 0));
    }

    #[test]
    fn one_that_is_dropped_unfrozen_or_frozen_empty_returns_too() {
        let buffers = Buffers::new(4, 1);
        let mut buffer = buffers.take();
        buffer.append(b"ab");
        drop(buffer);
        assert!(buffers.take().freeze().is_empty());
        assert_eq!((buffers.take().len(), buffers.allocated()), (0, 1));
    }

    #[test]
    fn release_frees_what_nobody_holds() {
        let buffers = Buffers::new(4, 2);
        let held = filled(&buffers, 1);
        drop(filled(&buffers, 2));
        buffers.release();
        assert_eq!((buffers.allocated(), &held[..]), (1, &[1u8; 4][..]));
        drop(held);
        assert_eq!((buffers.take().len(), buffers.allocated()), (0, 2), "warmed again");
    }

    #[test]
    fn a_slice_outlives_the_pool() {
        let buffers = Buffers::new(4, 1);
        let slice = filled(&buffers, 9).slice(2..);
        drop(buffers);
        assert_eq!(&slice[..], [9, 9]);
    }

    #[test]
    fn pieces_give_the_bytes_in_order() {
        let buffers = Buffers::new(4, 3);
        let mut pieces = Pieces::new(buffers.clone());
        for chunk in [&b"a"[..], b"", b"bcdefghi", b"jkl"] {
            pieces.append(chunk);
        }
        assert_eq!((pieces.length(), buffers.allocated()), (12, 3));
        assert_eq!(pieces.share().concat(), b"abcdefghijkl");
        pieces.append(b"mn");
        assert_eq!(pieces.share(), [&b"abcd"[..], b"efgh", b"ijkl", b"mn"]);
        drop(pieces);
        let _all: Vec<Buffer> = (0..4).map(|_| buffers.take()).collect();
        assert_eq!(buffers.allocated(), 4, "all four came back");
    }
}
