//! A bucket with files as the processor leaves them, a topic for alerts, and messages about the files.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};
use bytes::Bytes;
use common::config::{ConsumerConfig, Prices};
use common::contract::{
    ByteCounts, ByteSpans, CatalogEntry, Claim, Counts, Failure, FileEvent, Location, ObjectRef, Output,
    Receipt, RecipeRef, Rejects, Source, Status, Timing, claim_key, clean_key, event_id, receipt_key,
    rejects_key,
};
use common::queue::{MemoryQueues, Queues};
use common::store::{Condition, MemoryStore, NewObject, Payload, Store, checksum_base64};
use common::topic::MemoryTopic;
use consumer::notify::{Live, Notice, Notifier};
use consumer::{Consumer, Invocation};
use jiff::Timestamp;
use serde_json::{Value, json};

pub(crate) const OUT: &str = "out-bucket";
pub(crate) const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CLEAN: &[u8] = b"id,name\n1,a\n2,b\n";

#[derive(Default)]
pub(crate) struct World {
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) topic: Arc<MemoryTopic>,
    pub(crate) queues: Arc<MemoryQueues>,
    /// What another target than the topic was told.
    pub(crate) heard: Arc<Mutex<Vec<Notice>>>,
}

impl World {
    /// A file that was processed; `version` makes it another upload of the same key.
    pub(crate) async fn processed(&self, key: &str, version: &str) -> FileEvent {
        let mut receipt = receipt(key, version, Status::Processed);
        let output = ObjectRef::new(OUT, clean_key(key).unwrap());
        let content = [CLEAN, version.as_bytes()].concat();
        let (size, checksum) = (content.len() as u64, Payload::new(content.clone().into()).crc64nvme);
        let metadata = BTreeMap::from([
            ("penstock-event-id".to_owned(), receipt.event_id.clone()),
            ("penstock-source-version".to_owned(), version.to_owned()),
        ]);
        let etag = self.write(&output, content, metadata.clone()).await;
        let checksum_crc64nvme = checksum_base64(checksum);
        receipt.outputs =
            vec![Output { bucket: OUT.into(), key: output.key, etag, size, checksum_crc64nvme, parts: 0 }];
        let rejects = ObjectRef::new(OUT, rejects_key(key, &receipt.event_id).unwrap());
        let etag = self.write(&rejects, b"{}\n".to_vec(), metadata).await;
        let by_reason = BTreeMap::from([("field_count".to_owned(), 1)]);
        let checksum = Payload::new(Bytes::from_static(b"{}\n")).checksum();
        receipt.rejects = Some(Rejects {
            bucket: OUT.into(),
            key: rejects.key,
            by_reason,
            etag: Some(etag),
            size: Some(3),
            checksum_crc64nvme: Some(checksum),
        });
        receipt.counts = Counts { rows_in: 3, rows_out: 2, rows_rejected: 1, rows_filtered: 0 };
        let spans = ByteSpans { kept: 8, rejected: 4, header: 8, ..ByteSpans::default() };
        receipt.bytes = ByteCounts { input: 20, decompressed: 20, output: size, spans };
        self.commit(&receipt).await
    }

    /// A file that failed.
    pub(crate) async fn failed(&self, key: &str, version: &str) -> FileEvent {
        let mut receipt = receipt(key, version, Status::Failed);
        receipt.error = Some(Failure {
            code: "corrupt_gzip".into(),
            message: "the gzip stream ends in the middle of a member".into(),
            line: None,
            byte_offset: Some(1234),
        });
        self.commit(&receipt).await
    }

    /// Writes the receipt and gives the event that it calls for.
    pub(crate) async fn commit(&self, receipt: &Receipt) -> FileEvent {
        let key = receipt_key(&receipt.source.key).unwrap();
        let json = serde_json::to_vec(receipt).unwrap();
        self.write(&ObjectRef::new(OUT, &key), json, BTreeMap::new()).await;
        FileEvent::new(receipt, Location { bucket: OUT.into(), key })
    }

    pub(crate) async fn write(
        &self,
        object: &ObjectRef,
        data: Vec<u8>,
        metadata: BTreeMap<String, String>,
    ) -> String {
        let new = NewObject { object: object.clone(), content_type: "text/plain", metadata };
        self.store.put(&new, Payload::new(Bytes::from(data)), &Condition::Always).await.unwrap().etag
    }

    /// Somebody's claim on an event.
    pub(crate) async fn claim(&self, event: &FileEvent, expires_at: Timestamp) {
        let claim = Claim { event_id: event.id.clone(), owner: "somebody".into(), expires_at };
        let json = serde_json::to_vec(&claim).unwrap();
        self.write(&ObjectRef::new(OUT, claim_key(&event.id)), json, BTreeMap::new()).await;
    }

    /// Lets as much time pass as any claim lasts.
    pub(crate) async fn expire_claims(&self) {
        for key in self.store.keys(OUT, "claims/") {
            let mut claim: Value = serde_json::from_slice(&self.store.content(OUT, &key).unwrap()).unwrap();
            claim["expires_at"] = "2020-01-01T00:00:00Z".into();
            self.write(&ObjectRef::new(OUT, key), claim.to_string().into_bytes(), BTreeMap::new()).await;
        }
    }

    /// The catalogue, in the order of its keys.
    pub(crate) fn entries(&self) -> Vec<CatalogEntry> {
        let contents = self.store.keys(OUT, "catalog/").into_iter().map(|key| self.store.content(OUT, &key));
        contents.map(|content| serde_json::from_slice(&content.unwrap()).unwrap()).collect()
    }

    /// A function on this bucket and topic.
    pub(crate) fn consumer(&self) -> Consumer {
        self.consumer_telling(self.notifier())
    }

    pub(crate) fn notifier(&self) -> Notifier {
        Notifier::to_topic(Arc::clone(&self.topic) as _)
    }

    /// A function on this bucket that tells others.
    pub(crate) fn consumer_telling(&self, notifier: impl Into<Live>) -> Consumer {
        let (store, queues) = (Arc::clone(&self.store), Arc::clone(&self.queues));
        Consumer::new(store, queues, notifier, &config()).emitting(|_| {})
    }

    /// One message, by itself; whether it is done.
    pub(crate) async fn deliver(&self, event: &FileEvent) -> bool {
        self.deliver_again(event, 1).await
    }

    /// One message, received so often.
    pub(crate) async fn deliver_again(&self, event: &FileEvent, receives: u32) -> bool {
        let batch = batch(&[received("m1", event, receives)]);
        failures(&self.consumer().handle(batch, &Invocation::default()).await.unwrap()).is_empty()
    }
}

pub(crate) const DLQ: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/dlq";
pub(crate) const QUEUE: &str = "https://sqs.us-east-1.amazonaws.com/123456789012/events";

pub(crate) fn consumer(
    store: Arc<dyn Store>,
    queues: Arc<dyn Queues>,
    notifier: impl Into<Live>,
) -> Consumer {
    Consumer::new(store, queues, notifier, &config()).emitting(|_| {})
}

pub(crate) fn config() -> ConsumerConfig {
    ConsumerConfig {
        output_bucket: OUT.into(),
        dlq_url: DLQ.into(),
        alert_topic_arn: None,
        max_receives: 5,
        claim_lease: Duration::from_mins(16),
        first_pause: Duration::from_secs(20),
        notifications: None,
        region: None,
        prices: Prices::default(),
    }
}

/// A record as raw delivery makes it.
pub(crate) fn record(message_id: &str, event: &FileEvent) -> Value {
    received(message_id, event, 1)
}

/// The same, received so often.
pub(crate) fn received(message_id: &str, event: &FileEvent, receives: u32) -> Value {
    json!({
        "messageId": message_id,
        "receiptHandle": format!("receipt of {message_id}"),
        "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:events",
        "body": serde_json::to_string(event).unwrap(),
        "attributes": { "ApproximateReceiveCount": receives.to_string() },
        "messageAttributes": { "traceparent": { "stringValue": TRACEPARENT, "dataType": "String" } },
    })
}

pub(crate) fn batch(records: &[Value]) -> SqsEvent {
    serde_json::from_value(json!({ "Records": records })).unwrap()
}

pub(crate) fn failures(response: &SqsBatchResponse) -> Vec<&str> {
    let mut ids: Vec<&str> =
        response.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
    ids.sort_unstable();
    ids
}

fn receipt(key: &str, version: &str, status: Status) -> Receipt {
    let source = Source {
        bucket: "in-bucket".into(),
        key: key.into(),
        version_id: Some(version.into()),
        etag: "abc".into(),
        size: 20,
        sequencer: None,
    };
    let started_at: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    let finished_at = "2026-11-23T12:00:01.5Z".parse().unwrap();
    Receipt {
        schema_version: 1,
        event_id: event_id(&source, "00", 0, status),
        attempt: 0,
        replay: None,
        status,
        source,
        recipe: RecipeRef { name: "default".into(), sha256: "00".into() },
        dialect: None,
        compression: None,
        counts: Counts::default(),
        bytes: ByteCounts { input: 20, ..ByteCounts::default() },
        outputs: Vec::new(),
        rejects: None,
        warnings: std::collections::BTreeMap::new(),
        columns: Vec::new(),
        columns_left_out: 0,
        error: None,
        timing: Timing { started_at, finished_at, duration_ms: 1500 },
        peak_memory_bytes: 1,
        penstock_version: "0.1.0".into(),
    }
}
