//! What is too much for a span each: counted, and how long it took.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use tokio::time::Instant;

use super::count_of;
use super::progress::{Progress, Step};

/// What a piece of work did that is too much for a span each.
#[derive(Debug)]
pub struct Tally {
    ranges: AtomicU64,
    parts: AtomicU64,
    retries: AtomicU64,
    pauses: Waited,
    calls: AtomicU64,
    progress: Progress,
}

/// So many calls of a piece of work have a span each: a trace of thousands would not be taken, nor read.
const MAX_CALL_SPANS: u64 = 50;

/// Does a piece of work that makes calls, perhaps thousands: the first have a span each, and the current span says how many
/// there were, if there were more.
pub async fn tallied<T>(work: impl Future<Output = T>) -> T {
    let context = Context::current();
    let (tally, counted) = Tally::begin(&context);
    let done = work.with_context(counted).await;
    context.span().set_attributes(tally.calls());
    done
}

impl Tally {
    /// Counts for whatever runs in the context that is returned.
    pub fn begin(context: &Context) -> (Arc<Self>, Context) {
        let tally = Arc::new(Self {
            ranges: AtomicU64::default(),
            parts: AtomicU64::default(),
            retries: AtomicU64::default(),
            pauses: Waited::default(),
            calls: AtomicU64::default(),
            progress: Progress::begin(),
        });
        let context = context.with_value(Arc::clone(&tally));
        (tally, context)
    }

    fn current(count: impl FnOnce(&Self)) {
        Context::map_current(|context| {
            if let Some(tally) = context.get::<Arc<Self>>() {
                count(tally);
            }
        });
    }

    /// Counts a call of the current work. Returns whether it should have a span.
    pub(crate) fn call() -> bool {
        let mut has_span = true;
        Self::current(|tally| has_span = tally.calls.fetch_add(1, Ordering::Relaxed) < MAX_CALL_SPANS);
        has_span
    }

    /// How many calls there were, where not all have a span.
    fn calls(&self) -> Option<KeyValue> {
        let calls = self.calls.load(Ordering::Relaxed);
        (calls > MAX_CALL_SPANS).then(|| count_of("penstock.calls", calls))
    }

    /// Counts a ranged GET for the current work.
    pub(crate) fn range() {
        Self::current(|tally| _ = tally.ranges.fetch_add(1, Ordering::Relaxed));
    }

    /// Counts a part for the current work.
    pub(crate) fn part() {
        Self::current(|tally| _ = tally.parts.fetch_add(1, Ordering::Relaxed));
    }

    /// Counts a retry for the current work, and the pause before it.
    pub(crate) fn retry(pause: Duration) {
        Self::current(|tally| {
            tally.retries.fetch_add(1, Ordering::Relaxed);
            tally.pauses.add(pause);
        });
    }

    /// Counts bytes that the current work moved.
    pub(crate) fn moved_now(step: Step, bytes: u64) {
        Self::current(|tally| tally.moved(step, bytes));
    }

    /// Counts bytes that the work moved.
    pub fn moved(&self, step: Step, bytes: u64) {
        self.progress.count(step, bytes);
    }

    /// What was counted.
    pub fn attributes(&self) -> impl Iterator<Item = KeyValue> + use<> {
        let number = |name, count: &AtomicU64| count_of(name, count.load(Ordering::Relaxed));
        let counts = [
            number("penstock.ranges", &self.ranges),
            number("penstock.parts", &self.parts),
            number("penstock.retries", &self.retries),
            self.pauses.attribute("penstock.wait.retries_ms"),
        ];
        counts.into_iter().chain(self.calls()).chain(self.progress.attribute())
    }
}

/// Time spent waiting, by however many.
#[derive(Debug, Default)]
pub struct Waited(AtomicU64);

impl Waited {
    fn add(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    /// Does a piece of work, and adds the time for which it was not ready. What is ready at once costs no look at the
    /// clock.
    pub async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        let mut since = None;
        std::future::poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(done) => {
                if let Some(since) = since {
                    self.add(Instant::now().duration_since(since));
                }
                Poll::Ready(done)
            }
            Poll::Pending => {
                since.get_or_insert_with(Instant::now);
                Poll::Pending
            }
        })
        .await
    }

    /// As an attribute, in milliseconds.
    pub fn attribute(&self, name: &'static str) -> KeyValue {
        KeyValue::new(name, self.0.load(Ordering::Relaxed) as f64 / 1e6)
    }
}
