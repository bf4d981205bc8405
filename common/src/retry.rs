//! Trying again what may succeed: after a pause that grows.

use std::time::Duration;

/// The pause before the try that follows failure number `failures`: it doubles each time, up to 128 times the first,
/// and half of it is left to chance, so that many who failed together don't come back together.
pub(crate) fn pause(first: Duration, failures: u32) -> Duration {
    let full = first * 2u32.saturating_pow(failures.saturating_sub(1).min(7));
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_differ() {
        let first = Duration::from_millis(100);
        for (failures, most) in [(1, 100), (2, 200), (5, 1600), (8, 12_800), (1000, 12_800)] {
            let pauses: Vec<Duration> = (0..50).map(|_| pause(first, failures)).collect();
            let most = Duration::from_millis(most);
            assert!(pauses.iter().all(|pause| (most / 2..=most).contains(pause)), "{failures}: {pauses:?}");
            assert!(pauses.iter().any(|pause| *pause != pauses[0]), "{failures}: {pauses:?}");
        }
    }
}
