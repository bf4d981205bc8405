//! Builds a cycle of rows, field by field.

use std::collections::HashMap;

use super::cycle::{Cycle, Fill, MULTILINE_EVERY, Pool, SERIAL_DIGITS, Slot};
use super::random::{Random, mix};

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
    firsts: Vec<Option<usize>>,
    first: Option<usize>,
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
            firsts: Vec::new(),
            first: None,
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
            self.fills.push(Fill { pool: pool.0, salt: salt.0, slots: Vec::new() });
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
        if !digits.is_multiple_of(3) {
            self.slot(self.digits[digits % 3 - 1]);
        }
    }

    /// A number that counts the file's rows, as the row's first field: it can be spoiled.
    pub(super) fn serial(&mut self) {
        self.serials.push(Slot { row: self.row(), at: self.stencil.len() });
        self.first = Some(SERIAL_DIGITS);
        self.stencil.extend_from_slice(&[b'0'; SERIAL_DIGITS]);
    }

    /// Says that dirt can be put into the first field of the row being built, which has so many bytes.
    pub(super) fn takes_dirt(&mut self, first: usize) {
        self.first = Some(first);
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
        self.firsts.push(self.first.take());
        (self.field, self.slots) = (0, 0);
    }

    /// The cycle of the rows built.
    pub(super) fn build(self) -> Cycle {
        Cycle {
            stencil: self.stencil,
            starts: self.starts,
            lines: self.lines,
            firsts: self.firsts.into_iter().collect(),
            pools: self.pools,
            fills: self.fills,
            serials: self.serials,
        }
    }
}
