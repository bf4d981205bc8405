//! Objects in memory, with S3's semantics: a working stand-in for tests.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::StreamExt as _;

use super::{
    Body, Condition, ErrorKind, Listed, NewObject, ObjectMeta, Payload, Store, StoreError, Upload,
    UploadedPart, Written, checksum_base64,
};
use crate::contract::{ByteRange, ObjectRef};

/// Objects in memory. Buckets exist as soon as they are named; those in `versioned` keep versions.
#[derive(Default)]
pub struct MemoryStore {
    state: Mutex<State>,
    versioned: Vec<String>,
}

/// Each part's bytes and checksum.
type Parts = BTreeMap<u32, (Bytes, u64)>;

#[derive(Default)]
struct State {
    /// Versions of each object, the newest last. An unversioned bucket's objects have one.
    objects: BTreeMap<(String, String), Vec<Stored>>,
    uploads: BTreeMap<String, (NewObject, Parts)>,
    /// What completed uploads gave, so that a repeat gives the same.
    completed: BTreeMap<String, Written>,
    serial: u64,
}

#[derive(Clone)]
struct Stored {
    meta: ObjectMeta,
    data: Bytes,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store in which these buckets keep versions.
    pub fn with_versioned(buckets: &[&str]) -> Self {
        Self { versioned: buckets.iter().map(|bucket| (*bucket).to_owned()).collect(), ..Self::default() }
    }

    /// Keys of a bucket, with the given prefix, in order.
    pub fn keys(&self, bucket: &str, prefix: &str) -> Vec<String> {
        let state = self.lock();
        let keys = state.objects.keys().filter(|(b, key)| b == bucket && key.starts_with(prefix));
        keys.map(|(_, key)| key.clone()).collect()
    }

    /// The content of an object's newest version.
    pub fn content(&self, bucket: &str, key: &str) -> Option<Bytes> {
        let state = self.lock();
        let versions = state.objects.get(&(bucket.to_owned(), key.to_owned()))?;
        versions.last().map(|stored| stored.data.clone())
    }

    /// Uploads that were begun and neither completed nor aborted.
    pub fn open_uploads(&self) -> usize {
        self.lock().uploads.len()
    }

    /// Removes an object with all its versions, whatever it is.
    pub fn remove(&self, bucket: &str, key: &str) {
        self.lock().objects.remove(&(bucket.to_owned(), key.to_owned()));
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_versioned(&self, bucket: &str) -> bool {
        self.versioned.iter().any(|versioned| versioned == bucket)
    }
}

impl State {
    fn find(&self, object: &ObjectRef) -> Option<&Stored> {
        let versions = self.objects.get(&(object.bucket.clone(), object.key.clone()))?;
        match &object.version_id {
            Some(id) => versions.iter().find(|stored| stored.meta.version_id.as_ref() == Some(id)),
            None => versions.last(),
        }
    }

    fn check(&self, object: &ObjectRef, condition: &Condition) -> Result<(), StoreError> {
        let current = self.find(&ObjectRef { version_id: None, ..object.clone() });
        match (condition, current) {
            (Condition::Always, _) | (Condition::IfAbsent, None) => Ok(()),
            (Condition::IfMatch(etag), Some(stored)) if stored.meta.etag == *etag => Ok(()),
            (Condition::IfMatch(_), None) => {
                Err(StoreError::new(ErrorKind::NotFound, format!("write {object}: it does not exist")))
            }
            _ => Err(StoreError::new(ErrorKind::Precondition, format!("write {object}: it has changed"))),
        }
    }

    fn insert(
        &mut self,
        new: &NewObject,
        data: Bytes,
        crc64nvme: u64,
        etag: String,
        versioned: bool,
    ) -> Written {
        self.serial += 1;
        let version_id = versioned.then(|| format!("v{:08}", self.serial));
        let meta = ObjectMeta {
            etag: etag.clone(),
            size: data.len() as u64,
            version_id: version_id.clone(),
            metadata: new.metadata.clone(),
            checksum_crc64nvme: Some(checksum_base64(crc64nvme)),
        };
        let key = (new.object.bucket.clone(), new.object.key.clone());
        let versions = self.objects.entry(key).or_default();
        if !versioned {
            versions.clear();
        }
        versions.push(Stored { meta, data });
        Written { etag, version_id }
    }
}

/// Copies the chunks together and checks them, as S3 does.
fn received(payload: &Payload, what: &str) -> Result<Bytes, StoreError> {
    let mut data = BytesMut::new();
    for chunk in &payload.chunks {
        data.extend_from_slice(chunk);
    }
    if crc_fast::crc64_nvme(&data) != payload.crc64nvme || data.len() as u64 != payload.length {
        return Err(StoreError::new(ErrorKind::Permanent, format!("{what}: the checksum does not match")));
    }
    Ok(data.freeze())
}

#[async_trait]
impl Store for MemoryStore {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError> {
        Ok(self.lock().find(object).map(|stored| stored.meta.clone()))
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError> {
        let what = format!("get {object}");
        let stored = self.lock().find(object).cloned();
        let stored = stored.ok_or_else(|| StoreError::new(ErrorKind::NotFound, what.clone()))?;
        if if_match.is_some_and(|etag| etag != stored.meta.etag) {
            return Err(StoreError::new(ErrorKind::Precondition, what));
        }
        let data = match range {
            None => stored.data,
            Some(range) if range.start < stored.meta.size => {
                let end = (range.start + range.length).min(stored.meta.size);
                let index = |offset| usize::try_from(offset).unwrap_or(usize::MAX);
                stored.data.slice(index(range.start)..index(end))
            }
            Some(_) => {
                return Err(StoreError::new(ErrorKind::Permanent, format!("{what}: range not satisfiable")));
            }
        };
        // In pieces, as from a network.
        let chunks = (0..data.len())
            .step_by(64 * 1024)
            .map(move |start| Ok(data.slice(start..data.len().min(start + 64 * 1024))));
        Ok(Body { meta: stored.meta, stream: futures::stream::iter(chunks).boxed() })
    }

    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let data = received(&payload, &format!("put {}", new.object))?;
        let mut state = self.lock();
        state.check(&new.object, condition)?;
        // As S3 writes it: 32 digits, and only an upload in parts has a dash.
        let etag = format!("{:016x}{:016x}", payload.crc64nvme, data.len());
        Ok(state.insert(new, data, payload.crc64nvme, etag, self.is_versioned(&new.object.bucket)))
    }

    async fn create_upload(&self, new: &NewObject) -> Result<Upload, StoreError> {
        let mut state = self.lock();
        state.serial += 1;
        let id = format!("upload-{}", state.serial);
        state.uploads.insert(id.clone(), (new.clone(), BTreeMap::new()));
        Ok(Upload { object: new.object.clone(), id })
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        let what = format!("put part {number} of {}", upload.object);
        let data = received(&payload, &what)?;
        let mut state = self.lock();
        let (_, parts) =
            state.uploads.get_mut(&upload.id).ok_or_else(|| StoreError::new(ErrorKind::NotFound, what))?;
        parts.insert(number, (data, payload.crc64nvme));
        Ok(UploadedPart { number, etag: format!("{:016x}", payload.crc64nvme), crc64nvme: payload.crc64nvme })
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let what = format!("complete {}", upload.object);
        let refuse = |kind, why: &str| Err(StoreError::new(kind, format!("{what}: {why}")));
        let mut state = self.lock();
        if let Some(written) = state.completed.get(&upload.id) {
            return Ok(written.clone());
        }
        let Some((new, held)) = state.uploads.get(&upload.id) else {
            return refuse(ErrorKind::NotFound, "no such upload");
        };
        let (mut data, mut etags) = (BytesMut::new(), String::new());
        for (index, part) in parts.iter().enumerate() {
            let Some((bytes, crc)) = held.get(&part.number) else {
                return refuse(ErrorKind::Permanent, "a part is missing");
            };
            let is_held = *crc == part.crc64nvme && part.etag == format!("{crc:016x}");
            if !is_held || (index > 0 && parts[index - 1].number >= part.number) {
                return refuse(ErrorKind::Permanent, "the parts are not those that were uploaded, in order");
            }
            if index + 1 < parts.len() && bytes.len() < 5 * 1024 * 1024 {
                return refuse(ErrorKind::Permanent, "a part but the last is smaller than 5 MiB");
            }
            data.extend_from_slice(bytes);
            write!(etags, "{crc:016x}").unwrap_or_default();
        }
        if crc_fast::crc64_nvme(&data) != crc64nvme {
            return refuse(ErrorKind::Permanent, "the checksum does not match");
        }
        let new = new.clone();
        state.check(&new.object, condition)?;
        let etag = format!("{:016x}-{}", crc_fast::crc64_nvme(etags.as_bytes()), parts.len());
        let versioned = self.is_versioned(&new.object.bucket);
        let written = state.insert(&new, data.freeze(), crc64nvme, etag, versioned);
        state.uploads.remove(&upload.id);
        state.completed.insert(upload.id.clone(), written.clone());
        Ok(written)
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.lock().uploads.remove(&upload.id);
        Ok(())
    }

    /// Ten keys a page, so that tests see more than one.
    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        let keys = self.keys(bucket, prefix).into_iter().filter(|key| key.as_str() > after).take(10);
        let state = self.lock();
        let etag =
            |key: &String| state.find(&ObjectRef::new(bucket, key)).map(|stored| stored.meta.etag.clone());
        Ok(keys.filter_map(|key| Some(Listed { etag: etag(&key)?, key })).collect())
    }

    async fn delete(&self, object: &ObjectRef, etag: &str) -> Result<(), StoreError> {
        let mut state = self.lock();
        if state.find(object).is_some() {
            state.check(object, &Condition::IfMatch(etag.to_owned()))?;
            state.objects.remove(&(object.bucket.clone(), object.key.clone()));
        }
        Ok(())
    }
}
