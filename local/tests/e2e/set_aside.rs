//! Messages that fail: what is set aside at once, what comes back, and how both are put right from outside.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::types::Message;
use common::contract::{CatalogStatus, FileEvent, Receipt, claim_key, clean_key};
use consumer::dead_letter::{REASON, REASON_TEXT};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio::time::Instant;

use crate::invoke::invoke;
use crate::subscribers::{received, subscribe};
use crate::system::System;

/// A batch of ten: one that can never have been right, one whose claim somebody holds for the moment, one that waits for
/// its receipt, seven that are fine.
pub(crate) async fn batch(system: Arc<System>) -> anyhow::Result<()> {
    let queue = subscribe(&system, "ten", true, &["penstock.file.processed"]).await?;
    let keys: Vec<String> = (0..10).map(|number| format!("ten/{number}.csv")).collect();
    let mut files = Vec::new();
    for key in &keys {
        files.push(system.send(key, b"id\n1\n").await?);
    }
    let bodies = bodies_of(&system, &queue, &keys).await?;
    // As if for the first time.
    for (receipt, entry) in &files {
        let day = receipt.timing.finished_at.strftime("%Y-%m-%d");
        system.remove(&format!("catalog/dt={day}/{}.json", entry.event_id)).await?;
        system.remove(&claim_key(&entry.event_id)).await?;
    }
    let poison = poisoned(&bodies[3])?;
    let transient = system.read(&format!("receipts/{}.json", keys[6])).await?.context("no receipt")?;
    system.remove(&format!("receipts/{}.json", keys[6])).await?;
    let records: Vec<Value> =
        (0..10).map(|at| record(&keys[at], if at == 3 { &poison } else { &bodies[at] })).collect();
    let consumer = &system.stack.outputs().consumer_function;
    let answer = invoke(&system, consumer, &json!({ "Records": records })).await?;
    ensure!(
        answer["batchItemFailures"] == json!([{ "itemIdentifier": keys[6] }]),
        "the consumer answered {answer}"
    );
    let letter = letter(&system, &files[3].0.event_id).await?;
    let attribute = |name: &str| {
        letter.message_attributes().and_then(|all| all.get(name)?.string_value()).unwrap_or_default()
    };
    ensure!(attribute(REASON) == "contradiction", "{letter:?}");
    ensure!(attribute(REASON_TEXT).ends_with("its sums don't add up"), "{letter:?}");

    // What was not there for the moment is there again.
    let receipt = aws_sdk_s3::primitives::ByteStream::from(transient);
    let put = system.stack.clients().s3.put_object().bucket(system.output_bucket());
    put.key(format!("receipts/{}.json", keys[6])).body(receipt).send().await?;
    let again = json!({ "Records": [record(&keys[6], &bodies[6])] });
    let answer = invoke(&system, consumer, &again).await?;
    ensure!(answer["batchItemFailures"] == json!([]), "the consumer answered {answer}");
    for (at, key) in keys.iter().enumerate() {
        let entries = system.entries(key).await?;
        let status = if at == 3 { CatalogStatus::Failed } else { CatalogStatus::Processed };
        ensure!(entries.len() == 1 && entries[0].status == status, "{key} is catalogued as {entries:?}");
    }
    // All of it once more has no effect.
    let answer = invoke(&system, consumer, &json!({ "Records": records })).await?;
    ensure!(answer["batchItemFailures"] == json!([]), "the consumer answered {answer}");
    let letters = letters_of(&system, &files[3].0.event_id).await?;
    ensure!(letters.len() <= 1, "{} letters of one event", letters.len());
    Ok(())
}

fn poisoned(body: &str) -> anyhow::Result<String> {
    let mut event: Value = serde_json::from_str(body)?;
    event["data"]["counts"]["rows_in"] = json!(1_000_000);
    Ok(event.to_string())
}

fn record(id: &str, body: &str) -> Value {
    json!({
        "messageId": id,
        "receiptHandle": "none",
        "body": body,
        "attributes": { "ApproximateReceiveCount": "1" },
        "eventSource": "aws:sqs",
    })
}

/// The body of the message about a file.
async fn body_of(system: &System, queue: &str, key: &str) -> anyhow::Result<String> {
    let mut bodies = bodies_of(system, queue, &[key.to_owned()]).await?;
    bodies.pop().context("no body came")
}

/// The bodies of the messages about these files. Those about others are hidden for a while.
async fn bodies_of(system: &System, queue: &str, keys: &[String]) -> anyhow::Result<Vec<String>> {
    let begun = Instant::now();
    let mut found: Vec<Option<String>> = vec![None; keys.len()];
    while found.iter().any(Option::is_none) {
        ensure!(begun.elapsed() < Duration::from_secs(30), "not all messages about {keys:?} came");
        for message in received(system, queue).await? {
            let body = message.body().unwrap_or_default();
            let subject = FileEvent::parse(body).map(|event| event.subject).unwrap_or_default();
            if let Some(place) = keys.iter().position(|key| *key == subject) {
                found[place] = Some(body.to_owned());
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(found.into_iter().flatten().collect())
}

async fn letters_of(system: &System, event_id: &str) -> anyhow::Result<Vec<Message>> {
    let letters = system.dead_letters().await?.into_iter();
    Ok(letters.filter(|letter| letter.body().is_some_and(|body| body.contains(event_id))).collect())
}

async fn letter(system: &System, event_id: &str) -> anyhow::Result<Message> {
    let begun = Instant::now();
    loop {
        if let Some(letter) = letters_of(system, event_id).await?.pop() {
            return Ok(letter);
        }
        ensure!(begun.elapsed() < Duration::from_mins(1), "no letter about {event_id} came");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// `penstock`, as an operator would run it on this system; what it printed.
async fn penstock(system: &System, arguments: &[&str]) -> anyhow::Result<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.args(arguments).arg("--json").env_clear();
    command.env("AWS_ENDPOINT_URL", system.stack.endpoint()).env("AWS_REGION", local::stack::REGION);
    command.env("AWS_ACCESS_KEY_ID", local::stack::ACCESS_KEY);
    command.env("AWS_SECRET_ACCESS_KEY", local::stack::SECRET_KEY);
    let ran = command.output().await.context("run penstock")?;
    let said = String::from_utf8_lossy(&ran.stderr);
    ensure!(ran.status.success(), "penstock {arguments:?} ended with {}: {said}", ran.status);
    let lines: Vec<Value> = String::from_utf8_lossy(&ran.stdout)
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .with_context(|| format!("penstock {arguments:?} printed no JSON"))?;
    Ok(Value::Array(lines))
}

/// A file whose output was taken away is found damaged at every receive, set aside, listed, and put right by a replay.
pub(crate) async fn damaged_and_replayed(system: Arc<System>) -> anyhow::Result<()> {
    let key = "set-aside/damaged.csv";
    let (receipt, entry) = system.send(key, b"id\n1\n2\n").await?;
    let queue = subscribe(&system, "damaged", true, &["penstock.file.processed"]).await?;
    let event = event_of(&receipt)?;
    system.remove(&clean_key(key)?).await?;
    let day = receipt.timing.finished_at.strftime("%Y-%m-%d");
    system.remove(&format!("catalog/dt={day}/{}.json", entry.event_id)).await?;
    system.remove(&claim_key(&entry.event_id)).await?;
    // By the queue, with its pauses, to the last receive.
    system.enqueue(&event).await?;
    let letter = letter(&system, &receipt.event_id).await?;
    let id = letter.message_id().context("a letter has no id")?;
    let entries = system.entries(key).await?;
    let code = entries.first().and_then(|entry| entry.error_code.as_deref());
    ensure!(entries.len() == 1 && code == Some("mismatch"), "{key} is catalogued as {entries:?}");

    let listed = penstock(&system, &["dlq", "list"]).await?;
    let ours = listed[0]["messages"].as_array().into_iter().flatten().find(|letter| letter["id"] == id);
    let ours = ours.with_context(|| format!("{id} is not in {listed}"))?;
    let file = format!("s3://{}/{key}", system.input_bucket());
    ensure!(ours["reason"] == "mismatch" && ours["file"] == file.as_str(), "{ours}");
    ensure!(penstock(&system, &["dlq", "show", id]).await?[0]["id"] == id, "the letter is shown");
    let failed = penstock(&system, &["catalog", "--failed", "--key", key]).await?;
    ensure!(failed[0]["error_code"] == "mismatch", "{failed}");

    // Put back, it has no effect: it is catalogued as failed. The replay is another attempt.
    let would = penstock(&system, &["dlq", "redrive", id, "--dry-run"]).await?;
    ensure!(would[0]["messages"][0]["outcome"] == "would be redriven", "{would}");
    let redriven = penstock(&system, &["dlq", "redrive", id, "--yes"]).await?;
    ensure!(redriven[0]["messages"][0]["outcome"] == "redriven", "{redriven}");
    let replayed = penstock(&system, &["replay", "--again", "--yes", &file]).await?;
    ensure!(replayed[0]["files"][0]["attempt"] == 1, "{replayed}");
    let again = body_of(&system, &queue, key).await?;
    let event = FileEvent::parse(&again)?;
    ensure!(event.data.receipt.attempt == 1 && event.id != receipt.event_id, "{again}");
    let entry = system.entry_of(&event.data.receipt).await?;
    ensure!(entry.status == CatalogStatus::Processed && entry.attempt == 1, "{entry:?}");
    system.event_queue_is_empty().await?;
    ensure!(letters_of(&system, &receipt.event_id).await?.is_empty(), "the letter is still there");
    ensure!(system.entries(key).await?.len() == 2, "{key} has not two entries");
    Ok(())
}

/// The message that a receipt calls for.
fn event_of(receipt: &Receipt) -> anyhow::Result<String> {
    let location = common::contract::Location {
        bucket: receipt.outputs.first().context("there is no output")?.bucket.clone(),
        key: common::contract::receipt_key(&receipt.source.key)?,
    };
    Ok(serde_json::to_string(&FileEvent::new(receipt, location))?)
}
