//! Objects larger than any disk: inputs that are made as they are read, outputs that are checked and counted, not kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use crc_fast::{CrcAlgorithm, checksum_combine, crc64_nvme};
use futures::StreamExt as _;

use super::Input;
use crate::contract::{ByteRange, ObjectRef};
use crate::store::{
    Body, Condition, ErrorKind, Listed, MemoryStore, NewObject, ObjectMeta, Payload, Store, StoreError,
    Upload, UploadedPart, Written, checksum_base64,
};

/// Bytes handed on at once, as from a network.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Small objects, such as receipts, are kept; of larger ones only what they were.
const KEPT_BYTES: u64 = 1024 * 1024;

/// The input that an empty object stands for, as its place or its metadata say; nothing where it stands for none.
pub type Make = fn(&NewObject) -> Option<Arc<dyn Input>>;

/// A store of computed inputs and forgotten outputs.
pub struct ComputedStore {
    make: Make,
    served: Arc<AtomicU64>,
    kept: MemoryStore,
    state: Mutex<State>,
    /// Held by whoever checks a condition until what it allows is done.
    writing: tokio::sync::Mutex<()>,
}

/// Each part's length and checksum.
type Parts = BTreeMap<u32, (u64, u64)>;

#[derive(Default)]
struct State {
    inputs: HashMap<ObjectRef, (ObjectMeta, Arc<dyn Input>)>,
    /// Outputs that are too large to keep.
    outputs: HashMap<ObjectRef, ObjectMeta>,
    uploads: HashMap<String, (NewObject, Parts)>,
    /// What completed uploads gave, so that a repeat gives the same.
    completed: HashMap<String, Written>,
    serial: u64,
}

impl Default for ComputedStore {
    fn default() -> Self {
        Self::new(|_| None)
    }
}

impl ComputedStore {
    /// An empty store, in which `make` says what is an input.
    pub fn new(make: Make) -> Self {
        Self {
            make,
            served: Arc::default(),
            kept: MemoryStore::new(),
            state: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        }
    }

    /// Bytes of inputs that were handed out, those asked for again included.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Keys of uploads that were begun and neither completed nor aborted: a thousand of them.
    pub fn open_uploads(&self) -> Vec<String> {
        let state = self.state();
        state.uploads.values().take(1000).map(|(new, _)| new.object.key.clone()).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn meta(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError> {
        let known = {
            let state = self.state();
            let input = state.inputs.get(object).map(|(meta, _)| meta);
            input.or_else(|| state.outputs.get(object)).cloned()
        };
        if known.is_some() { Ok(known) } else { self.kept.head(object).await }
    }

    async fn check(&self, object: &ObjectRef, condition: &Condition) -> Result<(), StoreError> {
        let found = self.meta(object).await?;
        let holds = match condition {
            Condition::Always => true,
            Condition::IfAbsent => found.is_none(),
            Condition::IfMatch(etag) => found.is_some_and(|meta| meta.etag == *etag),
        };
        let refused = || StoreError::new(ErrorKind::Precondition, format!("write {object}"));
        if holds { Ok(()) } else { Err(refused()) }
    }

    /// Puts an input in the place of whatever was there.
    pub fn put_input(&self, new: &NewObject, input: Arc<dyn Input>) -> Written {
        let identity = format!("{:?}", new.metadata);
        let etag = format!("{:016x}{:016x}", crc64_nvme(identity.as_bytes()), input.size());
        let meta = ObjectMeta {
            etag: etag.clone(),
            size: input.size(),
            version_id: None,
            metadata: new.metadata.clone(),
            checksum_crc64nvme: None,
        };
        self.state().inputs.insert(new.object.clone(), (meta, input));
        Written { etag, version_id: None }
    }

    /// An output that is too large to keep, in the place of whatever was there.
    fn remember(&self, new: NewObject, size: u64, crc64nvme: u64, etag: String) -> Written {
        let meta = ObjectMeta {
            etag: etag.clone(),
            size,
            version_id: None,
            metadata: new.metadata,
            checksum_crc64nvme: Some(checksum_base64(crc64nvme)),
        };
        self.kept.remove(&new.object.bucket, &new.object.key);
        self.state().outputs.insert(new.object, meta);
        Written { etag, version_id: None }
    }
}

/// A range of an input, in pieces as from a network.
fn stream(input: Arc<dyn Input>, range: ByteRange) -> impl futures::Stream<Item = Bytes> + Send {
    let begin = (range.start, range.length, Bytes::new());
    futures::stream::unfold(begin, move |(offset, left, mut piece)| {
        if left > 0 && piece.is_empty() {
            piece = input.read(offset, left);
        }
        let length = left.min(CHUNK_BYTES).min(piece.len() as u64);
        let chunk = piece.split_to(usize::try_from(length).unwrap_or_default());
        let next = (!chunk.is_empty()).then_some((chunk, (offset + length, left - length, piece)));
        std::future::ready(next)
    })
}

fn verified(payload: &Payload, what: &str) -> Result<(), StoreError> {
    let mut crc = crc_fast::Digest::new(CrcAlgorithm::Crc64Nvme);
    payload.chunks.iter().for_each(|chunk| crc.update(chunk));
    if crc.finalize() == payload.crc64nvme {
        return Ok(());
    }
    Err(StoreError::new(ErrorKind::Permanent, format!("{what}: the checksum does not match")))
}

#[async_trait]
impl Store for ComputedStore {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError> {
        self.meta(object).await
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError> {
        let found = self.state().inputs.get(object).cloned();
        let Some((meta, input)) = found else { return self.kept.get(object, range, if_match).await };
        if if_match.is_some_and(|etag| etag != meta.etag) {
            return Err(StoreError::new(ErrorKind::Precondition, format!("get {object}")));
        }
        let range = range.unwrap_or(ByteRange { start: 0, length: meta.size });
        let length = range.length.min(meta.size.saturating_sub(range.start));
        let served = Arc::clone(&self.served);
        let chunks = stream(input, ByteRange { length, ..range }).map(move |chunk| {
            served.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            Ok(chunk)
        });
        Ok(Body { meta, stream: chunks.boxed() })
    }

    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        if let Some(input) = (self.make)(new) {
            return Ok(self.put_input(new, input));
        }
        let is_small = payload.length <= KEPT_BYTES;
        if !is_small {
            verified(&payload, &format!("put {}", new.object))?;
        }
        let _writing = self.writing.lock().await;
        self.check(&new.object, condition).await?;
        if is_small {
            self.state().outputs.remove(&new.object);
            return self.kept.put(new, payload, &Condition::Always).await;
        }
        let etag = format!("{:016x}{:016x}", payload.crc64nvme, payload.length);
        Ok(self.remember(new.clone(), payload.length, payload.crc64nvme, etag))
    }

    async fn create_upload(&self, new: &NewObject) -> Result<Upload, StoreError> {
        let mut state = self.state();
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
        verified(&payload, &what)?;
        let mut state = self.state();
        let found = state.uploads.get_mut(&upload.id);
        let (_, parts) = found.ok_or_else(|| StoreError::new(ErrorKind::NotFound, what))?;
        parts.insert(number, (payload.length, payload.crc64nvme));
        Ok(UploadedPart { number, etag: format!("{:016x}", payload.crc64nvme), crc64nvme: payload.crc64nvme })
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let refuse =
            |why: &str| StoreError::new(ErrorKind::Permanent, format!("complete {}: {why}", upload.object));
        let _writing = self.writing.lock().await;
        if let Some(written) = self.state().completed.get(&upload.id) {
            return Ok(written.clone());
        }
        self.check(&upload.object, condition).await?;
        let found = self.state().uploads.get(&upload.id).cloned();
        let (new, held) = found.ok_or_else(|| StoreError::new(ErrorKind::NotFound, "no such upload"))?;
        let (mut size, mut whole, mut etags) = (0, None, Vec::new());
        for part in parts {
            let (length, crc) = held.get(&part.number).copied().ok_or_else(|| refuse("a part is missing"))?;
            size += length;
            etags.extend_from_slice(&crc.to_be_bytes());
            let combine = |whole| checksum_combine(CrcAlgorithm::Crc64Nvme, whole, crc, length);
            whole = Some(whole.map_or(crc, combine));
        }
        if whole != Some(crc64nvme) || parts.len() != held.len() {
            return Err(refuse("the checksum does not match"));
        }
        self.state().uploads.remove(&upload.id);
        let etag = format!("{:032x}-{}", crc64_nvme(&etags), parts.len());
        let written = self.remember(new, size, crc64nvme, etag);
        self.state().completed.insert(upload.id.clone(), written.clone());
        Ok(written)
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.state().uploads.remove(&upload.id);
        Ok(())
    }

    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        let mut listed = self.kept.list(bucket, prefix, after).await?;
        let is_wanted = |object: &ObjectRef| {
            object.bucket == bucket && object.key.starts_with(prefix) && *object.key > *after
        };
        let state = self.state();
        let outputs = state.outputs.iter().filter(|(object, _)| is_wanted(object));
        listed.extend(
            outputs.map(|(object, meta)| Listed { key: object.key.clone(), etag: meta.etag.clone() }),
        );
        listed.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        // Of those that are kept there may be more, behind the last that is listed.
        listed.truncate(10);
        Ok(listed)
    }

    async fn delete(&self, object: &ObjectRef, etag: &str) -> Result<(), StoreError> {
        if self.meta(object).await?.is_some() {
            self.check(object, &Condition::IfMatch(etag.to_owned())).await?;
            self.kept.remove(&object.bucket, &object.key);
            self.state().outputs.remove(object);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt as _;

    use super::*;

    /// Ten bytes that count up, whatever the metadata.
    struct Counting;

    impl Input for Counting {
        fn size(&self) -> u64 {
            10
        }

        /// More than is wanted.
        fn read(&self, offset: u64, _: u64) -> Bytes {
            (offset..10).map(|at| b'0' + u8::try_from(at).unwrap()).collect()
        }
    }

    fn store() -> ComputedStore {
        ComputedStore::new(|new| (new.object.bucket == "in").then(|| Arc::new(Counting) as Arc<dyn Input>))
    }

    fn new(bucket: &str, key: &str, made: &str) -> NewObject {
        let metadata = [("made".to_owned(), made.to_owned())].into();
        NewObject { object: ObjectRef::new(bucket, key), content_type: "", metadata }
    }

    #[tokio::test]
    async fn an_input_is_made_where_it_is_read() {
        let store = store();
        let new = new("in", "x", "1");
        let nothing = Payload::new(Bytes::new());
        let first = store.put(&new, nothing.clone(), &Condition::Always).await.unwrap();
        let meta = store.head(&new.object).await.unwrap().unwrap();
        assert_eq!((meta.size, &meta.etag), (10, &first.etag));
        let range = Some(ByteRange { start: 3, length: 4 });
        let body = store.get(&new.object, range, Some(&first.etag)).await.unwrap();
        let bytes: Vec<Bytes> = body.stream.try_collect().await.unwrap();
        assert_eq!(bytes.concat(), b"3456");
        assert_eq!(store.served(), 4);
        // Another in its place: the first can't be read any more.
        store.put(&self::new("in", "x", "2"), nothing, &Condition::Always).await.unwrap();
        let error = store.get(&new.object, range, Some(&first.etag)).await.err().unwrap();
        assert_eq!(error.kind, ErrorKind::Precondition);
    }

    #[tokio::test]
    async fn an_upload_is_open_until_it_is_completed_under_its_condition() {
        let store = store();
        let new = new("out", "x", "1");
        let data = Payload::new(Bytes::from_static(b"data"));
        let crc = data.crc64nvme;
        let (one, two) = (store.create_upload(&new).await.unwrap(), store.create_upload(&new).await.unwrap());
        let part = store.upload_part(&one, 1, data.clone()).await.unwrap();
        store.upload_part(&two, 1, data).await.unwrap();
        assert_eq!(store.open_uploads(), ["x", "x"]);
        let parts = std::slice::from_ref(&part);
        let written = store.complete_upload(&one, parts, crc, &Condition::IfAbsent).await.unwrap();
        assert_eq!(store.complete_upload(&one, parts, crc, &Condition::IfAbsent).await.unwrap(), written);
        let late = store.complete_upload(&two, parts, crc, &Condition::IfAbsent).await.unwrap_err();
        assert_eq!(late.kind, ErrorKind::Precondition);
        store.abort_upload(&two).await.unwrap();
        assert!(store.open_uploads().is_empty());
        let meta = store.head(&new.object).await.unwrap().unwrap();
        assert_eq!(meta.checksum_crc64nvme, Some(checksum_base64(crc)));
    }
}
