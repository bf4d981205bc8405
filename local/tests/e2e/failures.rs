//! What is wrong: bad files, poison, events that are none of ours.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::types::MessageSystemAttributeName;
use common::contract::{CatalogStatus, Source, Status};
use serde_json::json;
use tokio::time::Instant;

use local::s3_event::s3_event;

use crate::invoke::invoke;
use crate::system::{System, name_of};
use crate::traces;

/// A gzip that is cut off, and one with a flipped byte: failed, with the place, and nothing is clean.
pub(crate) async fn corrupt_gzip(system: Arc<System>) -> anyhow::Result<()> {
    let samples = local::demo::samples()?;
    let gzip = samples.iter().find(|path| path.extension().is_some_and(|suffix| suffix == "gz"));
    let gzip = gzip.context("there is no gzip among the samples")?;
    let whole = std::fs::read(gzip)?;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 0xff;
    let name = name_of(gzip)?;
    for (how, bytes) in [("cut", &whole[..whole.len() / 2]), ("flipped", &flipped[..])] {
        let key = format!("failures/{how}-{name}");
        let (receipt, entry) = system.send(&key, bytes).await?;
        ensure!(receipt.status == Status::Failed, "{key} was processed");
        let error = receipt.error.as_ref().context("the receipt has no error")?;
        let offset = error.byte_offset.context("the error has no byte offset")?;
        ensure!(
            offset > 0 && offset <= bytes.len() as u64,
            "{key} is bad at byte {offset} of {}",
            bytes.len()
        );
        ensure!(entry.status == CatalogStatus::Failed, "{key} is catalogued as {:?}", entry.status);
        ensure!(
            entry.error_code.as_deref() == Some(error.code.as_str()),
            "{entry:?} says other than {error:?}"
        );
        let left: Vec<String> = system.listed(&key).await?.into_keys().collect();
        ensure!(left == [format!("receipts/{key}.json")], "{key} left {left:?}");
    }
    Ok(())
}

/// A message that nobody can read is received five times, then set aside; others pass it.
pub(crate) async fn poison(system: Arc<System>) -> anyhow::Result<()> {
    let body = "poison: not a file event";
    let begun = Instant::now();
    let trace_id = system.enqueue_traced(body).await?;
    let (receipt, entry) = system.send("failures/beside-poison.csv", b"id\n1\n").await?;
    system.is_what_the_engine_makes(b"id\n1\n", &receipt, &entry).await?;
    let letter = loop {
        let letters = system.dead_letters().await?;
        if let Some(letter) = letters.into_iter().find(|letter| letter.body() == Some(body)) {
            break letter;
        }
        ensure!(begun.elapsed() < Duration::from_mins(1), "the poison did not reach the dead letters");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let count =
        letter.attributes().and_then(|all| all.get(&MessageSystemAttributeName::ApproximateReceiveCount));
    let count: u32 = count.and_then(|count| count.parse().ok()).context("the letter has no count")?;
    // Five by the consumer; ours may count too.
    ensure!(count >= 5, "the poison was received {count} times");
    // Four times it had to become visible again.
    let least = Duration::from_secs(u64::from(4 * crate::VISIBILITY_SECONDS));
    ensure!(begun.elapsed() >= least, "the poison was set aside after {:?}", begun.elapsed());
    traces::shows(&system, &trace_id, "process ", "retry", 5).await?;
    let spans = system.spans.of_trace(&trace_id).into_iter();
    let set_aside: Vec<_> =
        spans.filter(|span| span.events.iter().any(|(name, _)| name == "dead letter")).collect();
    ensure!(set_aside.len() == 1 && set_aside[0].attribute("penstock.receive_count") == "5", "{set_aside:?}");
    Ok(())
}

/// The output bucket's own objects, S3's test event, folder markers, deletions: acknowledged, and nothing is made.
pub(crate) async fn not_ours(system: Arc<System>) -> anyhow::Result<()> {
    let key = "failures/loop.csv";
    let (receipt, _) = system.send(key, b"id\n1\n").await?;
    let before = system.listed(key).await?;
    let output = receipt.outputs.first().context("there is no output")?;
    let own = Source {
        bucket: output.bucket.clone(),
        key: output.key.clone(),
        version_id: None,
        etag: output.etag.clone(),
        size: output.size,
        sequencer: None,
    };
    let folder = Source { key: "failures/folder/".into(), ..receipt.source.clone() };
    let mut removal = s3_event(&receipt.source);
    removal["Records"][0]["eventName"] = json!("ObjectRemoved:DeleteMarkerCreated");
    let test = json!({ "Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": system.input_bucket() });
    let function = &system.stack.outputs().processor_function;
    for event in [s3_event(&own), s3_event(&folder), removal, test] {
        let answer = invoke(&system, function, &event).await?;
        ensure!(answer["ignored"] == 1, "the processor answered {answer} to {event}");
    }
    system.put("failures/folder/", b"").await?;
    system.event_queue_is_empty().await?;
    ensure!(system.listed(key).await? == before, "an event that is not ours changed {key}");
    ensure!(system.listed("failures/folder").await?.is_empty(), "a folder's marker was taken for a file");
    Ok(())
}

/// A file that was deleted before it was read is superseded: no output, and no retry.
pub(crate) async fn gone(system: Arc<System>) -> anyhow::Result<()> {
    let key = "failures/gone.csv";
    let gone = Source {
        bucket: system.input_bucket().to_owned(),
        key: key.to_owned(),
        version_id: None,
        etag: "0".repeat(32),
        size: 5,
        sequencer: None,
    };
    let answer = invoke(&system, &system.stack.outputs().processor_function, &s3_event(&gone)).await?;
    ensure!(answer["superseded"] == 1, "the processor answered {answer}");
    ensure!(system.listed(key).await?.is_empty(), "{key} left something behind");
    Ok(())
}
