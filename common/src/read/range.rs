//! One range, fetched whole: taken up where it broke off, given up only when nothing moves.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use tokio::time::{Instant, timeout, timeout_at};

use super::ReadPlan;
use crate::buffers::{Buffers, Pieces};
use crate::contract::{ByteRange, ObjectRef};
use crate::retry::back_off;
use crate::store::{Body, ErrorKind, Store, StoreError};
use crate::telemetry;
use crate::trace::{Step, Tally};

/// What a body must bring within the plan's `stall`, or all of the rest if that is less. One connection to S3 brings 85
/// MiB a second and more; one that is a thousand times as slow is better replaced than waited for.
const MIN_PROGRESS_BYTES: u64 = 1024 * 1024;

/// An object, and how it is fetched.
pub(super) struct Source {
    pub(super) store: Arc<dyn Store>,
    pub(super) object: ObjectRef,
    pub(super) etag: String,
    pub(super) size: u64,
    pub(super) plan: ReadPlan,
    pub(super) buffers: Buffers,
}

/// An attempt that failed.
struct Broken {
    error: StoreError,
    /// Whether it brought what can be expected in the time it took: then the attempts so far are forgiven.
    advanced: bool,
}

impl From<StoreError> for Broken {
    fn from(error: StoreError) -> Self {
        Self { error, advanced: false }
    }
}

impl Source {
    /// Fetches one range whole.
    pub(super) async fn fetch(&self, range: ByteRange) -> Result<Vec<Bytes>, StoreError> {
        let mut pieces = Pieces::new(self.buffers.clone());
        let mut failures = 0;
        loop {
            let received = pieces.length();
            let rest = ByteRange { start: range.start + received, length: range.length - received };
            let Err(Broken { error, advanced }) = self.attempt(rest, &mut pieces).await else {
                return Ok(pieces.share());
            };
            failures = if advanced { 1 } else { failures + 1 };
            if !error.is_transient() || failures > self.plan.retries {
                return Err(error);
            }
            let received = pieces.length();
            tracing::warn!(
                error = telemetry::chain(&error),
                failures,
                received,
                "taking up a range where it broke off"
            );
            back_off(self.plan.backoff, failures).await;
        }
    }

    /// One GET; what it brings is kept also where it fails.
    async fn attempt(&self, range: ByteRange, pieces: &mut Pieces) -> Result<(), Broken> {
        let body = self.open(range).await?;
        let (begun, before) = (Instant::now(), pieces.length());
        self.receive(body, range, pieces).await.map_err(|error| {
            let progress = pieces.length() - before;
            let due = due(begun.elapsed(), self.plan.stall);
            Broken { error, advanced: progress > 0 && progress >= due }
        })
    }

    /// Asks for a range, and checks that it is one of the object that is meant.
    async fn open(&self, range: ByteRange) -> Result<Body, StoreError> {
        let get = self.store.get(&self.object, Some(range), Some(&self.etag));
        let body = timeout(self.plan.stall, get).await.map_err(|elapsed| {
            StoreError::new(ErrorKind::Transient, self.what(range)).caused_by(elapsed)
        })??;
        // A store may know no If-Match, or not heed it.
        if body.meta.etag != self.etag || body.meta.size != self.size {
            let what = format!(
                "{}: expected ETag {} and {} bytes, found ETag {} and {} bytes",
                self.what(range),
                self.etag,
                self.size,
                body.meta.etag,
                body.meta.size
            );
            return Err(StoreError::new(ErrorKind::Precondition, what));
        }
        Ok(body)
    }

    /// Receives all bytes of `range`.
    async fn receive(&self, mut body: Body, range: ByteRange, pieces: &mut Pieces) -> Result<(), StoreError> {
        let stall = self.plan.stall;
        let broken = |kind, how: String| StoreError::new(kind, format!("{}: {how}", self.what(range)));
        let mut left = range.length;
        let mut deadline = Instant::now() + stall;
        let mut due = MIN_PROGRESS_BYTES.min(left);
        let mut uncounted = 0;
        while left > 0 {
            let next = timeout_at(deadline, body.stream.next()).await.map_err(|elapsed| {
                let how = format!("{due} more bytes should have come within {stall:?}");
                broken(ErrorKind::Transient, how).caused_by(elapsed)
            })?;
            let Some(chunk) = next else {
                return Err(broken(ErrorKind::Transient, format!("the body ends {left} bytes early")));
            };
            let chunk = chunk?;
            let length = chunk.len() as u64;
            if length > left {
                return Err(broken(ErrorKind::Permanent, "more bytes came than asked for".into()));
            }
            left -= length;
            uncounted += length;
            pieces.append(&chunk);
            due = due.saturating_sub(length);
            if due == 0 {
                Tally::moved_now(Step::Fetched, std::mem::take(&mut uncounted));
                deadline = Instant::now() + stall;
                due = MIN_PROGRESS_BYTES.min(left);
            }
        }
        Ok(())
    }

    fn what(&self, range: ByteRange) -> String {
        format!("get {} of {}", range.header(), self.object)
    }
}

/// Bytes that a body must have brought by then: in proportion, and never more than the minimum. A body torn after a
/// moment may have brought a few bytes only; one that dripped, or stalled, counts as a failure.
fn due(elapsed: Duration, stall: Duration) -> u64 {
    let share = elapsed.as_millis() * u128::from(MIN_PROGRESS_BYTES) / stall.as_millis().max(1);
    u64::try_from(share).unwrap_or(u64::MAX).min(MIN_PROGRESS_BYTES)
}
