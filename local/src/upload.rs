//! A file into the input bucket, as the root of its trace.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aws_sdk_s3::primitives::ByteStream;
use common::trace::{self, XRAY_HEADER, xray_header};
use opentelemetry::trace::{SpanBuilder, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};

/// What S3 said of a file, and where its trace begins.
#[derive(Debug, Clone)]
pub struct Uploaded {
    /// The trace's id, hexadecimal.
    pub trace_id: String,
    /// The version that S3 gave it.
    pub version_id: Option<String>,
    /// Without quotes.
    pub etag: String,
}

/// Puts a file. The span's context goes with it twice: as the object's metadata, for the processor, and as X-Ray's
/// header, which S3 hands on to Lambda.
pub async fn upload(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    key: &str,
    body: ByteStream,
) -> anyhow::Result<Uploaded> {
    // Whoever uploads does not wait for what comes of it: that is what a producer is.
    let builder = SpanBuilder::from_name("upload").with_kind(SpanKind::Producer);
    let context = trace::span(builder, &Context::new());
    let span = context.span();
    span.set_attributes([
        KeyValue::new("aws.s3.bucket", bucket.to_owned()),
        KeyValue::new("aws.s3.key", key.to_owned()),
    ]);
    let mut put = s3.put_object().bucket(bucket).key(key).body(body);
    let mut metadata = BTreeMap::new();
    trace::inject(span.span_context(), &mut metadata);
    for (name, value) in metadata {
        put = put.metadata(name, value);
    }
    let header = xray_header(span.span_context(), None);
    let put = put.customize().mutate_request(move |request| {
        request.headers_mut().insert(XRAY_HEADER, header.clone());
    });
    let put = Box::pin(put.send()).await.inspect_err(|error| trace::fail(&context, error));
    let put = put.with_context(|| format!("put {key}"))?;
    span.end();
    Ok(Uploaded {
        trace_id: span.span_context().trace_id().to_string(),
        version_id: put.version_id,
        etag: put.e_tag.unwrap_or_default().trim_matches('"').to_owned(),
    })
}
