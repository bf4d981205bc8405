//! A stream as an object: by parts, several at once, visible only when complete.
//!
//! What fits one part is a single PUT. Bytes are copied once, on arrival, into buffers of the writer's own
//! ([`crate::buffers`]), and stay there until their part was taken; `plan.rs` bounds how many there are. A request that
//! fails for the moment is made again. So is a completion whose answer was lost; where the repeat is refused, a look at
//! the object tells whether it was the first that did it. An error, or the writer dropped, aborts the upload
//! (`upload.rs`).

mod plan;
mod taken;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest, checksum_combine};

use crate::buffers::{Buffers, Pieces};
use crate::retry::{back_off, retry};
use crate::store::{Condition, ErrorKind, NewObject, Payload, Store, StoreError, Written, checksum_base64};
use crate::telemetry;
pub use plan::WritePlan;
use upload::PartUpload;

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
    max_bytes: u64,
    buffers: Buffers,
    /// The part being gathered.
    part: Part,
    upload: PartUpload,
    size: u64,
    /// The checksum of the parts that were sent.
    sent_crc: Option<u64>,
}

/// The part being gathered, and its checksum.
struct Part {
    pieces: Pieces,
    crc: Digest,
}

impl Part {
    fn new(buffers: &Buffers) -> Self {
        Self { pieces: Pieces::new(buffers.clone()), crc: Digest::new(CrcAlgorithm::Crc64Nvme) }
    }

    fn length(&self) -> u64 {
        self.pieces.length()
    }

    fn append(&mut self, bytes: &[u8]) {
        self.crc.update(bytes);
        self.pieces.append(bytes);
    }

    fn payload(&mut self) -> Payload {
        Payload { crc64nvme: self.crc.finalize(), length: self.length(), chunks: self.pieces.share() }
    }
}

impl ObjectWriter {
    /// Begins to gather; nothing is sent yet.
    pub fn new(store: Arc<dyn Store>, new: NewObject, plan: WritePlan) -> Self {
        let buffers = plan.buffers();
        Self {
            upload: PartUpload::new(Arc::clone(&store), plan),
            store,
            new,
            plan,
            max_bytes: plan.max_object_bytes(),
            part: Part::new(&buffers),
            buffers,
            size: 0,
            sent_crc: None,
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
        checksum_base64(self.crc_with(self.part.crc.finalize(), self.part.length()))
    }

    /// The checksum of what was sent, with `length` bytes behind it whose own is `crc64nvme`.
    fn crc_with(&self, crc64nvme: u64, length: u64) -> u64 {
        match self.sent_crc {
            None => crc64nvme,
            Some(sent) => checksum_combine(CrcAlgorithm::Crc64Nvme, sent, crc64nvme, length),
        }
    }

    /// Takes the next bytes; waits while as many are in memory as the plan allows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] where the object would be larger than [`WritePlan::max_object_bytes`]; otherwise what a
    /// part met, after the plan's retries.
    pub async fn write(&mut self, mut chunk: Bytes) -> Result<(), StoreError> {
        if self.size.saturating_add(chunk.len() as u64) > self.max_bytes {
            let what = format!("write {}: it would be larger than {} bytes", self.new.object, self.max_bytes);
            return Err(StoreError::new(ErrorKind::TooLarge, what));
        }
        while !chunk.is_empty() {
            // A full part waits until more comes: what fits one part is written by a single PUT.
            let room = self.plan.part_bytes(self.upload.begun() + 1) - self.part.length();
            if room == 0 {
                self.send_part().await?;
                continue;
            }
            let taken = chunk.split_to(usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len()));
            self.size += taken.len() as u64;
            self.part.append(&taken);
        }
        Ok(())
    }

    /// Sends what is left of an upload in parts and waits until all of it has arrived, so that nothing but the
    /// completion is left to [`ObjectWriter::finish`]. What fits one part stays with that.
    ///
    /// Until `finish` is called nothing can become visible; afterwards nobody knows before it answers.
    pub async fn drain(&mut self) -> Result<(), StoreError> {
        if self.upload.begun() > 0 && self.part.length() > 0 {
            self.send_part().await?;
        }
        self.upload.settle().await?;
        // A completion lists every part: of thousands, that takes some MB, which are no longer needed here.
        self.buffers.release();
        Ok(())
    }

    /// Sends what is left and makes the object visible, under `condition`.
    ///
    /// After a refused condition ([`ErrorKind::Precondition`]) the writer can be asked again with another one: the
    /// parts are kept until it is dropped. An object that is there already, with our size, checksum and metadata, was
    /// written by a request of ours whose answer was lost, or by a twin, and is as good.
    pub async fn finish(&mut self, condition: &Condition) -> Result<Finished, StoreError> {
        if self.upload.is_closed() {
            let what = format!("write {}: it is closed", self.new.object);
            return Err(StoreError::new(ErrorKind::Permanent, what));
        }
        self.drain().await?;
        let mut failures = 0;
        let etag = loop {
            let error = match self.complete(condition).await {
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
            match self.found(&error).await {
                Some(etag) => break etag,
                None => return Err(error),
            }
        };
        let (size, parts) = (self.size, self.upload.begun());
        Ok(Finished { etag, size, checksum_crc64nvme: self.checksum(), parts })
    }

    /// Makes the object visible: one request.
    async fn complete(&mut self, condition: &Condition) -> Result<Written, StoreError> {
        match self.sent_crc {
            None => self.store.put(&self.new, self.part.payload(), condition).await,
            Some(crc64nvme) => self.upload.complete(crc64nvme, condition).await,
        }
    }

    /// The `ETag` of the object that was to be written, if it is there in spite of `error`.
    ///
    /// A request may do its work and lose its answer, and then be repeated, by the writer or by the client below it;
    /// the repeat meets what the first one left. So every refusal of the condition or the upload is looked into.
    async fn found(&mut self, error: &StoreError) -> Option<String> {
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
        let ours = there.size == self.size
            && there.checksum_crc64nvme == Some(self.checksum())
            && self.new.metadata.iter().all(|(name, value)| there.metadata.get(name) == Some(value));
        if !ours {
            return None;
        }
        tracing::info!(error = telemetry::chain(error), "the object was written all the same");
        // A twin's object leaves our own upload behind.
        abort(&mut self.upload).await;
        Some(there.etag)
    }

    /// Gives the upload up. The writer does so too when dropped, but then nobody waits for it.
    pub async fn abort(mut self) -> Result<(), StoreError> {
        self.upload.abort().await
    }

    /// Sends the part gathered so far in a task of its own.
    async fn send_part(&mut self) -> Result<(), StoreError> {
        self.upload.make_room(self.part.length()).await?;
        let upload = self.upload.open(&self.new).await?;
        let payload = std::mem::replace(&mut self.part, Part::new(&self.buffers)).payload();
        self.sent_crc = Some(self.crc_with(payload.crc64nvme, payload.length));
        self.upload.send(upload, payload);
        Ok(())
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

impl Drop for ObjectWriter {
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
