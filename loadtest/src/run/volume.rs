//! How much a run sends, and whether the memory of this machine holds it: MiniStack keeps objects there.

use std::fs;

use local::ending::UsageError;

use super::drive::Pace;
use super::plan::Plan;
use crate::generate::Text;
use crate::report::{binary_bytes, files};

/// Files whose sizes are looked at; more are taken to be like these.
const LOOKED_AT: u64 = 100;
/// What MiniStack 1.5.33 holds of each byte of a file: the input, the output, and what it does not give back. Of eight files
/// of 25 MiB, one after the other, it came to 695 MiB.
const KEPT: f64 = 3.5;
/// What it takes on top for each byte under way, as an object is made of parts that are still there. Of one file of 200 MiB it
/// came to 878 MiB in all, of eight of 25 MiB at once to 815.
const UNDER_WAY: f64 = 2.0;
/// What is left to everything else on the machine.
const LEFT_BYTES: f64 = 512.0 * 1024.0 * 1024.0;

/// How much a run sends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Volume {
    /// How many files; unknown where time alone bounds them.
    pub(crate) files: Option<u64>,
    /// Bytes of text of the first files.
    pub(crate) sizes: Vec<u64>,
    /// Files under way at once, at most.
    at_once: u64,
}

impl Volume {
    /// Of a plan, at a pace.
    pub(crate) fn of(plan: &Plan, pace: &Pace) -> anyhow::Result<Self> {
        let by_time = pace.duration.zip(pace.rate).map(|(duration, rate)| duration.as_secs_f64() * rate);
        let files = match (pace.files, by_time.map(|files| whole(files.ceil()))) {
            (Some(files), Some(by_time)) => Some(files.min(by_time)),
            (files, by_time) => files.or(by_time),
        };
        let looked_at = 0..files.unwrap_or(LOOKED_AT).clamp(1, LOOKED_AT);
        let sizes = looked_at.map(|number| anyhow::Ok(Text::new(&plan.file(number).spec)?.bytes()));
        let at_once = (pace.concurrency as u64).min(files.unwrap_or(u64::MAX));
        Ok(Self { files, sizes: sizes.collect::<anyhow::Result<_>>()?, at_once })
    }

    /// Bytes of text of a file, on average.
    pub(crate) fn mean_bytes(&self) -> f64 {
        self.sizes.iter().map(|size| *size as f64).sum::<f64>() / self.sizes.len().max(1) as f64
    }

    /// Files that so many bytes of free memory hold.
    fn most(&self, free_bytes: u64) -> u64 {
        let largest = self.sizes.iter().max().copied().unwrap_or_default() as f64;
        let free = free_bytes as f64 - LEFT_BYTES - UNDER_WAY * largest * self.at_once as f64;
        whole((free / (KEPT * self.mean_bytes().max(1.0))).max(0.0))
    }

    /// How many files may be begun at most with so many bytes of free memory.
    ///
    /// # Errors
    ///
    /// More than that are asked for.
    pub(crate) fn bounded_by(&self, free_bytes: u64) -> Result<u64, UsageError> {
        let most = self.most(free_bytes);
        if most >= self.files.unwrap_or(1) {
            return Ok(most);
        }
        let (size, at_once) = (binary_bytes(self.mean_bytes()), self.at_once);
        let asked = files(self.files.unwrap_or(1));
        Err(UsageError(format!(
            "the target local keeps objects in memory, and {} are free, which hold {} of {size} with {at_once} under \
             way at once, but not the {asked} that are asked for: take --target sim for plain files of any size and \
             number, or fewer or smaller files by --files, --size and --concurrency; --yes begins all the same",
            binary_bytes(free_bytes as f64),
            files(most),
        )))
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a number of files, none of them negative"
)]
fn whole(files: f64) -> u64 {
    files.floor() as u64
}

/// Bytes of memory that can be had without swapping, within the limit of the control group; unknown where nothing says.
pub(crate) fn free_memory_bytes() -> Option<u64> {
    let available = available(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let number = |name: &str| {
        let text = fs::read_to_string(format!("/sys/fs/cgroup/{name}")).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let limit = number("memory.max").zip(number("memory.current"));
    let within = limit.map_or(u64::MAX, |(most, used)| most.saturating_sub(used));
    Some(available.min(within))
}

fn available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn volume(files: Option<u64>, size: u64, at_once: u64) -> Volume {
        Volume { files, sizes: vec![size], at_once }
    }

    #[test]
    fn what_memory_holds_is_begun() {
        assert!(volume(Some(20), 4 << 20, 4).bounded_by(GIB).is_ok());
        assert!(volume(Some(1), GIB, 1).bounded_by(16 * GIB).is_ok());
        let most = volume(None, GIB / 1024, 4).bounded_by(4 * GIB).unwrap();
        assert!((900..1024).contains(&most), "{most}");
    }

    #[test]
    fn what_memory_does_not_hold_is_refused_with_a_way_out() {
        let said = volume(Some(1), 64 * GIB, 1).bounded_by(16 * GIB).unwrap_err().to_string();
        assert!(said.contains("16.0 GiB are free") && said.contains("--target sim"), "{said}");
        assert!(volume(Some(200), GIB / 4, 8).bounded_by(16 * GIB).is_err());
        assert!(volume(None, 64 * GIB, 1).bounded_by(16 * GIB).is_err());
        assert!(volume(Some(1), 1, 1).bounded_by(0).is_err());
    }

    #[test]
    fn free_memory_is_read() {
        assert_eq!(available("MemTotal: 9 kB\nMemAvailable:   12 kB\n"), Some(12 * 1024));
        assert_eq!(available("MemTotal: 9 kB\n"), None);
        assert!(free_memory_bytes().is_some_and(|bytes| bytes > 0));
    }
}
