//! An event's records, one file each.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_lambda_events::s3::{S3Event, S3EventRecord};
use common::contract::{ObjectRef, Sequencer, Source, Status, event_id, json_fault};
use common::store::StoreError;
use common::{metrics, telemetry, trace};
use lambda_runtime::{Diagnostic, LambdaEvent};
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, TraceId};
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::Processor;
use crate::file::{self, FileError, Outcome};
use crate::give_up::{GiveUp, Reason};
use crate::spans;

/// Why an invocation failed: Lambda tries again, and sets the event aside at last.
#[derive(Debug, thiserror::Error)]
pub enum HandlerError {
    /// The event is none of S3's.
    #[error("not an S3 event: {0}")]
    NotAnEvent(String),
    /// A record lacks what it must have.
    #[error("a record of the event has no {0}")]
    Incomplete(&'static str),
    /// A key's escapes do not give UTF-8.
    #[error("a record's key is not UTF-8")]
    KeyEncoding(#[source] std::str::Utf8Error),
    /// The source could not be looked at.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file was not done.
    #[error(transparent)]
    File(#[from] FileError),
    /// A file was given up before it was begun.
    #[error(transparent)]
    GivenUp(#[from] Reason),
}

impl HandlerError {
    /// What Lambda, and the trace, know it by.
    fn code(&self) -> &'static str {
        match self {
            Self::NotAnEvent(_) | Self::Incomplete(_) | Self::KeyEncoding(_) => "Penstock.Event",
            Self::Store(_) => "Penstock.Store",
            Self::GivenUp(reason) | Self::File(FileError::GivenUp(reason)) => match reason {
                Reason::OutOfTime => "Penstock.OutOfTime",
                Reason::Terminated => "Penstock.Terminated",
            },
            Self::File(_) => "Penstock.File",
        }
    }
}

impl From<HandlerError> for Diagnostic {
    fn from(error: HandlerError) -> Self {
        Self { error_type: error.code().into(), error_message: telemetry::chain(&error) }
    }
}

/// What an invocation answers: how many records, and what became of them.
#[derive(Debug, Default, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Answer {
    /// Files done now.
    pub processed: u32,
    /// Files that can never be done.
    pub failed: u32,
    /// Files done before.
    pub republished: u32,
    /// Files that something newer has replaced.
    pub superseded: u32,
    /// Records that are none of our business.
    pub ignored: u32,
}

/// Handles one invocation: every record of it, also after one has failed. What is under way when the process is told
/// to end is given up.
pub async fn handle(
    processor: &Processor,
    event: LambdaEvent<Value>,
    terminated: &CancellationToken,
) -> Result<Answer, HandlerError> {
    let answer = handle_records(processor, event, terminated).await;
    answer.inspect_err(|error| trace::fail_as(&Context::current(), error.code(), telemetry::chain(error)))
}

async fn handle_records(
    processor: &Processor,
    event: LambdaEvent<Value>,
    terminated: &CancellationToken,
) -> Result<Answer, HandlerError> {
    let clock = Clock::start(event.context.deadline);
    if event.payload.get("Event").is_some_and(|event| event == "s3:TestEvent") {
        tracing::info!("S3's test event: the bucket and this function are connected");
        return Ok(Answer { ignored: 1, ..Answer::default() });
    }
    let attempt = asked_attempt(&event.payload);
    let event: S3Event = serde_json::from_value(event.payload)
        .map_err(|error| HandlerError::NotAnEvent(json_fault(&error)))
        .inspect_err(|error| {
            tracing::error!(error = telemetry::chain(error), "not done: Lambda tries again");
        })?;
    processor.recipes.refresh(&*processor.store).await;
    let mut answer = Answer::default();
    let mut first_error = None;
    for record in event.records {
        let give_up = clock.give_up(terminated);
        let key = record.s3.object.key.clone().map(|key| decode_key(&key).unwrap_or(key));
        match handle_record(processor, record, attempt, &give_up).await {
            Ok(None) => answer.ignored += 1,
            Ok(Some(Outcome::Processed(_))) => answer.processed += 1,
            Ok(Some(Outcome::Failed(_))) => answer.failed += 1,
            Ok(Some(Outcome::Republished(_))) => answer.republished += 1,
            Ok(Some(Outcome::Superseded(_))) => answer.superseded += 1,
            Err(error) => {
                // Of a file that was begun, its own log says so.
                if !matches!(error, HandlerError::File(_)) {
                    let error = telemetry::chain(&error);
                    tracing::error!(key, error, "not done: Lambda tries again");
                }
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(answer), Err)
}

/// The attempt that an operator's replay asks for; S3 asks for none, which is the first.
fn asked_attempt(event: &Value) -> u32 {
    let asked = event.pointer("/penstock/attempt").and_then(Value::as_u64);
    asked.and_then(|attempt| attempt.try_into().ok()).unwrap_or(0)
}

/// Handles one record; nothing comes of one that is none of our business.
async fn handle_record(
    processor: &Processor,
    record: S3EventRecord,
    attempt: u32,
    give_up: &GiveUp,
) -> Result<Option<Outcome>, HandlerError> {
    let name = record.event_name.as_deref().unwrap_or_default();
    if !name.trim_start_matches("s3:").starts_with("ObjectCreated:") {
        tracing::info!(event = name, "ignored: not an object's creation");
        return Ok(None);
    }
    let bucket = record.s3.bucket.name.ok_or(HandlerError::Incomplete("bucket"))?;
    let key = decode_key(&record.s3.object.key.ok_or(HandlerError::Incomplete("key"))?)?;
    if bucket == processor.output_bucket {
        tracing::error!(
            bucket,
            key,
            "refused: an event from the output bucket would feed the function its own output"
        );
        return Ok(None);
    }
    if key.ends_with('/') {
        tracing::info!(bucket, key, "ignored: a folder's marker");
        return Ok(None);
    }
    let version_id = record.s3.object.version_id.filter(|id| !id.is_empty() && id != "null");
    let object = ObjectRef { bucket, key, version_id };
    let sequencer = record.s3.object.sequencer.filter(|sequencer| !sequencer.is_empty()).map(Sequencer);
    let etag = record.s3.object.e_tag.map(|etag| etag.trim_matches('"').to_owned());

    let looked = give_up.in_time(look_at_source(processor, &object, etag, sequencer)).await?;
    let Some((source, metadata)) = looked? else {
        return Ok(Some(Outcome::Superseded("the file was deleted or overwritten")));
    };
    let recipe = processor.recipes.choose(&source.key);
    let id = event_id(&source, &recipe.reference.sha256, attempt, Status::Processed);
    let context = spans::begin(&source, &id, trace::extract(&metadata));
    let trace_id = context.span().span_context().trace_id();
    // Of the highest level, so that `RUST_LOG=warn` keeps it.
    let log = tracing::error_span!(
        "file",
        key = source.key,
        bucket = source.bucket,
        trace_id = %trace_id,
        xray_trace_id = trace::xray_id(trace_id),
        event_id = id
    );
    async {
        let key = source.key.clone();
        let done =
            file::process_attempt(processor, source, attempt, give_up).with_context(context.clone()).await;
        spans::end(&context, &done);
        if let Err(error) = &done {
            tracing::error!(error = telemetry::chain(error), "not done: Lambda tries again");
        }
        let outcome = done?;
        report(processor, &key, &outcome, trace_id);
        Ok(Some(outcome))
    }
    .instrument(log)
    .await
}

/// An invocation's time.
struct Clock {
    /// When it ends; none where Lambda, or what stands in for it, sets no time-out.
    end: Option<Instant>,
    whole: Duration,
}

impl Clock {
    fn start(deadline_ms: u64) -> Self {
        let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(deadline_ms);
        let whole = deadline.duration_since(SystemTime::now()).unwrap_or_default();
        Self { end: (deadline_ms > 0).then(|| Instant::now() + whole), whole }
    }

    /// The signal for a file that begins now. S3 sends one record in an event, as far as anyone has seen; should there
    /// be more, a later one has what the others leave. Given up then, it is no failure: Lambda tries again, and the
    /// others are told from their receipts in no time.
    fn give_up(&self, terminated: &CancellationToken) -> GiveUp {
        let give_up = GiveUp::when(terminated.clone());
        match self.end {
            Some(end) => give_up.or_within(end.saturating_duration_since(Instant::now()), self.whole),
            None => give_up,
        }
    }
}

/// The source as it is now; nothing if it is gone or is no longer what the event meant.
async fn look_at_source(
    processor: &Processor,
    object: &ObjectRef,
    etag: Option<String>,
    sequencer: Option<Sequencer>,
) -> Result<Option<(Source, BTreeMap<String, String>)>, StoreError> {
    let meta = processor.store.head(object).await?;
    let Some(meta) = meta.filter(|meta| etag.as_ref().is_none_or(|etag| *etag == meta.etag)) else {
        tracing::info!(object = %object, "superseded: the file was deleted or overwritten before it was read");
        // Which trace the file was in went with it.
        let which = vec![KeyValue::new("aws.s3.key", object.key.clone())];
        Context::map_current(|context| context.span().add_event("superseded", which));
        return Ok(None);
    };
    let ObjectRef { bucket, key, version_id } = object.clone();
    let source = Source { bucket, key, version_id, etag: meta.etag, size: meta.size, sequencer };
    Ok(Some((source, meta.metadata)))
}

/// S3 writes keys into events as forms do: `+` for a space, the rest percent-encoded UTF-8.
fn decode_key(key: &str) -> Result<String, HandlerError> {
    let spaced = key.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8().map_err(HandlerError::KeyEncoding)?;
    Ok(decoded.into_owned())
}

/// One line for people and one for the metrics.
fn report(processor: &Processor, key: &str, outcome: &Outcome, trace_id: TraceId) {
    match outcome {
        Outcome::Processed(receipt) => {
            let counts = receipt.counts;
            tracing::info!(
                event_id = receipt.event_id,
                rows_in = counts.rows_in,
                rows_out = counts.rows_out,
                rows_rejected = counts.rows_rejected,
                duration_ms = receipt.timing.duration_ms,
                "processed"
            );
            // A line for each reason, so that a query over many files can group by it.
            for (reason, rows) in receipt.rejects.iter().flat_map(|rejects| &rejects.by_reason) {
                tracing::info!(reason, rows, "rejected");
            }
            (processor.emit)(&metrics::of_receipt(receipt, &processor.function, trace_id));
        }
        Outcome::Failed(receipt) => {
            let code = receipt.error.as_ref().map(|error| error.code.as_str());
            tracing::warn!(event_id = receipt.event_id, code, "failed: the receipt says why");
            (processor.emit)(&metrics::of_receipt(receipt, &processor.function, trace_id));
        }
        Outcome::Republished(receipt) => {
            tracing::info!(event_id = receipt.event_id, "done before: published again from its receipt");
            let now = jiff::Timestamp::now().as_millisecond();
            (processor.emit)(&metrics::duplicate(now, &processor.function, key, trace_id));
        }
        Outcome::Superseded(why) => tracing::info!(why, "superseded: nothing was written"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded_as_s3_writes_them() {
        for (written, key) in [
            ("a+b%2Bc.csv", "a b+c.csv"),
            ("%C3%A4/%E2%82%AC+%2541.csv", "ä/€ %41.csv"),
            ("plain/x=1.csv", "plain/x=1.csv"),
        ] {
            assert_eq!(decode_key(written).unwrap(), key);
        }
        assert!(decode_key("%FF").is_err());
    }
}
