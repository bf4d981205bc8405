//! A message as a span: in the trace of whoever published it, with a link to the invocation that it came with.

use std::time::Duration;

use aws_lambda_events::event::sqs::SqsMessage;
use common::contract::{CatalogStatus, FileEvent};
use common::trace::{self, count_of};
use jiff::Timestamp;
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};

use crate::error::MessageError;
use crate::process::Done;

/// Begins a message's span: under the span that published it, or else under the invocation's.
pub(crate) fn begin(record: &SqsMessage, publisher: Option<SpanContext>) -> Context {
    let queue = record.event_source_arn.as_deref().unwrap_or_default();
    let queue = queue.rsplit(':').next().unwrap_or_default().to_owned();
    let mut attributes = vec![
        KeyValue::new("messaging.system", "aws_sqs"),
        KeyValue::new("messaging.operation.name", "process"),
        KeyValue::new("messaging.operation.type", "process"),
        KeyValue::new("messaging.destination.name", queue.clone()),
        count_of("penstock.receive_count", receives(record)),
        trace::searchable(&["aws.s3.key", "penstock.event_id", "penstock.outcome"]),
    ];
    let id = record.message_id.clone();
    attributes.extend(id.map(|id| KeyValue::new("messaging.message.id", id)));
    let waited = waited(record, Timestamp::now());
    attributes
        .extend(waited.map(|waited| KeyValue::new("penstock.wait.queue_ms", waited.as_secs_f64() * 1e3)));
    let mut builder = SpanBuilder::from_name(format!("process {queue}")).with_kind(SpanKind::Consumer);
    let mut parent = Context::current();
    if let Some(publisher) = publisher {
        let invocation = parent.span();
        if invocation.span_context().is_valid() {
            builder = builder.with_links(vec![Link::with_context(invocation.span_context().clone())]);
            invocation.add_link(publisher.clone(), Vec::new());
        }
        parent = parent.with_remote_span_context(publisher);
    }
    trace::span(builder.with_attributes(attributes), &parent)
}

/// Says which event the message is of.
pub(crate) fn describe(context: &Context, event: &FileEvent) {
    let source = &event.data.receipt.source;
    let code = event.data.receipt.error.as_ref().map(|error| error.code.clone());
    let span = context.span();
    span.set_attributes(code.map(|code| KeyValue::new("penstock.error.code", code)));
    span.set_attributes([
        KeyValue::new("penstock.event_id", event.id.clone()),
        KeyValue::new("aws.s3.bucket", source.bucket.clone()),
        KeyValue::new("aws.s3.key", source.key.clone()),
    ]);
}

/// Ends the span with what became of the message.
///
/// One that was not done and has been handed out `max_receives` times is on its way to the dead-letter queue; one that was
/// set aside is there.
pub(crate) fn end(
    context: &Context,
    record: &SqsMessage,
    done: &Result<Done, MessageError>,
    max_receives: u32,
) {
    let span = context.span();
    let outcome = match done {
        Ok(Done::Now(CatalogStatus::Processed)) => "processed",
        Ok(Done::Now(CatalogStatus::Failed)) => "failed",
        Ok(Done::Now(CatalogStatus::Superseded)) => "superseded",
        Ok(Done::Before) => "done before",
        Ok(Done::SetAside(_)) => "set aside",
        Err(MessageError::Busy { .. }) => "busy",
        Err(error) => {
            trace::fail(context, error);
            "retry"
        }
    };
    span.set_attribute(KeyValue::new("penstock.outcome", outcome));
    let is_last = done.is_err() && receives(record) >= u64::from(max_receives);
    if is_last || matches!(done, Ok(Done::SetAside(_))) {
        span.add_event("dead letter", vec![count_of("penstock.receive_count", receives(record))]);
    }
    span.end();
}

/// How often the queue has handed the message out, this time included.
pub(crate) fn receives(record: &SqsMessage) -> u64 {
    record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or_default()
}

/// How long the message has been in the queue.
fn waited(record: &SqsMessage, now: Timestamp) -> Option<Duration> {
    let sent = record.attributes.get("SentTimestamp")?.parse().ok()?;
    let sent = Timestamp::from_millisecond(sent).ok()?;
    Some(Duration::try_from(now.duration_since(sent)).unwrap_or_default())
}
