//! An object between its first part and its being visible.

use std::sync::Arc;

use crc_fast::{CrcAlgorithm, checksum_combine};

use super::plan::WritePlan;
use super::upload::PartUpload;
use crate::retry::{back_off, retry};
use crate::store::{Condition, ErrorKind, NewObject, Payload, Store, StoreError, Written, checksum_base64};
use crate::telemetry;

/// What was written, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// CRC-64/NVME of the whole object, base64.
    pub checksum_crc64nvme: String,
    /// Parts; 0 for a single PUT.
    pub parts: u32,
}

/// An object that is written by parts of its owner's making: all of them but the last have at least 5 MiB. Nothing of it is
/// visible before [`ObjectUpload::finish`] succeeds. Dropped before, it gives the upload up.
pub struct ObjectUpload {
    store: Arc<dyn Store>,
    new: NewObject,
    plan: WritePlan,
    pub(super) upload: PartUpload,
    /// Bytes and checksum of the parts that were sent.
    size: u64,
    crc64nvme: Option<u64>,
}

impl ObjectUpload {
    /// An object of which nothing is sent yet.
    pub fn new(store: Arc<dyn Store>, new: NewObject, plan: WritePlan) -> Self {
        let upload = PartUpload::new(Arc::clone(&store), plan);
        Self { store, new, plan, upload, size: 0, crc64nvme: None }
    }

    /// Changes the MIME type, as long as no part has been sent.
    pub(super) fn set_content_type(&mut self, content_type: &'static str) {
        self.new.content_type = content_type;
    }

    /// Which object it is.
    pub fn new_object(&self) -> &NewObject {
        &self.new
    }

    /// Bytes sent so far, with `rest` behind them.
    pub(super) fn size_with(&self, rest: u64) -> u64 {
        self.size + rest
    }

    /// The checksum of what was sent, with `length` bytes behind it whose own is `crc64nvme`.
    pub(super) fn crc_with(&self, crc64nvme: u64, length: u64) -> u64 {
        match self.crc64nvme {
            None => crc64nvme,
            Some(sent) => checksum_combine(CrcAlgorithm::Crc64Nvme, sent, crc64nvme, length),
        }
    }

    /// Sends the next part in a task of its own, which keeps `held` until the part was taken.
    pub async fn send(&mut self, part: Payload, held: impl Send + 'static) -> Result<(), StoreError> {
        self.upload.look()?;
        let upload = self.upload.open(&self.new).await?;
        self.crc64nvme = Some(self.crc_with(part.crc64nvme, part.length));
        self.size += part.length;
        self.upload.send(upload, part, held);
        Ok(())
    }

    /// Waits until all parts that were sent have been taken.
    pub async fn settle(&mut self) -> Result<(), StoreError> {
        self.upload.settle().await
    }

    /// Makes the object visible, under `condition`; `rest` is all of it, where no part was sent.
    ///
    /// After a refused condition ([`ErrorKind::Precondition`]) it can be asked again with another one: the parts are kept
    /// until it is dropped. An object that is there already, with our size, checksum and metadata, was written by a request
    /// of ours whose answer was lost, or by a twin, and is as good.
    pub async fn finish(&mut self, condition: &Condition, rest: Payload) -> Result<Finished, StoreError> {
        if self.upload.is_closed() {
            let what = format!("write {}: it is closed", self.new.object);
            return Err(StoreError::new(ErrorKind::Permanent, what));
        }
        let whole = Finished {
            etag: String::new(),
            size: self.size_with(rest.length),
            checksum_crc64nvme: checksum_base64(self.crc_with(rest.crc64nvme, rest.length)),
            parts: self.upload.begun(),
        };
        let mut failures = 0;
        let etag = loop {
            let error = match self.complete(condition, &rest).await {
                Ok(written) => {
                    self.upload.close();
                    break written.etag;
                }
                Err(error) => error,
            };
            failures += 1;
            if error.is_transient() && failures <= self.plan.retries {
                tracing::warn!(error = telemetry::chain(&error), failures, "completing an object again");
                back_off(self.plan.backoff, failures).await;
                continue;
            }
            match self.found(&error, &whole).await {
                Some(etag) => break etag,
                None => return Err(error),
            }
        };
        Ok(Finished { etag, ..whole })
    }

    /// Makes the object visible: one request.
    async fn complete(&self, condition: &Condition, rest: &Payload) -> Result<Written, StoreError> {
        match self.crc64nvme {
            None => self.store.put(&self.new, rest.clone(), condition).await,
            Some(crc64nvme) => self.upload.complete(crc64nvme, condition).await,
        }
    }

    /// The `ETag` of the object that was to be written, `whole`, if it is there in spite of `error`.
    ///
    /// A request may do its work and lose its answer, and then be repeated, by the writer or by the client below it;
    /// the repeat meets what the first one left. So every refusal of the condition or the upload is looked into.
    async fn found(&mut self, error: &StoreError, whole: &Finished) -> Option<String> {
        let doubtful =
            [ErrorKind::Transient, ErrorKind::NotFound, ErrorKind::Precondition, ErrorKind::Conflict];
        if !doubtful.contains(&error.kind) {
            return None;
        }
        let head = retry(self.plan.retries, self.plan.backoff, || self.store.head(&self.new.object)).await;
        let there = match head {
            Ok(there) => there?,
            Err(unseen) => {
                tracing::warn!(
                    error = telemetry::chain(&unseen),
                    "whether an object was written is not known"
                );
                return None;
            }
        };
        let ours = there.size == whole.size
            && there.checksum_crc64nvme.as_ref() == Some(&whole.checksum_crc64nvme)
            && self.new.metadata.iter().all(|(name, value)| there.metadata.get(name) == Some(value));
        if !ours {
            return None;
        }
        tracing::info!(error = telemetry::chain(error), "the object was written all the same");
        // A twin's object leaves our own upload behind.
        abort(&mut self.upload).await;
        Some(there.etag)
    }

    /// Gives the upload up. It does so too when dropped, but then nobody waits for it.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        self.upload.abort().await
    }
}

/// Gives an upload up; that this failed is only logged.
async fn abort(upload: &mut PartUpload) {
    if let Err(error) = upload.abort().await {
        tracing::warn!(
            error = telemetry::chain(&error),
            "an upload stays open until the bucket's lifecycle rule ends it"
        );
    }
}

impl Drop for ObjectUpload {
    fn drop(&mut self) {
        if !self.upload.is_pending() {
            return;
        }
        let left = PartUpload::new(Arc::clone(&self.store), self.plan);
        let mut left = std::mem::replace(&mut self.upload, left);
        // Without a runtime, the bucket's lifecycle rule frees the parts.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { abort(&mut left).await });
        }
    }
}
