//! A batch from SQS: each message on its own, so that one that fails never takes others with it.

use std::sync::Arc;
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use common::config::{ConsumerConfig, Prices};
use common::contract::json_fault;
use common::queue::Queues;
use common::store::Store;
use common::telemetry::chain;
use common::{metrics, trace};
use futures::StreamExt as _;
use jiff::Timestamp;
use opentelemetry::Context;
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};
use serde::Deserialize as _;
use serde_json::{Value, json};
use tracing::Instrument as _;
use tracing::field::Empty;

use crate::backoff;
use crate::daily;
use crate::delivery::Delivery;
use crate::error::MessageError;
use crate::invocation::Invocation;
use crate::notify::Live;
use crate::process::{Done, Work, within};
use crate::spans;

/// Messages at work at once: a usual batch whole, a large one within the function's memory.
const MESSAGES_AT_ONCE: usize = 10;

/// The dimension of the metrics.
const FUNCTION: &str = "consumer";

/// How long the queue may take to hear that a message is to come back later. If it does not hear, the message comes back
/// after the queue's own time.
const PUT_OFF_WITHIN: Duration = Duration::from_millis(500);

/// A batch that can't be answered message by message.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// Lambda could not be told which one failed, so all come again; those that are done will do nothing.
    #[error("a message that failed has no id")]
    NoMessageId,
    /// Neither a batch nor the digest's schedule.
    #[error("not an event for this function: {0}")]
    NotAnEvent(String),
    /// The digest was not sent; Lambda tries again.
    #[error("send the digest")]
    Digest(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The function: what it works with, and on which bucket.
pub struct Consumer {
    pub(crate) store: Arc<dyn Store>,
    queues: Arc<dyn Queues>,
    pub(crate) notifier: Live,
    pub(crate) output_bucket: String,
    dlq_url: String,
    pub(crate) claim_lease: Duration,
    pub(crate) prices: Prices,
    max_receives: u32,
    first_pause: Duration,
    emit: Box<dyn Fn(&str) + Send + Sync>,
}

impl Consumer {
    /// Works on `store`, puts messages off and aside through `queues`, and tells people through
    /// `notifier`.
    pub fn new(
        store: Arc<dyn Store>,
        queues: Arc<dyn Queues>,
        notifier: impl Into<Live>,
        config: &ConsumerConfig,
    ) -> Self {
        Self {
            store,
            queues,
            prices: config.prices,
            notifier: notifier.into(),
            output_bucket: config.output_bucket.clone(),
            dlq_url: config.dlq_url.clone(),
            claim_lease: config.claim_lease,
            max_receives: config.max_receives,
            first_pause: config.first_pause,
            emit: Box::new(metrics::emit),
        }
    }

    /// Hands the lines of metrics to `emit` instead of standard output.
    #[must_use]
    pub fn emitting(mut self, emit: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.emit = Box::new(emit);
        self
    }

    /// Does what an invocation asks for: a batch, or the digest.
    pub async fn invoke(&self, payload: Value, invocation: &Invocation) -> Result<Value, HandlerError> {
        let not_an_event = |error: serde_json::Error| HandlerError::NotAnEvent(json_fault(&error));
        if let Ok(request) = daily::Request::deserialize(&payload)
            && request.is_digest()
        {
            self.notifier.refresh().await;
            let sent = daily::send(self, &request, invocation).await;
            let sent = sent.map_err(|error| HandlerError::Digest(error.into()))?;
            return Ok(json!({ "digest": sent }));
        }
        let batch = serde_json::from_value(payload).map_err(not_an_event)?;
        serde_json::to_value(self.handle(batch, invocation).await?).map_err(not_an_event)
    }

    /// Does a batch, and names the messages that must come again.
    pub async fn handle(
        &self,
        batch: SqsEvent,
        invocation: &Invocation,
    ) -> Result<SqsBatchResponse, HandlerError> {
        self.notifier.refresh().await;
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
                    let comes_back = self.put_off(record, &error).await;
                    log_failure(&error, comes_back);
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
        let event = delivery.event()?;
        tracing::Span::current().record("event_id", &event.id).record("key", &event.subject);
        let span = Context::map_current(|context| {
            spans::describe(context, &event);
            context.span().span_context().clone()
        });
        let now = Timestamp::now();
        let message_id = record.message_id.as_deref().unwrap_or("-");
        let work = Work {
            store: &*self.store,
            queues: &*self.queues,
            notifier: &self.notifier.current(),
            bucket: &self.output_bucket,
            dlq_url: &self.dlq_url,
            record,
            receives: spans::receives(record),
            max_receives: self.max_receives,
            ends: invocation.ends(now),
            event: &event,
            trace_id: span.trace_id(),
            // SQS may deliver a message twice at once, even to one invocation: the span tells those apart.
            owner: format!("{message_id}/{}/{}", invocation.request_id, span.span_id()),
            claim_until: invocation.claim_until(now, self.claim_lease),
        };
        let done = within(work.ends.map(|ends| ends.all), work.run()).await?;
        if done == Done::Before {
            let now = now.as_millisecond();
            (self.emit)(&metrics::duplicate(now, FUNCTION, &event.subject, span.trace_id()));
        }
        Ok(done)
    }

    /// Says when a message is to come back, if the queue can be told.
    async fn put_off(&self, record: &SqsMessage, error: &MessageError) -> Option<Duration> {
        let arn = record.event_source_arn.as_deref()?;
        let (url, receipt) = (backoff::queue_url(&self.dlq_url, arn)?, record.receipt_handle.as_deref()?);
        let receives = spans::receives(record);
        let pause = if receives >= u64::from(self.max_receives) {
            // SQS sets it aside when it would be received once more: the sooner that is, the sooner somebody knows.
            Duration::ZERO
        } else {
            backoff::pause(self.first_pause, receives, error, fastrand::f64(), Timestamp::now())
        };
        let told = tokio::time::timeout(PUT_OFF_WITHIN, self.queues.put_off(&url, receipt, pause)).await;
        let failed = match told {
            Ok(Ok(())) => return Some(pause),
            Ok(Err(error)) => chain(&error),
            Err(_late) => "the queue did not answer".into(),
        };
        tracing::warn!(error = failed, "the message comes back when the queue's visibility time-out is over");
        None
    }
}

fn log_done(done: Done) {
    match done {
        Done::Now(status) => tracing::info!(?status, "catalogued"),
        Done::Before => tracing::info!("done before"),
        Done::SetAside(_) => tracing::warn!("set aside: it lies in the dead-letter queue with its reason"),
    }
}

fn log_failure(error: &MessageError, comes_back: Option<Duration>) {
    let seconds = comes_back.map(|pause| pause.as_secs());
    if let MessageError::Busy { .. } = error {
        tracing::info!(error = chain(error), comes_back_after_s = seconds, "the message comes back later");
    } else {
        tracing::error!(
            error = chain(error),
            transient = error.is_transient(),
            comes_back_after_s = seconds,
            "the message goes back to the queue"
        );
    }
}
