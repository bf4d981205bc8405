//! A file into the input bucket, as the root of its trace.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_s3::config::interceptors::BeforeTransmitInterceptorContextMut;
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use bytes::Bytes;
use common::contract::ObjectRef;
use common::store::{Condition, NewObject, S3Store, Store as _};
use common::trace::{self, XRAY_HEADER, xray_header};
use common::write::{ObjectWriter, WritePlan};
use local::upload::Uploaded;
use opentelemetry::trace::{SpanBuilder, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use tokio::sync::mpsc;

use super::plan::Planned;
use crate::generate::{Text, pack};

/// Pieces between the thread that makes them and the one that sends them.
const PIECES_BEHIND: usize = 2;

/// The span that a file's trace begins with.
pub(crate) struct Root {
    context: Context,
}

impl Root {
    /// Begins a trace.
    pub(crate) fn begin(bucket: &str, key: &str) -> Self {
        let attributes =
            [KeyValue::new("aws.s3.bucket", bucket.to_owned()), KeyValue::new("aws.s3.key", key.to_owned())];
        let builder =
            SpanBuilder::from_name("upload").with_kind(SpanKind::Producer).with_attributes(attributes);
        Self { context: trace::span(builder, &Context::new()) }
    }

    /// Adds the context to an object's metadata, for the processor.
    pub(crate) fn describe(&self, mut metadata: BTreeMap<String, String>) -> BTreeMap<String, String> {
        trace::inject(self.context.span().span_context(), &mut metadata);
        metadata
    }

    /// Ends the span. The trace's id.
    pub(crate) fn end(self) -> String {
        let span = self.context.span();
        span.end();
        span.span_context().trace_id().to_string()
    }
}

/// X-Ray's header, which S3 hands on to Lambda, in each request.
#[derive(Debug)]
struct Header(String);

impl Intercept for Header {
    fn name(&self) -> &'static str {
        "trace header"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert(XRAY_HEADER, self.0.clone());
        Ok(())
    }
}

/// Makes a file and sends it at the same time, in parts where it is long.
pub(crate) async fn upload(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    file: &Planned,
) -> anyhow::Result<Uploaded> {
    let root = Root::begin(bucket, &file.key);
    let header = Header(xray_header(root.context.span().span_context(), None));
    let config = s3.config().to_builder().interceptor(header).build();
    let store = Arc::new(S3Store::new(aws_sdk_s3::Client::from_conf(config)));
    let text = Arc::new(Text::new(&file.spec)?);
    let object = ObjectRef::new(bucket, &file.key);
    let metadata = root.describe(file.spec.metadata(&text));
    let new = NewObject { object: object.clone(), content_type: "text/csv", metadata };
    let mut writer = ObjectWriter::new(store.clone(), new, WritePlan::default());
    let (sender, mut pieces) = mpsc::channel(PIECES_BEHIND);
    let compression = file.spec.compression;
    let made = tokio::task::spawn_blocking(move || {
        pack(&text, compression, 1, |piece, _| {
            // Whoever received them met an error of their own.
            sender.blocking_send(Bytes::from(piece)).map_err(|_gone| io::ErrorKind::BrokenPipe)?;
            Ok(Vec::new())
        })
    });
    while let Some(piece) = pieces.recv().await {
        writer.write(piece).await?;
    }
    made.await.context("the thread that makes rows died")??;
    let etag = writer.finish(&Condition::Always).await?.etag;
    let meta = store.head(&object).await?.filter(|meta| meta.etag == etag);
    let meta = meta.with_context(|| format!("{object} is not what was put there"))?;
    Ok(Uploaded { trace_id: root.end(), version_id: meta.version_id, etag })
}
