//! A store whose calls are seen in the trace: each that matters as a span, if there are not too many; ranges and parts as a
//! count.

use std::sync::Arc;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanBuilder, SpanKind, TraceContextExt as _};

use super::{
    Body, Condition, ErrorKind, Listed, NewObject, ObjectMeta, Payload, Store, StoreError, Upload,
    UploadedPart, Written,
};
use crate::contract::{ByteRange, ObjectRef, printable_key};
use crate::trace::{self, Step, Tally};

/// Another store, traced.
pub struct TracedStore {
    inner: Arc<dyn Store>,
}

impl TracedStore {
    /// Traces what `inner` is asked for.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self { inner }
    }
}

/// Makes a call in a span of its own, which has S3's name for it.
async fn call<T>(
    name: &'static str,
    object: &ObjectRef,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    if !Tally::call() {
        return call.await;
    }
    let attributes = vec![
        KeyValue::new("rpc.system", "aws-api"),
        KeyValue::new("rpc.service", "S3"),
        KeyValue::new("rpc.method", name),
        KeyValue::new("aws.s3.bucket", object.bucket.clone()),
        KeyValue::new("aws.s3.key", printable_key(&object.key).into_owned()),
    ];
    let builder = SpanBuilder::from_name(format!("S3.{name}"));
    let builder = builder.with_kind(SpanKind::Client).with_attributes(attributes);
    let context = trace::span(builder, &opentelemetry::Context::current());
    let done = call.await;
    let answer = |what: &'static str| context.span().set_attribute(KeyValue::new("penstock.answer", what));
    match &done {
        Ok(_) => {}
        // Answers to a question: nobody was there before, or somebody was.
        Err(error) if error.kind == ErrorKind::NotFound => answer("not found"),
        Err(error) if error.kind == ErrorKind::Precondition => answer("precondition failed"),
        Err(error) => trace::fail(&context, error),
    }
    context.span().end();
    done
}

#[async_trait]
impl Store for TracedStore {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError> {
        call("HeadObject", object, self.inner.head(object)).await
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError> {
        if range.is_some() {
            Tally::range();
            return self.inner.get(object, range, if_match).await;
        }
        call("GetObject", object, self.inner.get(object, range, if_match)).await
    }

    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        call("PutObject", &new.object, self.inner.put(new, payload, condition)).await
    }

    async fn create_upload(&self, new: &NewObject) -> Result<Upload, StoreError> {
        call("CreateMultipartUpload", &new.object, self.inner.create_upload(new)).await
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        Tally::part();
        let bytes = payload.length;
        let uploaded = self.inner.upload_part(upload, number, payload).await?;
        Tally::moved_now(Step::Uploaded, bytes);
        Ok(uploaded)
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let completed = self.inner.complete_upload(upload, parts, crc64nvme, condition);
        call("CompleteMultipartUpload", &upload.object, completed).await
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        call("AbortMultipartUpload", &upload.object, self.inner.abort_upload(upload)).await
    }

    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        self.inner.list(bucket, prefix, after).await
    }

    async fn delete(&self, object: &ObjectRef, etag: &str) -> Result<(), StoreError> {
        call("DeleteObject", object, self.inner.delete(object, etag)).await
    }
}
