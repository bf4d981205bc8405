//! Messages that fail: what is set aside at once, what comes back, and how both are put right from outside.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::types::Message;
use common::contract::{CatalogStatus, Claim, FileEvent, Receipt, catalog_key, claim_key, clean_key};
use consumer::dead_letter::{REASON, REASON_TEXT};
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::Instant;

use crate::subscribers::{received, subscribe};
use crate::system::System;

/// Ten messages through the queue: a corrupted copy, one that waits for its receipt, one whose claim somebody holds for
/// some seconds, seven that are fine.
pub(crate) async fn batch(system: Arc<System>) -> anyhow::Result<()> {
    const POISON: usize = 3;
    const TRANSIENT: usize = 6;
    const SLOW: usize = 8;
    let queue = subscribe(&system, "ten", true, &["penstock.file.processed"]).await?;
    let keys: Vec<String> = (0..10).map(|number| format!("ten/{number}.csv")).collect();
    let mut receipts = Vec::new();
    for key in &keys {
        receipts.push(system.send(key, b"id\n1\n").await?.0);
    }
    let bodies = bodies_of(&system, &queue, &keys).await?;
    system.event_queue_is_empty().await?;
    // As if for the first time.
    for receipt in &receipts {
        system.remove(&catalog_key(&receipt.event_id, receipt.timing.finished_at)).await?;
        system.remove(&claim_key(&receipt.event_id)).await?;
    }
    let poison = poisoned(&bodies[POISON])?;
    let receipt_key = format!("receipts/{}.json", keys[TRANSIENT]);
    let absent = system.read(&receipt_key).await?.context("no receipt")?;
    system.remove(&receipt_key).await?;
    let slow = &receipts[SLOW].event_id;
    let claim =
        Claim { event_id: slow.clone(), owner: "e2e".into(), expires_at: Timestamp::now() + 3.seconds() };
    system.write(&claim_key(slow), serde_json::to_vec(&claim)?).await?;
    for (at, body) in bodies.iter().enumerate() {
        system.enqueue(if at == POISON { &poison } else { body }).await?;
    }

    let letter = letter(&system, &receipts[POISON].event_id).await?;
    let attribute = |name: &str| {
        letter.message_attributes().and_then(|all| all.get(name)?.string_value()).unwrap_or_default()
    };
    ensure!(attribute(REASON) == "contradiction", "{letter:?}");
    ensure!(attribute(REASON_TEXT).ends_with("its sums don't add up"), "{letter:?}");
    // What was not there for the moment is there again.
    system.write(&receipt_key, absent).await?;
    for (at, receipt) in receipts.iter().enumerate().filter(|(at, _)| *at != POISON) {
        let entry = system.entry_of(receipt).await?;
        ensure!(entry.status == CatalogStatus::Processed, "{} is catalogued as {entry:?}", keys[at]);
    }
    ensure!(system.entries(&keys[POISON]).await?.is_empty(), "a corrupted copy stands for the true message");

    // All of it once more has no effect but that of the true message.
    for body in &bodies {
        system.enqueue(body).await?;
    }
    let entry = system.entry_of(&receipts[POISON]).await?;
    ensure!(entry.status == CatalogStatus::Processed, "{entry:?}");
    system.event_queue_is_empty().await?;
    for key in &keys {
        let entries = system.entries(key).await?;
        ensure!(entries.len() == 1, "{key} is catalogued as {entries:?}");
    }
    let letters = letters_of(&system, &receipts[POISON].event_id).await?;
    ensure!(letters.len() == 1, "{} letters of one event", letters.len());
    Ok(())
}

fn poisoned(body: &str) -> anyhow::Result<String> {
    let mut event: Value = serde_json::from_str(body)?;
    event["data"]["counts"]["rows_in"] = 1_000_000.into();
    Ok(event.to_string())
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
    let event = event_of(&system, &receipt)?;
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

    // Put back, it has no effect: it is catalogued as failed, and so it is kept, unless somebody insists. The replay is
    // another attempt.
    let would = penstock(&system, &["dlq", "redrive", id, "--dry-run"]).await?;
    ensure!(would[0]["messages"][0]["outcome"] == "would be kept", "{would}");
    let redriven = penstock(&system, &["dlq", "redrive", id, "--force", "--yes"]).await?;
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
pub(crate) fn event_of(system: &System, receipt: &Receipt) -> anyhow::Result<String> {
    let key = common::contract::receipt_key(&receipt.source.key)?;
    let location = common::contract::Location { bucket: system.output_bucket().to_owned(), key };
    Ok(serde_json::to_string(&FileEvent::new(receipt, location))?)
}
