//! Random numbers that are a function of what they are drawn for, and never change: files made years ago can be
//! recomputed.

/// 2⁶⁴ divided by the golden ratio, as `SplitMix64` steps by it.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// `SplitMix64`'s finalizer: every bit of the result depends on every bit of `value`.
pub(super) fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The `index`-th number of the sequence that `seed` begins.
pub(super) fn at(seed: u64, index: u64) -> u64 {
    mix(seed.wrapping_add(index.wrapping_add(1).wrapping_mul(STEP)))
}

/// A sequence of them.
#[derive(Debug, Clone)]
pub(super) struct Random {
    seed: u64,
    drawn: u64,
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed: mix(seed), drawn: 0 }
    }

    /// The next number below `count`, which is at least 1.
    pub(super) fn below(&mut self, count: usize) -> usize {
        self.drawn += 1;
        let wide = (at(self.seed, self.drawn) >> 32) * count as u64;
        usize::try_from(wide >> 32).unwrap_or_default()
    }

    /// True in `percent` of a hundred cases.
    pub(super) fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of `choices`, each as often as its weight says.
    pub(super) fn weighed<T: Copy>(&mut self, choices: &[(usize, T)]) -> Option<T> {
        let mut drawn = self.below(choices.iter().map(|(weight, _)| weight).sum());
        for (weight, choice) in choices {
            match drawn.checked_sub(*weight) {
                Some(rest) => drawn = rest,
                None => return Some(*choice),
            }
        }
        None
    }
}
