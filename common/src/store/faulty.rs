//! A store that breaks on demand.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;

use super::{
    Body, Condition, ErrorKind, Listed, NewObject, ObjectMeta, Payload, Store, StoreError, Upload,
    UploadedPart, Written,
};
use crate::contract::{ByteRange, ObjectRef};

/// What can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are the store's operations")]
pub enum Operation {
    Head,
    Get,
    Put,
    CreateUpload,
    UploadPart,
    CompleteUpload,
    AbortUpload,
    List,
    Delete,
}

/// How it fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Refused before anything happened.
    Before(ErrorKind),
    /// Done, but the answer is lost.
    After(ErrorKind),
    /// The body fails after this many bytes.
    TornAt(u64),
    /// The body ends after this many bytes, without an error.
    ShortAt(u64),
    /// Nothing more comes after this many bytes, and no end either.
    StallAt(u64),
    /// What comes after this many bytes comes one byte a second.
    DripFrom(u64),
    /// Done, but only after this long.
    Late(Duration),
}

/// Wraps a store and applies the faults planned for it, each once, in the order planned.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    plan: Mutex<VecDeque<(Operation, Option<Fault>)>>,
    always: Mutex<Vec<(Operation, Fault)>>,
}

impl FaultyStore {
    /// A store without faults so far.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner, plan: Mutex::default(), always: Mutex::default() }
    }

    /// The next call of `operation` that has no fault planned yet meets `fault`.
    pub fn plan(&self, operation: Operation, fault: Fault) {
        self.plan_after(operation, 0, fault);
    }

    /// The next `calls` calls of `operation` go well, the one after meets `fault`.
    pub fn plan_after(&self, operation: Operation, calls: u32, fault: Fault) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        plan.extend((0..calls).map(|_| (operation, None)));
        plan.push_back((operation, Some(fault)));
    }

    /// Every call of `operation` meets `fault`.
    pub fn always(&self, operation: Operation, fault: Fault) {
        self.always.lock().unwrap_or_else(PoisonError::into_inner).push((operation, fault));
    }

    /// Faults planned and not met yet.
    pub fn pending(&self) -> usize {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn next(&self, operation: Operation) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(index) = plan.iter().position(|(planned, _)| *planned == operation) {
            return plan.remove(index).and_then(|(_, fault)| fault);
        }
        let always = self.always.lock().unwrap_or_else(PoisonError::into_inner);
        always.iter().find(|(planned, _)| *planned == operation).map(|(_, fault)| *fault)
    }

    /// Runs `call` under the fault planned for it.
    async fn under<T>(
        &self,
        operation: Operation,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let broken = |kind| Err(StoreError::new(kind, format!("{operation:?}: injected")));
        match self.next(operation) {
            Some(Fault::Before(kind)) => broken(kind),
            Some(Fault::Late(pause)) => {
                tokio::time::sleep(pause).await;
                call.await
            }
            Some(Fault::After(kind)) => {
                call.await?;
                broken(kind)
            }
            _ => call.await,
        }
    }
}

/// Passes `left` bytes of a body, then one a second.
fn drip(body: Body, left: u64) -> Body {
    let passed = body.stream.scan(left, |left, chunk| {
        let bytes = chunk.map(|mut rest| {
            let head = rest.split_to(rest.len().min(usize::try_from(*left).unwrap_or(usize::MAX)));
            *left -= head.len() as u64;
            (head, rest)
        });
        std::future::ready(Some(bytes))
    });
    let stream = passed.flat_map(|bytes| {
        let (head, rest, failed) = match bytes {
            Ok((head, rest)) => (Some(Ok(head)), rest, None),
            Err(error) => (None, Bytes::new(), Some(Err(error))),
        };
        let drops = (0..rest.len()).map(move |at| rest.slice(at..=at));
        let drops = futures::stream::iter(drops).then(|drop| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(drop)
        });
        futures::stream::iter(head).chain(drops).chain(futures::stream::iter(failed))
    });
    Body { meta: body.meta, stream: stream.boxed() }
}

/// Passes `left` bytes of a body, then goes on as `fault` says.
fn cut(body: Body, left: u64, fault: Fault) -> Body {
    let head = body.stream.scan(left, |left, chunk| {
        let passed = chunk.map(|mut bytes| {
            bytes.truncate(usize::try_from(*left).unwrap_or(usize::MAX));
            *left -= bytes.len() as u64;
            bytes
        });
        let ends = passed.as_ref().is_ok_and(Bytes::is_empty);
        std::future::ready((!ends).then_some(passed))
    });
    let tail = match fault {
        Fault::TornAt(_) => {
            let torn = StoreError::new(ErrorKind::Transient, "torn body: injected");
            futures::stream::once(std::future::ready(Err(torn))).boxed()
        }
        Fault::StallAt(_) => futures::stream::pending().boxed(),
        _ => futures::stream::empty().boxed(),
    };
    Body { meta: body.meta, stream: head.chain(tail).boxed() }
}

#[async_trait]
impl Store for FaultyStore {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError> {
        self.under(Operation::Head, self.inner.head(object)).await
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError> {
        match self.next(Operation::Get) {
            Some(Fault::Before(kind) | Fault::After(kind)) => Err(StoreError::new(kind, "Get: injected")),
            Some(fault @ (Fault::TornAt(at) | Fault::ShortAt(at) | Fault::StallAt(at))) => {
                Ok(cut(self.inner.get(object, range, if_match).await?, at, fault))
            }
            Some(Fault::DripFrom(at)) => Ok(drip(self.inner.get(object, range, if_match).await?, at)),
            Some(Fault::Late(pause)) => {
                tokio::time::sleep(pause).await;
                self.inner.get(object, range, if_match).await
            }
            None => self.inner.get(object, range, if_match).await,
        }
    }

    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        self.under(Operation::Put, self.inner.put(new, payload, condition)).await
    }

    async fn create_upload(&self, new: &NewObject) -> Result<Upload, StoreError> {
        self.under(Operation::CreateUpload, self.inner.create_upload(new)).await
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        self.under(Operation::UploadPart, self.inner.upload_part(upload, number, payload)).await
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        self.under(Operation::CompleteUpload, self.inner.complete_upload(upload, parts, crc64nvme, condition))
            .await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        self.under(Operation::AbortUpload, self.inner.abort_upload(upload)).await
    }

    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        self.under(Operation::List, self.inner.list(bucket, prefix, after)).await
    }

    async fn delete(&self, object: &ObjectRef, etag: &str) -> Result<(), StoreError> {
        self.under(Operation::Delete, self.inner.delete(object, etag)).await
    }
}
