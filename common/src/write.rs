//! A stream as an object: by parts, several at once, visible only when complete.
//!
//! What fits one part is a single PUT. An error, or the writer dropped, aborts the upload.

mod drain;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest, checksum_combine};
use tokio_util::task::AbortOnDropHandle;

use crate::store::{
    Condition, ErrorKind, NewObject, Payload, Store, StoreError, Upload, UploadedPart, checksum_base64,
};

/// S3 takes no more parts than this.
const MAX_PARTS: u32 = 10_000;

/// How an object is written. At most `in_flight + 1` parts are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WritePlan {
    /// Bytes of a part, at first; at least 5 MiB, which S3 demands.
    pub part_bytes: u64,
    /// Bytes of a part at most: parts grow as the object does, up to this.
    pub max_part_bytes: u64,
    /// Parts uploaded at once.
    pub in_flight: usize,
}

impl WritePlan {
    /// Bytes of part `number`: they double every thousand parts, so that the first stay small.
    fn part_bytes(&self, number: u32) -> u64 {
        let doublings = (number.saturating_sub(1) / 1000).min(10);
        (self.part_bytes << doublings).min(self.max_part_bytes.max(self.part_bytes))
    }

    /// The largest object that can be written under this plan.
    pub fn max_object_bytes(&self) -> u64 {
        (1..=MAX_PARTS).map(|number| self.part_bytes(number)).sum()
    }
}

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

/// Writes one object. Nothing of it is visible before [`ObjectWriter::finish`] succeeds.
pub struct ObjectWriter {
    store: Arc<dyn Store>,
    new: NewObject,
    plan: WritePlan,
    /// The part being gathered.
    part: Part,
    upload: Option<Upload>,
    in_flight: VecDeque<AbortOnDropHandle<Result<UploadedPart, StoreError>>>,
    done: Vec<UploadedPart>,
    begun: u32,
    size: u64,
    crc: Option<u64>,
}

/// The part being gathered: its chunks and their checksum.
struct Part {
    chunks: Vec<Bytes>,
    length: u64,
    crc: Digest,
}

impl Part {
    fn new() -> Self {
        Self { chunks: Vec::new(), length: 0, crc: Digest::new(CrcAlgorithm::Crc64Nvme) }
    }

    fn push(&mut self, chunk: Bytes) {
        self.crc.update(&chunk);
        self.length += chunk.len() as u64;
        self.chunks.push(chunk);
    }

    fn payload(self) -> Payload {
        Payload { crc64nvme: self.crc.finalize(), length: self.length, chunks: self.chunks }
    }
}

impl ObjectWriter {
    /// Begins to gather; nothing is sent yet.
    pub fn new(store: Arc<dyn Store>, new: NewObject, plan: WritePlan) -> Self {
        Self {
            store,
            new,
            plan,
            part: Part::new(),
            upload: None,
            in_flight: VecDeque::new(),
            done: Vec::new(),
            begun: 0,
            size: 0,
            crc: None,
        }
    }

    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Changes the MIME type, as long as no part has been sent.
    pub fn set_content_type(&mut self, content_type: &'static str) {
        self.new.content_type = content_type;
    }

    /// CRC-64/NVME of all bytes taken so far, base64.
    pub fn checksum(&self) -> String {
        checksum_base64(self.crc_with(self.part.crc.finalize(), self.part.length))
    }

    /// The checksum of what was sent, with `length` bytes behind it whose own is `crc64nvme`.
    fn crc_with(&self, crc64nvme: u64, length: u64) -> u64 {
        match self.crc {
            None => crc64nvme,
            Some(sent) => checksum_combine(CrcAlgorithm::Crc64Nvme, sent, crc64nvme, length),
        }
    }

    /// Takes the next bytes; waits while as many parts as the plan allows are on their way.
    pub async fn write(&mut self, mut chunk: Bytes) -> Result<(), StoreError> {
        while !chunk.is_empty() {
            // A full part waits until more comes: what fits one part is written by a single PUT.
            let room = self.plan.part_bytes(self.begun + 1) - self.part.length;
            if room == 0 {
                self.send_part().await?;
                continue;
            }
            let take = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
            self.size += take as u64;
            self.part.push(chunk.split_to(take));
        }
        Ok(())
    }

    /// Sends what is left and makes the object visible, under `condition`.
    ///
    /// After a refused condition ([`ErrorKind::Precondition`]) the writer can be asked again with another one: the
    /// parts are kept until it is dropped.
    pub async fn finish(&mut self, condition: &Condition) -> Result<Finished, StoreError> {
        if self.upload.is_none() {
            let payload = Payload {
                chunks: self.part.chunks.clone(),
                length: self.part.length,
                crc64nvme: self.part.crc.finalize(),
            };
            let checksum_crc64nvme = payload.checksum();
            let written = self.store.put(&self.new, payload, condition).await?;
            return Ok(Finished { etag: written.etag, size: self.size, checksum_crc64nvme, parts: 0 });
        }
        if self.part.length > 0 {
            self.send_part().await?;
        }
        while !self.in_flight.is_empty() {
            self.settle_one().await?;
        }
        let (Some(upload), Some(crc)) = (&self.upload, self.crc) else {
            return Err(StoreError::new(ErrorKind::Permanent, "an upload without parts"));
        };
        let written = self.store.complete_upload(upload, &self.done, crc, condition).await?;
        self.upload = None;
        let (size, parts) = (self.size, self.begun);
        Ok(Finished { etag: written.etag, size, checksum_crc64nvme: checksum_base64(crc), parts })
    }

    /// Gives the upload up. The writer does so too when dropped, but then nobody waits for it.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        self.in_flight.clear();
        match self.upload.take() {
            Some(upload) => self.store.abort_upload(&upload).await,
            None => Ok(()),
        }
    }

    /// Sends the part gathered so far in a task of its own.
    async fn send_part(&mut self) -> Result<(), StoreError> {
        if self.begun == MAX_PARTS {
            let max = self.plan.max_object_bytes();
            let what = format!("write {}: it would be larger than {max} bytes", self.new.object);
            return Err(StoreError::new(ErrorKind::Permanent, what));
        }
        while self.in_flight.len() >= self.plan.in_flight.max(1) {
            self.settle_one().await?;
        }
        let upload = match &self.upload {
            Some(upload) => upload.clone(),
            None => self.upload.insert(self.store.create_upload(&self.new).await?).clone(),
        };
        self.begun += 1;
        let (store, number) = (Arc::clone(&self.store), self.begun);
        let payload = std::mem::replace(&mut self.part, Part::new()).payload();
        self.crc = Some(self.crc_with(payload.crc64nvme, payload.length));
        let task = tokio::spawn(async move { store.upload_part(&upload, number, payload).await });
        self.in_flight.push_back(AbortOnDropHandle::new(task));
        Ok(())
    }

    /// Waits for the oldest part on its way.
    async fn settle_one(&mut self) -> Result<(), StoreError> {
        if let Some(task) = self.in_flight.front_mut() {
            let settled = task.await;
            self.in_flight.pop_front();
            let part = settled.map_err(|error| {
                StoreError::new(ErrorKind::Permanent, "the task that sent a part died").caused_by(error)
            })??;
            self.done.push(part);
        }
        Ok(())
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        let Some(upload) = self.upload.take() else { return };
        self.in_flight.clear();
        let store = Arc::clone(&self.store);
        // Without a runtime, the bucket's lifecycle rule frees the parts.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = store.abort_upload(&upload).await {
                    tracing::warn!(error = %error, "an upload stays open until the bucket's lifecycle rule ends it");
                }
            });
        }
    }
}
