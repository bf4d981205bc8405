//! Rows whose lengths come round: a stencil of some rows, used over and over, with slots that are filled anew each time.
//!
//! It makes two things possible at once. Where a row begins is known without making those before it, since each cycle
//! is as long as the next. And making rows is little more than a copy of the stencil with a few bytes put into each
//! slot, taken from a pool of texts of the slot's length.

use super::random::at;

/// Digits of a serial number, which begins at [`FIRST_SERIAL`] so that all have as many.
pub(super) const SERIAL_DIGITS: usize = 12;

const FIRST_SERIAL: u64 = 100_000_000_000;

/// Every row in so many may run over several lines; dirt keeps away from it.
pub(super) const MULTILINE_EVERY: u64 = 4;

/// A cycle of rows.
#[derive(Debug)]
pub(super) struct Cycle {
    /// The rows' text; what stands in the slots means nothing.
    pub(super) stencil: Vec<u8>,
    /// Where each row begins; one more for the end.
    pub(super) starts: Vec<usize>,
    /// Lines before each row; one more for all.
    pub(super) lines: Vec<u64>,
    /// Bytes of each row's first field, if dirt can be put into all of them: plain ASCII of five bytes or more that needs
    /// no quotes.
    pub(super) firsts: Option<Vec<usize>>,
    pub(super) pools: Vec<Pool>,
    pub(super) fills: Vec<Fill>,
    pub(super) serials: Vec<Slot>,
}

/// Texts of one length, one of which goes into a slot.
#[derive(Debug)]
pub(super) struct Pool {
    pub(super) width: usize,
    pub(super) texts: Vec<u8>,
}

/// A row of the cycle, and where in the stencil its slot begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) row: usize,
    pub(super) at: usize,
}

/// All slots that are filled from one pool by the same part of a row's random number.
#[derive(Debug)]
pub(super) struct Fill {
    /// Index of the pool.
    pub(super) pool: usize,
    pub(super) salt: u64,
    pub(super) slots: Vec<Slot>,
}

impl Cycle {
    /// Rows of a cycle: a multiple of [`MULTILINE_EVERY`].
    pub(super) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// Bytes of a cycle.
    pub(super) fn bytes(&self) -> usize {
        self.stencil.len()
    }

    /// Where a row of the cycle begins; the end for the number of rows.
    pub(super) fn start(&self, row: usize) -> usize {
        self.starts[row]
    }

    /// Rows that begin within the first `bytes` of clean rows.
    pub(super) fn rows_within(&self, bytes: usize) -> usize {
        let rest = bytes % self.bytes();
        bytes / self.bytes() * self.rows() + self.starts.partition_point(|start| *start < rest)
    }

    /// Lines before a row of the cycle.
    pub(super) fn lines(&self, row: usize) -> u64 {
        self.lines[row]
    }

    /// Appends the first `rows` rows of the cycle whose first row has the index `first`.
    pub(super) fn write(&self, seed: u64, first: u64, rows: usize, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.stencil[..self.starts[rows]]);
        let text = &mut out[begin..];
        let keys: Vec<u64> = (first..).take(rows).map(|row| at(seed, row)).collect();
        for fill in &self.fills {
            fill.apply(&self.pools[fill.pool], &keys, text);
        }
        for slot in self.serials.iter().take_while(|slot| slot.row < rows) {
            let serial = FIRST_SERIAL + first + slot.row as u64;
            write_serial(serial, &mut text[slot.at..slot.at + SERIAL_DIGITS]);
        }
    }
}

fn write_serial(mut serial: u64, out: &mut [u8]) {
    for pair in out.rchunks_exact_mut(2) {
        let two = usize::try_from(serial % 100).unwrap_or_default();
        pair.copy_from_slice(&PAIRS[2 * two..2 * two + 2]);
        serial /= 100;
    }
}

/// 00 to 99.
const PAIRS: [u8; 200] = {
    let mut pairs = [b'0'; 200];
    let mut number = 0u8;
    while number < 100 {
        pairs[2 * number as usize] = b'0' + number / 10;
        pairs[2 * number as usize + 1] = b'0' + number % 10;
        number += 1;
    }
    pairs
};

impl Fill {
    /// Fills the slots of the rows that there are keys for.
    fn apply(&self, pool: &Pool, keys: &[u64], text: &mut [u8]) {
        let whole = self.slots.last().is_none_or(|slot| slot.row < keys.len());
        let count =
            if whole { self.slots.len() } else { self.slots.partition_point(|slot| slot.row < keys.len()) };
        let slots = &self.slots[..count];
        // A width that the compiler knows is a move or two instead of a call.
        macro_rules! by_width {
            ($($width:literal)*) => {
                match pool.width {
                    $($width => self.copy_fixed::<$width>(pool, slots, keys, text),)*
                    _ => self.copy(pool, slots, keys, text),
                }
            };
        }
        by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 20 24);
    }

    fn copy_fixed<const WIDTH: usize>(&self, pool: &Pool, slots: &[Slot], keys: &[u64], text: &mut [u8]) {
        let (texts, _) = pool.texts.as_chunks::<WIDTH>();
        for slot in slots {
            let chosen = &texts[choose(keys[slot.row], self.salt, texts.len())];
            text[slot.at..slot.at + WIDTH].copy_from_slice(chosen);
        }
    }

    fn copy(&self, pool: &Pool, slots: &[Slot], keys: &[u64], text: &mut [u8]) {
        let width = pool.width;
        let count = pool.texts.len() / width;
        for slot in slots {
            let from = width * choose(keys[slot.row], self.salt, count);
            text[slot.at..slot.at + width].copy_from_slice(&pool.texts[from..from + width]);
        }
    }
}

/// A number below `count`, by a row's key and a slot's salt. The upper half of the product depends on all of both.
fn choose(key: u64, salt: u64, count: usize) -> usize {
    let hash = key.wrapping_mul(salt) >> 32;
    usize::try_from((hash * count as u64) >> 32).unwrap_or_default()
}
