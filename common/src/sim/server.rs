//! Speaks S3's protocol on loopback, in front of any [`Store`]: the real client talks to it, and faults injected into
//! the store behind it arrive as S3's answers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::BytesMut;
use futures::{StreamExt as _, TryStreamExt as _};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::SimpleAuth;
use s3s::dto;
use s3s::service::S3ServiceBuilder;
use s3s::{S3, S3Request, S3Response, S3Result, s3_error};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::contract::{ByteRange, ObjectRef};
use crate::store::{
    Condition, ErrorKind, NewObject, Payload, S3Store, Store, StoreError, Upload, UploadedPart,
};

const ACCESS_KEY: &str = "test";
const SECRET_KEY: &str = "test-secret";

/// A server that runs as long as this is held.
pub struct SimServer {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl SimServer {
    /// Serves `store` on a free port of loopback.
    pub async fn start(store: Arc<dyn Store>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let mut builder = S3ServiceBuilder::new(Facade { store });
        builder.set_auth(SimpleAuth::from_single(ACCESS_KEY, SECRET_KEY));
        let service = builder.build();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let service = service.clone();
                connections.spawn(async move {
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A client that goes away is its own affair.
                    server.serve_connection(TokioIo::new(stream), service).await.unwrap_or_default();
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self { address, _task: AbortOnDropHandle::new(task) })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The SDK's client of this server, with `attempts` tries for each request.
    pub fn client(&self, attempts: u32) -> aws_sdk_s3::Client {
        let client = crate::aws::s3_client_at(&self.endpoint(), ACCESS_KEY, SECRET_KEY);
        let retries = aws_sdk_s3::config::retry::RetryConfig::standard().with_max_attempts(attempts);
        aws_sdk_s3::Client::from_conf(client.config().to_builder().retry_config(retries).build())
    }

    /// The product's store, against this server.
    pub fn store(&self, attempts: u32) -> S3Store {
        S3Store::new(self.client(attempts))
    }
}

/// S3's operations in terms of a store's.
struct Facade {
    store: Arc<dyn Store>,
}

fn s3_error(error: &StoreError) -> s3s::S3Error {
    match error.kind {
        ErrorKind::NotFound => s3_error!(NoSuchKey, "{error}"),
        ErrorKind::Precondition => s3_error!(PreconditionFailed, "{error}"),
        ErrorKind::Conflict => s3_error!(OperationAborted, "{error}"),
        ErrorKind::Forbidden => s3_error!(AccessDenied, "{error}"),
        ErrorKind::Transient => s3_error!(SlowDown, "{error}"),
        ErrorKind::TooLarge => s3_error!(EntityTooLarge, "{error}"),
        ErrorKind::Permanent => s3_error!(InvalidRequest, "{error}"),
    }
}

fn object(bucket: String, key: String, version_id: Option<String>) -> ObjectRef {
    ObjectRef { bucket, key, version_id }
}

fn condition(if_match: Option<dto::ETagCondition>, if_none_match: Option<dto::ETagCondition>) -> Condition {
    match (if_match, if_none_match) {
        (Some(dto::ETagCondition::ETag(etag)), _) => Condition::IfMatch(etag.value().to_owned()),
        (_, Some(_)) => Condition::IfAbsent,
        _ => Condition::Always,
    }
}

fn new_object(object: ObjectRef, metadata: Option<dto::Metadata>) -> NewObject {
    NewObject { object, content_type: "", metadata: metadata.unwrap_or_default().into_iter().collect() }
}

fn checksum(base64: Option<&str>) -> S3Result<u64> {
    use base64::Engine as _;
    let bytes = base64.and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let bytes: Option<[u8; 8]> = bytes.and_then(|bytes| bytes.try_into().ok());
    bytes.map(u64::from_be_bytes).ok_or_else(|| s3_error!(InvalidRequest, "a CRC64NVME checksum is expected"))
}

async fn payload(body: Option<dto::StreamingBlob>, crc64nvme: u64) -> S3Result<Payload> {
    let mut data = BytesMut::new();
    if let Some(mut body) = body {
        while let Some(chunk) = body.next().await {
            data.extend_from_slice(&chunk.map_err(|error| s3_error!(IncompleteBody, "{error}"))?);
        }
    }
    let data = data.freeze();
    Ok(Payload { length: data.len() as u64, crc64nvme, chunks: vec![data] })
}

fn metadata(metadata: std::collections::BTreeMap<String, String>) -> dto::Metadata {
    metadata.into_iter().collect()
}

fn signed(length: u64) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

#[async_trait::async_trait]
impl S3 for Facade {
    async fn head_object(
        &self,
        req: S3Request<dto::HeadObjectInput>,
    ) -> S3Result<S3Response<dto::HeadObjectOutput>> {
        let object = object(req.input.bucket, req.input.key, req.input.version_id);
        let meta = self.store.head(&object).await.map_err(|error| s3_error(&error))?;
        let meta = meta.ok_or_else(|| s3_error!(NoSuchKey))?;
        Ok(S3Response::new(dto::HeadObjectOutput {
            e_tag: Some(dto::ETag::Strong(meta.etag)),
            content_length: Some(signed(meta.size)),
            version_id: meta.version_id,
            metadata: Some(metadata(meta.metadata)),
            checksum_crc64nvme: meta.checksum_crc64nvme,
            ..Default::default()
        }))
    }

    async fn get_object(
        &self,
        req: S3Request<dto::GetObjectInput>,
    ) -> S3Result<S3Response<dto::GetObjectOutput>> {
        let object = object(req.input.bucket, req.input.key, req.input.version_id);
        let range = match req.input.range {
            Some(dto::Range::Int { first, last }) => {
                let last = last.ok_or_else(|| s3_error!(NotImplemented, "open ranges"))?;
                Some(ByteRange { start: first, length: last - first + 1 })
            }
            Some(dto::Range::Suffix { .. }) => return Err(s3_error!(NotImplemented, "suffix ranges")),
            None => None,
        };
        let if_match = match &req.input.if_match {
            Some(dto::ETagCondition::ETag(etag)) => Some(etag.value()),
            _ => None,
        };
        let body = self.store.get(&object, range, if_match).await.map_err(|error| s3_error(&error))?;
        let size = body.meta.size;
        let (length, content_range) = match range {
            None => (size, None),
            Some(range) => {
                let end = (range.start + range.length).min(size);
                (end - range.start, Some(format!("bytes {}-{}/{size}", range.start, end - 1)))
            }
        };
        Ok(S3Response::new(dto::GetObjectOutput {
            body: Some(s3s::Body::http_body_unsync(StreamBody::new(body.stream.map_ok(Frame::data))).into()),
            content_length: Some(signed(length)),
            content_range,
            e_tag: Some(dto::ETag::Strong(body.meta.etag)),
            version_id: body.meta.version_id,
            metadata: Some(metadata(body.meta.metadata)),
            ..Default::default()
        }))
    }

    async fn put_object(
        &self,
        req: S3Request<dto::PutObjectInput>,
    ) -> S3Result<S3Response<dto::PutObjectOutput>> {
        let input = req.input;
        let crc = checksum(input.checksum_crc64nvme.as_deref())?;
        let new = new_object(object(input.bucket, input.key, None), input.metadata);
        let condition = condition(input.if_match, input.if_none_match);
        let written = self.store.put(&new, payload(input.body, crc).await?, &condition).await;
        let written = written.map_err(|error| s3_error(&error))?;
        Ok(S3Response::new(dto::PutObjectOutput {
            e_tag: Some(dto::ETag::Strong(written.etag)),
            version_id: written.version_id,
            ..Default::default()
        }))
    }

    async fn create_multipart_upload(
        &self,
        req: S3Request<dto::CreateMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CreateMultipartUploadOutput>> {
        let new = new_object(object(req.input.bucket, req.input.key, None), req.input.metadata);
        let upload = self.store.create_upload(&new).await.map_err(|error| s3_error(&error))?;
        Ok(S3Response::new(dto::CreateMultipartUploadOutput {
            upload_id: Some(upload.id),
            ..Default::default()
        }))
    }

    async fn upload_part(
        &self,
        req: S3Request<dto::UploadPartInput>,
    ) -> S3Result<S3Response<dto::UploadPartOutput>> {
        let input = req.input;
        let crc = checksum(input.checksum_crc64nvme.as_deref())?;
        let upload = Upload { object: object(input.bucket, input.key, None), id: input.upload_id };
        let number = u32::try_from(input.part_number).unwrap_or_default();
        let part = self.store.upload_part(&upload, number, payload(input.body, crc).await?).await;
        let part = part.map_err(|error| s3_error(&error))?;
        Ok(S3Response::new(dto::UploadPartOutput {
            e_tag: Some(dto::ETag::Strong(part.etag)),
            checksum_crc64nvme: input.checksum_crc64nvme,
            ..Default::default()
        }))
    }

    async fn complete_multipart_upload(
        &self,
        req: S3Request<dto::CompleteMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::CompleteMultipartUploadOutput>> {
        let input = req.input;
        let crc = checksum(input.checksum_crc64nvme.as_deref())?;
        let upload = Upload { object: object(input.bucket, input.key, None), id: input.upload_id };
        let mut parts = Vec::new();
        for part in input.multipart_upload.and_then(|upload| upload.parts).unwrap_or_default() {
            parts.push(UploadedPart {
                number: part.part_number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default(),
                etag: part.e_tag.map(|etag| etag.value().to_owned()).unwrap_or_default(),
                crc64nvme: checksum(part.checksum_crc64nvme.as_deref())?,
            });
        }
        let condition = condition(input.if_match, input.if_none_match);
        let written = self.store.complete_upload(&upload, &parts, crc, &condition).await;
        let written = written.map_err(|error| s3_error(&error))?;
        Ok(S3Response::new(dto::CompleteMultipartUploadOutput {
            e_tag: Some(dto::ETag::Strong(written.etag)),
            version_id: written.version_id,
            ..Default::default()
        }))
    }

    async fn abort_multipart_upload(
        &self,
        req: S3Request<dto::AbortMultipartUploadInput>,
    ) -> S3Result<S3Response<dto::AbortMultipartUploadOutput>> {
        let upload =
            Upload { object: object(req.input.bucket, req.input.key, None), id: req.input.upload_id };
        self.store.abort_upload(&upload).await.map_err(|error| s3_error(&error))?;
        Ok(S3Response::new(dto::AbortMultipartUploadOutput::default()))
    }

    async fn delete_object(
        &self,
        req: S3Request<dto::DeleteObjectInput>,
    ) -> S3Result<S3Response<dto::DeleteObjectOutput>> {
        let input = req.input;
        let condition = condition(input.if_match, None);
        let Condition::IfMatch(etag) = condition else {
            return Err(s3s::s3_error!(InvalidRequest, "delete objects by their ETag"));
        };
        let object = object(input.bucket, input.key, None);
        self.store.delete(&object, &etag).await.map_err(|error| s3_error(&error))?;
        Ok(S3Response::new(dto::DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(
        &self,
        req: S3Request<dto::ListObjectsV2Input>,
    ) -> S3Result<S3Response<dto::ListObjectsV2Output>> {
        let dto::ListObjectsV2Input { bucket, prefix, start_after, .. } = req.input;
        let (prefix, after) = (prefix.unwrap_or_default(), start_after.unwrap_or_default());
        let listed = self.store.list(&bucket, &prefix, &after).await.map_err(|error| s3_error(&error))?;
        let contents = listed.into_iter().map(|listed| dto::Object {
            key: Some(listed.key),
            e_tag: Some(dto::ETag::Strong(listed.etag)),
            ..Default::default()
        });
        Ok(S3Response::new(dto::ListObjectsV2Output {
            contents: Some(contents.collect()),
            ..Default::default()
        }))
    }
}
