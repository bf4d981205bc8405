//! The system, and how to look at it: objects, queues, catalogue.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_sqs::types::{Message, MessageAttributeValue, MessageSystemAttributeName, QueueAttributeName};
use bytes::Bytes;
use common::contract::{CatalogEntry, CatalogStatus, Receipt, Source, Status, catalog_key, receipt_key};
use common::receiver::SpanReceiver;
use common::trace;
use futures::stream;
use local::stack::Stack;
use local::upload::upload;
use opentelemetry::trace::TraceContextExt as _;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::recipes::Pusher;
use crate::told::Audience;

const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_mins(1);

/// The system under test.
pub(crate) struct System {
    pub(crate) stack: Stack,
    /// Where the functions send their spans, and the uploads of this process.
    pub(crate) spans: SpanReceiver,
    /// Whom the consumer tells beside the alert topic.
    pub(crate) audience: Audience,
    /// Who brings recipes into force.
    pub(crate) pusher: Pusher,
    /// What was put, and the trace that it began.
    uploads: Mutex<Vec<(Source, String)>>,
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Listed {
    pub(crate) etag: String,
    pub(crate) modified: String,
}

impl System {
    pub(crate) fn new(stack: Stack, spans: SpanReceiver, audience: Audience, pusher: Pusher) -> Self {
        Self { stack, spans, audience, pusher, uploads: Mutex::default() }
    }

    /// Every file that was put so far, and the trace that it began.
    pub(crate) fn uploads(&self) -> Vec<(Source, String)> {
        self.uploads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn input_bucket(&self) -> &str {
        &self.stack.outputs().input_bucket
    }

    pub(crate) fn output_bucket(&self) -> &str {
        &self.stack.outputs().output_bucket
    }

    /// Puts a file into the input bucket. What is returned lacks the sequencer, which only S3's event tells.
    pub(crate) async fn put(&self, key: &str, bytes: &[u8]) -> anyhow::Result<Source> {
        let body = ByteStream::from(bytes.to_vec());
        let put = upload(&self.stack.clients().s3, self.input_bucket(), key, body).await?;
        let source = Source {
            bucket: self.input_bucket().to_owned(),
            key: key.to_owned(),
            version_id: put.version_id,
            etag: put.etag,
            size: bytes.len() as u64,
            sequencer: None,
        };
        let mut uploads = self.uploads.lock().unwrap_or_else(PoisonError::into_inner);
        uploads.push((source.clone(), put.trace_id));
        Ok(source)
    }

    /// The trace that the upload of this version began.
    pub(crate) fn trace_of(&self, source: &Source) -> anyhow::Result<String> {
        let mut uploads = self.uploads().into_iter();
        let ours = uploads.find(|(put, _)| (&put.key, &put.version_id) == (&source.key, &source.version_id));
        ours.map(|(_, trace_id)| trace_id).with_context(|| format!("{} was not put", source.key))
    }

    /// Puts a file and waits until it is through.
    pub(crate) async fn send(&self, key: &str, bytes: &[u8]) -> anyhow::Result<(Receipt, CatalogEntry)> {
        let source = self.put(key, bytes).await?;
        let receipt = self.receipt_of(&source).await?;
        let entry = self.entry_of(&receipt).await?;
        Ok((receipt, entry))
    }

    /// Waits for the receipt of this version of a file.
    pub(crate) async fn receipt_of(&self, source: &Source) -> anyhow::Result<Receipt> {
        let key = receipt_key(&source.key)?;
        self.wait(&key, |receipt: &Receipt| receipt.source.version_id == source.version_id).await
    }

    /// Waits for the catalogue entry that a receipt calls for.
    pub(crate) async fn entry_of(&self, receipt: &Receipt) -> anyhow::Result<CatalogEntry> {
        let key = catalog_key(&receipt.event_id, receipt.timing.finished_at);
        self.wait(&key, |_: &CatalogEntry| true).await
    }

    async fn wait<T: DeserializeOwned>(
        &self,
        key: &str,
        is_wanted: impl Fn(&T) -> bool,
    ) -> anyhow::Result<T> {
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(bytes) = self.read(key).await? {
                let found = serde_json::from_slice(&bytes).with_context(|| format!("read {key}"))?;
                if is_wanted(&found) {
                    return Ok(found);
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        bail!("{key} did not come within {} s", PATIENCE.as_secs())
    }

    /// An object of the output bucket.
    pub(crate) async fn read(&self, key: &str) -> anyhow::Result<Option<Vec<u8>>> {
        let get = self.stack.clients().s3.get_object().bucket(self.output_bucket()).key(key).send();
        let mut object = match get.await.map_err(aws_sdk_s3::Error::from) {
            Ok(object) => object,
            Err(aws_sdk_s3::Error::NoSuchKey(_)) => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("get {key}")),
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = object.body.try_next().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(Some(bytes))
    }

    /// Puts an object into the output bucket.
    pub(crate) async fn write(&self, key: &str, bytes: Vec<u8>) -> anyhow::Result<()> {
        let put = self.stack.clients().s3.put_object().bucket(self.output_bucket()).key(key);
        put.body(ByteStream::from(bytes)).send().await.with_context(|| format!("put {key}"))?;
        Ok(())
    }

    /// Deletes an object of the output bucket.
    pub(crate) async fn remove(&self, key: &str) -> anyhow::Result<()> {
        let delete = self.stack.clients().s3.delete_object().bucket(self.output_bucket()).key(key);
        delete.send().await.with_context(|| format!("delete {key}"))?;
        Ok(())
    }

    /// The keys of the output bucket that contain `part`.
    pub(crate) async fn listed(&self, part: &str) -> anyhow::Result<BTreeMap<String, Listed>> {
        let list = self.stack.clients().s3.list_objects_v2().bucket(self.output_bucket());
        let mut pages = list.into_paginator().send();
        let mut found = BTreeMap::new();
        while let Some(page) = pages.next().await {
            for object in page?.contents.unwrap_or_default() {
                let key = object.key.unwrap_or_default();
                let etag = object.e_tag.unwrap_or_default();
                let modified = object.last_modified.map(|time| time.to_string()).unwrap_or_default();
                if key.contains(part) {
                    found.insert(key, Listed { etag, modified });
                }
            }
        }
        Ok(found)
    }

    /// All catalogue entries of one file.
    pub(crate) async fn entries(&self, source_key: &str) -> anyhow::Result<Vec<CatalogEntry>> {
        let mut entries = Vec::new();
        for key in self.listed("catalog/dt=").await?.into_keys() {
            // Another scenario may have taken its own away since.
            let Some(bytes) = self.read(&key).await? else { continue };
            let entry: CatalogEntry =
                serde_json::from_slice(&bytes).with_context(|| format!("read {key}"))?;
            if entry.source_key == source_key {
                entries.push(entry);
            }
        }
        Ok(entries)
    }

    /// Puts a message on the event queue, past the topic.
    pub(crate) async fn enqueue(&self, body: &str) -> anyhow::Result<()> {
        let queue = &self.stack.outputs().event_queue_url;
        self.stack.clients().sqs.send_message().queue_url(queue).message_body(body).send().await?;
        Ok(())
    }

    /// Puts a message on the event queue, past the topic, as part of a trace of its own, whose id is returned.
    pub(crate) async fn enqueue_traced(&self, body: &str) -> anyhow::Result<String> {
        let context = trace::root("enqueue");
        let mut attributes = BTreeMap::new();
        trace::inject(context.span().span_context(), &mut attributes);
        let queue = &self.stack.outputs().event_queue_url;
        let mut send = self.stack.clients().sqs.send_message().queue_url(queue).message_body(body);
        for (name, value) in attributes {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build()?;
            send = send.message_attributes(name, value);
        }
        send.send().await?;
        Ok(context.span().span_context().trace_id().to_string())
    }

    /// What lies in the dead-letter queue; it stays there.
    pub(crate) async fn dead_letters(&self) -> anyhow::Result<Vec<Message>> {
        self.peek(&self.stack.outputs().dead_letter_queue_url).await
    }

    /// What lies in the failures queue; it stays there.
    pub(crate) async fn failures(&self) -> anyhow::Result<Vec<Message>> {
        self.peek(&self.stack.outputs().failures_queue_url).await
    }

    /// Deletes a message.
    pub(crate) async fn forget(&self, queue_url: &str, message: &Message) -> anyhow::Result<()> {
        let delete = self.stack.clients().sqs.delete_message().queue_url(queue_url);
        delete.set_receipt_handle(message.receipt_handle.clone()).send().await?;
        Ok(())
    }

    async fn peek(&self, queue_url: &str) -> anyhow::Result<Vec<Message>> {
        let receive = self.stack.clients().sqs.receive_message().queue_url(queue_url);
        let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
        let received =
            receive.message_attribute_names("All").max_number_of_messages(10).visibility_timeout(0);
        let received = received.send().await?;
        Ok(received.messages.unwrap_or_default())
    }

    /// Waits until the consumer has nothing to do.
    pub(crate) async fn event_queue_is_empty(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let queue = &self.stack.outputs().event_queue_url;
            let ask = self.stack.clients().sqs.get_queue_attributes().queue_url(queue);
            let attributes =
                ask.attribute_names(QueueAttributeName::All).send().await?.attributes.unwrap_or_default();
            let number =
                |name| attributes.get(&name).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
            let waiting = number(QueueAttributeName::ApproximateNumberOfMessages);
            let at_work = number(QueueAttributeName::ApproximateNumberOfMessagesNotVisible);
            if waiting + at_work == 0 {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "{waiting} messages wait and {at_work} are at work, for too long"
            );
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The keys of the uploads that are open.
    pub(crate) async fn open_uploads(&self, bucket: &str) -> anyhow::Result<Vec<String>> {
        let uploads = self.stack.clients().s3.list_multipart_uploads().bucket(bucket).send().await?;
        Ok(uploads.uploads.unwrap_or_default().into_iter().filter_map(|upload| upload.key).collect())
    }

    /// No upload is open, and no event was given up.
    pub(crate) async fn nothing_is_left_open(&self) -> anyhow::Result<()> {
        for bucket in [self.input_bucket(), self.output_bucket()] {
            let open = self.open_uploads(bucket).await?;
            ensure!(open.is_empty(), "uploads are open in {bucket}: {open:?}");
        }
        let failures = self.failures().await?;
        let bodies: Vec<_> = failures.iter().filter_map(|message| message.body()).collect();
        ensure!(bodies.is_empty(), "the processor gave events up: {bodies:?}");
        Ok(())
    }

    /// Holds a processed file against what the engine makes of the same bytes, and against the catalogue.
    pub(crate) async fn is_what_the_engine_makes(
        &self,
        input: &[u8],
        receipt: &Receipt,
        entry: &CatalogEntry,
    ) -> anyhow::Result<()> {
        let key = &receipt.source.key;
        ensure!(receipt.status == Status::Processed, "{key} failed: {:?}", receipt.error);
        ensure!(receipt.adds_up(), "the sums of {key} don't add up");
        ensure!(entry.status == CatalogStatus::Processed, "{key} is catalogued as {:?}", entry.status);
        ensure!(entry.event_id == receipt.event_id && entry.rows_in == receipt.counts.rows_in, "{entry:?}");
        let Some(output) = receipt.outputs.first() else { bail!("{key} has no output") };
        ensure!(output.key == format!("clean/{key}"), "{key} came out as {}", output.key);
        let clean = self.read(&output.key).await?.with_context(|| format!("{} is not there", output.key))?;
        let (expected, rejected) = engine_makes(input).await?;
        ensure!(clean == expected, "{} is not what the engine makes of {key}", output.key);
        let rejects = match &receipt.rejects {
            Some(rejects) => {
                self.read(&rejects.key).await?.with_context(|| format!("{} is gone", rejects.key))?
            }
            None => Vec::new(),
        };
        ensure!(rejects == rejected, "the rejects of {key} are not what the engine makes");
        Ok(())
    }
}

/// The clean file and the rejects that the engine makes.
async fn engine_makes(input: &[u8]) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
    let (mut clean, mut rejects) = (Vec::new(), Vec::new());
    let input = stream::iter([io::Result::Ok(Bytes::copy_from_slice(input))]);
    engine::run(input, &mut clean, &mut rejects, &engine::Options::default()).await?;
    Ok((clean, rejects))
}

/// A file's name.
pub(crate) fn name_of(path: &Path) -> anyhow::Result<&str> {
    path.file_name().and_then(|name| name.to_str()).with_context(|| format!("{} has no name", path.display()))
}
