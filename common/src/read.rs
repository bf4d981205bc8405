//! An object as a stream: several ranges in flight, handed on in order.
//!
//! Each range is fetched whole by a task of its own, so whoever consumes the stream, however slowly, never stalls a
//! connection. What is in memory is bounded by the plan.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use tokio_util::task::AbortOnDropHandle;

use crate::contract::{ByteRange, ObjectRef};
use crate::store::{ErrorKind, Store, StoreError};

/// How an object is fetched. At most `in_flight + 1` ranges are in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPlan {
    /// Bytes of a range.
    pub range_bytes: u64,
    /// Ranges fetched at once.
    pub in_flight: usize,
    /// How often a range is taken up again without a byte of progress.
    pub retries: u32,
    /// The first pause before that; it doubles, with jitter.
    pub backoff: Duration,
    /// How long to wait for the next bytes of a body.
    pub stall: Duration,
}

impl Default for ReadPlan {
    fn default() -> Self {
        Self {
            range_bytes: 8 * 1024 * 1024,
            in_flight: 3,
            retries: 5,
            backoff: Duration::from_millis(100),
            stall: Duration::from_secs(20),
        }
    }
}

/// Streams `size` bytes of an object, and fails if it is not, at every moment, the one with this `ETag`.
///
/// # Errors
///
/// [`ErrorKind::Precondition`] or [`ErrorKind::NotFound`] when the object changed or went; transient errors only
/// after the plan's retries.
pub fn read_object(
    store: Arc<dyn Store>,
    object: &ObjectRef,
    etag: &str,
    size: u64,
    plan: ReadPlan,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + use<> {
    let (object, etag): (Arc<ObjectRef>, Arc<str>) = (Arc::new(object.clone()), etag.into());
    let starts = (0..size.div_ceil(plan.range_bytes)).map(move |index| index * plan.range_bytes);
    let ranges = starts.map(move |start| ByteRange { start, length: plan.range_bytes.min(size - start) });
    let fetched = futures::stream::iter(ranges).map(move |range| {
        let (store, object, etag) = (Arc::clone(&store), Arc::clone(&object), Arc::clone(&etag));
        let task = tokio::spawn(async move { fetch_range(&*store, &object, &etag, range, &plan).await });
        let task = AbortOnDropHandle::new(task);
        async move {
            task.await.unwrap_or_else(|error| {
                Err(StoreError::new(ErrorKind::Permanent, "the task that fetched a range died")
                    .caused_by(error))
            })
        }
    });
    let chunks = fetched.buffered(plan.in_flight.max(1));
    chunks.map_ok(|chunks| futures::stream::iter(chunks.into_iter().map(Ok))).try_flatten()
}

/// Fetches one range whole, taking up where it broke off.
async fn fetch_range(
    store: &dyn Store,
    object: &ObjectRef,
    etag: &str,
    range: ByteRange,
    plan: &ReadPlan,
) -> Result<Vec<Bytes>, StoreError> {
    let mut chunks = Vec::new();
    let mut received = 0;
    let mut failures = 0;
    loop {
        let before = received;
        let rest = ByteRange { start: range.start + received, length: range.length - received };
        let Err(error) = fetch_once(store, object, etag, rest, plan, &mut chunks, &mut received).await else {
            return Ok(chunks);
        };
        failures = if received > before { 1 } else { failures + 1 };
        if !error.is_transient() || failures > plan.retries {
            return Err(error);
        }
        tracing::warn!(error = %error, failures, received, "taking up a range where it broke off");
        tokio::time::sleep(pause(plan.backoff, failures)).await;
    }
}

/// One GET; what it brings is kept also where it fails.
async fn fetch_once(
    store: &dyn Store,
    object: &ObjectRef,
    etag: &str,
    range: ByteRange,
    plan: &ReadPlan,
    chunks: &mut Vec<Bytes>,
    received: &mut u64,
) -> Result<(), StoreError> {
    let what = || format!("get {} of {object}", range.header());
    let waited = tokio::time::timeout(plan.stall, store.get(object, Some(range), Some(etag))).await;
    let mut body =
        waited.map_err(|elapsed| StoreError::new(ErrorKind::Transient, what()).caused_by(elapsed))??;
    let mut left = range.length;
    while left > 0 {
        let next = tokio::time::timeout(plan.stall, body.stream.next()).await;
        let next =
            next.map_err(|elapsed| StoreError::new(ErrorKind::Transient, what()).caused_by(elapsed))?;
        let Some(chunk) = next else {
            return Err(StoreError::new(
                ErrorKind::Transient,
                format!("{}: the body ends {left} bytes early", what()),
            ));
        };
        let chunk = chunk?;
        let length = chunk.len() as u64;
        if length > left {
            return Err(StoreError::new(
                ErrorKind::Permanent,
                format!("{}: more bytes came than asked for", what()),
            ));
        }
        left -= length;
        *received += length;
        chunks.push(chunk);
    }
    Ok(())
}

/// The pause before try number `failures`: exponential, with half of it left to chance.
fn pause(backoff: Duration, failures: u32) -> Duration {
    let full = backoff * 2u32.saturating_pow(failures.saturating_sub(1).min(7));
    full.mul_f64(0.5 + fastrand::f64() / 2.0)
}
