//! Objects larger than any disk: inputs computed from the offset, outputs hashed and counted, not kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use crc_fast::{CrcAlgorithm, checksum_combine};
use futures::StreamExt as _;

use crate::contract::{ByteRange, ObjectRef};
use crate::store::{
    Body, Condition, ErrorKind, MemoryStore, NewObject, ObjectMeta, Payload, Store, StoreError, Upload,
    UploadedPart, Written, checksum_base64,
};

/// Bytes handed on at once, as from a network.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Small objects, such as receipts, are kept; larger ones are not.
const KEPT_BYTES: u64 = 1024 * 1024;

/// An input object, whose bytes can be computed from any offset.
pub trait Input: Send + Sync + 'static {
    /// Bytes of the object.
    fn size(&self) -> u64;

    /// Some of its bytes from `offset`, at least one and as many as come at no cost; `length` are wanted.
    fn read(&self, offset: u64, length: u64) -> Bytes;

    /// What the object carries beside its bytes.
    fn metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
}

impl<T: Input + ?Sized> Input for Arc<T> {
    fn size(&self) -> u64 {
        T::size(self)
    }

    fn read(&self, offset: u64, length: u64) -> Bytes {
        T::read(self, offset, length)
    }

    fn metadata(&self) -> BTreeMap<String, String> {
        T::metadata(self)
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

/// An input object: a head, then a body over and over.
#[derive(Debug, Clone)]
pub struct Repeated {
    /// What stands first.
    pub head: Bytes,
    /// What follows. Not empty.
    pub body: Bytes,
    /// How often.
    pub times: u64,
}

impl Input for Repeated {
    fn size(&self) -> u64 {
        self.head.len() as u64 + self.body.len() as u64 * self.times
    }

    /// Up to where head or body ends, so that nothing need be copied.
    fn read(&self, offset: u64, _: u64) -> Bytes {
        let head = self.head.len() as u64;
        let (part, at) = if offset < head {
            (&self.head, offset)
        } else {
            (&self.body, (offset - head) % self.body.len() as u64)
        };
        part.slice(usize::try_from(at).unwrap_or(usize::MAX)..)
    }
}

/// A store of computed inputs and forgotten outputs.
#[derive(Default)]
pub struct ComputedStore {
    inputs: BTreeMap<(String, String), Arc<dyn Input>>,
    /// Bytes of the inputs that were handed out.
    served: Arc<AtomicU64>,
    /// Objects small enough to keep, and what is known of the others.
    kept: MemoryStore,
    forgotten: Mutex<Forgotten>,
}

/// Each part's length and checksum.
type Parts = BTreeMap<u32, (u64, u64)>;

#[derive(Default)]
struct Forgotten {
    objects: HashMap<(String, String), ObjectMeta>,
    uploads: HashMap<String, (NewObject, Parts)>,
    serial: u64,
}

impl ComputedStore {
    /// A store with these inputs.
    pub fn new<I: Input>(inputs: impl IntoIterator<Item = (ObjectRef, I)>) -> Self {
        let inputs = inputs.into_iter().map(|(object, input)| {
            let input: Arc<dyn Input> = Arc::new(input);
            ((object.bucket, object.key), input)
        });
        Self { inputs: inputs.collect(), ..Self::default() }
    }

    /// Bytes of the inputs that were handed out so far, those asked for again included.
    pub fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    fn input(&self, object: &ObjectRef) -> Option<(&Arc<dyn Input>, ObjectMeta)> {
        let input = self.inputs.get(&(object.bucket.clone(), object.key.clone()))?;
        let meta = ObjectMeta {
            etag: format!("computed{:016x}", input.size()),
            size: input.size(),
            version_id: None,
            metadata: input.metadata(),
            checksum_crc64nvme: None,
        };
        Some((input, meta))
    }

    fn forgotten(&self) -> MutexGuard<'_, Forgotten> {
        self.forgotten.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, new: &NewObject, size: u64, crc64nvme: u64, etag: String) -> Written {
        let meta = ObjectMeta {
            etag: etag.clone(),
            size,
            version_id: None,
            metadata: new.metadata.clone(),
            checksum_crc64nvme: Some(checksum_base64(crc64nvme)),
        };
        let key = (new.object.bucket.clone(), new.object.key.clone());
        self.forgotten().objects.insert(key, meta);
        Written { etag, version_id: None }
    }
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
        if let Some((_, meta)) = self.input(object) {
            return Ok(Some(meta));
        }
        let forgotten = self.forgotten().objects.get(&(object.bucket.clone(), object.key.clone())).cloned();
        if forgotten.is_some() { Ok(forgotten) } else { self.kept.head(object).await }
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError> {
        let Some((input, meta)) = self.input(object) else {
            return self.kept.get(object, range, if_match).await;
        };
        if if_match.is_some_and(|etag| etag != meta.etag) {
            return Err(StoreError::new(ErrorKind::Precondition, format!("get {object}")));
        }
        let range = range.unwrap_or(ByteRange { start: 0, length: meta.size });
        let length = range.length.min(meta.size.saturating_sub(range.start));
        let served = Arc::clone(&self.served);
        let range = ByteRange { length, ..range };
        let counted = stream(Arc::clone(input), range).map(move |chunk| {
            served.fetch_add(chunk.len() as u64, Ordering::Relaxed);
            Ok(chunk)
        });
        Ok(Body { meta, stream: counted.boxed() })
    }

    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        if payload.length <= KEPT_BYTES {
            return self.kept.put(new, payload, condition).await;
        }
        verified(&payload, &format!("put {}", new.object))?;
        let etag = format!("{:016x}{:016x}", payload.crc64nvme, payload.length);
        Ok(self.remember(new, payload.length, payload.crc64nvme, etag))
    }

    async fn create_upload(&self, new: &NewObject) -> Result<Upload, StoreError> {
        let mut forgotten = self.forgotten();
        forgotten.serial += 1;
        let id = format!("upload-{}", forgotten.serial);
        forgotten.uploads.insert(id.clone(), (new.clone(), BTreeMap::new()));
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
        let mut forgotten = self.forgotten();
        let found = forgotten.uploads.get_mut(&upload.id);
        let (_, parts) = found.ok_or_else(|| StoreError::new(ErrorKind::NotFound, what))?;
        parts.insert(number, (payload.length, payload.crc64nvme));
        Ok(UploadedPart { number, etag: format!("{:016x}", payload.crc64nvme), crc64nvme: payload.crc64nvme })
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
        _: &Condition,
    ) -> Result<Written, StoreError> {
        let refuse =
            |why: &str| StoreError::new(ErrorKind::Permanent, format!("complete {}: {why}", upload.object));
        let found = self.forgotten().uploads.remove(&upload.id);
        let (new, held) = found.ok_or_else(|| StoreError::new(ErrorKind::NotFound, "no such upload"))?;
        let (mut size, mut whole, mut etags) = (0, None, BytesMut::new());
        for part in parts {
            let (length, crc) = held.get(&part.number).copied().ok_or_else(|| refuse("a part is missing"))?;
            size += length;
            etags.extend_from_slice(&crc.to_be_bytes());
            whole = Some(
                whole.map_or(crc, |whole| checksum_combine(CrcAlgorithm::Crc64Nvme, whole, crc, length)),
            );
        }
        if whole != Some(crc64nvme) || parts.len() != held.len() {
            return Err(refuse("the checksum does not match"));
        }
        let etag = format!("{:032x}-{}", crc_fast::crc64_nvme(&etags), parts.len());
        Ok(self.remember(&new, size, crc64nvme, etag))
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.forgotten().uploads.remove(&upload.id);
        Ok(())
    }
}
