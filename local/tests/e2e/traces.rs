//! One file, one trace: from the upload to the last of what the consumer does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use common::contract::{Source, catalog_key, claim_key};
use common::receiver::ReceivedSpan;
use common::trace;
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use crate::invoke::invoke;
use crate::subscribers::{received, subscribe};
use crate::system::System;

/// A batch as Lambda makes it, at most.
const BATCH: usize = 10;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);

/// Ten files' messages, raw or wrapped, come to the consumer in one batch, as if for the first time, and then once more:
/// each keeps its trace.
pub(crate) async fn batch(system: Arc<System>) -> anyhow::Result<()> {
    for raw in [true, false] {
        let name = if raw { "raw" } else { "wrapped" };
        let queue = subscribe(&system, name, raw, &["penstock.file.processed"]).await?;
        let keys: Vec<String> = (0..BATCH).map(|number| format!("traces/{name}-{number}.csv")).collect();
        for key in &keys {
            let (receipt, _) = system.send(key, b"id\n1\n").await?;
            system.remove(&catalog_key(&receipt.event_id, receipt.timing.finished_at)).await?;
            system.remove(&claim_key(&receipt.event_id)).await?;
        }
        let messages = messages_of(&system, &queue, &keys).await?;
        let records: Vec<Value> = messages.iter().map(record).collect();
        let consumer = &system.stack.outputs().consumer_function;
        let before = batches(&system).len();
        for _ in 0..2 {
            let answer = invoke(&system, consumer, &json!({ "Records": records })).await?;
            ensure!(answer["batchItemFailures"] == json!([]), "the consumer answered {answer}");
        }
        let deadline = Instant::now() + PATIENCE;
        while batches(&system).len() < before + 2 {
            ensure!(Instant::now() < deadline, "no span with {BATCH} links came");
            tokio::time::sleep(LOOK).await;
        }
        let traces: BTreeSet<String> = of_keys(&system, &keys);
        ensure!(traces.len() == BATCH, "{} traces of {BATCH} files", traces.len());
        for span in batches(&system) {
            let linked: BTreeSet<_> = span.links.iter().map(|(trace, _)| trace.clone()).collect();
            ensure!(linked.len() == BATCH, "{span:?} is linked to {linked:?}");
        }
        for trace in traces {
            // By way of the function's own queue, and in the batch; then once more.
            shows(&system, &trace, "process ", "processed", 2).await?;
            shows(&system, &trace, "process ", "done before", 1).await?;
        }
    }
    Ok(())
}

/// Waits until a trace has so many spans of that name and that outcome; more are wrong.
pub(crate) async fn shows(
    system: &System,
    trace_id: &str,
    name: &str,
    outcome: &str,
    count: usize,
) -> anyhow::Result<()> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = system.spans.count(|span| {
            span.trace_id == trace_id
                && span.name.starts_with(name)
                && span.attribute("penstock.outcome") == outcome
        });
        if seen == count {
            return Ok(());
        }
        ensure!(
            seen < count && Instant::now() < deadline,
            "{seen} spans {name} are {outcome} in {trace_id}, instead of {count}"
        );
        tokio::time::sleep(LOOK).await;
    }
}

/// The consumer's invocations with a whole batch.
fn batches(system: &System) -> Vec<ReceivedSpan> {
    let spans = system.spans.spans().into_iter();
    spans
        .filter(|span| span.name == system.stack.outputs().consumer_function && span.links.len() == BATCH)
        .collect()
}

/// The traces that were begun for these keys.
fn of_keys(system: &System, keys: &[String]) -> BTreeSet<String> {
    let uploads = system.uploads().into_iter();
    uploads.filter(|(source, _)| keys.contains(&source.key)).map(|(_, trace_id)| trace_id).collect()
}

/// One message of each key.
async fn messages_of(system: &System, queue: &str, keys: &[String]) -> anyhow::Result<Vec<Message>> {
    let deadline = Instant::now() + PATIENCE;
    let mut found: Vec<Option<Message>> = vec![None; keys.len()];
    while found.iter().any(Option::is_none) {
        ensure!(Instant::now() < deadline, "not all of {keys:?} came to {queue}");
        for message in received(system, queue).await? {
            let body = message.body().unwrap_or_default();
            let place = keys.iter().position(|key| body.contains(key.as_str()));
            if let Some(place) = place {
                found[place] = Some(message);
            }
        }
    }
    Ok(found.into_iter().flatten().collect())
}

/// A message as Lambda hands it to the function.
fn record(message: &Message) -> Value {
    let mut attributes = Map::new();
    for (name, value) in message.message_attributes().into_iter().flatten() {
        attributes.insert(name.clone(), json!({ "stringValue": value.string_value(), "dataType": "String" }));
    }
    let mut system = Map::new();
    for name in
        [MessageSystemAttributeName::ApproximateReceiveCount, MessageSystemAttributeName::SentTimestamp]
    {
        let value = message.attributes().and_then(|all| all.get(&name));
        system.insert(name.as_str().to_owned(), json!(value));
    }
    json!({
        "messageId": message.message_id(),
        "receiptHandle": message.receipt_handle(),
        "body": message.body(),
        "attributes": system,
        "messageAttributes": attributes,
        "eventSource": "aws:sqs",
        "eventSourceARN": format!("arn:aws:sqs:{}:123456789012:another", local::stack::REGION),
        "awsRegion": local::stack::REGION,
    })
}

/// Of every file that was put: one trace, from its upload to the consumer's end, without a gap.
pub(crate) async fn all_whole(system: &System) -> anyhow::Result<()> {
    trace::flush(PATIENCE).await;
    let uploads = system.uploads();
    ensure!(!uploads.is_empty(), "nothing was put");
    for (source, trace_id) in &uploads {
        // A folder's marker is no file.
        if source.key.ends_with('/') {
            continue;
        }
        let deadline = Instant::now() + PATIENCE;
        // An invocation's spans are sent after its effect can be seen.
        while let Err(error) = whole(system, source, trace_id) {
            ensure!(Instant::now() < deadline, "{error:#}");
            tokio::time::sleep(LOOK).await;
        }
    }
    Ok(())
}

fn whole(system: &System, source: &Source, trace_id: &str) -> anyhow::Result<()> {
    let key = &source.key;
    let spans = system.spans.of_trace(trace_id);
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    ensure!(ids.len() == spans.len(), "a span of {key} came twice");
    let roots: Vec<_> = spans.iter().filter(|span| span.parent.is_none()).collect();
    let [root] = &roots[..] else { anyhow::bail!("{key} has the roots {roots:?}") };
    ensure!(root.name == "upload" && root.service == "e2e", "{key} begins with {root:?}");
    for span in &spans {
        let parent = span.parent.as_deref();
        ensure!(parent.is_none_or(|parent| ids.contains(parent)), "the parent of {span:?} is nowhere");
    }
    for name in ["file", "detect", "publish ", "process "] {
        ensure!(
            spans.iter().any(|span| span.name.starts_with(name)),
            "{key} has no span {name} in {spans:?}"
        );
    }
    let ended = |span: &&ReceivedSpan| span.name == "catalogue" && span.error.is_none();
    let last = spans.iter().find(ended).with_context(|| format!("{key} is not catalogued in {trace_id}"))?;
    ensure!(last.start > root.start, "{key} is catalogued before it was put");
    // Nor is any of it in another trace.
    let version = source.version_id.as_deref().unwrap_or_default();
    let of_file = |span: &ReceivedSpan| {
        span.name == "file"
            && span.attribute("aws.s3.key") == key
            && span.attribute("penstock.source.version") == version
    };
    let strays = system.spans.count(|span| of_file(span) && span.trace_id != *trace_id);
    ensure!(strays == 0, "{strays} spans of {key} are in other traces");
    Ok(())
}

/// How long the consumer took from the message to the catalogue's entry, and with the way there: medians of all files that
/// were done at their first receive, whatever else the machine did. Nothing if there were none.
pub(crate) fn latency(system: &System) -> Option<String> {
    let spans = system.spans.spans();
    let named = |trace_id: &str, name: &str| {
        let mut ours = spans.iter().filter(|span| span.trace_id == trace_id && span.name.starts_with(name));
        ours.next().filter(|_| ours.next().is_none())
    };
    let (mut work, mut way) = (Vec::new(), Vec::new());
    // The processor's span of a file has the same outcome.
    let is_done = |span: &&ReceivedSpan| {
        span.name.starts_with("process ") && span.attribute("penstock.outcome") == "processed"
    };
    for begun in spans.iter().filter(is_done) {
        let trace_id = begun.trace_id.as_str();
        let (Some(published), Some(_), Some(entry)) =
            (named(trace_id, "publish "), named(trace_id, "process "), named(trace_id, "catalogue"))
        else {
            continue;
        };
        work.push(entry.end.saturating_sub(begun.start));
        way.push(entry.end.saturating_sub(published.end));
    }
    let files = work.len();
    let median = |mut times: Vec<u64>| {
        times.sort_unstable();
        Some(*times.get(times.len() / 2)? as f64 / 1e6)
    };
    let (work, way) = (median(work)?, median(way)?);
    Some(format!(
        "consumer, message to catalogue: p50 {work:.0} ms; from the end of publishing: p50 {way:.0} ms ({files} files)"
    ))
}
