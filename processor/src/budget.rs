//! What a memory budget is spent on: the one place that turns it into ranges, parts and threads.

use common::read::ReadPlan;
use common::write::WritePlan;
use engine::recipe::PartitionLimits;

const MIB: u64 = 1024 * 1024;

/// The smallest part that S3 takes, but for the last.
const MIN_PART_MIB: u64 = 5;

/// Rows of partitions that gather take one part of so many of the budget, instead of the part that is gathered.
const PARTITIONS_SHARE: u64 = 7;

/// Lambda gives one vCPU for so much memory, and parts of one for parts of it.
const MIB_PER_VCPU: u64 = 1769;

/// From here on, a zstd frame may ask for the largest window that zstd's own tool makes without `--long=31`.
const LARGE_WINDOW_MIB: u64 = 4096;

/// How a file is read, worked on and written with so much memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// How input is fetched.
    pub read: ReadPlan,
    /// How the clean file is written.
    pub write: WritePlan,
    /// How the rejects are written.
    pub write_rejects: WritePlan,
    /// How much is held of a partitioned clean file.
    pub partitions: PartitionLimits,
    /// Threads that compress at once.
    pub threads: usize,
    /// The largest window that a zstd frame may ask for, as a power of two.
    pub max_window_log: u32,
}

impl Budget {
    /// Spends `mib` MiB, on a machine with `cpus` processors.
    ///
    /// Input takes `range × (in flight + 1)`, output `part × (in flight + 1)`, or two parts once those have grown
    /// beyond; rejects as much as two small parts. At least half is left to the program, a decoder's window, the
    /// engine's blocks and the allocator.
    pub fn of(mib: u64, cpus: usize) -> Self {
        let (range_mib, ranges, part_mib, parts) = match mib {
            // Not S3's least, 5 MiB: then parts would have to grow, and memory with them, within 32 GiB.
            0..256 => (4, 2, 8, 1),
            256..1024 => (8, 2, 8, 2),
            // A range less than parts, so that 96 MiB hold a window of zstd too.
            1024..3072 => (8, 2, 8, 3),
            3072..6144 => (8, 6, 8, 6),
            _ => (8, 12, 8, 12),
        };
        let vcpus = usize::try_from((mib + MIB_PER_VCPU / 2) / MIB_PER_VCPU).unwrap_or(usize::MAX);
        // Two parts of the largest size take an eighth of the budget.
        let max_part_bytes = (mib * MIB / 16).clamp(part_mib * MIB, 256 * MIB);
        let write = WritePlan {
            part_bytes: part_mib * MIB,
            max_part_bytes,
            in_flight: parts,
            ..WritePlan::default()
        };
        Self {
            read: ReadPlan { range_bytes: range_mib * MIB, max_in_flight: ranges, ..ReadPlan::default() },
            write,
            write_rejects: WritePlan {
                part_bytes: MIN_PART_MIB * MIB,
                max_part_bytes: MIN_PART_MIB * MIB,
                in_flight: 1,
                ..write
            },
            partitions: PartitionLimits {
                held_bytes: usize::try_from(mib * MIB / PARTITIONS_SHARE).unwrap_or(usize::MAX),
                piece_bytes: usize::try_from(part_mib * MIB).unwrap_or(usize::MAX),
                least_piece_bytes: usize::try_from(MIN_PART_MIB * MIB).unwrap_or(usize::MAX),
                ..PartitionLimits::default()
            },
            threads: vcpus.clamp(1, cpus.max(1)),
            max_window_log: if mib < LARGE_WINDOW_MIB { 23 } else { 27 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes of buffers, at the first size of parts and at the last.
    fn buffer_mib(budget: &Budget) -> u64 {
        let pieces = |size: u64, in_flight: usize| size * (in_flight as u64 + 1);
        let write = |plan: &WritePlan| pieces(plan.part_bytes, plan.in_flight).max(2 * plan.max_part_bytes);
        let read = pieces(budget.read.range_bytes, budget.read.max_in_flight);
        // A partitioned file has what gathers instead of the part that is gathered.
        let partitioned =
            budget.write.part_bytes * budget.write.in_flight as u64 + budget.partitions.held_bytes as u64;
        (read + write(&budget.write).max(partitioned) + pieces(budget.write_rejects.part_bytes, 1)) / MIB
    }

    #[test]
    fn every_budget_is_kept_with_half_left() {
        for mib in [64, 128, 255, 256, 512, 1024, 1769, 3072, 6144, 10_240] {
            let budget = Budget::of(mib, 6);
            let window_mib = (1 << budget.max_window_log) / MIB;
            // The smallest keep what parts leave.
            let most = if mib < 128 { mib * 3 / 4 } else { mib / 2 };
            assert!(buffer_mib(&budget) + window_mib <= most, "{mib}: {}", buffer_mib(&budget));
        }
    }

    #[test]
    fn the_largest_outputs_are_those_in_the_documentation() {
        // docs/architecture.md, 'Where memory goes'
        for (mib, gib) in [(128, 78), (512, 121), (1769, 224), (3072, 308), (10_240, 371)] {
            assert_eq!(Budget::of(mib, 1).write.max_object_bytes() >> 30, gib, "{mib}");
        }
    }

    #[test]
    fn threads_follow_the_memory_that_is_paid_for() {
        for (mib, cpus, threads) in
            [(128, 2, 1), (1769, 2, 1), (2700, 2, 2), (3538, 2, 2), (10_240, 6, 6), (10_240, 1, 1)]
        {
            assert_eq!(Budget::of(mib, cpus).threads, threads, "{mib}");
        }
    }
}
