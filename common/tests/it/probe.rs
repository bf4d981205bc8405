//! A store that watches what is asked of it, and takes its time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::contract::{ByteRange, ObjectRef};
use common::store::{
    Body, Condition, Listed, NewObject, ObjectMeta, Payload, Store, StoreError, Upload, UploadedPart, Written,
};
use futures::StreamExt as _;

/// Wraps a store.
pub(crate) struct Probe {
    inner: Arc<dyn Store>,
    /// How long a GET and a part take.
    latency: Duration,
    /// How often each call lets others go first, before and after it is carried out.
    yields: u32,
    /// Whether a GET's range and condition are passed over, and nothing said of it.
    heedless: bool,
    gets: AtomicUsize,
    most_gets: AtomicUsize,
    served: Arc<AtomicU64>,
    parts: AtomicUsize,
    most_parts: AtomicUsize,
    parts_at_abort: AtomicUsize,
    released: AtomicU64,
    places: Mutex<BTreeSet<usize>>,
}

impl Probe {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            latency: Duration::ZERO,
            yields: 0,
            heedless: false,
            gets: AtomicUsize::new(0),
            most_gets: AtomicUsize::new(0),
            served: Arc::default(),
            parts: AtomicUsize::new(0),
            most_parts: AtomicUsize::new(0),
            parts_at_abort: AtomicUsize::new(0),
            released: AtomicU64::new(0),
            places: Mutex::default(),
        }
    }

    pub(crate) fn slow(inner: Arc<dyn Store>, latency: Duration) -> Arc<Self> {
        Arc::new(Self { latency, ..Self::new(inner) })
    }

    pub(crate) fn hesitant(inner: Arc<dyn Store>, yields: u32) -> Arc<Self> {
        Arc::new(Self { yields, ..Self::new(inner) })
    }

    pub(crate) fn heedless(inner: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self { heedless: true, ..Self::new(inner) })
    }

    /// The most GETs at once since it was last asked.
    pub(crate) fn most_gets(&self) -> usize {
        self.most_gets.swap(0, Ordering::SeqCst)
    }

    /// Bytes of bodies handed out.
    pub(crate) fn served(&self) -> u64 {
        self.served.load(Ordering::SeqCst)
    }

    /// The most parts on their way at once since it was last asked.
    pub(crate) fn most_parts(&self) -> usize {
        self.most_parts.swap(0, Ordering::SeqCst)
    }

    /// The most parts that were on their way when their upload was aborted.
    pub(crate) fn parts_at_abort(&self) -> usize {
        self.parts_at_abort.load(Ordering::SeqCst)
    }

    /// Bytes of parts that were taken, so that nobody needs to hold them any longer.
    pub(crate) fn released(&self) -> u64 {
        self.released.load(Ordering::SeqCst)
    }

    /// How many different places in memory the parts' chunks lay in.
    pub(crate) fn places(&self) -> usize {
        self.places.lock().unwrap().len()
    }

    async fn hesitate<T>(&self, call: impl Future<Output = T>) -> T {
        for _ in 0..self.yields {
            tokio::task::yield_now().await;
        }
        let done = call.await;
        for _ in 0..self.yields {
            tokio::task::yield_now().await;
        }
        done
    }
}

/// A call under way; one that is given up ends as well.
struct Running<'a>(&'a AtomicUsize);

impl<'a> Running<'a> {
    fn begin(running: &'a AtomicUsize, most: &AtomicUsize) -> Self {
        most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        Self(running)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Store for Probe {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError> {
        self.hesitate(self.inner.head(object)).await
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError> {
        let running = Running::begin(&self.gets, &self.most_gets);
        tokio::time::sleep(self.latency).await;
        drop(running);
        let (range, if_match) = if self.heedless { (None, None) } else { (range, if_match) };
        let body = self.inner.get(object, range, if_match).await?;
        let served = Arc::clone(&self.served);
        let stream = body.stream.inspect(move |chunk| {
            let bytes = chunk.as_ref().map_or(0, bytes::Bytes::len);
            served.fetch_add(bytes as u64, Ordering::SeqCst);
        });
        Ok(Body { meta: body.meta, stream: stream.boxed() })
    }

    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        self.hesitate(self.inner.put(new, payload, condition)).await
    }

    async fn create_upload(&self, new: &NewObject) -> Result<Upload, StoreError> {
        self.hesitate(self.inner.create_upload(new)).await
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        let _running = Running::begin(&self.parts, &self.most_parts);
        let length = payload.length;
        self.places.lock().unwrap().extend(payload.chunks.iter().map(|chunk| chunk.as_ptr() as usize));
        tokio::time::sleep(self.latency).await;
        let part = self.hesitate(self.inner.upload_part(upload, number, payload)).await;
        self.released.fetch_add(length, Ordering::SeqCst);
        part
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        self.hesitate(self.inner.complete_upload(upload, parts, crc64nvme, condition)).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.parts_at_abort.fetch_max(self.parts.load(Ordering::SeqCst), Ordering::SeqCst);
        self.hesitate(self.inner.abort_upload(upload)).await
    }

    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        self.hesitate(self.inner.list(bucket, prefix, after)).await
    }

    async fn delete(&self, object: &ObjectRef, etag: &str) -> Result<(), StoreError> {
        self.hesitate(self.inner.delete(object, etag)).await
    }
}
