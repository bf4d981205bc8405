//! Others who subscribe to the events.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use common::contract::{FileEvent, Status};
use common::trace;
use serde_json::json;
use tokio::time::Instant;

use crate::sdk;
use crate::system::System;

/// A queue that asks for failed files alone gets those, as the consumer does: the event, its type and its trace.
pub(crate) async fn of_failures(system: Arc<System>) -> anyhow::Result<()> {
    let queue = subscribe(&system, "failures", true, &["penstock.file.failed"]).await?;
    system.send("subscribers/good.csv", b"id\n1\n").await?;
    let key = "subscribers/bad.csv.gz";
    let (receipt, entry) = system.send(key, b"\x1f\x8b\x08 and no more of a gzip").await?;
    ensure!(receipt.status == Status::Failed, "{key} was processed");

    let begun = Instant::now();
    loop {
        for message in received(&system, &queue).await? {
            let event = FileEvent::parse(message.body().context("a message has no body")?)?;
            let attributes = message.message_attributes().context("a message has no attributes")?;
            let attribute = |name: &str| attributes.get(name)?.string_value().map(str::to_owned);
            ensure!(
                event.data.receipt.status == Status::Failed,
                "an event of {} got past the filter",
                event.subject
            );
            ensure!(attribute("type").as_deref() == Some("penstock.file.failed"), "{attributes:?}");
            if event.subject == key {
                ensure!(event.id == receipt.event_id, "the event is {}", event.id);
                let parent = attribute(trace::TRACEPARENT).context("the message has no trace")?;
                let trace_id = entry.trace_id.context("the catalogue entry has no trace")?;
                ensure!(parent.contains(&trace_id), "published under {parent}, catalogued under {trace_id}");
                return Ok(());
            }
        }
        ensure!(begun.elapsed() < Duration::from_mins(1), "the event of {key} did not come");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A new queue, with a subscription to the events of some types, raw or wrapped.
pub(crate) async fn subscribe(
    system: &System,
    name: &str,
    raw: bool,
    kinds: &[&str],
) -> anyhow::Result<String> {
    subscribe_to(system, &system.stack.outputs().event_topic_arn, name, raw, kinds).await
}

/// The same of any topic.
pub(crate) async fn subscribe_to(
    system: &System,
    topic: &str,
    name: &str,
    raw: bool,
    kinds: &[&str],
) -> anyhow::Result<String> {
    let account = topic.split(':').nth(4).context("the topic has no account")?;
    let name = format!("penstock-e2e-{name}");
    let arn = format!("arn:aws:sqs:{}:{account}:{name}", local::stack::REGION);
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": { "Service": "sns.amazonaws.com" },
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": { "ArnEquals": { "aws:SourceArn": topic } },
    }] });
    let sqs = &system.stack.clients().sqs;
    let create = sqs.create_queue().queue_name(&name);
    let created = create.attributes(QueueAttributeName::Policy, policy.to_string()).send().await?;
    let queue = created.queue_url.context("the queue has no URL")?;

    let subscribe = aws_sdk_sns::Client::new(&sdk::config(system.stack.clients(), system.stack.endpoint()))
        .subscribe()
        .topic_arn(topic);
    let subscribe = subscribe.protocol("sqs").endpoint(arn).attributes("RawMessageDelivery", raw.to_string());
    let filter = json!({ "type": kinds }).to_string();
    subscribe.attributes("FilterPolicy", filter).send().await.context("subscribe")?;
    Ok(queue)
}

/// What lies in a queue, as many as come at once.
pub(crate) async fn received(system: &System, queue: &str) -> anyhow::Result<Vec<Message>> {
    let receive = system.stack.clients().sqs.receive_message().queue_url(queue);
    let receive = receive.message_system_attribute_names(MessageSystemAttributeName::All);
    let received = receive.message_attribute_names("All").max_number_of_messages(10).send().await?;
    Ok(received.messages.unwrap_or_default())
}
