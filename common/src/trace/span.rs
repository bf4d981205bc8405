//! A piece of work as a span; what it has to wait for and to do again.
//!
//! A span is the current one of whatever runs in it, tasks included that [`spawn`] begins. Its attributes hold keys,
//! ids, sizes and counts, never what is in a row.

use std::borrow::Cow;
use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use opentelemetry::trace::{FutureExt as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Context, KeyValue};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tracing::Instrument as _;

use super::export::tracer;
use crate::telemetry::chain;

/// Begins a span under `parent`. It ends with [`opentelemetry::trace::SpanRef::end`], or with the last copy of the
/// context.
pub fn span(span: SpanBuilder, parent: &Context) -> Context {
    parent.with_span(tracer().build_with_context(span, parent))
}

/// Begins a trace.
pub fn root(name: &'static str) -> Context {
    span(SpanBuilder::from_name(name), &Context::new())
}

/// Does a piece of work in a span of its own; its error is the span's.
pub async fn in_span<T, E>(builder: SpanBuilder, work: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: Error + 'static,
{
    let context = span(builder, &Context::current());
    let done = Box::pin(work).with_context(context.clone()).await;
    if let Err(error) = &done {
        fail(&context, error);
    }
    context.span().end();
    done
}

/// Says that a span failed, and why.
pub fn fail<E: Error + 'static>(context: &Context, error: &E) {
    // The last part of the type's name: without the way through the modules.
    let name = std::any::type_name::<E>();
    fail_as(context, name.rsplit("::").next().unwrap_or(name), chain(error));
}

/// Says that a span failed: with a code of few values, and in words.
pub fn fail_as(context: &Context, code: impl Into<Cow<'static, str>>, message: String) {
    let (span, code) = (context.span(), code.into());
    span.set_attribute(KeyValue::new("error.type", code.clone()));
    let exception =
        vec![KeyValue::new("exception.type", code), KeyValue::new("exception.message", message.clone())];
    span.add_event("exception", exception);
    span.set_status(Status::error(message));
}

/// Begins a task that belongs to the current span, and whose log lines do.
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work.with_current_context().in_current_span())
}

/// As [`spawn`], into a set.
pub(crate) fn spawn_into<T: Send + 'static>(
    tasks: &mut JoinSet<T>,
    work: impl Future<Output = T> + Send + 'static,
) {
    tasks.spawn(work.with_current_context().in_current_span());
}

/// What a piece of work did that is too much for a span each.
#[derive(Debug, Default)]
pub struct Tally {
    ranges: AtomicU64,
    parts: AtomicU64,
    retries: AtomicU64,
    pauses: Waited,
}

impl Tally {
    /// Counts for whatever runs in the context that is returned.
    pub fn begin(context: &Context) -> (Arc<Self>, Context) {
        let tally = Arc::new(Self::default());
        let context = context.with_value(Arc::clone(&tally));
        (tally, context)
    }

    fn count(of: impl Fn(&Self) -> &AtomicU64) {
        Context::map_current(|context| {
            if let Some(tally) = context.get::<Arc<Self>>() {
                of(tally).fetch_add(1, Ordering::Relaxed);
            }
        });
    }

    /// Counts a ranged GET for the current work.
    pub(crate) fn range() {
        Self::count(|tally| &tally.ranges);
    }

    /// Counts a part for the current work.
    pub(crate) fn part() {
        Self::count(|tally| &tally.parts);
    }

    /// Counts a retry for the current work, and the pause before it.
    pub(crate) fn retry(pause: Duration) {
        Self::count(|tally| &tally.retries);
        Context::map_current(|context| {
            if let Some(tally) = context.get::<Arc<Self>>() {
                tally.pauses.add(pause);
            }
        });
    }

    /// What was counted.
    pub fn attributes(&self) -> [KeyValue; 4] {
        let number = |name, count: &AtomicU64| count_of(name, count.load(Ordering::Relaxed));
        [
            number("penstock.ranges", &self.ranges),
            number("penstock.parts", &self.parts),
            number("penstock.retries", &self.retries),
            self.pauses.attribute("penstock.wait.retries_ms"),
        ]
    }
}

/// A count as an attribute.
pub fn count_of(name: &'static str, count: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(count).unwrap_or(i64::MAX))
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
