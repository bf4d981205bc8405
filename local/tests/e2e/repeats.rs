//! The same again, in the wrong order, at the same time: S3, Lambda, SNS and SQS promise none of it away.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use common::contract::{CatalogStatus, FileEvent, Location, Source, Status, event_id, receipt_key};
use serde_json::Value;

use local::s3_event::s3_event;

use crate::invoke::invoke;
use crate::system::System;
use crate::traces;

/// An event that comes again leaves every object as it is, and makes no second entry in the catalogue.
pub(crate) async fn repeated(system: Arc<System>) -> anyhow::Result<()> {
    let key = "repeats/again.csv";
    let (receipt, entry) = system.send(key, b"id,name\n1,a\n2,b\n3\n").await?;
    let before = system.listed(key).await?;
    let function = &system.stack.outputs().processor_function;
    for _ in 0..2 {
        let answer = invoke(&system, function, &s3_event(&receipt.source)).await?;
        ensure!(answer["republished"] == 1, "the processor answered {answer}");
    }
    system.event_queue_is_empty().await?;
    ensure!(system.listed(key).await? == before, "an object of {key} was written again");
    ensure!(system.entries(key).await? == [entry], "{key} has other catalogue entries than before");
    let trace_id = system.trace_of(&receipt.source)?;
    traces::shows(&system, &trace_id, "file", "republished", 2).await?;
    traces::shows(&system, &trace_id, "process ", "done before", 2).await?;
    Ok(())
}

/// A newer file stays: for the processor, to which the older event comes late, and for the consumer, to which the
/// older message does.
pub(crate) async fn older_after_newer(system: Arc<System>) -> anyhow::Result<()> {
    let key = "repeats/overwritten.csv";
    let newer_bytes: &[u8] = b"id,name\n1,newer\n2,newer\n";
    let (older, _) = system.send(key, b"id,name\n1,older\n").await?;
    let (newer, entry) = system.send(key, newer_bytes).await?;
    let before = system.listed(key).await?;

    let function = &system.stack.outputs().processor_function;
    let answer = invoke(&system, function, &s3_event(&older.source)).await?;
    ensure!(answer["superseded"] == 1, "the processor answered {answer}");

    // As if the older had been processed again before the newer, and its message held up since.
    let mut late = older.clone();
    late.attempt = 1;
    late.event_id = event_id(&late.source, &late.recipe.sha256, late.attempt, Status::Processed);
    let place = Location { bucket: system.output_bucket().to_owned(), key: receipt_key(key)? };
    system.enqueue(&serde_json::to_string(&FileEvent::new(&late, place))?).await?;
    let superseded = system.entry_of(&late).await?;
    ensure!(
        superseded.status == CatalogStatus::Superseded,
        "the late message is catalogued as {superseded:?}"
    );

    system.event_queue_is_empty().await?;
    ensure!(system.listed(key).await? == before, "the late event or message changed {key}");
    system.is_what_the_engine_makes(newer_bytes, &newer, &entry).await?;
    ensure!(system.entries(key).await?.len() == 3, "{key} has not three catalogue entries");
    Ok(())
}

/// Large enough for an upload in parts, and for the invocations to be at it at the same time.
fn large() -> String {
    let mut text = "id,name,remark\n".to_owned();
    for id in 0..400_000 {
        // Writing to a string does not fail.
        writeln!(text, "{id},name of {id},\"a remark, quoted, on {id}\"").ok();
    }
    text
}

/// S3's own event and two more of the same object, at once: one output, one entry, no upload left open.
pub(crate) async fn at_once(system: Arc<System>) -> anyhow::Result<()> {
    // Whether they were at it at the same time is not ours to say: seen when two uploads to one key are open.
    const TRIES: u32 = 5;
    for number in 0..TRIES {
        if try_at_once(&system, &format!("repeats/at-once-{number}.csv")).await? > 1 {
            return Ok(());
        }
    }
    bail!("in {TRIES} tries, no two invocations were at work at once")
}

/// The most uploads to the output that were open at once.
async fn try_at_once(system: &System, key: &str) -> anyhow::Result<usize> {
    let input = large();
    let source = system.put(key, input.as_bytes()).await?;
    let mut most_open = 0;
    let watch = async {
        loop {
            let open = system.open_uploads(system.output_bucket()).await?;
            most_open = most_open.max(open.iter().filter(|open| open.ends_with(key)).count());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let both = futures::future::try_join(call(system, &source), call(system, &source));
    let (first, second): (Value, Value) = tokio::select! {
        both = both => both?,
        failed = watch => return failed,
    };
    for answer in [first, second] {
        let count = |name: &str| answer[name].as_u64().unwrap_or_default();
        ensure!(count("processed") + count("republished") == 1, "the processor answered {answer}");
    }
    let receipt = system.receipt_of(&source).await?;
    let entry = system.entry_of(&receipt).await?;
    system.event_queue_is_empty().await?;

    let output = receipt.outputs.first().context("there is no output")?;
    ensure!(output.parts > 1, "the file was too small to be uploaded in parts");
    let clean = system.listed(&format!("clean/{key}")).await?;
    let listed = clean.values().next().context("there is no clean file")?;
    ensure!(clean.len() == 1 && listed.etag.trim_matches('"') == output.etag, "clean files: {clean:?}");
    system.is_what_the_engine_makes(input.as_bytes(), &receipt, &entry).await?;
    ensure!(system.entries(key).await? == [entry], "{key} has more than one catalogue entry");
    Ok(most_open)
}

async fn call(system: &System, source: &Source) -> anyhow::Result<Value> {
    invoke(system, &system.stack.outputs().processor_function, &s3_event(source)).await
}
