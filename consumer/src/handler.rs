//! A batch from SQS: each message on its own, so that one that fails never takes others with it.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use common::config::ConsumerConfig;
use common::store::Store;
use common::telemetry::chain;
use common::topic::Topic;
use common::{metrics, trace};
use futures::StreamExt as _;
use jiff::Timestamp;
use opentelemetry::Context;
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::delivery::Delivery;
use crate::error::MessageError;
use crate::process::{Done, Work};
use crate::spans;

/// Messages at work at once: a usual batch whole, a large one within the function's memory.
const MESSAGES_AT_ONCE: usize = 10;

/// What is kept of an invocation's time for its answer. Without that, a message that hangs would bring back the
/// whole batch.
const TIME_TO_ANSWER: Duration = Duration::from_secs(1);

/// How long a claim outlives the invocation that took it: for clocks that differ, and for a write that was on its
/// way. With the function's time-out it must stay below the queue's visibility time-out.
const CLAIM_MARGIN: Duration = Duration::from_secs(30);

/// The dimension of the metrics.
const FUNCTION: &str = "consumer";

/// What an invocation brings beside its batch.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// Lambda's name for it.
    pub request_id: String,
    /// When Lambda ends it, where that is known.
    pub deadline: Option<Timestamp>,
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

    /// The time that messages may take.
    fn time_left(&self, now: Timestamp) -> Option<Duration> {
        let left = Duration::try_from(self.deadline?.duration_since(now)).unwrap_or_default();
        Some(left.saturating_sub(TIME_TO_ANSWER).max(left / 2))
    }

    /// When a claim taken now ends: as soon as this invocation can't be at work any more.
    fn claim_until(&self, now: Timestamp, longest: Duration) -> Timestamp {
        let longest = now.saturating_add(longest).unwrap_or(Timestamp::MAX);
        let soonest = self.deadline.and_then(|deadline| deadline.saturating_add(CLAIM_MARGIN).ok());
        soonest.map_or(longest, |soonest| soonest.min(longest))
    }
}

/// A batch that can't be answered message by message.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// Lambda could not be told which one failed, so all come again; those that are done will do nothing.
    #[error("a message that failed has no id")]
    NoMessageId,
}

/// The function: what it works with, and on which bucket.
pub struct Consumer {
    store: Arc<dyn Store>,
    alerts: Option<Arc<dyn Topic>>,
    output_bucket: String,
    claim_lease: Duration,
    max_receives: u32,
    emit: Box<dyn Fn(&str) + Send + Sync>,
}

impl Consumer {
    /// Works on `store` and tells people through `alerts`, if that is wanted.
    pub fn new(store: Arc<dyn Store>, alerts: Option<Arc<dyn Topic>>, config: &ConsumerConfig) -> Self {
        Self {
            store,
            alerts,
            output_bucket: config.output_bucket.clone(),
            claim_lease: config.claim_lease,
            max_receives: config.max_receives,
            emit: Box::new(metrics::emit),
        }
    }

    /// Hands the lines of metrics to `emit` instead of standard output.
    #[must_use]
    pub fn emitting(mut self, emit: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.emit = Box::new(emit);
        self
    }

    /// Does a batch, and names the messages that must come again.
    pub async fn handle(
        &self,
        batch: SqsEvent,
        invocation: &Invocation,
    ) -> Result<SqsBatchResponse, HandlerError> {
        let answers = futures::stream::iter(batch.records.iter().map(async |record| {
            let done = self.settle(record, invocation).await;
            (!done).then(|| record.message_id.clone().ok_or(HandlerError::NoMessageId))
        }));
        let answers: Vec<Option<_>> = answers.buffer_unordered(MESSAGES_AT_ONCE).collect().await;
        let mut response = SqsBatchResponse::default();
        for failed in answers.into_iter().flatten() {
            response.add_failure(failed.inspect_err(|error| trace::fail(&Context::current(), error))?);
        }
        Ok(response)
    }

    /// Does one message, logs what became of it, and says whether it is done.
    async fn settle(&self, record: &SqsMessage, invocation: &Invocation) -> bool {
        let delivery = Delivery::new(record);
        let context = spans::begin(record, delivery.parent());
        let trace_id = context.span().span_context().trace_id();
        // At the level of errors, so that no filter takes the identity from the lines that remain.
        let span = tracing::error_span!(
            "message",
            message_id = record.message_id,
            request_id = invocation.request_id,
            trace_id = %trace_id,
            xray_trace_id = trace::xray_id(trace_id),
            event_id = Empty,
            key = Empty,
        );
        let work = async {
            let done = self.within_time(record, &delivery, invocation).with_context(context.clone()).await;
            spans::end(&context, record, &done, self.max_receives);
            match done {
                Ok(done) => {
                    log_done(done);
                    true
                }
                Err(error) => {
                    log_failure(&error);
                    false
                }
            }
        };
        work.instrument(span).await
    }

    async fn within_time(
        &self,
        record: &SqsMessage,
        delivery: &Delivery<'_>,
        invocation: &Invocation,
    ) -> Result<Done, MessageError> {
        let event = delivery.event(&self.output_bucket)?;
        tracing::Span::current().record("event_id", &event.id).record("key", &event.subject);
        let span = Context::map_current(|context| {
            spans::describe(context, &event);
            context.span().span_context().clone()
        });
        let now = Timestamp::now();
        let message_id = record.message_id.as_deref().unwrap_or("-");
        let work = Work {
            store: &*self.store,
            alerts: self.alerts.as_deref(),
            bucket: &self.output_bucket,
            event: &event,
            trace_id: span.trace_id(),
            // SQS may deliver a message twice at once, even to one invocation: the span tells those apart.
            owner: format!("{message_id}/{}/{}", invocation.request_id, span.span_id()),
            claim_until: invocation.claim_until(now, self.claim_lease),
        };
        let done = match invocation.time_left(now) {
            Some(left) => {
                tokio::time::timeout(left, work.run()).await.unwrap_or(Err(MessageError::OutOfTime))?
            }
            None => work.run().await?,
        };
        if done == Done::Before {
            let now = now.as_millisecond();
            (self.emit)(&metrics::duplicate(now, FUNCTION, &event.subject, span.trace_id()));
        }
        Ok(done)
    }
}

fn log_done(done: Done) {
    match done {
        Done::Now(status) => tracing::info!(?status, "catalogued"),
        Done::Before => tracing::info!("done before"),
    }
}

fn log_failure(error: &MessageError) {
    if let MessageError::Busy { .. } = error {
        tracing::info!(error = chain(error), "the message comes back later");
    } else {
        tracing::error!(
            error = chain(error),
            transient = error.is_transient(),
            "the message goes back to the queue"
        );
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
