//! One file, in the order that makes every effect happen exactly once.
//!
//! Look, decide, work, rejects, clean file, receipt, publish. Every write is conditional on what was seen before it;
//! where a condition fails, somebody else was there: look and decide again. A crash anywhere is healed by the retry.

mod commit;
mod failure;
mod out_of_time;
mod stale;
mod work;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use common::contract::{
    Failure, FileEvent, KeyTooLong, Location, ObjectRef, Receipt, Source, Status, clean_key, event_id,
    failure_receipt_key, partition_room, receipt_key, rejects_key,
};
use common::document::{self, Document, DocumentError};
use common::store::{ErrorKind, StoreError};
use common::topic::{self, Message, PublishError};
use common::trace::in_span;
use engine::EngineError;
use jiff::Timestamp;
use opentelemetry::trace::{SpanBuilder, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use tokio::time::Instant;

use crate::Processor;
use crate::decision::{Decision, Found, Intent, decide};
use crate::give_up::{GiveUp, Reason};
use crate::outputs::{CleanWriter, store_error};
use crate::receipt;
use crate::recipes::Loaded;
use commit::Committed;
use work::{Stopped, Work};

/// What became of a file.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Done now: receipt written, event published.
    Processed(Box<Receipt>),
    /// Can never be done: the receipt says why, event published.
    Failed(Box<Receipt>),
    /// Was done before: event published again from the receipt.
    Republished(Box<Receipt>),
    /// The source is gone or has been replaced, or a newer one was processed: nothing to do.
    Superseded(&'static str),
}

/// Why a file was not done this time. Lambda tries again, and sets the event aside at last.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A bucket failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What lies in the receipt's place is none.
    #[error(transparent)]
    Unreadable(#[from] document::Unreadable),
    /// The topic failed.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The engine failed, and not because of the file.
    #[error(transparent)]
    Engine(EngineError),
    /// The file was given up, through no fault of its own.
    #[error(transparent)]
    GivenUp(#[from] Reason),
    /// Other writers came first again and again.
    #[error("{object} changes faster than it can be written")]
    Contended {
        /// What changes.
        object: ObjectRef,
        /// The last refusal.
        source: Option<StoreError>,
    },
}

impl From<DocumentError> for FileError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Store(error) => Self::Store(error),
            DocumentError::Unreadable(error) => Self::Unreadable(error),
        }
    }
}

/// Why a file is superseded that is still there.
const NEWER: &str = "a newer version of the file has been processed";

/// The code of a file that takes longer than Lambda allows.
const OUT_OF_TIME: &str = "out_of_time";

/// How often to look and decide again before giving the invocation up.
const MAX_TRIES: u32 = 8;

/// One file on its way.
pub struct File<'a> {
    processor: &'a Processor,
    source: Source,
    recipe: Arc<Loaded>,
    /// 0, and one more with each replay that an operator asks for.
    attempt: u32,
    /// The id of the outcome, should it be processed.
    event_id: String,
    started_at: Timestamp,
    begun: Instant,
    give_up: &'a GiveUp,
}

/// Where a file's objects lie.
struct Places {
    /// The clean file; of a partitioned one, the folder of its objects, and no object itself.
    clean: ObjectRef,
    /// Bytes that a partition's path may have; nothing if the clean file is one object.
    partition_room: Option<usize>,
    rejects: ObjectRef,
    receipt: ObjectRef,
}

/// Processes the file that `source` names, however long it takes.
pub async fn process(processor: &Processor, source: Source) -> Result<Outcome, FileError> {
    process_until(processor, source, &GiveUp::never()).await
}

/// Processes the file that `source` names, in the current span, unless it has to be given up.
///
/// A file that had the whole of Lambda's time and was not done then has failed: its receipt says so. Any other that
/// is given up is an error, [`FileError::GivenUp`], and leaves no trace.
pub async fn process_until(
    processor: &Processor,
    source: Source,
    give_up: &GiveUp,
) -> Result<Outcome, FileError> {
    process_attempt(processor, source, 0, give_up).await
}

/// The same, as a later attempt that an operator asked for: what earlier ones made is replaced.
pub async fn process_attempt(
    processor: &Processor,
    source: Source,
    attempt: u32,
    give_up: &GiveUp,
) -> Result<Outcome, FileError> {
    if let Some(reason) = give_up.already() {
        return Err(reason.into());
    }
    let recipe = processor.recipes.choose(&source.key);
    let event_id = event_id(&source, &recipe.reference.sha256, attempt, Status::Processed);
    let (started_at, begun) = (Timestamp::now(), Instant::now());
    let file = File { processor, source, recipe, attempt, event_id, started_at, begun, give_up };
    // Whatever uploads there were are closed by the time that this would end it.
    give_up.in_time(Box::pin(file.run())).await?
}

fn failure(code: &str, message: String) -> Failure {
    Failure { code: code.into(), message, line: None, byte_offset: None }
}

impl File<'_> {
    async fn run(&self) -> Result<Outcome, FileError> {
        let place = |key| ObjectRef::new(&self.processor.output_bucket, key);
        let key = &self.source.key;
        let recipe = &self.recipe.recipe;
        let places = || {
            Ok(Places {
                clean: place(clean_key(&recipe.output_name(key))?),
                partition_room: recipe.is_partitioned().then(|| partition_room(key)).transpose()?,
                rejects: place(rejects_key(key, &self.event_id)?),
                receipt: place(receipt_key(key)?),
            })
        };
        match places() {
            Ok(places) => {
                let outcome = Box::pin(self.run_at(&places)).await?;
                // What an attempt before made visible, that died.
                if matches!(outcome, Outcome::Superseded(_) | Outcome::Failed(_)) {
                    self.tidy_up(None, &places).await;
                }
                Ok(outcome)
            }
            Err::<_, KeyTooLong>(error) => {
                let message = format!("{error}: give the file a shorter key");
                self.fail_at(place(failure_receipt_key(key)), failure("key_too_long", message)).await
            }
        }
    }

    async fn run_at(&self, places: &Places) -> Result<Outcome, FileError> {
        let (found, decision) = in_span(SpanBuilder::from_name("detect"), self.detect(places)).await?;
        if let Some(outcome) = self.settle(&decision, places).await? {
            return Ok(outcome);
        }
        let (write, write_rejects) = (self.processor.write, self.processor.write_rejects);
        if places.partition_room.is_none() && self.source.size > write.max_object_bytes() {
            return self.fail_too_large(write, places).await;
        }
        let mut work = match self.work(places).await {
            Ok(work) => work,
            Err(Stopped::Engine(EngineError::Output(error))) if is_too_large(&error) => {
                return self.fail_too_large(write, places).await;
            }
            Err(Stopped::Engine(EngineError::Rejects(error))) if is_too_large(&error) => {
                return self.fail_too_large(write_rejects, places).await;
            }
            Err(Stopped::Engine(EngineError::BadFile(bad))) => {
                return self.fail(receipt::failure(&bad), places).await;
            }
            Err(Stopped::Engine(error)) => return gone_or(error),
            Err(Stopped::GivenUp { reason: Reason::OutOfTime, read })
                if self.give_up.is_final() && read > 0 =>
            {
                return self.fail_out_of_time(read, places).await;
            }
            Err(Stopped::GivenUp { reason, .. }) => return Err(FileError::GivenUp(reason)),
        };
        // From here on a file out of time is no failure of its own: its output may be there already, only the answer
        // that says so is late. The retry looks, and adopts what it finds.
        let committed = tokio::select! {
            biased;
            reason = self.give_up.commit_is_over() => Err(FileError::GivenUp(reason)),
            committed = in_span(SpanBuilder::from_name("commit"), self.commit_output(&mut work, found, places)) => {
                committed
            }
        };
        // Of a completed upload nothing is left to abort.
        self.abort(work.writer).await;
        let (outputs, found) = match committed? {
            Committed::Outputs(committed) => *committed,
            Committed::Settled(outcome) => return Ok(outcome),
        };
        let rejects = (work.summary.counts.rows_rejected > 0)
            .then(|| (places.rejects.bucket.clone(), places.rejects.key.clone()));
        let recipe = &self.recipe.reference;
        let mut receipt =
            receipt::processed(&self.source, recipe, &work.summary, outputs, rejects, self.started_at);
        if let (Some(rejects), Some(finished)) = (&mut receipt.rejects, work.rejects) {
            rejects.etag = Some(finished.etag);
            rejects.size = Some(finished.size);
            rejects.checksum_crc64nvme = Some(finished.checksum_crc64nvme);
        }
        let receipt = receipt::of_attempt(receipt, self.attempt);
        self.commit_receipt(receipt, found, places).await
    }

    /// What is there already, and what is to be done.
    async fn detect(&self, places: &Places) -> Result<(Found, Decision), FileError> {
        let found = self.look(places).await?;
        let decision = self.decide(&found);
        Context::map_current(|context| {
            context.span().set_attribute(KeyValue::new("penstock.decision", decision.name()));
        });
        Ok((found, decision))
    }

    /// What is in the output bucket now.
    async fn look(&self, places: &Places) -> Result<Found, FileError> {
        let store = &*self.processor.store;
        let found = document::read(store, &places.receipt).await?;
        let receipt = found.map(|found: Document<Receipt>| (found.value, found.etag));
        if places.partition_room.is_none() {
            return Ok(Found { receipt, output: store.head(&places.clean).await?, lacks_objects: false });
        }
        // Each event's objects have names of their own: the receipt alone is everybody's.
        let lacks_objects = match &receipt {
            Some((receipt, _)) if receipt.event_id == self.event_id => {
                self.lacks_objects(receipt, places).await?
            }
            _ => false,
        };
        Ok(Found { receipt, output: None, lacks_objects })
    }

    fn decide(&self, found: &Found) -> Decision {
        let recipe_sha256 = &self.recipe.reference.sha256;
        let (source, attempt, event_id) = (&self.source, self.attempt, &self.event_id);
        decide(found, &Intent { source, recipe_sha256, attempt, event_id })
    }

    /// Carries out a decision that needs no work; nothing if it needs some.
    async fn settle(&self, decision: &Decision, places: &Places) -> Result<Option<Outcome>, FileError> {
        Ok(match decision {
            Decision::Republish(receipt) => {
                // Should the one who wrote it have died in between.
                self.tidy_up(None, places).await;
                self.publish(receipt, &places.receipt).await?;
                Some(Outcome::Republished(receipt.clone()))
            }
            Decision::Superseded => Some(Outcome::Superseded(NEWER)),
            Decision::Taken { by } => {
                let message = format!(
                    "the clean file of another one, from bucket {by}, has the name that this one's would have: rename \
                     one of them"
                );
                Some(self.fail_beside(failure("output_taken", message)).await?)
            }
            Decision::Process { .. } | Decision::Adopt { .. } => None,
        })
    }

    /// Gives an upload up. That this failed never hides why.
    ///
    /// Waited for: once the invocation has answered, Lambda freezes what still runs.
    async fn abort(&self, writer: CleanWriter) {
        let aborted = tokio::select! {
            biased;
            aborted = writer.abort() => aborted,
            () = self.give_up.abort_is_over() => {
                tracing::warn!("an upload was given up without an answer: if it stays open, its lifecycle rule ends it");
                return;
            }
        };
        if let Err(error) = aborted {
            tracing::warn!(
                error = common::telemetry::chain(&error),
                "an upload stays open until its lifecycle rule ends it"
            );
        }
    }

    async fn publish(&self, receipt: &Receipt, object: &ObjectRef) -> Result<(), FileError> {
        let location = Location { bucket: object.bucket.clone(), key: object.key.clone() };
        let event = FileEvent::new(receipt, location);
        let body = serde_json::to_string(&event)
            .map_err(|error| FileError::Engine(EngineError::Internal(error.to_string())))?;
        let attributes = BTreeMap::from([("type".to_owned(), event.event_type)]);
        topic::publish(&*self.processor.topic, Message { subject: None, body, attributes }).await?;
        Ok(())
    }
}

/// Waits a little before looking again, so that whoever is at it can finish.
async fn pause(tries: u32) {
    let most = Duration::from_millis(20) * 2u32.saturating_pow(tries.min(5));
    tokio::time::sleep(most.mul_f64(fastrand::f64())).await;
}

/// A source that went or changed while it was read is superseded; any other failure is one.
fn gone_or(error: EngineError) -> Result<Outcome, FileError> {
    if let EngineError::Input { source, .. } = &error {
        match store_error(source).map(|error| error.kind) {
            Some(ErrorKind::NotFound) => return Ok(Outcome::Superseded("the file was deleted")),
            Some(ErrorKind::Precondition) => return Ok(Outcome::Superseded("the file was overwritten")),
            _ => {}
        }
    }
    Err(FileError::Engine(error))
}

/// Whether a sink of ours refused more than it can hold.
fn is_too_large(error: &std::io::Error) -> bool {
    store_error(error).is_some_and(|error| error.kind == ErrorKind::TooLarge)
}

/// Whether a conditional write met somebody else's.
fn is_race(error: &StoreError) -> bool {
    matches!(error.kind, ErrorKind::Precondition | ErrorKind::Conflict | ErrorKind::NotFound)
}
