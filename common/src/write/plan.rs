//! How an object is cut into parts, and how many bytes of them are in memory.

use std::time::Duration;

use crate::buffers::Buffers;

/// S3 takes no more parts than this.
pub(super) const MAX_PARTS: u32 = 10_000;

/// So many parts are of the first size: an output of 62 GiB is written in parts of 8 MiB, and in as much memory as a
/// small one.
const FIRST_PARTS: u32 = 8_000;

/// Then parts double every so many.
const PARTS_OF_A_SIZE: u32 = 250;

/// How an object is written.
///
/// Bytes in memory, those of the part being gathered included, are never more than `(in_flight + 1) × part_bytes`, or
/// than two parts where parts have grown so large that this is more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WritePlan {
    /// Bytes of a part, for the first 8,000; at least 5 MiB, which S3 demands.
    pub part_bytes: u64,
    /// Bytes of a part at most: after the first 8,000, parts double every 250, up to this.
    pub max_part_bytes: u64,
    /// Parts uploaded at once, while they are of the first size.
    pub in_flight: usize,
    /// How often a request that failed for the moment is made again.
    pub retries: u32,
    /// The first pause before that; it doubles, with jitter.
    pub backoff: Duration,
}

impl Default for WritePlan {
    fn default() -> Self {
        Self {
            part_bytes: 8 * 1024 * 1024,
            max_part_bytes: 8 * 1024 * 1024,
            in_flight: 2,
            retries: 5,
            backoff: Duration::from_millis(100),
        }
    }
}

impl WritePlan {
    /// The largest object that can be written under this plan, in bytes.
    pub fn max_object_bytes(&self) -> u64 {
        (1..=MAX_PARTS).map(|number| self.part_bytes(number)).fold(0, u64::saturating_add)
    }

    /// Bytes of part `number`, which counts from 1.
    pub(super) fn part_bytes(&self, number: u32) -> u64 {
        let doublings = match number.saturating_sub(1).checked_sub(FIRST_PARTS) {
            None => 0,
            Some(later) => 1 + (later / PARTS_OF_A_SIZE).min(15),
        };
        let first = self.part_bytes.max(1);
        first.saturating_mul(1 << doublings).min(self.max_part_bytes.max(first))
    }

    /// Bytes that may be in memory while part `number` is gathered.
    pub(super) fn memory_bytes(&self, number: u32) -> u64 {
        let at_first = self.part_bytes(1).saturating_mul(self.pieces() as u64);
        at_first.max(self.part_bytes(number).saturating_mul(2))
    }

    /// Buffers for what is in memory while parts are of the first size.
    pub(super) fn buffers(&self) -> Buffers {
        Buffers::for_pieces(self.part_bytes(1), self.pieces())
    }

    /// Parts in memory: those on their way, and the one being gathered.
    fn pieces(&self) -> usize {
        self.in_flight.max(1).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn parts_stay_small_for_long_and_then_double_up_to_the_limit() {
        let plan = WritePlan { part_bytes: 8 * MIB, max_part_bytes: 50 * MIB, ..WritePlan::default() };
        let sizes =
            [1, 8000, 8001, 8250, 8251, 8500, 8501, 8750, 10_000].map(|part| plan.part_bytes(part) / MIB);
        assert_eq!(sizes, [8, 8, 16, 16, 32, 32, 50, 50, 50]);
        assert_eq!(plan.max_object_bytes(), (8000 * 8 + 250 * (16 + 32) + 1500 * 50) * MIB);
    }

    #[test]
    fn without_growth_there_are_ten_thousand_of_the_first_size() {
        let plan = WritePlan { part_bytes: 8 * MIB, max_part_bytes: 0, ..WritePlan::default() };
        assert_eq!(plan.max_object_bytes(), 10_000 * 8 * MIB);
        let huge = WritePlan { part_bytes: u64::MAX / 4, max_part_bytes: u64::MAX, ..plan };
        assert_eq!(huge.max_object_bytes(), u64::MAX);
    }

    #[test]
    fn memory_grows_only_with_parts_that_are_larger_than_half_of_it() {
        let plan = WritePlan { max_part_bytes: 64 * MIB, in_flight: 2, ..WritePlan::default() };
        let memory = [1, 8000, 8001, 8251, 8501].map(|part| plan.memory_bytes(part) / MIB);
        assert_eq!(memory, [24, 24, 32, 64, 128]);
    }
}
