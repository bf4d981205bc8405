//! One file, in the order that makes every effect happen exactly once.
//!
//! Look, decide, work, rejects, clean file, receipt, publish. Every write is conditional on what was seen before it;
//! where a condition fails, somebody else was there: look and decide again. A crash anywhere is healed by the retry.

mod commit;
mod failure;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use common::contract::{
    Failure, FileEvent, Location, ObjectRef, Receipt, Source, Status, clean_key, event_id,
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
use commit::Committed;

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

/// Whether a conditional write met somebody else's.
fn is_race(error: &StoreError) -> bool {
    matches!(error.kind, ErrorKind::Precondition | ErrorKind::Conflict | ErrorKind::NotFound)
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
