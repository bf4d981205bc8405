//! A bare copy: ranged GETs into the parts of an upload, by the same SDK and with the same settings as the product's
//! store, and nothing else. What the processor takes beyond it is the price of cleaning.

use anyhow::{Context as _, ensure};
use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use common::contract::{ByteRange, ObjectRef};
use common::store::checksum_base64;
use crc_fast::{CrcAlgorithm, checksum_combine, crc64_nvme};
use futures::{StreamExt as _, TryStreamExt as _};

/// Of a range, which becomes a part.
const PART_BYTES: u64 = 8 * 1024 * 1024;

/// GETs, and as many uploads.
const IN_FLIGHT: usize = 3;

/// Copies `from` to `to`. The bytes copied.
pub(crate) async fn copy(client: &Client, from: &ObjectRef, to: &ObjectRef) -> anyhow::Result<u64> {
    let head = client.head_object().bucket(&from.bucket).key(&from.key).send().await.context("head")?;
    let size = head.content_length.and_then(|size| u64::try_from(size).ok()).context("no length")?;
    let etag = head.e_tag.context("no ETag")?;
    ensure!(size.div_ceil(PART_BYTES) <= 10_000, "S3 takes 10,000 parts: a bare copy goes to 78 GiB");
    let created = client
        .create_multipart_upload()
        .bucket(&to.bucket)
        .key(&to.key)
        .checksum_algorithm(ChecksumAlgorithm::Crc64Nvme)
        .checksum_type(ChecksumType::FullObject);
    let upload = created.send().await.context("create the upload")?.upload_id.context("no upload id")?;

    let starts = (0..size.div_ceil(PART_BYTES)).map(|index| index * PART_BYTES);
    let ranges = starts.map(|start| ByteRange { start, length: PART_BYTES.min(size - start) });
    let gets = futures::stream::iter(ranges).map(|range| {
        let task = tokio::spawn(get(client.clone(), from.clone(), range, etag.clone()));
        async move { task.await.context("the task that fetched a range died")? }
    });
    let puts = gets.buffered(IN_FLIGHT).zip(futures::stream::iter(1..)).map(|(data, number)| {
        let (client, to, upload) = (client.clone(), to.clone(), upload.clone());
        let task = tokio::spawn(async move { put(client, to, upload, number, data?).await });
        async move { task.await.context("the task that sent a part died")? }
    });
    let parts: Vec<Part> = puts.buffered(IN_FLIGHT).try_collect().await?;

    let crcs = parts.iter().map(|part| (part.crc64nvme, part.length));
    let combine = |(whole, length), (crc, next)| {
        (checksum_combine(CrcAlgorithm::Crc64Nvme, whole, crc, next), length + next)
    };
    let (crc64nvme, copied) = crcs.reduce(combine).context("nothing to copy")?;
    let parts = parts.into_iter().map(|part| part.completed).collect();
    let completion = client
        .complete_multipart_upload()
        .bucket(&to.bucket)
        .key(&to.key)
        .upload_id(upload)
        .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
        .checksum_crc64_nvme(checksum_base64(crc64nvme))
        .checksum_type(ChecksumType::FullObject);
    completion.send().await.context("complete the upload")?;
    Ok(copied)
}

async fn get(client: Client, from: ObjectRef, range: ByteRange, etag: String) -> anyhow::Result<Bytes> {
    let request = client.get_object().bucket(from.bucket).key(from.key);
    let found = request.range(range.header()).if_match(etag).send().await.context("get a range")?;
    #[allow(clippy::disallowed_methods, reason = "a range has a known length")]
    let data = found.body.collect().await.context("read a range")?.into_bytes();
    ensure!(data.len() as u64 == range.length, "{} bytes came of {}", data.len(), range.header());
    Ok(data)
}

/// A part as sent.
struct Part {
    completed: CompletedPart,
    length: u64,
    crc64nvme: u64,
}

async fn put(
    client: Client,
    to: ObjectRef,
    upload: String,
    number: i32,
    data: Bytes,
) -> anyhow::Result<Part> {
    let (length, crc64nvme) = (data.len() as u64, crc64_nvme(&data));
    let request = client.upload_part().bucket(to.bucket).key(to.key).upload_id(upload).part_number(number);
    let request = request.checksum_crc64_nvme(checksum_base64(crc64nvme)).body(data.into());
    let sent = request.customize().disable_payload_signing().send().await.context("send a part")?;
    let completed = CompletedPart::builder()
        .part_number(number)
        .set_e_tag(sent.e_tag)
        .checksum_crc64_nvme(checksum_base64(crc64nvme))
        .build();
    Ok(Part { completed, length, crc64nvme })
}
