//! When a file is given up before it is done: too little of Lambda's time is left, or the process is to end.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Why a file was given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Reason {
    /// The invocation's time is nearly over.
    #[error("the invocation's time was up before the file was done")]
    OutOfTime,
    /// The process was told to end.
    #[error("the process was told to end before the file was done")]
    Terminated,
}

/// The signal that a file's work listens to.
///
/// What is left of the invocation when the work is given up, the margin, is shared out: a quarter for aborting the
/// uploads, and the rest, but for a tenth, for the receipt and its message.
#[derive(Debug, Clone, Default)]
pub struct GiveUp {
    limits: Option<Limits>,
    terminated: CancellationToken,
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    /// The work is given up.
    work: Instant,
    /// Making it visible is given up.
    commit: Instant,
    /// Whatever is still under way is left alone: the answer has to reach Lambda.
    answer: Instant,
    margin: Duration,
    /// Whether this file had the invocation's time to itself.
    is_alone: bool,
}

impl GiveUp {
    /// Lets every file take as long as it takes.
    pub fn never() -> Self {
        Self::default()
    }

    /// When `terminated` says so.
    pub fn when(terminated: CancellationToken) -> Self {
        Self { limits: None, terminated }
    }

    /// Also when `left` of an invocation that has `whole` in all gets short.
    #[must_use]
    pub fn or_within(self, left: Duration, whole: Duration) -> Self {
        /// Enough for two aborts, a receipt and a message, with a try or two more for each; a short time-out leaves
        /// less.
        const MARGIN: Duration = Duration::from_secs(5);
        let margin = MARGIN.min(whole / 10);
        let end = Instant::now() + left;
        let before = |rest: Duration| end.checked_sub(rest).unwrap_or(end);
        let limits = Limits {
            work: before(margin),
            commit: before(margin / 2),
            answer: before(margin / 10),
            margin,
            is_alone: left >= whole / 2,
        };
        Self { limits: Some(limits), ..self }
    }

    /// Whether more of the same time would not help: a file that had the whole of it and was not done never will be.
    pub(crate) fn is_final(&self) -> bool {
        self.limits.is_some_and(|limits| limits.is_alone)
    }

    /// Why a file need not even be begun, if so.
    pub(crate) fn already(&self) -> Option<Reason> {
        if self.terminated.is_cancelled() {
            return Some(Reason::Terminated);
        }
        self.limits.filter(|limits| limits.work <= Instant::now()).map(|_| Reason::OutOfTime)
    }

    /// Waits until the work is to be given up.
    pub(crate) async fn work_is_over(&self) -> Reason {
        self.over(self.limits.map(|limits| limits.work)).await
    }

    /// Whether there is so much time to make work visible.
    pub(crate) fn has_time(&self, time: Duration) -> bool {
        self.limits.is_none_or(|limits| Instant::now() + time <= limits.commit)
    }

    /// Waits until making the work visible is to be given up.
    pub(crate) async fn commit_is_over(&self) -> Reason {
        self.over(self.limits.map(|limits| limits.commit)).await
    }

    async fn over(&self, limit: Option<Instant>) -> Reason {
        tokio::select! {
            () = self.terminated.cancelled() => Reason::Terminated,
            () = until(limit) => Reason::OutOfTime,
        }
    }

    /// Carries out `work` as long as there is time to answer: the last resort, for a store or topic that says nothing.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Reason> {
        tokio::select! {
            biased;
            () = until(self.limits.map(|limits| limits.answer)) => Err(Reason::OutOfTime),
            done = work => Ok(done),
        }
    }

    /// Waits until an abort that begins now is to be left to the bucket's lifecycle rule.
    pub(crate) async fn abort_is_over(&self) {
        until(self.limits.map(|limits| limits.work.max(Instant::now()) + limits.margin / 4)).await;
    }
}

async fn until(limit: Option<Instant>) {
    match limit {
        Some(limit) => tokio::time::sleep_until(limit).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Duration = Duration::from_mins(15);

    async fn waited(signal: impl Future<Output = Reason>) -> (Reason, Duration) {
        let begun = Instant::now();
        let reason = signal.await;
        (reason, begun.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn the_margin_leaves_time_for_abort_receipt_and_message() {
        for (whole, margin) in
            [(WHOLE, Duration::from_secs(5)), (Duration::from_secs(3), Duration::from_millis(300))]
        {
            let give_up = GiveUp::never().or_within(whole, whole);
            assert!(give_up.is_final() && give_up.already().is_none());
            let (reason, worked) = waited(give_up.work_is_over()).await;
            assert_eq!((reason, worked + margin), (Reason::OutOfTime, whole));
            assert_eq!(give_up.already(), Some(Reason::OutOfTime));
            let begun = Instant::now();
            give_up.abort_is_over().await;
            assert_eq!(begun.elapsed(), margin / 4);
            assert!(give_up.has_time(margin / 4) && !give_up.has_time(margin / 3));
            assert_eq!(waited(give_up.commit_is_over()).await.1, margin / 4);
            let begun = Instant::now();
            assert_eq!(give_up.in_time(std::future::pending::<()>()).await, Err(Reason::OutOfTime));
            assert_eq!(begun.elapsed(), margin * 2 / 5);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_that_came_late_did_not_have_the_whole_time() {
        let is_final = |left| GiveUp::never().or_within(left, WHOLE).is_final();
        assert!(is_final(WHOLE * 2 / 3));
        assert!(!is_final(WHOLE / 3));
        assert_eq!(
            GiveUp::never().or_within(Duration::from_secs(5), WHOLE).already(),
            Some(Reason::OutOfTime)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_of_the_process_is_heard_at_once() {
        let terminated = CancellationToken::new();
        let give_up = GiveUp::when(terminated.clone()).or_within(WHOLE, WHOLE);
        terminated.cancel();
        assert_eq!(give_up.already(), Some(Reason::Terminated));
        assert_eq!(waited(give_up.work_is_over()).await, (Reason::Terminated, Duration::ZERO));
        assert_eq!(waited(give_up.commit_is_over()).await, (Reason::Terminated, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_limit_nothing_is_given_up() {
        let give_up = GiveUp::never();
        assert!(!give_up.is_final() && give_up.already().is_none());
        let aeons = Duration::from_hours(24 * 365);
        assert!(tokio::time::timeout(aeons, give_up.work_is_over()).await.is_err());
        assert!(tokio::time::timeout(aeons, give_up.abort_is_over()).await.is_err());
        assert_eq!(give_up.in_time(tokio::time::sleep(aeons)).await, Ok(()));
    }
}
