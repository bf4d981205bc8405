//! One file through the system: uploaded, then watched from outside, through the objects that anybody can read.

use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::primitives::ByteStream;
use common::contract::{CatalogEntry, Receipt, catalog_key, failure_receipt_key, receipt_key};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::inputs::Input;
use super::progress::{Progress, Stage};
use super::queues::GivenUp;
use crate::stack::Stack;
use crate::upload::{Uploaded, upload};

/// How often to look. A file takes tenths of a second.
const LOOK: Duration = Duration::from_millis(50);

/// What was seen of one file.
#[derive(Debug)]
pub(super) struct Followed {
    /// The file.
    pub input: Input,
    /// The trace that it was sent with.
    pub trace_id: String,
    /// The version that S3 gave it.
    pub version_id: Option<String>,
    /// Its receipt and that one's key.
    pub receipt: Option<(String, Receipt)>,
    /// Its catalogue entry and that one's key.
    pub catalog: Option<(String, CatalogEntry)>,
    /// From the upload's begin to the sight of the last that came.
    pub took: Duration,
    /// What did not come, and why.
    pub stuck: Option<String>,
}

/// What all files share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch<'a> {
    /// The system.
    pub stack: &'a Stack,
    /// Where to show how far each is.
    pub progress: &'a Progress<'a>,
    /// What the system gave up.
    pub given_up: &'a GivenUp,
    /// When to stop waiting.
    pub deadline: Instant,
}

/// Uploads a file and waits for its receipt and its catalogue entry.
pub(super) async fn follow(index: usize, input: Input, watch: Watch<'_>) -> anyhow::Result<Followed> {
    watch.progress.reached(index, Stage::Uploading);
    let begun = Instant::now();
    let path = &input.path;
    let body = ByteStream::from_path(path).await.with_context(|| format!("read {}", path.display()))?;
    let bucket = &watch.stack.outputs().input_bucket;
    let Uploaded { trace_id, version_id, .. } =
        upload(&watch.stack.clients().s3, bucket, &input.key, body).await?;
    watch.progress.reached(index, Stage::Processing);
    let mut followed = Followed {
        input,
        trace_id,
        version_id,
        receipt: None,
        catalog: None,
        took: Duration::ZERO,
        stuck: None,
    };
    let stage = match look_for_both(index, &mut followed, watch).await? {
        None => Stage::Catalogued,
        Some(stuck) => {
            followed.stuck = Some(stuck);
            Stage::Stuck
        }
    };
    followed.took = begun.elapsed();
    watch.progress.reached(index, stage);
    Ok(followed)
}

/// Fills in the receipt, then the catalogue entry; says what did not come.
async fn look_for_both(
    index: usize,
    followed: &mut Followed,
    watch: Watch<'_>,
) -> anyhow::Result<Option<String>> {
    let key = &followed.input.key;
    let key = receipt_key(key).unwrap_or_else(|_| failure_receipt_key(key));
    let version_id = followed.version_id.clone();
    let ours = |receipt: &Receipt| receipt.source.version_id == version_id;
    let receipt = match wait_for(&key, version_id.as_deref(), "the processor's receipt", ours, watch).await? {
        Ok(receipt) => receipt,
        Err(stuck) => return Ok(Some(stuck)),
    };
    watch.progress.reached(index, Stage::Cataloguing);
    let entry_key = catalog_key(&receipt.event_id, receipt.timing.finished_at);
    followed.receipt = Some((key, receipt));
    match wait_for(&entry_key, version_id.as_deref(), "the consumer's catalogue entry", |_| true, watch)
        .await?
    {
        Ok(entry) => followed.catalog = Some((entry_key, entry)),
        Err(stuck) => return Ok(Some(stuck)),
    }
    Ok(None)
}

/// Waits for an object of the output bucket that is as wanted; else says why it did not come.
async fn wait_for<T: DeserializeOwned>(
    key: &str,
    version_id: Option<&str>,
    what: &str,
    is_wanted: impl Fn(&T) -> bool,
    watch: Watch<'_>,
) -> anyhow::Result<Result<T, String>> {
    let outputs = watch.stack.outputs();
    let begun = Instant::now();
    loop {
        if let Some(found) = read::<T>(watch.stack, key).await?.filter(&is_wanted) {
            return Ok(Ok(found));
        }
        if let Some(why) = version_id.and_then(|version| watch.given_up.why(version)) {
            return Ok(Err(format!("{what} will not come: {why}")));
        }
        if Instant::now() >= watch.deadline {
            let bucket = &outputs.output_bucket;
            let seconds = begun.elapsed().as_secs();
            return Ok(Err(format!(
                "{what} did not come in time: waited {seconds} s for s3://{bucket}/{key}"
            )));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// An object of the output bucket, if it is there.
async fn read<T: DeserializeOwned>(stack: &Stack, key: &str) -> anyhow::Result<Option<T>> {
    let get = stack.clients().s3.get_object().bucket(&stack.outputs().output_bucket).key(key);
    let mut object = match Box::pin(get.send()).await {
        Ok(object) => object,
        Err(SdkError::ServiceError(error)) if matches!(error.err(), GetObjectError::NoSuchKey(_)) => {
            return Ok(None);
        }
        Err(error) => return Err(error).with_context(|| format!("read {key}")),
    };
    let mut text = Vec::new();
    while let Some(chunk) = object.body.try_next().await.with_context(|| format!("read {key}"))? {
        text.extend_from_slice(&chunk);
    }
    serde_json::from_slice(&text).map(Some).with_context(|| format!("read {key}"))
}
