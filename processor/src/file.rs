//! One file, in the order that makes every effect happen exactly once.
//!
//! Look, decide, work, rejects, clean file, receipt, publish. Every write is conditional on what was seen before it;
//! where a condition fails, somebody else was there: look and decide again. A crash anywhere is healed by the retry.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

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
use crate::decision::{Decision, Found, Intent, decide};
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

/// How often to look and decide again before giving the invocation up.
const MAX_TRIES: u32 = 8;

/// One file on its way.
pub struct File<'a> {
    processor: &'a Processor,
    source: Source,
    /// The id of the outcome, should it be processed.
    event_id: String,
    clean: ObjectRef,
    rejects: ObjectRef,
    receipt: ObjectRef,
    span: SpanContext,
    started_at: Timestamp,
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
    let object = |key| ObjectRef::new(&processor.output_bucket, key);
    let keys =
        (|| Ok((clean_key(&source.key)?, rejects_key(&source.key, &event_id)?, receipt_key(&source.key)?)))();
    let (clean, rejects, receipt, too_long) = match keys {
        Ok((clean, rejects, receipt)) => (clean, rejects, receipt, None),
        Err(error) => (String::new(), String::new(), failure_receipt_key(&source.key), Some(error)),
    };
    let file = File {
        processor,
        event_id,
        clean: object(clean),
        rejects: object(rejects),
        receipt: object(receipt),
        span,
        started_at,
        source,
    };
    match too_long {
        None => file.run().await,
        Some(error) => {
            let error: common::contract::KeyTooLong = error;
            file.fail(failure("key_too_long", format!("{error}: give the file a shorter key"))).await
        }
    }
}

fn failure(code: &str, message: String) -> Failure {
    Failure { code: code.into(), message, line: None, byte_offset: None }
}

impl File<'_> {
    async fn run(self) -> Result<Outcome, FileError> {
        let found = self.look().await?;
        if let Some(outcome) = self.settle(&self.decide(&found)).await? {
            return Ok(outcome);
        }
        let work = match self.work().await {
            Ok(work) => work,
            Err(EngineError::BadFile(bad)) => return self.fail(receipt::failure(&bad)).await,
            Err(error) => return gone_or(error),
        };
        let rejects = (work.summary.counts.rows_rejected > 0)
            .then(|| (self.rejects.bucket.clone(), self.rejects.key.clone()));
        let (made, condition) = match self.commit_output(work, found).await? {
            Committed::Output(output, condition) => (output, condition),
            Committed::Settled(outcome) => return Ok(outcome),
        };
        let (output, summary) = *made;
        let recipe = &self.processor.recipe;
        let receipt =
            receipt::processed(&self.source, recipe, &summary, vec![output], rejects, self.started_at);
        self.commit_receipt(receipt, condition).await
    }

    /// What is in the output bucket now.
    async fn look(&self) -> Result<Found, FileError> {
        let store = &*self.processor.store;
        let receipt = document::read(store, &self.receipt).await?.map(|found| (found.value, found.etag));
        Ok(Found { receipt, output: store.head(&self.clean).await? })
    }

    fn decide(&self, found: &Found) -> Decision {
        let recipe_sha256 = &self.processor.recipe.sha256;
        decide(found, &Intent { source: &self.source, recipe_sha256, event_id: &self.event_id })
    }

    /// Carries out a decision that needs no work; nothing if it needs some.
    async fn settle(&self, decision: &Decision) -> Result<Option<Outcome>, FileError> {
        Ok(match decision {
            Decision::Republish(receipt) => {
                self.publish(receipt, &self.receipt).await?;
                Some(Outcome::Republished(receipt.clone()))
            }
            Decision::Superseded => {
                Some(Outcome::Superseded("a newer version of the file has been processed"))
            }
            Decision::Taken { by } => Some(self.fail_beside(by).await?),
            Decision::Process { .. } | Decision::Adopt { .. } => None,
        })
    }

    /// Carries out a decision that was reached when the work was done already.
    async fn settled(&self, decision: &Decision) -> Result<Outcome, FileError> {
        let outcome = self.settle(decision).await?;
        Ok(outcome.unwrap_or(Outcome::Superseded("it has been processed")))
    }

    /// Runs the engine from the source into uploads; rejects are finished, the clean file is not.
    async fn work(&self) -> Result<Work, EngineError> {
        let processor = self.processor;
        let store = || Arc::clone(&processor.store);
        let source = &self.source;
        let input = read_object(store(), &source.object(), &source.etag, source.size, processor.read);
        let input = std::pin::pin!(input.map_err(io::Error::other));
        let writer =
            outputs::clean_writer(store(), self.clean.clone(), source, &self.event_id, processor.write);
        let mut clean = ObjectSink(writer);
        let rejects = outputs::rejects_writer(store(), self.rejects.clone(), processor.write_rejects);
        let mut rejects = ObjectSink(rejects);
        let ran = async {
            let summary = engine::run(input, &mut clean, &mut rejects, &processor.options).await?;
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
    async fn commit_output(&self, mut work: Work, mut found: Found) -> Result<Committed, FileError> {
        for _ in 0..MAX_TRIES {
            let decision = self.decide(&found);
            let (condition, receipt) = match decision {
                Decision::Process { output, receipt } => (output, receipt),
                Decision::Adopt { output, receipt } => match adopted(&mut work, &self.clean, &output) {
                    Some(output) => {
                        abort(work.writer).await;
                        return Ok(Committed::Output(Box::new((output, work.summary)), receipt));
                    }
                    // Another Penstock's bytes under the same name: ours replace them.
                    None => (Condition::IfMatch(output.etag), receipt),
                },
                settled => {
                    abort(work.writer).await;
                    let outcome = self.settle(&settled).await?;
                    return Ok(Committed::Settled(
                        outcome.unwrap_or(Outcome::Superseded("it has been processed")),
                    ));
                }
            };
            match work.writer.finish(&condition).await {
                Ok(finished) => {
                    let output = outputs::output(&self.clean, finished);
                    return Ok(Committed::Output(Box::new((output, work.summary)), receipt));
                }
                Err(error) if is_race(&error) => found = self.look().await?,
                Err(error) => {
                    // The first error is the one told.
                    abort(work.writer).await;
                    return Err(error.into());
                }
            }
        }
        abort(work.writer).await;
        Err(FileError::Contended { object: self.clean.clone() })
    }

    /// Writes the receipt, unless somebody newer or a twin came first, and publishes.
    async fn commit_receipt(&self, receipt: Receipt, mut condition: Condition) -> Result<Outcome, FileError> {
        let store = &*self.processor.store;
        for _ in 0..MAX_TRIES {
            match document::write(store, &self.receipt, &receipt, &condition).await {
                Ok(_) => {
                    self.publish(&receipt, &self.receipt).await?;
                    return Ok(match receipt.status {
                        Status::Processed => Outcome::Processed(Box::new(receipt)),
                        Status::Failed => Outcome::Failed(Box::new(receipt)),
                    });
                }
                Err(error) if is_race(&error) => {}
                Err(error) => return Err(error.into()),
            }
            let found = self.look().await?;
            if let Some(outcome) = self.settle_failure(&receipt, &found).await? {
                return Ok(outcome);
            }
            let replaced = found.receipt.as_ref().map(|(_, etag)| etag.clone());
            let current = found.output.as_ref().map(|output| output.etag.as_str());
            condition = match self.decide(&found) {
                // A twin's receipt that names an output which ours has replaced since.
                Decision::Republish(theirs)
                    if receipt.status == Status::Processed
                        && theirs.outputs != receipt.outputs
                        && current == receipt.outputs.first().map(|output| output.etag.as_str()) =>
                {
                    replaced.map_or(Condition::IfAbsent, Condition::IfMatch)
                }
                settled @ (Decision::Republish(_) | Decision::Superseded | Decision::Taken { .. }) => {
                    return self.settled(&settled).await;
                }
                Decision::Process { receipt, .. } | Decision::Adopt { receipt, .. } => receipt,
            };
        }
        Err(FileError::Contended { object: self.receipt.clone() })
    }

    /// Says that the file can never be processed. Never in the place of a `processed` receipt of the same source.
    async fn fail(&self, failure: Failure) -> Result<Outcome, FileError> {
        let receipt = receipt::failed(&self.source, &self.processor.recipe, failure, self.started_at);
        let found = document::read::<Receipt>(&*self.processor.store, &self.receipt).await?;
        let found = Found { receipt: found.map(|found| (found.value, found.etag)), output: None };
        if let Some(outcome) = self.settle_failure(&receipt, &found).await? {
            return Ok(outcome);
        }
        match self.decide(&found) {
            Decision::Process { receipt: condition, .. } => self.commit_receipt(receipt, condition).await,
            settled => self.settled(&settled).await,
        }
    }

    /// A failure that was told before is told again from the receipt of then, so that its time stays the same.
    async fn settle_failure(&self, receipt: &Receipt, found: &Found) -> Result<Option<Outcome>, FileError> {
        match &found.receipt {
            Some((theirs, _)) if theirs.status == Status::Failed && theirs.event_id == receipt.event_id => {
                self.publish(theirs, &self.receipt).await?;
                Ok(Some(Outcome::Republished(Box::new(theirs.clone()))))
            }
            _ => Ok(None),
        }
    }

    /// Says that another bucket's file has the name, in a place of this file's own.
    async fn fail_beside(&self, by: &str) -> Result<Outcome, FileError> {
        let store = &*self.processor.store;
        let key = failure_receipt_key(&format!("{}/{}", self.source.bucket, self.source.key));
        let object = ObjectRef::new(&self.processor.output_bucket, key);
        let message =
            format!("a file of the same key from bucket {by} has the output's name: rename one of them");
        let failure = failure("output_taken", message);
        let receipt = receipt::failed(&self.source, &self.processor.recipe, failure, self.started_at);
        let receipt = match document::read::<Receipt>(store, &object).await? {
            Some(found) if found.value.event_id == receipt.event_id => found.value,
            _ => {
                document::write(store, &object, &receipt, &Condition::Always).await?;
                receipt
            }
        };
        self.publish(&receipt, &object).await?;
        Ok(Outcome::Failed(Box::new(receipt)))
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
fn adopted(work: &mut Work, object: &ObjectRef, theirs: &common::store::ObjectMeta) -> Option<Output> {
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
