//! When a message that was not done comes back: later each time.

use std::time::Duration;

use common::queue::MAX_VISIBILITY;
use jiff::Timestamp;

use crate::error::MessageError;

/// How many times longer each pause is than the one before. With the first at 20 seconds and five receives, a message is
/// tried for 13 minutes at most: longer than most throttling lasts, shorter than what wakes somebody.
const GROWTH: u32 = 3;

/// How many pauses grow; the rest are as long as the last of them.
const GROWING: u32 = 6;

/// The longest pause: SQS counts a message's invisible hours from its receive, and the function may have been at it for as
/// long as Lambda lets it.
const LONGEST: Duration = MAX_VISIBILITY.saturating_sub(Duration::from_mins(15));

/// A claim's end and the message's return are told by two clocks.
const CLOCKS: Duration = Duration::from_secs(1);

/// The pause after receive number `receives` (from 1), when the first is `first`: `spread`, from 0 to 1, says where
/// between half of it and the whole, so that many that failed together don't come back together.
///
/// A message that somebody else is at comes back soon, as he will be done by then; if he is not, only when his claim
/// has ended. Without that, a crash would use up its receives.
pub(crate) fn pause(
    first: Duration,
    receives: u64,
    error: &MessageError,
    spread: f64,
    now: Timestamp,
) -> Duration {
    let failures = u32::try_from(receives.saturating_sub(1)).unwrap_or(u32::MAX).min(GROWING);
    let full = first.saturating_mul(GROWTH.saturating_pow(failures));
    let pause = full.min(LONGEST).mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0);
    match error {
        MessageError::Busy { until, .. } if receives > 1 => {
            let until = Duration::try_from(until.duration_since(now)).unwrap_or_default();
            pause.max(until + CLOCKS).min(LONGEST)
        }
        _ => pause,
    }
}

/// The URL of the queue that a message came from, by its ARN: a queue and its dead-letter queue are of one account and one
/// region, so their URLs differ in their last part only.
pub(crate) fn queue_url(dlq_url: &str, queue_arn: &str) -> Option<String> {
    let name = queue_arn.strip_prefix("arn:")?.rsplit(':').next().filter(|name| !name.is_empty())?;
    let (account, _) = dlq_url.rsplit_once('/')?;
    Some(format!("{account}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Duration = Duration::from_secs(20);

    fn after(receives: u64, spread: f64) -> u64 {
        pause(FIRST, receives, &MessageError::OutOfTime, spread, Timestamp::now()).as_secs()
    }

    #[test]
    fn pauses_grow_within_what_a_queue_allows() {
        assert_eq!([1, 2, 3, 4].map(|receives| after(receives, 1.0)), [20, 60, 180, 540]);
        assert_eq!([1, 2, 3, 4].map(|receives| after(receives, 0.0)), [10, 30, 90, 270]);
        assert_eq!(after(0, 1.0), 20, "without a count it is the first");
        for receives in [20, 1000, u64::MAX] {
            assert!(after(receives, 1.0) <= LONGEST.as_secs());
            assert!(after(receives, 0.0) >= 7000);
        }
        let long = pause(MAX_VISIBILITY, 5, &MessageError::OutOfTime, 1.0, Timestamp::now());
        assert_eq!(long, LONGEST);
    }

    #[test]
    fn who_waits_for_another_waits_for_his_claims_end() {
        let now = Timestamp::now();
        let busy = |seconds: u64| MessageError::Busy {
            owner: "somebody".into(),
            until: now + Duration::from_secs(seconds),
        };
        let after = |receives, until| pause(FIRST, receives, &busy(until), 1.0, now).as_secs();
        assert_eq!(after(1, 900), 20, "the first time he is probably about to finish");
        assert_eq!(after(2, 900), 901);
        assert_eq!(after(2, 5), 60);
        assert_eq!(after(3, 1_000_000), LONGEST.as_secs());
    }

    #[test]
    fn a_queue_is_found_beside_its_dead_letters() {
        let dlq = "https://sqs.eu-central-1.amazonaws.com/123456789012/penstock-dlq";
        let arn = "arn:aws:sqs:eu-central-1:123456789012:penstock-events";
        let url = "https://sqs.eu-central-1.amazonaws.com/123456789012/penstock-events";
        assert_eq!(queue_url(dlq, arn).as_deref(), Some(url));
        for arn in ["", "penstock-events", "arn:aws:sqs:eu-central-1:123456789012:"] {
            assert_eq!(queue_url(dlq, arn), None);
        }
    }
}
