//! One file, in the order that makes every effect happen exactly once.
//!
//! Look, decide, work, rejects, clean file, receipt, publish. Every write is conditional on what was seen before it;
//! where a condition fails, somebody else was there: look and decide again. A crash anywhere is healed by the retry.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use common::contract::{
    Failure, FileEvent, Location, ObjectRef, Output, Receipt, Source, Status, clean_key, event_id,
    failure_receipt_key, receipt_key, rejects_key,
};
use common::document::{self, DocumentError};
use common::read::read_object;
use common::store::{Condition, ErrorKind, StoreError};
use common::topic::{Message, PublishError};
use common::trace;
use common::write::ObjectWriter;
use engine::{EngineError, Summary};
use futures::TryStreamExt as _;
use jiff::Timestamp;
use opentelemetry::trace::SpanContext;

use crate::Processor;
use crate::decision::{Decision, Found, Intent, decide, is_later};
use crate::outputs::{self, ObjectSink, store_error};
use crate::receipt;

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

/// How often to look and decide again before giving the invocation up.
const MAX_TRIES: u32 = 8;

/// One file on its way.
pub struct File<'a> {
    processor: &'a Processor,
    source: Source,
    /// The id of the outcome, should it be processed.
    event_id: String,
    span: SpanContext,
    started_at: Timestamp,
}

/// Where a file's objects lie.
struct Places {
    clean: ObjectRef,
    rejects: ObjectRef,
    receipt: ObjectRef,
}

/// What the engine made, not visible yet.
struct Work {
    summary: Summary,
    writer: ObjectWriter,
}

/// Processes the file that `source` names, as part of the trace `span`.
pub async fn process(processor: &Processor, source: Source, span: SpanContext) -> Result<Outcome, FileError> {
    let started_at = Timestamp::now();
    let event_id = event_id(&source, &processor.recipe.sha256, 0, Status::Processed);
    let place = |key| ObjectRef::new(&processor.output_bucket, key);
    let keys = [clean_key(&source.key), rejects_key(&source.key, &event_id), receipt_key(&source.key)];
    let [clean, rejects, receipt] = keys;
    let file = File { processor, source, event_id, span, started_at };
    match (clean, rejects, receipt) {
        (Ok(clean), Ok(rejects), Ok(receipt)) => {
            let places = Places { clean: place(clean), rejects: place(rejects), receipt: place(receipt) };
            file.run(&places).await
        }
        (Err(error), ..) | (_, Err(error), _) | (.., Err(error)) => {
            let object = place(failure_receipt_key(&file.source.key));
            let message = format!("{error}: give the file a shorter key");
            file.fail_at(&object, failure("key_too_long", message)).await
        }
    }
}

fn failure(code: &str, message: String) -> Failure {
    Failure { code: code.into(), message, line: None, byte_offset: None }
}

impl File<'_> {
    async fn run(&self, places: &Places) -> Result<Outcome, FileError> {
        let found = self.look(places).await?;
        if let Some(outcome) = self.settle(&self.decide(&found), places).await? {
            return Ok(outcome);
        }
        let work = match self.work(places).await {
            Ok(work) => work,
            Err(EngineError::BadFile(bad)) => return self.fail(receipt::failure(&bad), places).await,
            Err(error) => return gone_or(error),
        };
        let rejects = (work.summary.counts.rows_rejected > 0)
            .then(|| (places.rejects.bucket.clone(), places.rejects.key.clone()));
        let (made, condition) = match self.commit_output(work, found, places).await? {
            Committed::Output(output, condition) => (output, condition),
            Committed::Settled(outcome) => return Ok(outcome),
        };
        let (output, summary) = *made;
        let recipe = &self.processor.recipe;
        let receipt =
            receipt::processed(&self.source, recipe, &summary, vec![output], rejects, self.started_at);
        self.commit_receipt(receipt, condition, places).await
    }

    /// What is in the output bucket now.
    async fn look(&self, places: &Places) -> Result<Found, FileError> {
        let store = &*self.processor.store;
        let receipt = document::read(store, &places.receipt).await?.map(|found| (found.value, found.etag));
        Ok(Found { receipt, output: store.head(&places.clean).await? })
    }

    fn decide(&self, found: &Found) -> Decision {
        let recipe_sha256 = &self.processor.recipe.sha256;
        decide(found, &Intent { source: &self.source, recipe_sha256, event_id: &self.event_id })
    }

    /// Carries out a decision that needs no work; nothing if it needs some.
    async fn settle(&self, decision: &Decision, places: &Places) -> Result<Option<Outcome>, FileError> {
        Ok(match decision {
            Decision::Republish(receipt) => {
                self.publish(receipt, &places.receipt).await?;
                Some(Outcome::Republished(receipt.clone()))
            }
            Decision::Superseded => Some(Outcome::Superseded(NEWER)),
            Decision::Taken { by } => {
                let message = format!(
                    "a file of the same key from bucket {by} has the output's name: rename one of them"
                );
                Some(self.fail_beside(failure("output_taken", message)).await?)
            }
            Decision::Process { .. } | Decision::Adopt { .. } => None,
        })
    }

    /// Runs the engine from the source into uploads; rejects are finished, the clean file is not.
    async fn work(&self, places: &Places) -> Result<Work, EngineError> {
        let processor = self.processor;
        let store = || Arc::clone(&processor.store);
        let source = &self.source;
        let input = read_object(store(), &source.object(), &source.etag, source.size, processor.read);
        let input = std::pin::pin!(input.map_err(io::Error::other));
        let writer =
            outputs::clean_writer(store(), places.clean.clone(), source, &self.event_id, processor.write);
        let mut clean = ObjectSink(writer);
        let rejects = outputs::rejects_writer(store(), places.rejects.clone(), processor.write_rejects);
        let mut rejects = ObjectSink(rejects);
        let ran = async {
            let summary = engine::run(input, &mut clean, &mut rejects, &processor.options).await?;
            if summary.input_bytes != source.size {
                let (read, size) = (summary.input_bytes, source.size);
                return Err(EngineError::Internal(format!("{read} bytes were read of {size}")));
            }
            if summary.counts.rows_rejected > 0 {
                let finished = rejects.0.finish(&Condition::Always).await;
                finished.map_err(|error| EngineError::Rejects(io::Error::other(error)))?;
            }
            Ok(summary)
        };
        match ran.await {
            Ok(summary) => Ok(Work { summary, writer: clean.0 }),
            Err(error) => {
                // Waited for: once the invocation has answered, Lambda freezes what still runs.
                abort(rejects.0).await;
                abort(clean.0).await;
                Err(error)
            }
        }
    }

    /// Makes the clean file visible, unless somebody newer or a twin came first.
    async fn commit_output(
        &self,
        mut work: Work,
        mut found: Found,
        places: &Places,
    ) -> Result<Committed, FileError> {
        let mut last_error = None;
        for tries in 0..MAX_TRIES {
            let (condition, receipt) = match self.decide(&found) {
                Decision::Process { output, receipt } => (output, receipt),
                Decision::Adopt { output, receipt } => match adopted(&work, &places.clean, &output) {
                    Some(output) => {
                        abort(work.writer).await;
                        return Ok(Committed::Output(Box::new((output, work.summary)), receipt));
                    }
                    // Another Penstock's bytes under the same name: ours replace them.
                    None => (Condition::IfMatch(output.etag), receipt),
                },
                settled => {
                    abort(work.writer).await;
                    let outcome = self.settle(&settled, places).await?;
                    return Ok(Committed::Settled(outcome.unwrap_or(Outcome::Superseded(NEWER))));
                }
            };
            match work.writer.finish(&condition).await {
                Ok(finished) => {
                    let output = outputs::output(&places.clean, finished);
                    return Ok(Committed::Output(Box::new((output, work.summary)), receipt));
                }
                Err(error) if matches!(error.kind, ErrorKind::Precondition | ErrorKind::NotFound) => {
                    last_error = Some(error);
                    pause(tries).await;
                    found = self.look(places).await?;
                }
                // A conflict (409) among them: S3 wants the parts uploaded anew, which Lambda's retry does.
                Err(error) => {
                    // The first error is the one told.
                    abort(work.writer).await;
                    return Err(error.into());
                }
            }
        }
        abort(work.writer).await;
        Err(FileError::Contended { object: places.clean.clone(), source: last_error })
    }

    /// Writes a `processed` receipt, unless somebody newer or a twin came first, and publishes.
    async fn commit_receipt(
        &self,
        receipt: Receipt,
        mut condition: Condition,
        places: &Places,
    ) -> Result<Outcome, FileError> {
        let store = &*self.processor.store;
        let ours = receipt.outputs.first().map(|output| output.etag.as_str());
        let mut last_error = None;
        for tries in 0..MAX_TRIES {
            match document::write(store, &places.receipt, &receipt, &condition).await {
                Ok(_) => {
                    self.publish(&receipt, &places.receipt).await?;
                    return Ok(Outcome::Processed(Box::new(receipt)));
                }
                Err(error) if is_race(&error) => last_error = Some(error),
                Err(error) => return Err(error.into()),
            }
            pause(tries).await;
            let found = self.look(places).await?;
            let ours_is_current = found.output.as_ref().map(|output| output.etag.as_str()) == ours;
            let theirs = found.receipt.as_ref().map(|(_, etag)| Condition::IfMatch(etag.clone()));
            condition = match self.decide(&found) {
                // A twin's receipt that names an output which ours has replaced since.
                Decision::Republish(twin) if ours_is_current && twin.outputs != receipt.outputs => {
                    theirs.unwrap_or(Condition::IfAbsent)
                }
                Decision::Process { receipt, .. } | Decision::Adopt { receipt, .. } if ours_is_current => {
                    receipt
                }
                // Our output has been replaced. A receipt must not name what is no longer there.
                Decision::Process { .. } | Decision::Adopt { .. } => break,
                settled => {
                    let outcome = self.settle(&settled, places).await?;
                    return Ok(outcome.unwrap_or(Outcome::Superseded(NEWER)));
                }
            };
        }
        Err(FileError::Contended { object: places.receipt.clone(), source: last_error })
    }

    /// Says that the file can never be processed. Never in the place of a `processed` receipt of the same source, nor
    /// of another bucket's file.
    async fn fail(&self, failure: Failure, places: &Places) -> Result<Outcome, FileError> {
        let found = document::read::<Receipt>(&*self.processor.store, &places.receipt).await?;
        match found.map(|found| found.value) {
            Some(theirs) if theirs.source.bucket != self.source.bucket => self.fail_beside(failure).await,
            Some(theirs) if theirs.status == Status::Processed && theirs.source.is_same(&self.source) => {
                self.fail_beside(failure).await
            }
            _ => self.fail_at(&places.receipt, failure).await,
        }
    }

    /// Says so in a place of this file's own.
    async fn fail_beside(&self, failure: Failure) -> Result<Outcome, FileError> {
        let key = failure_receipt_key(&format!("{}/{}", self.source.bucket, self.source.key));
        self.fail_at(&ObjectRef::new(&self.processor.output_bucket, key), failure).await
    }

    /// Writes a `failed` receipt and publishes. A failure that was told before is told again from the receipt of
    /// then, so that its time stays the same.
    async fn fail_at(&self, object: &ObjectRef, failure: Failure) -> Result<Outcome, FileError> {
        let store = &*self.processor.store;
        let receipt = receipt::failed(&self.source, &self.processor.recipe, failure, self.started_at);
        let mut last_error = None;
        for tries in 0..MAX_TRIES {
            let condition = match document::read::<Receipt>(store, object).await? {
                None => Condition::IfAbsent,
                Some(found) if found.value.event_id == receipt.event_id => {
                    self.publish(&found.value, object).await?;
                    return Ok(Outcome::Republished(Box::new(found.value)));
                }
                Some(found)
                    if is_later(found.value.source.sequencer.as_ref(), self.source.sequencer.as_ref()) =>
                {
                    return Ok(Outcome::Superseded(NEWER));
                }
                Some(found) => Condition::IfMatch(found.etag),
            };
            match document::write(store, object, &receipt, &condition).await {
                Ok(_) => {
                    self.publish(&receipt, object).await?;
                    return Ok(Outcome::Failed(Box::new(receipt)));
                }
                Err(error) if is_race(&error) => last_error = Some(error),
                Err(error) => return Err(error.into()),
            }
            pause(tries).await;
        }
        Err(FileError::Contended { object: object.clone(), source: last_error })
    }

    async fn publish(&self, receipt: &Receipt, object: &ObjectRef) -> Result<(), FileError> {
        let location = Location { bucket: object.bucket.clone(), key: object.key.clone() };
        let event = FileEvent::new(receipt, location);
        let body = serde_json::to_string(&event)
            .map_err(|error| FileError::Engine(EngineError::Internal(error.to_string())))?;
        let mut attributes = BTreeMap::from([("type".to_owned(), event.event_type)]);
        trace::inject(&self.span, &mut attributes);
        self.processor.topic.publish(Message { subject: None, body, attributes }).await?;
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

/// How far the clean file came.
enum Committed {
    /// Visible; the receipt is to be written under this condition.
    Output(Box<(Output, Summary)>, Condition),
    /// Somebody else's business by now.
    Settled(Outcome),
}

/// Whether a conditional write met somebody else's.
fn is_race(error: &StoreError) -> bool {
    matches!(error.kind, ErrorKind::Precondition | ErrorKind::Conflict | ErrorKind::NotFound)
}

/// The twin's output in the receipt's words, if it has the bytes that ours would have.
fn adopted(work: &Work, object: &ObjectRef, theirs: &common::store::ObjectMeta) -> Option<Output> {
    let ours = work.writer.checksum();
    let same = theirs.size == work.writer.size()
        && theirs.checksum_crc64nvme.as_ref().is_none_or(|checksum| *checksum == ours);
    same.then(|| Output {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        etag: theirs.etag.clone(),
        size: theirs.size,
        checksum_crc64nvme: ours,
        parts: etag_parts(&theirs.etag),
    })
}

/// S3 says in the `ETag` of how many parts an object was made: `…-7`.
fn etag_parts(etag: &str) -> u32 {
    etag.rsplit_once('-').and_then(|(_, parts)| parts.parse().ok()).unwrap_or(0)
}

/// Gives an upload up. That this failed never hides why.
async fn abort(writer: ObjectWriter) {
    if let Err(error) = writer.abort().await {
        tracing::warn!(
            error = common::telemetry::chain(&error),
            "an upload stays open until its lifecycle rule ends it"
        );
    }
}
