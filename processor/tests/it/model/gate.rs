//! Store and topic of one attempt, whose every step waits for its turn.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use async_trait::async_trait;
use common::contract::{ByteRange, FileEvent, ObjectRef};
use common::store::{
    Body, Condition, ErrorKind, Listed, NewObject, ObjectMeta, Payload, Store, StoreError, Upload,
    UploadedPart, Written,
};
use common::topic::{Message, PublishError, Topic};

use super::run::{Run, Write};

/// What an attempt is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    ReadReceipt,
    LookAtClean,
    BeginUpload,
    PutRejects,
    WriteClean,
    WriteReceipt,
    Publish,
}

impl Step {
    /// Whether no other actor sees it, so that its order among theirs makes no difference: rejects lie under the event
    /// id and nobody reads them; an upload is the attempt's own; a topic has no order.
    pub(crate) fn is_private(self) -> bool {
        matches!(self, Self::BeginUpload | Self::PutRejects | Self::Publish)
    }
}

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Turn {
    /// It is done.
    Go,
    /// It is done, and the process is killed.
    Crash,
    /// The process is killed, and it is done at some time after.
    Late,
    /// It is done, the answer is lost, and the client's own retry does it again.
    Again,
    /// It is done, and the answer is lost.
    Lost,
    /// It is refused: another write is under way.
    Conflict,
}

/// One attempt's door to the world.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) run: Arc<Run>,
    pub(crate) actor: usize,
    pub(crate) attempt: u32,
    /// Reads the input's first bytes and then no more.
    pub(crate) is_slow: bool,
    /// Killed: whatever still runs of it has no effect.
    pub(crate) is_dead: Arc<AtomicBool>,
    pub(crate) steps: Arc<AtomicU32>,
}

fn refused(kind: ErrorKind) -> StoreError {
    StoreError::new(kind, "injected")
}

impl Gate {
    /// A name for this attempt's latest step that does not depend on what others did before it.
    fn name(&self, again: u32) -> String {
        format!("{}.{}.{}.{again}", self.actor, self.attempt, self.steps.load(Ordering::Relaxed))
    }

    async fn turn(&self, step: Step) -> Turn {
        self.steps.fetch_add(1, Ordering::Relaxed);
        self.run.turn(self.actor, step).await
    }

    /// The process is gone.
    async fn die<T>(&self) -> T {
        self.is_dead.store(true, Ordering::Relaxed);
        self.run.crash(self.actor);
        std::future::pending().await
    }

    /// A step that reads or is private: only a crash can come of it.
    async fn simple<T: Send>(&self, step: Step, act: impl FnOnce() -> T + Send) -> T {
        let turn = self.turn(step).await;
        let done = act();
        if turn == Turn::Crash { self.die().await } else { done }
    }

    async fn write(&self, step: Step, write: Write) -> Result<Written, StoreError> {
        let apply = |again| self.run.apply(self.actor, &self.name(again), &write);
        let turn = self.turn(step).await;
        let done = match turn {
            Turn::Go => apply(0),
            Turn::Crash => {
                apply(0).map(drop).unwrap_or_default();
                self.die().await
            }
            Turn::Late => {
                self.run.write_late(self.actor, self.name(0), write.clone());
                self.die().await
            }
            Turn::Again => {
                apply(0).map(drop).unwrap_or_default();
                apply(1)
            }
            Turn::Lost => apply(0).and(Err(refused(ErrorKind::Transient))),
            Turn::Conflict => Err(refused(ErrorKind::Conflict)),
        };
        self.run.saw(
            self.actor,
            &done.as_ref().map(|written| &written.etag).map_err(|error| std::mem::discriminant(&error.kind)),
        );
        done
    }
}

#[async_trait]
impl Store for Gate {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError> {
        let meta = self.simple(Step::LookAtClean, || self.run.head(object)).await;
        self.run.saw(self.actor, &meta.as_ref().map(|meta| (&meta.etag, &meta.metadata)));
        Ok(meta)
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError> {
        if let Some(range) = range {
            // The input never changes: reading it is no step.
            if self.is_slow && range.start > 0 {
                std::future::pending::<()>().await;
            }
            return self.run.inputs.get(object, Some(range), if_match).await;
        }
        let body = self.simple(Step::ReadReceipt, || self.run.get(object)).await;
        self.run.saw(self.actor, &body.as_ref().map(|body| &body.meta.etag).ok());
        body
    }

    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let write = Write { new: new.clone(), payload, condition: condition.clone(), upload: None };
        let key = &new.object.key;
        if key.starts_with("rejects/") {
            return self.simple(Step::PutRejects, || self.run.apply(self.actor, &self.name(0), &write)).await;
        }
        let step = if key.starts_with("receipts/") { Step::WriteReceipt } else { Step::WriteClean };
        self.write(step, write).await
    }

    async fn create_upload(&self, new: &NewObject) -> Result<Upload, StoreError> {
        let id = self.name(0);
        Ok(self.simple(Step::BeginUpload, || self.run.begin_upload(self.actor, new, id)).await)
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        let crc64nvme = payload.crc64nvme;
        self.run.upload_part(upload, number, payload)?;
        Ok(UploadedPart { number, etag: number.to_string(), crc64nvme })
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let (new, payload) = self.run.assemble(upload, parts, crc64nvme)?;
        let write = Write { new, payload, condition: condition.clone(), upload: Some(upload.clone()) };
        self.write(Step::WriteClean, write).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        if !self.is_dead.load(Ordering::Relaxed) {
            self.run.abort_upload(upload);
        }
        Ok(())
    }

    async fn list(&self, _: &str, _: &str, _: &str) -> Result<Vec<Listed>, StoreError> {
        unreachable!("every output of a file has one name here, so none is looked for")
    }

    async fn delete(&self, _: &ObjectRef, _: &str) -> Result<(), StoreError> {
        unreachable!("every output of a file has one name here, so none is left over")
    }
}

#[async_trait]
impl Topic for Gate {
    async fn publish(&self, message: Message) -> Result<String, PublishError> {
        let event = FileEvent::parse(&message.body).unwrap();
        self.simple(Step::Publish, || self.run.publish(event)).await;
        Ok("1".into())
    }

    fn name(&self) -> &'static str {
        "gate"
    }
}
