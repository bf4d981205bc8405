//! An event that the processor gives up, and what becomes of it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_sqs::types::Message;
use common::contract::CatalogStatus;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::invoke::invoke;
use crate::system::System;
use crate::traces;

/// A file whose receipt may not be written is tried three times and set aside with its event; once it may be, the
/// processor invoked with that event does it.
pub(crate) async fn set_aside_and_replayed(system: Arc<System>) -> anyhow::Result<()> {
    let key = "given-up/kept-out.csv";
    let input: &[u8] = b"id\n1\n2\n";
    forbid(&system, &format!("receipts/{key}.json")).await?;
    let source = system.put(key, input).await?;

    let (message, record) = set_aside(&system, key).await?;
    let context = &record["requestContext"];
    ensure!(context["condition"] == "RetriesExhausted", "{context}");
    ensure!(context["approximateInvokeCount"] == 3, "{context}");
    ensure!(record["responsePayload"]["errorType"] == "Penstock.File", "{}", record["responsePayload"]);
    ensure!(system.read(&format!("receipts/{key}.json")).await?.is_none(), "there is a receipt");
    ensure!(system.entries(key).await?.is_empty(), "what has no receipt was catalogued");

    allow(&system).await?;
    let processor = &system.stack.outputs().processor_function;
    let answer = invoke(&system, processor, &record["requestPayload"]).await?;
    ensure!(answer["processed"] == 1, "the processor answered {answer}");
    let receipt = system.receipt_of(&source).await?;
    let entry = system.entry_of(&receipt).await?;
    ensure!(entry.status == CatalogStatus::Processed, "{key} is catalogued as {:?}", entry.status);
    system.is_what_the_engine_makes(input, &receipt, &entry).await?;
    ensure!(system.entries(key).await? == [entry], "{key} has more than one catalogue entry");
    let trace_id = system.trace_of(&source)?;
    traces::shows(&system, &trace_id, "file", "retry", 3).await?;
    traces::shows(&system, &trace_id, "file", "processed", 1).await?;
    system.forget(&system.stack.outputs().failures_queue_url, &message).await
}

/// Waits for the event in the failures queue: the message, and what it says.
pub(crate) async fn set_aside(system: &System, key: &str) -> anyhow::Result<(Message, Value)> {
    let begun = Instant::now();
    loop {
        for message in system.failures().await? {
            let body = message.body().context("a message has no body")?;
            let record: Value = serde_json::from_str(body).with_context(|| format!("read {body}"))?;
            if record.pointer("/requestPayload/Records/0/s3/object/key") == Some(&json!(key)) {
                return Ok((message, record));
            }
        }
        ensure!(begun.elapsed() < Duration::from_mins(1), "{key} did not reach the failures queue");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Keeps everybody from writing one object of the output bucket.
async fn forbid(system: &System, key: &str) -> anyhow::Result<()> {
    let bucket = system.output_bucket();
    let policy = json!({ "Version": "2012-10-17", "Statement": [{
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:PutObject",
        "Resource": format!("arn:aws:s3:::{bucket}/{key}"),
    }] });
    let put = system.stack.clients().s3.put_bucket_policy().bucket(bucket).policy(policy.to_string());
    put.send().await.context("put a bucket policy")?;
    Ok(())
}

async fn allow(system: &System) -> anyhow::Result<()> {
    let delete = system.stack.clients().s3.delete_bucket_policy().bucket(system.output_bucket());
    delete.send().await.context("delete the bucket policy")?;
    Ok(())
}
