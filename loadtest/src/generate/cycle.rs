//! Rows whose lengths come round: a stencil of some rows, used over and over, with slots that are filled anew each time.
//!
//! It makes two things possible at once. Where a row begins is known without making those before it, since each cycle
//! is as long as the next. And making rows is little more than a copy of the stencil with a few bytes put into each
//! slot, taken from a pool of texts of the slot's length.

use std::collections::HashMap;

use super::random::{Random, at, mix};

/// Digits of a serial number, which begins at [`FIRST_SERIAL`] so that all have as many.
pub(super) const SERIAL_DIGITS: usize = 12;

const FIRST_SERIAL: u64 = 100_000_000_000;

/// Every row in so many may run over several lines; dirt keeps away from it.
pub(super) const MULTILINE_EVERY: u64 = 4;

/// A cycle of rows.
#[derive(Debug)]
pub(super) struct Cycle {
    /// The rows' text; what stands in the slots means nothing.
    stencil: Vec<u8>,
    /// Where each row begins; one more for the end.
    starts: Vec<usize>,
    /// Lines before each row; one more for all.
    lines: Vec<u64>,
    /// Where each row can be spoiled, where it can.
    marks: Option<Vec<Mark>>,
    pools: Vec<Pool>,
    fills: Vec<Fill>,
    serials: Vec<Slot>,
}

/// A field of a row that dirt may be put in: plain ASCII of five bytes or more that needs no quotes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// Where in the row it begins.
    pub(super) start: usize,
    /// And ends.
    pub(super) end: usize,
    /// A delimiter beside it, without which the row has a field less.
    pub(super) delimiter: usize,
}

/// Texts of one length, one of which goes into a slot.
#[derive(Debug)]
struct Pool {
    width: usize,
    texts: Vec<u8>,
}

/// A row of the cycle, and where in the stencil its slot begins.
#[derive(Debug, Clone, Copy)]
struct Slot {
    row: usize,
    at: usize,
}

/// All slots that are filled from one pool by the same part of a row's random number.
#[derive(Debug)]
struct Fill {
    pool: PoolId,
    salt: u64,
    slots: Vec<Slot>,
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

    /// Where rows can be spoiled: nowhere, if not all can.
    pub(super) fn marks(&self) -> Option<&[Mark]> {
        self.marks.as_deref()
    }

    /// Appends the first `rows` rows of the cycle whose first row has the index `first`.
    pub(super) fn write(&self, seed: u64, first: u64, rows: usize, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.stencil[..self.starts[rows]]);
        let text = &mut out[begin..];
        let keys: Vec<u64> = (first..).take(rows).map(|row| at(seed, row)).collect();
        for fill in &self.fills {
            fill.apply(&self.pools[fill.pool.0], &keys, text);
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

/// What a slot's text is chosen by. Slots of a row that have the same, and pools of the same size, agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Salt(u64);

/// A pool of the cycle being built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PoolId(usize);

/// Pools of words, one for each length, drawn as often as it has words.
#[derive(Debug, Clone)]
pub(super) struct Words(Vec<(usize, PoolId)>);

/// Builds a cycle, field by field and row by row.
pub(super) struct Builder {
    /// For what differs between the rows of a cycle: lengths, and what may be left out.
    pub(super) random: Random,
    stencil: Vec<u8>,
    starts: Vec<usize>,
    lines: Vec<u64>,
    marks: Vec<Option<Mark>>,
    mark: Option<Mark>,
    pools: Vec<Pool>,
    fills: Vec<Fill>,
    by_salt: HashMap<(PoolId, Salt), usize>,
    serials: Vec<Slot>,
    /// The row's field, and its slots so far.
    field: u64,
    slots: u64,
    digits: [PoolId; 3],
    leading: [PoolId; 3],
}

impl Builder {
    pub(super) fn new(seed: u64) -> Self {
        let mut builder = Self {
            random: Random::new(seed ^ mix(1)),
            stencil: Vec::new(),
            starts: vec![0],
            lines: vec![0],
            marks: Vec::new(),
            mark: None,
            pools: Vec::new(),
            fills: Vec::new(),
            by_salt: HashMap::new(),
            serials: Vec::new(),
            field: 0,
            slots: 0,
            digits: [PoolId(0); 3],
            leading: [PoolId(0); 3],
        };
        builder.digits = [(0, 9, 1), (0, 99, 2), (0, 999, 3)].map(|(from, to, width)| {
            builder.pool(width, (from..=to).flat_map(|number| format!("{number:0width$}").into_bytes()))
        });
        builder.leading = [(1, 9), (10, 99), (100, 999)].map(|(from, to)| builder.numbers(from, to));
        builder
    }

    /// Index of the row being built.
    pub(super) fn row(&self) -> usize {
        self.starts.len() - 1
    }

    /// Bytes built.
    pub(super) fn bytes(&self) -> usize {
        self.stencil.len()
    }

    /// Whether the row being built may run over several lines.
    pub(super) fn may_have_lines(&self) -> bool {
        self.row() as u64 % MULTILINE_EVERY == MULTILINE_EVERY - 1
    }

    /// A pool of texts of `width` bytes each.
    pub(super) fn pool(&mut self, width: usize, texts: impl IntoIterator<Item = u8>) -> PoolId {
        self.pools.push(Pool { width, texts: texts.into_iter().collect() });
        PoolId(self.pools.len() - 1)
    }

    /// A pool of whole numbers that have the same number of digits.
    pub(super) fn numbers(&mut self, from: u32, to: u32) -> PoolId {
        let width = from.to_string().len();
        self.pool(width, (from..=to).flat_map(|number| number.to_string().into_bytes()))
    }

    /// Pools of words, one for each length that there is.
    pub(super) fn words(&mut self, words: &[&str]) -> Words {
        let mut lengths: Vec<usize> = words.iter().map(|word| word.len()).collect();
        lengths.sort_unstable();
        lengths.dedup();
        let pools = lengths.into_iter().map(|length| {
            let same: Vec<&str> = words.iter().copied().filter(|word| word.len() == length).collect();
            (same.len(), self.pool(length, same.concat().into_bytes()))
        });
        Words(pools.collect())
    }

    /// Text that stays as it is.
    pub(super) fn text(&mut self, text: impl AsRef<[u8]>) {
        self.stencil.extend_from_slice(text.as_ref());
    }

    /// A slot that is filled from a pool.
    pub(super) fn slot(&mut self, pool: PoolId) -> Salt {
        self.slots += 1;
        let salt = Salt(mix((self.field << 16) + self.slots) | 1);
        self.slot_as(pool, salt);
        salt
    }

    /// A slot that is filled as another of the row is.
    pub(super) fn slot_as(&mut self, pool: PoolId, salt: Salt) {
        let Pool { width, texts } = &self.pools[pool.0];
        if *width == 0 {
            return;
        }
        let slot = Slot { row: self.row(), at: self.stencil.len() };
        self.stencil.extend_from_slice(&texts[..*width]);
        let fill = *self.by_salt.entry((pool, salt)).or_insert_with(|| {
            self.fills.push(Fill { pool, salt: salt.0, slots: Vec::new() });
            self.fills.len() - 1
        });
        self.fills[fill].slots.push(slot);
    }

    /// One of the words; of its length, at least, each time.
    pub(super) fn word(&mut self, words: &Words) {
        if let Some(pool) = self.random.weighed(&words.0) {
            self.slot(pool);
        }
    }

    /// A whole number of so many digits, the first of which is no zero.
    pub(super) fn number(&mut self, digits: usize) {
        let first = (digits - 1) % 3;
        self.slot(self.leading[first]);
        self.digits(digits - first - 1);
    }

    /// So many digits.
    pub(super) fn digits(&mut self, digits: usize) {
        for _ in 0..digits / 3 {
            self.slot(self.digits[2]);
        }
        if digits % 3 > 0 {
            self.slot(self.digits[digits % 3 - 1]);
        }
    }

    /// A number that counts the file's rows, as the row's first field: it can be spoiled.
    pub(super) fn serial(&mut self) {
        self.serials.push(Slot { row: self.row(), at: self.stencil.len() });
        self.mark = Some(Mark { start: 0, end: SERIAL_DIGITS, delimiter: SERIAL_DIGITS });
        self.stencil.extend_from_slice(&[b'0'; SERIAL_DIGITS]);
    }

    /// Says where the row being built can be spoiled.
    pub(super) fn mark(&mut self, mark: Mark) {
        self.mark = Some(mark);
    }

    /// Ends a field that another follows.
    pub(super) fn next_field(&mut self) {
        self.stencil.push(b',');
        self.field += 1;
        self.slots = 0;
    }

    /// Ends a row.
    pub(super) fn end_row(&mut self) {
        self.stencil.push(b'\n');
        let begin = self.starts[self.row()];
        let lines = memchr::memchr_iter(b'\n', &self.stencil[begin..]).count() as u64;
        self.lines.push(self.lines[self.row()] + lines);
        self.starts.push(self.stencil.len());
        self.marks.push(self.mark.take());
        (self.field, self.slots) = (0, 0);
    }

    /// The cycle of the rows built.
    pub(super) fn build(self) -> Cycle {
        Cycle {
            stencil: self.stencil,
            starts: self.starts,
            lines: self.lines,
            marks: self.marks.into_iter().collect(),
            pools: self.pools,
            fills: self.fills,
            serials: self.serials,
        }
    }
}
