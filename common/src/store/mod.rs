//! Objects: one trait, as S3 behaves, and what implements it.
//!
//! [`S3Store`] is the real one, [`MemoryStore`] a working stand-in, [`FaultyStore`] breaks another on demand,
//! [`TracedStore`] shows in the trace what another is asked for. One conformance suite (`tests/it/suite.rs`) holds for all of
//! them.

mod error;
mod faulty;
mod memory;
mod s3;
mod traced;

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;

pub use error::{ErrorKind, StoreError};
pub use faulty::{Fault, FaultyStore, Operation};
pub use memory::MemoryStore;
pub use s3::S3Store;
pub use traced::TracedStore;

use crate::contract::{ByteRange, ObjectRef};

/// What is known of an object without reading it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectMeta {
    /// Without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Where the bucket keeps versions.
    pub version_id: Option<String>,
    /// What the writer attached.
    pub metadata: BTreeMap<String, String>,
    /// CRC-64/NVME of the whole object, base64, where the store keeps one.
    pub checksum_crc64nvme: Option<String>,
}

/// An object being read.
pub struct Body {
    /// Of the object; `size` is the whole object's, also where a range is read.
    pub meta: ObjectMeta,
    /// The bytes asked for. May end early or fail at any point: whoever reads counts.
    pub stream: BoxStream<'static, Result<Bytes, StoreError>>,
}

/// When a write may take place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Always,
    /// Only while no such object exists.
    IfAbsent,
    /// Only while the object has this `ETag` (without quotes).
    IfMatch(String),
}

/// An object to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewObject {
    /// Where.
    pub object: ObjectRef,
    /// MIME type.
    pub content_type: &'static str,
    /// What to attach. ASCII only.
    pub metadata: BTreeMap<String, String>,
}

/// A piece of an object, with its checksum.
#[derive(Debug, Clone)]
pub struct Payload {
    /// In order; kept in pieces, so that nothing needs to be copied together.
    pub chunks: Vec<Bytes>,
    /// Bytes of all chunks.
    pub length: u64,
    /// CRC-64/NVME of all chunks.
    pub crc64nvme: u64,
}

impl Payload {
    /// All of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        Self { length: bytes.len() as u64, crc64nvme: crc_fast::crc64_nvme(&bytes), chunks: vec![bytes] }
    }

    /// All of `chunks`, one behind the other.
    pub fn of_chunks(chunks: Vec<Bytes>) -> Self {
        let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        for chunk in &chunks {
            crc.update(chunk);
        }
        let length = chunks.iter().map(|chunk| chunk.len() as u64).sum();
        Self { chunks, length, crc64nvme: crc.finalize() }
    }

    /// The checksum as S3 spells it.
    pub fn checksum(&self) -> String {
        checksum_base64(self.crc64nvme)
    }
}

/// A checksum as S3 spells it: base64 of its eight bytes, the highest first.
pub fn checksum_base64(crc64nvme: u64) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(crc64nvme.to_be_bytes())
}

/// What a finished write left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Without quotes.
    pub etag: String,
    /// Where the bucket keeps versions.
    pub version_id: Option<String>,
}

/// An object in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: String,
    /// Without quotes.
    pub etag: String,
}

/// An upload in parts, not yet visible.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Upload {
    /// Where it will appear.
    pub object: ObjectRef,
    /// The store's name for it.
    pub id: String,
}

/// A part that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UploadedPart {
    /// From 1.
    pub number: u32,
    /// The store's name for it.
    pub etag: String,
    /// Its CRC-64/NVME.
    pub crc64nvme: u64,
}

/// Objects, with S3's semantics: reads see the last completed write; nothing half-written is ever visible.
///
/// Every operation may be tried again after an error that [`StoreError::is_transient`].
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What is known of an object; nothing if it doesn't exist. A refusal is an error, never "absent".
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError>;

    /// Reads an object or a range of it; with `if_match`, only while it has that `ETag`.
    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError>;

    /// Writes an object at once.
    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError>;

    /// Begins an upload in parts, to be checked by CRC-64/NVME of the whole object.
    async fn create_upload(&self, new: &NewObject) -> Result<Upload, StoreError>;

    /// Uploads one part; again under the same number replaces it.
    async fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError>;

    /// Makes the object of the parts, which must be in order, and visible. `crc64nvme` is the whole object's.
    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
        condition: &Condition,
    ) -> Result<Written, StoreError>;

    /// Gives an upload up and frees its parts. One that is gone already is no error.
    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError>;

    /// The first objects of a bucket whose keys begin with `prefix` and come after `after`, in order: at most a thousand,
    /// none at the end.
    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError>;

    /// Removes an object, only while it has this `ETag` (without quotes). One that is gone already is no error.
    async fn delete(&self, object: &ObjectRef, etag: &str) -> Result<(), StoreError>;
}
