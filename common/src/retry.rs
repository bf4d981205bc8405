//! Trying again what may succeed: after a pause that grows, and not for ever.

use std::time::Duration;

use crate::store::StoreError;
use crate::telemetry;
use crate::trace::Tally;

/// The pause before the try that follows failure number `failures`: it doubles each time, up to 128 times the first,
/// and half of it is left to chance, so that many who failed together don't come back together.
fn pause(first: Duration, failures: u32) -> Duration {
    let full = first * 2u32.saturating_pow(failures.saturating_sub(1).min(7));
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}

/// Pauses before the try that follows failure number `failures`.
pub(crate) async fn back_off(first: Duration, failures: u32) {
    let pause = pause(first, failures);
    Tally::retry(pause);
    tokio::time::sleep(pause).await;
}

/// Makes the call until it succeeds or fails for good, and `retries` times again at most.
pub(crate) async fn retry<T, Call>(
    retries: u32,
    first_pause: Duration,
    mut call: impl FnMut() -> Call,
) -> Result<T, StoreError>
where
    Call: Future<Output = Result<T, StoreError>>,
{
    let mut failures = 0;
    loop {
        let error = match call().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        failures += 1;
        if !error.is_transient() || failures > retries {
            return Err(error);
        }
        tracing::warn!(error = telemetry::chain(&error), failures, "trying again");
        back_off(first_pause, failures).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::ErrorKind;

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

    #[tokio::test(start_paused = true)]
    async fn what_is_transient_is_tried_again_so_often_and_no_more() {
        for (kind, failing, calls) in
            [(ErrorKind::Transient, 3, 4), (ErrorKind::Transient, 9, 6), (ErrorKind::Forbidden, 9, 1)]
        {
            let mut made = 0;
            let ended = retry(5, Duration::from_millis(100), || {
                made += 1;
                let failed = (made <= failing).then(|| StoreError::new(kind, "failed"));
                std::future::ready(failed.map_or(Ok(made), Err))
            });
            let ended = ended.await.map_err(|error| error.kind);
            assert_eq!(ended, if calls > failing { Ok(calls) } else { Err(kind) });
            assert_eq!(made, calls);
        }
    }
}
