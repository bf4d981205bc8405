//! An upload in parts, from before it exists until it is complete or given up.

use std::sync::Arc;

use tokio::task::{JoinError, JoinHandle, JoinSet};

use super::plan::WritePlan;
use super::taken::Taken;
use crate::retry::retry;
use crate::store::{
    Condition, ErrorKind, NewObject, Payload, Store, StoreError, Upload, UploadedPart, Written,
};
use crate::trace;

/// How often an upload that could not be aborted is tried again. Whoever aborts has an error to tell, or is out of time;
/// the bucket's lifecycle rule is the second line of defence.
const ABORT_RETRIES: u32 = 2;

/// What became of a part, and its bytes.
type Sent = Result<(UploadedPart, u64), StoreError>;

/// Parts on their way, and what became of the others.
pub(super) struct PartUpload {
    store: Arc<dyn Store>,
    plan: WritePlan,
    stage: Stage,
    sending: JoinSet<Sent>,
    /// Bytes of the parts on their way.
    sending_bytes: u64,
    done: Taken,
    begun: u32,
}

enum Stage {
    Unopened,
    /// The store is asked for an upload, by a task that goes on if nobody waits for it: an upload whose id nobody knows
    /// could not be aborted.
    Opening(JoinHandle<Result<Upload, StoreError>>),
    Open(Upload),
    Closed,
}

impl PartUpload {
    pub(super) fn new(store: Arc<dyn Store>, plan: WritePlan) -> Self {
        Self {
            store,
            plan,
            stage: Stage::Unopened,
            sending: JoinSet::new(),
            sending_bytes: 0,
            done: Taken::default(),
            begun: 0,
        }
    }

    /// Parts begun so far.
    pub(super) fn begun(&self) -> u32 {
        self.begun
    }

    /// Whether an upload may exist that must be completed or aborted.
    pub(super) fn is_pending(&self) -> bool {
        matches!(self.stage, Stage::Opening(_) | Stage::Open(_))
    }

    pub(super) fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Closed)
    }

    /// Waits until a part of `length` bytes may be sent, with room in memory for the one after it.
    pub(super) async fn make_room(&mut self, length: u64) -> Result<(), StoreError> {
        let next = self.begun + 2;
        let room = self.plan.memory_bytes(next).saturating_sub(self.plan.part_bytes(next) + length);
        while self.sending_bytes > room && !self.sending.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    /// The upload, which is opened if it is not yet.
    pub(super) async fn open(&mut self, new: &NewObject) -> Result<Upload, StoreError> {
        if let Stage::Unopened = self.stage {
            let (store, new, plan) = (Arc::clone(&self.store), new.clone(), self.plan);
            self.stage = Stage::Opening(trace::spawn(async move {
                retry(plan.retries, plan.backoff, || store.create_upload(&new)).await
            }));
        }
        self.opened().await?;
        match &self.stage {
            Stage::Open(upload) => Ok(upload.clone()),
            _ => Err(StoreError::new(ErrorKind::Permanent, format!("write {}: it is closed", new.object))),
        }
    }

    /// Waits for the upload to be opened, if it is being opened.
    async fn opened(&mut self) -> Result<(), StoreError> {
        if let Stage::Opening(task) = &mut self.stage {
            let opened = task.await;
            self.stage = Stage::Unopened;
            let died = |error| {
                StoreError::new(ErrorKind::Permanent, "the task that creates an upload died").caused_by(error)
            };
            self.stage = Stage::Open(opened.map_err(died)??);
        }
        Ok(())
    }

    /// Sends the next part to `upload` in a task of its own, which keeps `held` until the part was taken.
    pub(super) fn send(&mut self, upload: Upload, payload: Payload, held: impl Send + 'static) {
        self.begun += 1;
        self.sending_bytes += payload.length;
        let (store, plan, number) = (Arc::clone(&self.store), self.plan, self.begun);
        trace::spawn_into(&mut self.sending, async move {
            let send = || store.upload_part(&upload, number, payload.clone());
            let taken = retry(plan.retries, plan.backoff, send).await?;
            let length = payload.length;
            drop(payload);
            drop(held);
            Ok((taken, length))
        });
    }

    /// Waits for any of the parts on their way.
    async fn settle_one(&mut self) -> Result<(), StoreError> {
        match self.sending.join_next().await {
            Some(settled) => self.take(settled),
            None => Ok(()),
        }
    }

    fn take(&mut self, settled: Result<Sent, JoinError>) -> Result<(), StoreError> {
        let died =
            |error| StoreError::new(ErrorKind::Permanent, "the task that sent a part died").caused_by(error);
        let (part, length) = settled.map_err(died)??;
        self.sending_bytes -= length;
        self.done.push(&part);
        Ok(())
    }

    /// Looks what became of parts, without waiting: one that failed is no reason to send more.
    pub(super) fn look(&mut self) -> Result<(), StoreError> {
        while let Some(settled) = self.sending.try_join_next() {
            self.take(settled)?;
        }
        Ok(())
    }

    /// Waits for all parts on their way.
    pub(super) async fn settle(&mut self) -> Result<(), StoreError> {
        while !self.sending.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }

    /// Makes the object visible, if all of its parts were taken.
    pub(super) async fn complete(
        &self,
        crc64nvme: u64,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        match &self.stage {
            Stage::Open(upload) if self.done.len() == self.begun as usize => {
                self.store.complete_upload(upload, &self.done.in_order(), crc64nvme, condition).await
            }
            _ => Err(StoreError::new(ErrorKind::Permanent, "complete an upload of which a part is missing")),
        }
    }

    /// Declares the upload complete: there is nothing to abort any more.
    pub(super) fn close(&mut self) {
        self.stage = Stage::Closed;
    }

    /// Gives the upload up, if there is one.
    pub(super) async fn abort(&mut self) -> Result<(), StoreError> {
        // A part that arrived after the abort would stay.
        self.sending.shutdown().await;
        // One that was never opened leaves nothing.
        self.opened().await.unwrap_or_default();
        let aborted = match &self.stage {
            Stage::Open(upload) => {
                retry(ABORT_RETRIES, self.plan.backoff, || self.store.abort_upload(upload)).await
            }
            _ => Ok(()),
        };
        self.stage = Stage::Closed;
        aborted
    }
}
