//! S3 itself: the only file that imports its SDK's operations.

use std::collections::BTreeMap;
use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::config::StalledStreamProtectionConfig;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::{ByteStream, SdkBody};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, ChecksumMode, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body::{Frame, SizeHint};

use super::{
    Body, Condition, ErrorKind, Listed, NewObject, ObjectMeta, Payload, Store, StoreError, Upload,
    UploadedPart, Written, checksum_base64,
};
use crate::connector::NarrowClient;
use crate::contract::{ByteRange, ObjectRef};

/// Objects in S3, or in what speaks its protocol.
#[derive(Clone)]
pub struct S3Store {
    client: aws_sdk_s3::Client,
    ranges: aws_sdk_s3::Client,
}

impl S3Store {
    /// Through this client, whose retries and time-outs apply. Objects are fetched through connections of their own,
    /// whose read buffers are bounded.
    pub fn new(client: aws_sdk_s3::Client) -> Self {
        let ranges = client.config().to_builder().http_client(NarrowClient::default()).build();
        Self { ranges: aws_sdk_s3::Client::from_conf(ranges), client }
    }
}

#[async_trait]
impl Store for S3Store {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError> {
        let what = format!("head {object}");
        let request = self.client.head_object().bucket(&object.bucket).key(&object.key);
        let request = request.set_version_id(object.version_id.clone()).checksum_mode(ChecksumMode::Enabled);
        let found = match request.send().await {
            Ok(found) => found,
            Err(error) => {
                let error = store_error(what, error);
                return if error.kind == ErrorKind::NotFound { Ok(None) } else { Err(error) };
            }
        };
        let whole = found.checksum_type != Some(ChecksumType::Composite);
        Ok(Some(ObjectMeta {
            etag: etag(found.e_tag).ok_or_else(|| incomplete(&what))?,
            size: length(found.content_length).ok_or_else(|| incomplete(&what))?,
            version_id: found.version_id,
            metadata: sorted(found.metadata),
            checksum_crc64nvme: found.checksum_crc64_nvme.filter(|_| whole),
        }))
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError> {
        let what = match range {
            None => format!("get {object}"),
            Some(range) => format!("get {} of {object}", range.header()),
        };
        let request = self.ranges.get_object().bucket(&object.bucket).key(&object.key);
        let request = request
            .set_version_id(object.version_id.clone())
            .set_range(range.map(|range| range.header()))
            .set_if_match(if_match.map(quoted));
        let found = request.send().await.map_err(|error| store_error(what.clone(), error))?;
        let size = match &found.content_range {
            // `bytes 0-7/1234`
            Some(content_range) => content_range.rsplit('/').next().and_then(|size| size.parse().ok()),
            None => length(found.content_length),
        };
        let size = size.ok_or_else(|| incomplete(&what))?;
        let meta = ObjectMeta {
            etag: etag(found.e_tag).ok_or_else(|| incomplete(&what))?,
            size,
            version_id: found.version_id,
            metadata: sorted(found.metadata),
            checksum_crc64nvme: None,
        };
        let stream = futures::stream::unfold((found.body, what), |(mut body, what)| async move {
            let chunk = body.next().await?;
            let chunk =
                chunk.map_err(|error| StoreError::new(ErrorKind::Transient, what.clone()).caused_by(error));
            Some((chunk, (body, what)))
        });
        Ok(Body { meta, stream: stream.boxed() })
    }

    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let object = &new.object;
        let (if_match, if_none_match) = headers(condition);
        let what = format!("put {object}");
        let request = self.client.put_object().bucket(&object.bucket).key(&object.key);
        let request = request
            .content_type(new.content_type)
            .set_metadata(Some(new.metadata.clone().into_iter().collect()))
            .set_if_match(if_match)
            .set_if_none_match(if_none_match)
            .checksum_crc64_nvme(payload.checksum())
            .body(stream(payload));
        // The checksum guards the payload, TLS the way: hashing it once more for the signature costs CPU.
        let written = request.customize().disable_payload_signing().send().await;
        let written = written.map_err(|error| store_error(what.clone(), error))?;
        Ok(Written {
            etag: etag(written.e_tag).ok_or_else(|| incomplete(&what))?,
            version_id: written.version_id,
        })
    }

    async fn create_upload(&self, new: &NewObject) -> Result<Upload, StoreError> {
        let object = &new.object;
        let request = self.client.create_multipart_upload().bucket(&object.bucket).key(&object.key);
        let request = request
            .content_type(new.content_type)
            .set_metadata(Some(new.metadata.clone().into_iter().collect()))
            .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject);
        let what = format!("create an upload to {object}");
        let created = request.send().await.map_err(|error| store_error(what.clone(), error))?;
        let id = created.upload_id.ok_or_else(|| {
            StoreError::new(ErrorKind::Transient, what).caused_by("the answer has no upload id")
        })?;
        Ok(Upload { object: object.clone(), id })
    }

    async fn upload_part(
        &self,
        upload: &Upload,
        number: u32,
        payload: Payload,
    ) -> Result<UploadedPart, StoreError> {
        let (object, crc64nvme) = (&upload.object, payload.crc64nvme);
        let what = format!("put part {number} of {object}");
        let request = self.client.upload_part().bucket(&object.bucket).key(&object.key);
        let request = request
            .upload_id(&upload.id)
            .part_number(part_number(number))
            .checksum_crc64_nvme(payload.checksum())
            .body(stream(payload));
        let taken = request.customize().disable_payload_signing().send().await;
        let taken = taken.map_err(|error| store_error(what.clone(), error))?;
        Ok(UploadedPart { number, etag: etag(taken.e_tag).ok_or_else(|| incomplete(&what))?, crc64nvme })
    }

    async fn complete_upload(
        &self,
        upload: &Upload,
        parts: &[UploadedPart],
        crc64nvme: u64,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let object = &upload.object;
        let (if_match, if_none_match) = headers(condition);
        let parts = parts.iter().map(|part| {
            CompletedPart::builder()
                .part_number(part_number(part.number))
                .e_tag(quoted(&part.etag))
                .checksum_crc64_nvme(checksum_base64(part.crc64nvme))
                .build()
        });
        let what = format!("complete the upload to {object}");
        let request = self.client.complete_multipart_upload().bucket(&object.bucket).key(&object.key);
        let request = request
            .upload_id(&upload.id)
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build())
            .checksum_crc64_nvme(checksum_base64(crc64nvme))
            .checksum_type(ChecksumType::FullObject)
            .set_if_match(if_match)
            .set_if_none_match(if_none_match);
        let written = request.customize().config_override(patience()).send().await;
        let written = written.map_err(|error| store_error(what.clone(), error))?;
        Ok(Written {
            etag: etag(written.e_tag).ok_or_else(|| incomplete(&what))?,
            version_id: written.version_id,
        })
    }

    async fn abort_upload(&self, upload: &Upload) -> Result<(), StoreError> {
        let object = &upload.object;
        let request = self.client.abort_multipart_upload().bucket(&object.bucket).key(&object.key);
        match request.upload_id(&upload.id).send().await {
            Ok(_) => Ok(()),
            Err(error) => {
                let error = store_error(format!("abort the upload to {object}"), error);
                if error.kind == ErrorKind::NotFound { Ok(()) } else { Err(error) }
            }
        }
    }

    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        let what = format!("list s3://{bucket}/{prefix}");
        let request = self.client.list_objects_v2().bucket(bucket).prefix(prefix);
        let request = request.set_start_after(Some(after.to_owned()).filter(|after| !after.is_empty()));
        let page = request.send().await.map_err(|error| store_error(what, error))?;
        let listed = |object: aws_sdk_s3::types::Object| {
            Some(Listed { key: object.key?, etag: etag(object.e_tag).unwrap_or_default() })
        };
        Ok(page.contents.unwrap_or_default().into_iter().filter_map(listed).collect())
    }

    async fn delete(&self, object: &ObjectRef, etag: &str) -> Result<(), StoreError> {
        let what = format!("delete {object}");
        let request = || self.client.delete_object().bucket(&object.bucket).key(&object.key);
        let Err(error) = request().if_match(quoted(etag)).send().await else { return Ok(()) };
        if error.code() != Some("NotImplemented") {
            let error = store_error(what, error);
            return if error.kind == ErrorKind::NotFound { Ok(()) } else { Err(error) };
        }
        // S3 learned to delete on a condition in 2025; others that speak its protocol have not. Then a look goes before.
        match self.head(object).await? {
            Some(found) if found.etag != etag => {
                Err(StoreError::new(ErrorKind::Precondition, format!("{what}: it is another one by now")))
            }
            Some(_) => request().send().await.map(|_| ()).map_err(|error| store_error(what, error)),
            None => Ok(()),
        }
    }
}

/// How long S3 may take to make an object of its parts: "several minutes", its reference says of many parts.
const COMPLETION_TIMEOUT: Duration = Duration::from_mins(5);

/// For a request that S3 answers at once with a status, and with the rest when it has done: the client would take a
/// body that rests for five seconds for a stalled one, and ask again while S3 is still at it.
fn patience() -> aws_sdk_s3::config::Builder {
    let time_out = TimeoutConfig::builder().operation_attempt_timeout(COMPLETION_TIMEOUT).build();
    aws_sdk_s3::Config::builder()
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(time_out)
}

/// Answers that the same request need not get again, whatever their status: a 200 may hold one.
const PASSING_CODES: [&str; 8] = [
    "BadDigest",
    "IncompleteBody",
    "InternalError",
    "RequestTimeTooSkewed",
    "RequestTimeout",
    "ServiceUnavailable",
    "SlowDown",
    "Throttling",
];

/// Decides what is to be done about an error, from the answer's status and code.
fn store_error<E>(what: String, error: SdkError<E, HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map_or(0, |response| response.status().as_u16());
    let code = error.as_service_error().and_then(ProvideErrorMetadata::code).unwrap_or_default();
    let kind = match &error {
        SdkError::ServiceError(_) => match (code, status) {
            // The bucket's name is wrong, or the bucket is gone: no object is merely absent.
            ("NoSuchBucket", _) => ErrorKind::Forbidden,
            // What a completion answers may come in the body of a 200.
            ("PreconditionFailed", _) => ErrorKind::Precondition,
            ("ConditionalRequestConflict" | "OperationAborted", _) => ErrorKind::Conflict,
            ("NoSuchKey" | "NoSuchUpload" | "NoSuchVersion", _) => ErrorKind::NotFound,
            ("EntityTooLarge", _) => ErrorKind::TooLarge,
            (code, _) if PASSING_CODES.contains(&code) => ErrorKind::Transient,
            // Among them a completion's 200 that ends before it says anything: S3 sends blanks until it has done.
            (_, 408 | 429 | 500..=599) | ("", 200..=299) => ErrorKind::Transient,
            // A delete marker asked for by its version answers 405.
            (_, 404 | 405 | 410) => ErrorKind::NotFound,
            (_, 412) => ErrorKind::Precondition,
            (_, 409) => ErrorKind::Conflict,
            (_, 401 | 403) => ErrorKind::Forbidden,
            _ => ErrorKind::Permanent,
        },
        SdkError::ConstructionFailure(_) => ErrorKind::Permanent,
        // Time-outs, resets, answers that break off.
        _ => ErrorKind::Transient,
    };
    StoreError::new(kind, what).caused_by(error)
}

/// `If-Match` and `If-None-Match`.
fn headers(condition: &Condition) -> (Option<String>, Option<String>) {
    match condition {
        Condition::Always => (None, None),
        Condition::IfAbsent => (None, Some("*".into())),
        Condition::IfMatch(etag) => (Some(quoted(etag)), None),
    }
}

fn quoted(etag: impl AsRef<str>) -> String {
    format!("\"{}\"", etag.as_ref())
}

fn etag(quoted: Option<String>) -> Option<String> {
    quoted.map(|etag| etag.trim_matches('"').to_owned()).filter(|etag| !etag.is_empty())
}

fn length(content_length: Option<i64>) -> Option<u64> {
    content_length.and_then(|length| u64::try_from(length).ok())
}

/// An answer that leaves out what it must say: never to be taken for an empty object.
fn incomplete(what: &str) -> StoreError {
    StoreError::new(ErrorKind::Transient, format!("{what}: the answer has no length or no ETag"))
}

fn part_number(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn sorted(metadata: Option<std::collections::HashMap<String, String>>) -> BTreeMap<String, String> {
    metadata.unwrap_or_default().into_iter().collect()
}

/// A body of several chunks that can be sent again, without copying any.
fn stream(payload: Payload) -> ByteStream {
    ByteStream::new(SdkBody::retryable(move || {
        SdkBody::from_body_1_x(Chunks { rest: payload.chunks.clone().into_iter(), left: payload.length })
    }))
}

struct Chunks {
    rest: std::vec::IntoIter<Bytes>,
    left: u64,
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let chunk = self.rest.next();
        self.left -= chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        Poll::Ready(chunk.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }
}
