//! A stream as an object: by parts, several at once, visible only when complete.
//!
//! What fits one part is a single PUT. Bytes are copied once, on arrival, into buffers of the writer's own
//! ([`crate::buffers`]), and stay there until their part was taken; `plan.rs` bounds how many there are. A request that
//! fails for the moment is made again. So is a completion whose answer was lost; where the repeat is refused, a look at
//! the object tells whether it was the first that did it (`object.rs`, which those use too who make parts of their own).
//! An error, or the writer dropped, aborts the upload (`upload.rs`).

mod object;
mod plan;
mod taken;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use crc_fast::{CrcAlgorithm, Digest};

use crate::buffers::{Buffers, Pieces};
use crate::store::{Condition, ErrorKind, NewObject, Payload, Store, StoreError, checksum_base64};
pub use object::{Finished, ObjectUpload};
pub use plan::WritePlan;

/// Writes one object. Nothing of it is visible before [`ObjectWriter::finish`] succeeds.
pub struct ObjectWriter {
    object: ObjectUpload,
    plan: WritePlan,
    max_bytes: u64,
    buffers: Buffers,
    /// The part being gathered.
    part: Part,
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
            object: ObjectUpload::new(store, new, plan),
            plan,
            max_bytes: plan.max_object_bytes(),
            part: Part::new(&buffers),
            buffers,
        }
    }

    /// Bytes taken so far.
    pub fn size(&self) -> u64 {
        self.object.size_with(self.part.length())
    }

    /// Changes the MIME type, as long as no part has been sent.
    pub fn set_content_type(&mut self, content_type: &'static str) {
        self.object.set_content_type(content_type);
    }

    /// CRC-64/NVME of all bytes taken so far, base64.
    pub fn checksum(&self) -> String {
        checksum_base64(self.object.crc_with(self.part.crc.finalize(), self.part.length()))
    }

    /// Takes the next bytes; waits while as many are in memory as the plan allows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::TooLarge`] where the object would be larger than [`WritePlan::max_object_bytes`]; otherwise what a
    /// part met, after the plan's retries.
    pub async fn write(&mut self, mut chunk: Bytes) -> Result<(), StoreError> {
        if self.size().saturating_add(chunk.len() as u64) > self.max_bytes {
            let object = &self.object.new_object().object;
            let what = format!("write {object}: it would be larger than {} bytes", self.max_bytes);
            return Err(StoreError::new(ErrorKind::TooLarge, what));
        }
        while !chunk.is_empty() {
            // A full part waits until more comes: what fits one part is written by a single PUT.
            let room = self.plan.part_bytes(self.object.upload.begun() + 1) - self.part.length();
            if room == 0 {
                self.send_part().await?;
                continue;
            }
            let taken = chunk.split_to(usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len()));
            self.part.append(&taken);
        }
        Ok(())
    }

    /// Sends what is left of an upload in parts and waits until all of it has arrived, so that nothing but the
    /// completion is left to [`ObjectWriter::finish`]. What fits one part stays with that.
    ///
    /// Until `finish` is called nothing can become visible; afterwards nobody knows before it answers.
    pub async fn drain(&mut self) -> Result<(), StoreError> {
        if self.object.upload.begun() > 0 && self.part.length() > 0 {
            self.send_part().await?;
        }
        self.object.settle().await?;
        // A completion lists every part: of thousands, that takes some MB, which are no longer needed here.
        self.buffers.release();
        Ok(())
    }

    /// Sends what is left and makes the object visible, under `condition`: see [`ObjectUpload::finish`].
    pub async fn finish(&mut self, condition: &Condition) -> Result<Finished, StoreError> {
        if !self.object.upload.is_closed() {
            self.drain().await?;
        }
        let rest = self.part.payload();
        self.object.finish(condition, rest).await
    }

    /// Gives the upload up. The writer does so too when dropped, but then nobody waits for it.
    pub async fn abort(self) -> Result<(), StoreError> {
        self.object.abort().await
    }

    /// Sends the part gathered so far in a task of its own.
    async fn send_part(&mut self) -> Result<(), StoreError> {
        self.object.upload.make_room(self.part.length()).await?;
        let part = std::mem::replace(&mut self.part, Part::new(&self.buffers)).payload();
        self.object.send(part, ()).await
    }
}
