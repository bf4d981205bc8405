//! A file into the input bucket, as the root of its trace.

use std::collections::BTreeMap;

use anyhow::Context as _;
use aws_sdk_s3::primitives::ByteStream;
use common::trace::{self, XRAY_HEADER, xray_header};
use opentelemetry::KeyValue;
use opentelemetry::trace::TraceContextExt as _;

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
    upload_with(s3, bucket, key, BTreeMap::new(), body).await
}

/// As [`upload`], with metadata of the object's own.
pub async fn upload_with(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    key: &str,
    mut metadata: BTreeMap<String, String>,
    body: ByteStream,
) -> anyhow::Result<Uploaded> {
    let context = trace::root("upload");
    let span = context.span();
    span.set_attributes([
        KeyValue::new("aws.s3.bucket", bucket.to_owned()),
        KeyValue::new("aws.s3.key", key.to_owned()),
    ]);
    let mut put = s3.put_object().bucket(bucket).key(key).body(body);
    trace::inject(span.span_context(), &mut metadata);
    for (name, value) in metadata {
        put = put.metadata(name, value);
    }
    let header = xray_header(span.span_context(), None);
    let put = put.customize().mutate_request(move |request| {
        request.headers_mut().insert(XRAY_HEADER, header.clone());
    });
    let put = Box::pin(put.send()).await.with_context(|| format!("put {key}"))?;
    span.end();
    Ok(Uploaded {
        trace_id: span.span_context().trace_id().to_string(),
        version_id: put.version_id,
        etag: put.e_tag.unwrap_or_default().trim_matches('"').to_owned(),
    })
}
