//! A file's way through S3's notification, topic and queue, with the functions' own code at its stations, and a poisoned
//! message's way out.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_lambda_events::sqs::SqsEvent;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Event, NotificationConfiguration, QueueConfiguration};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use common::config::{ConsumerConfig, ProcessorConfig};
use common::contract::{CatalogEntry, CatalogStatus, ObjectRef, Receipt, Status, catalog_key, receipt_key};
use common::queue::MemoryQueues;
use common::store::Store as _;
use common::topic::SnsTopic;
use consumer::notify::Notifier;
use consumer::{Consumer, Invocation};
use futures::TryStreamExt as _;
use lambda_runtime::LambdaEvent;
use local::upload::{Uploaded, upload};
use processor::{Processor, handler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::server::LocalStack;

const PATIENCE: Duration = Duration::from_mins(2);
/// Receives before a message is set aside.
const RECEIVES: usize = 3;

pub(crate) async fn raw(localstack: Arc<LocalStack>) -> anyhow::Result<()> {
    round_trip(&localstack, "raw", true, "messages/raw +ü.csv").await
}

pub(crate) async fn wrapped(localstack: Arc<LocalStack>) -> anyhow::Result<()> {
    round_trip(&localstack, "wrapped", false, "messages/wrapped 100% sure.csv").await
}

/// What one file's way is paved with.
struct Way<'a> {
    localstack: &'a LocalStack,
    input: String,
    output: String,
    /// Of S3's notifications.
    uploads: String,
    /// Of the file events.
    events: String,
    topic: String,
}

/// The file is put under a trace; its event reaches the consumer with that trace, whichever way it is delivered.
async fn round_trip(localstack: &LocalStack, name: &str, raw: bool, key: &str) -> anyhow::Result<()> {
    let way = pave(localstack, name, raw).await?;
    let body = ByteStream::from_static(b"id,name\n1,a\n2,b\n3\n");
    let Uploaded { trace_id, .. } = upload(&localstack.s3, &way.input, key, body).await?;

    process(&way, key).await?;
    let receipt: Receipt = way.read(&receipt_key(key)?).await?;
    ensure!(receipt.status == Status::Processed && receipt.adds_up(), "{receipt:?}");
    ensure!(receipt.source.key == key && receipt.source.version_id.is_some(), "{:?}", receipt.source);
    ensure!((receipt.counts.rows_out, receipt.counts.rows_rejected) == (2, 1), "{:?}", receipt.counts);

    let message = way.receive(&way.events).await?;
    let body: Value = serde_json::from_str(message.body().context("the message has no body")?)?;
    ensure!(body.get("specversion").is_some() == raw, "delivered as {body}");
    consume(&way, &message).await?;
    let entry: CatalogEntry = way.read(&catalog_key(&receipt.event_id, receipt.timing.finished_at)).await?;
    ensure!(entry.status == CatalogStatus::Processed && entry.source_key == key, "{entry:?}");
    ensure!(entry.trace_id.as_ref() == Some(&trace_id), "put under {trace_id}, catalogued as {entry:?}");
    Ok(())
}

async fn pave<'a>(localstack: &'a LocalStack, name: &str, raw: bool) -> anyhow::Result<Way<'a>> {
    let (input, output) = (format!("{name}-input"), format!("{name}-output"));
    localstack.create_bucket(&input, true).await?;
    localstack.create_bucket(&output, false).await?;
    let (uploads, uploads_arn) = localstack.create_queue(&format!("{name}-uploads"), HashMap::new()).await?;
    let created = QueueConfiguration::builder().queue_arn(uploads_arn).events(Event::S3ObjectCreated);
    let notify = NotificationConfiguration::builder().queue_configurations(created.build()?).build();
    let put = localstack.s3.put_bucket_notification_configuration().bucket(&input);
    put.notification_configuration(notify).send().await.context("have uploads notified")?;

    let (events, events_arn) = localstack.create_queue(&format!("{name}-events"), HashMap::new()).await?;
    let topic = localstack.sns.create_topic().name(format!("{name}-topic")).send().await?;
    let topic = topic.topic_arn.context("the topic has no ARN")?;
    let subscribe = localstack.sns.subscribe().topic_arn(&topic).protocol("sqs").endpoint(events_arn);
    subscribe.attributes("RawMessageDelivery", raw.to_string()).send().await.context("subscribe")?;
    Ok(Way { localstack, input, output, uploads, events, topic })
}

/// Hands S3's notifications to the processor's handler until it has processed a file.
async fn process(way: &Way<'_>, key: &str) -> anyhow::Result<()> {
    let config = ProcessorConfig::from_lookup(|name| match name {
        "OUTPUT_BUCKET" => Some(way.output.clone()),
        "TOPIC_ARN" => Some(way.topic.clone()),
        _ => None,
    })?;
    let topic = Arc::new(SnsTopic::new(way.localstack.sns.clone(), &way.topic));
    let store = Arc::new(way.localstack.store());
    let mut processor = Processor::new(&config, "processor".into(), store, topic);
    processor.emit = |_| {};
    loop {
        let message = way.receive(&way.uploads).await?;
        let event: Value = serde_json::from_str(message.body().context("the message has no body")?)?;
        if let Some(written) = event.pointer("/Records/0/s3/object/key").and_then(Value::as_str) {
            // AWS writes a space as a plus sign; both decode to the key.
            ensure!(written.contains("%20"), "a deviation that this test names is gone: {key} as {written}");
        }
        let event = LambdaEvent::new(event, lambda_runtime::Context::default());
        let answer = Box::pin(handler::handle(&processor, event, &CancellationToken::new())).await?;
        if answer.processed == 1 {
            return Ok(());
        }
        // S3's test event comes first.
        ensure!(answer.ignored == 1, "the processor answered {answer:?}");
    }
}

async fn consume(way: &Way<'_>, message: &Message) -> anyhow::Result<()> {
    let failures = handed_to_consumer(way.localstack, &way.output, message).await?;
    ensure!(failures == 0, "the consumer could not do {message:?}");
    Ok(())
}

/// Hands a message to the consumer's handler as Lambda would; how many it gives back.
async fn handed_to_consumer(
    localstack: &LocalStack,
    output: &str,
    message: &Message,
) -> anyhow::Result<usize> {
    let attributes = message.message_attributes().into_iter().flatten();
    let attributes = attributes.map(|(name, value)| {
        let value = json!({ "stringValue": value.string_value(), "dataType": value.data_type() });
        (name.clone(), value)
    });
    let system = message.attributes().into_iter().flatten();
    let system = system.map(|(name, value)| (name.as_str().to_owned(), json!(value)));
    let batch: SqsEvent = serde_json::from_value(json!({ "Records": [{
        "messageId": message.message_id(),
        "receiptHandle": message.receipt_handle(),
        "body": message.body(),
        "attributes": system.collect::<serde_json::Map<_, _>>(),
        "messageAttributes": attributes.collect::<serde_json::Map<_, _>>(),
    }] }))?;
    let config = ConsumerConfig::from_lookup(|name| match name {
        "OUTPUT_BUCKET" => Some(output.to_owned()),
        "DLQ_URL" => Some("https://example.com/dead-letters".into()),
        _ => None,
    })?;
    let store = Arc::new(localstack.store());
    // Here the queue's own visibility says when a message comes again.
    let queues = Arc::new(MemoryQueues::default());
    let consumer = Consumer::new(store, queues, Notifier::silent(), &config).emitting(|_| {});
    let response = consumer.handle(batch, &Invocation::default()).await?;
    Ok(response.batch_item_failures.len())
}

/// A message that the consumer gives back each time is received as often as the queue says, then set aside.
pub(crate) async fn poison(localstack: Arc<LocalStack>) -> anyhow::Result<()> {
    let (dead, dead_arn) = localstack.create_queue("poison-dead", HashMap::new()).await?;
    let redrive = json!({ "deadLetterTargetArn": dead_arn, "maxReceiveCount": RECEIVES }).to_string();
    let attributes = HashMap::from([
        (QueueAttributeName::RedrivePolicy, redrive),
        (QueueAttributeName::VisibilityTimeout, "0".into()),
    ]);
    let (events, _) = localstack.create_queue("poison-events", attributes).await?;
    let body = "poison: not a file event";
    localstack.sqs.send_message().queue_url(&events).message_body(body).send().await?;

    let (mut receives, begun) = (0, Instant::now());
    let letter = loop {
        if let Some(message) = receive_one(&localstack, &events, 0).await? {
            receives += 1;
            ensure!(
                handed_to_consumer(&localstack, "no-such-bucket", &message).await? == 1,
                "the poison was taken"
            );
        } else if let Some(letter) = receive_one(&localstack, &dead, 1).await? {
            break letter;
        }
        ensure!(begun.elapsed() < PATIENCE, "the poison did not reach the dead letters");
    };
    ensure!(receives == RECEIVES, "the poison was received {receives} times");
    ensure!(letter.body() == Some(body), "{letter:?}");
    Ok(())
}

async fn receive_one(
    localstack: &LocalStack,
    queue: &str,
    wait_seconds: i32,
) -> anyhow::Result<Option<Message>> {
    let receive = localstack.sqs.receive_message().queue_url(queue).wait_time_seconds(wait_seconds);
    let receive = receive.message_attribute_names("All");
    let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
    Ok(receive.send().await?.messages.unwrap_or_default().into_iter().next())
}

impl Way<'_> {
    /// Waits for a message, and takes it off the queue.
    async fn receive(&self, queue: &str) -> anyhow::Result<Message> {
        let begun = Instant::now();
        loop {
            if let Some(message) = receive_one(self.localstack, queue, 5).await? {
                let delete = self.localstack.sqs.delete_message().queue_url(queue);
                delete.set_receipt_handle(message.receipt_handle.clone()).send().await?;
                return Ok(message);
            }
            ensure!(begun.elapsed() < PATIENCE, "nothing came to {queue}");
        }
    }

    /// A JSON object of the output bucket.
    async fn read<T: DeserializeOwned>(&self, key: &str) -> anyhow::Result<T> {
        let body = self.localstack.store().get(&ObjectRef::new(&self.output, key), None, None).await?;
        let chunks: Vec<_> = body.stream.try_collect().await?;
        serde_json::from_slice(&chunks.concat()).with_context(|| format!("read {key}"))
    }
}
