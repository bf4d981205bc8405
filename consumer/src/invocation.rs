//! What an invocation brings beside its batch, and how long it may take.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

/// What is kept of an invocation's time for its answer. Without that, a message that hangs would bring back the
/// whole batch.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// What is kept of the work's own time for giving a claim back, and before that for what follows the telling.
const TIME_TO_RELEASE: Duration = Duration::from_secs(1);
const TIME_AFTER_TELLING: Duration = Duration::from_secs(2);

/// How long a claim outlives the invocation that took it: for clocks that differ, and for a write that was on its
/// way. With the function's time-out it must stay below the queue's visibility time-out.
const CLAIM_MARGIN: Duration = Duration::from_secs(30);

/// What an invocation brings beside its batch.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// Lambda's name for it.
    pub request_id: String,
    /// When Lambda ends it, where that is known.
    pub deadline: Option<Timestamp>,
}

/// Until when a message's steps may take: whatever hangs is ended while there is time to say who has been told already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Everybody has been told.
    pub(crate) telling: Instant,
    /// Everything is done but giving the claim back.
    pub(crate) acting: Instant,
    /// That too.
    pub(crate) all: Instant,
}

impl Invocation {
    /// As Lambda describes it.
    pub fn new(context: &lambda_runtime::Context) -> Self {
        let deadline = i64::try_from(context.deadline).ok().filter(|millis| *millis > 0);
        Self {
            request_id: context.request_id.clone(),
            deadline: deadline.and_then(|millis| Timestamp::from_millisecond(millis).ok()),
        }
    }

    /// The time that the work may take.
    pub(crate) fn time_left(&self, now: Timestamp) -> Option<Duration> {
        let left = Duration::try_from(self.deadline?.duration_since(now)).unwrap_or_default();
        Some(left.saturating_sub(TIME_TO_ANSWER).max(left / 2))
    }

    /// The ends of a message's steps, where there is one.
    pub(crate) fn ends(&self, now: Timestamp) -> Option<Ends> {
        let (left, now) = (self.time_left(now)?, Instant::now());
        Some(Ends {
            telling: now + left.saturating_sub(TIME_AFTER_TELLING).max(left / 2),
            acting: now + left.saturating_sub(TIME_TO_RELEASE).max(left / 4 * 3),
            all: now + left,
        })
    }

    /// When a claim taken now ends: as soon as this invocation can't be at work any more.
    pub(crate) fn claim_until(&self, now: Timestamp, longest: Duration) -> Timestamp {
        let longest = now.saturating_add(longest).unwrap_or(Timestamp::MAX);
        let soonest = self.deadline.and_then(|deadline| deadline.saturating_add(CLAIM_MARGIN).ok());
        soonest.map_or(longest, |soonest| soonest.min(longest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invocation(deadline: Timestamp) -> Invocation {
        Invocation { deadline: Some(deadline), ..Invocation::default() }
    }

    #[test]
    fn time_is_left_to_answer() {
        let now = Timestamp::now();
        let left = |seconds| invocation(now + Duration::from_secs(seconds)).time_left(now).unwrap();
        assert_eq!(left(30), Duration::from_secs(29));
        assert_eq!(left(1), Duration::from_millis(500), "a short one is not all kept for the answer");
        assert_eq!(invocation(now).time_left(now + Duration::from_secs(5)), Some(Duration::ZERO));
        assert_eq!(Invocation::default().time_left(now), None);
    }

    #[test]
    fn each_step_ends_before_the_next() {
        let now = Timestamp::now();
        for seconds in [1, 3, 30, 900] {
            let ends = invocation(now + Duration::from_secs(seconds)).ends(now).unwrap();
            assert!(ends.telling < ends.acting && ends.acting < ends.all, "{seconds} s: {ends:?}");
        }
        assert_eq!(Invocation::default().ends(now), None);
    }

    #[test]
    fn a_claim_outlives_its_invocation_by_little() {
        let now = Timestamp::now();
        let longest = Duration::from_mins(16);
        let after = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(invocation(after(20)).claim_until(now, longest), after(50));
        assert_eq!(invocation(after(5000)).claim_until(now, longest), after(960));
        assert_eq!(Invocation::default().claim_until(now, longest), after(960));
    }

    #[test]
    fn lambdas_context_is_read() {
        let mut context = lambda_runtime::Context::default();
        assert_eq!(Invocation::new(&context).deadline, None);
        context.deadline = 1_700_000_000_123;
        let invocation = Invocation::new(&context);
        assert_eq!(invocation.deadline.unwrap().as_millisecond(), 1_700_000_000_123);
    }
}
