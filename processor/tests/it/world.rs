//! A processor between an S3 in this process and a topic that keeps its messages.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use common::config::ProcessorConfig;
use common::contract::{FileEvent, META_SOURCE_VERSION, ObjectRef, Receipt};
use common::sim::SimServer;
use common::store::{Condition, FaultyStore, MemoryStore, NewObject, Payload, Store};
use common::topic::MemoryTopic;
use lambda_runtime::{Context, LambdaEvent};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use processor::Processor;
use processor::handler::{Answer, HandlerError, handle};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

pub(crate) const IN: &str = "in-bucket";
pub(crate) const OUT: &str = "out-bucket";
pub(crate) const KEY: &str = "in/orders.csv";
pub(crate) const CSV: &[u8] = b"id,name\n1,a\n2\n3,\"c,d\"\n";
pub(crate) const CLEAN: &[u8] = b"id,name\n1,a\n3,\"c,d\"\n";

pub(crate) struct World {
    /// What the buckets hold.
    pub(crate) memory: Arc<MemoryStore>,
    /// Between the server and the memory: faults here are S3's answers.
    pub(crate) s3: Arc<FaultyStore>,
    pub(crate) topic: Arc<MemoryTopic>,
    pub(crate) processor: Processor,
    /// Cancelled: SIGTERM.
    pub(crate) terminated: CancellationToken,
    server: Option<SimServer>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::served(MemoryStore::new()).await
    }

    pub(crate) async fn versioned() -> Self {
        Self::served(MemoryStore::with_versioned(&[IN])).await
    }

    /// Without S3's protocol in between, so that time can be paused.
    pub(crate) fn direct() -> Self {
        let memory = Arc::new(MemoryStore::new());
        let s3 = Arc::new(FaultyStore::new(memory.clone()));
        Self::over(memory, s3.clone(), s3, None)
    }

    async fn served(memory: MemoryStore) -> Self {
        let memory = Arc::new(memory);
        let s3 = Arc::new(FaultyStore::new(memory.clone()));
        let server = SimServer::start(s3.clone()).await.unwrap();
        let store = Arc::new(server.store(1));
        Self::over(memory, s3, store, Some(server))
    }

    fn over(
        memory: Arc<MemoryStore>,
        s3: Arc<FaultyStore>,
        store: Arc<dyn Store>,
        server: Option<SimServer>,
    ) -> Self {
        let topic = Arc::new(MemoryTopic::default());
        let config = ProcessorConfig {
            output_bucket: OUT.into(),
            topic_arn: "arn:aws:sns:us-east-1:123456789012:events".into(),
            memory_budget_mib: 128,
            max_decompressed_bytes: common::config::DEFAULT_MAX_DECOMPRESSED_BYTES,
            max_compression_ratio: common::config::DEFAULT_MAX_COMPRESSION_RATIO,
            recipes: common::config::RecipesPlace::None,
            mask_key: None,
        };
        let mut processor = Processor::new(&config, "processor".into(), store, topic.clone());
        processor.emit = |_| {};
        // S3's least, so that small files have several.
        processor.write.part_bytes = 5 * 1024 * 1024;
        processor.read.backoff = std::time::Duration::from_millis(1);
        Self { memory, s3, topic, processor, terminated: CancellationToken::new(), server }
    }

    /// Where S3 is.
    pub(crate) fn endpoint(&self) -> String {
        self.server.as_ref().expect("it is served").endpoint()
    }

    /// Puts an object and returns the event that S3 would send of it.
    pub(crate) async fn upload(&self, key: &str, content: &[u8], sequencer: &str) -> Value {
        let object = ObjectRef::new(IN, key);
        let traceparent = "00-6923f0000123456789abcdef01234567-00f067aa0ba902b7-01";
        let metadata = [("traceparent".to_owned(), traceparent.to_owned())].into();
        let new = NewObject { object, content_type: "text/csv", metadata };
        let payload = Payload::new(content.to_vec().into());
        let written = self.memory.put(&new, payload, &Condition::Always).await.unwrap();
        let mut event: Value = serde_json::from_str(include_str!("../fixtures/put.json")).unwrap();
        let object = &mut event["Records"][0]["s3"]["object"];
        object["key"] = encode_key(key).into();
        object["size"] = content.len().into();
        object["eTag"] = written.etag.into();
        object["sequencer"] = sequencer.into();
        if let Some(version) = written.version_id {
            object["versionId"] = version.into();
        }
        event
    }

    pub(crate) async fn handle(&self, event: &Value) -> Result<Answer, HandlerError> {
        self.handle_within(event, 60_000).await
    }

    /// With this many milliseconds until Lambda's time-out.
    pub(crate) async fn handle_within(&self, event: &Value, left_ms: u64) -> Result<Answer, HandlerError> {
        let mut context = Context::default();
        context.deadline = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap() + left_ms;
        handle(&self.processor, LambdaEvent::new(event.clone(), context), &self.terminated).await
    }

    pub(crate) fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.memory.content(OUT, key).map(|bytes| bytes.to_vec())
    }

    pub(crate) fn receipt(&self, key: &str) -> Option<Receipt> {
        let text = self.read(&format!("receipts/{key}.json"))?;
        Some(serde_json::from_slice(&text).unwrap())
    }

    pub(crate) fn events(&self) -> Vec<FileEvent> {
        self.topic.messages().iter().map(|message| FileEvent::parse(&message.body).unwrap()).collect()
    }

    /// What must hold whenever nothing runs: a `processed` receipt names exactly the output, and nothing is open.
    pub(crate) async fn assert_whole(&self, key: &str) {
        self.assert_receipt_is_exact(key).await;
        assert_eq!(self.memory.open_uploads(), 0, "uploads left open");
    }

    /// A `processed` receipt names exactly the output.
    pub(crate) async fn assert_receipt_is_exact(&self, key: &str) {
        if let Some(receipt) = self.receipt(key)
            && let Some(output) = receipt.outputs.first()
        {
            let meta =
                self.memory.head(&ObjectRef::new(OUT, &output.key)).await.unwrap().expect("the output");
            assert_eq!((meta.etag, meta.size), (output.etag.clone(), output.size));
            assert_eq!(meta.checksum_crc64nvme.as_ref(), Some(&output.checksum_crc64nvme));
            assert!(receipt.adds_up());
            if let Some(rejects) = receipt.rejects {
                let meta = self.memory.head(&ObjectRef::new(OUT, &rejects.key)).await.unwrap();
                let meta = meta.expect("the rejects");
                assert_eq!((Some(meta.etag), Some(meta.size)), (rejects.etag, rejects.size));
                assert_eq!(meta.checksum_crc64nvme, rejects.checksum_crc64nvme);
                assert_eq!(meta.metadata[META_SOURCE_VERSION], receipt.source.version());
            }
        }
    }
}

/// As S3 encodes keys in events.
pub(crate) fn encode_key(key: &str) -> String {
    const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'*');
    utf8_percent_encode(key, &KEPT).to_string().replace("%20", "+")
}

pub(crate) fn gzip(input: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(input).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn gunzip(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    flate2::read::MultiGzDecoder::new(input).read_to_end(&mut out).unwrap();
    out
}

/// A CSV of about this many bytes, none of its rows bad.
pub(crate) fn large(bytes: usize) -> Vec<u8> {
    let mut out = b"id,name,text\n".to_vec();
    let mut row = 0u64;
    while out.len() < bytes {
        let noise = row.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        out.extend_from_slice(format!("{row},name-{noise:016x},{noise:x}\n").as_bytes());
        row += 1;
    }
    out
}
