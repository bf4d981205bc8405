//! A day's summary, as its schedule asks for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use common::contract::{CatalogStatus, Receipt, event_id, receipt_key};
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::invoke::invoke;
use crate::sdk;
use crate::set_aside::event_of;
use crate::subscribers::{received, subscribe_to};
use crate::system::System;

/// Far longer than these tests: MiniStack has a clock for schedules, and follows it.
pub(crate) const SCHEDULE: &str = "rate(365 days)";
/// Days that have gone by since the files that are summed up: no other scenario's are among them.
const DAYS_AGO: i64 = 40;
const PATIENCE: Duration = Duration::from_secs(30);

/// Three files of a day, of which one failed, are one message to the alert topic, however often it is asked for. What the
/// deployed schedule sends is what the function takes for yesterday's.
pub(crate) async fn of_a_day(system: Arc<System>) -> anyhow::Result<()> {
    let topic = &system.stack.outputs().alert_topic_arn;
    let queue = subscribe_to(&system, topic, "digest", false, &["penstock.digest"]).await?;
    let files: [(&str, &[u8], CatalogStatus); 3] = [
        ("digest/one.csv", b"id,name\n1,a\n2\n3,c\n", CatalogStatus::Processed),
        ("digest/two.csv", b"id\n1\n", CatalogStatus::Processed),
        ("digest/bad.csv.gz", b"\x1f\x8b\x08 and no more", CatalogStatus::Failed),
    ];
    let mut finished_at = None;
    for (key, bytes, status) in files {
        let (receipt, _) = system.send(key, bytes).await?;
        // All of one day, also where midnight passes meanwhile.
        let long_ago = receipt.timing.finished_at.checked_sub((DAYS_AGO * 24).hours())?;
        let earlier = earlier(receipt, *finished_at.get_or_insert(long_ago));
        system.write(&receipt_key(key)?, serde_json::to_vec(&earlier)?).await?;
        system.enqueue(&event_of(&system, &earlier)?).await?;
        let entry = system.entry_of(&earlier).await?;
        ensure!(entry.status == status, "{key} is catalogued as {entry:?}");
    }
    let day = finished_at.context("there is no file")?.strftime("%Y-%m-%d").to_string();

    let asked = asked_by_schedule(&system).await?;
    let consumer = &system.stack.outputs().consumer_function;
    let answer = invoke(&system, consumer, &asked).await?;
    ensure!(answer == json!({ "digest": "now" }), "the consumer answered {answer} to {asked}");
    let mut of_day = asked;
    of_day["day"] = json!(day);
    for expected in ["now", "before"] {
        let answer = invoke(&system, consumer, &of_day).await?;
        ensure!(answer == json!({ "digest": expected }), "the consumer answered {answer} to {of_day}");
    }

    let begun = Instant::now();
    let mut digests = Vec::new();
    while digests.len() < 2 {
        ensure!(begun.elapsed() < PATIENCE, "{} digests came", digests.len());
        digests.extend(digests_in(&system, &queue).await?);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    digests.extend(digests_in(&system, &queue).await?);
    let subject = format!("Penstock on {day}: 3 files, 1 failed");
    let (ours, others): (Vec<_>, Vec<_>) = digests.iter().partition(|digest| digest["Subject"] == subject);
    ensure!(ours.len() == 1 && others.len() == 1, "{digests:?}");
    let text = ours[0]["Message"].as_str().context("a digest has no text")?;
    for part in
        ["3 = 2 processed + 1 failed + 0 superseded", "4 in, 3 out, 1 rejected (25.00 %)", "1 too_few_fields"]
    {
        ensure!(text.contains(part), "{part} is missing in:\n{text}");
    }
    ensure!(text.contains("digest/bad.csv.gz (corrupt_gzip)"), "the failure is missing in:\n{text}");
    Ok(())
}

/// As if the file had been processed again, long before.
fn earlier(mut receipt: Receipt, finished_at: Timestamp) -> Receipt {
    receipt.attempt = 1;
    receipt.event_id = event_id(&receipt.source, &receipt.recipe.sha256, receipt.attempt, receipt.status);
    receipt.timing.started_at = finished_at;
    receipt.timing.finished_at = finished_at;
    receipt
}

/// What the deployed schedule sends to the consumer.
async fn asked_by_schedule(system: &System) -> anyhow::Result<Value> {
    let events =
        aws_sdk_eventbridge::Client::new(&sdk::config(system.stack.clients(), system.stack.endpoint()));
    let rules = events.list_rules().send().await.context("list the rules")?.rules.unwrap_or_default();
    let scheduled = rules.iter().find(|rule| rule.schedule_expression() == Some(SCHEDULE));
    let name = scheduled.and_then(|rule| rule.name()).with_context(|| format!("no schedule in {rules:?}"))?;
    let targets = events.list_targets_by_rule().rule(name).send().await.context("list the targets")?;
    let [target] = targets.targets() else { anyhow::bail!("the schedule's targets are {targets:?}") };
    let consumer = &system.stack.outputs().consumer_function;
    ensure!(target.arn().ends_with(&format!(":function:{consumer}")), "{target:?}");
    serde_json::from_str(target.input().unwrap_or_default()).context("read what the schedule sends")
}

async fn digests_in(system: &System, queue: &str) -> anyhow::Result<Vec<Value>> {
    let messages = received(system, queue).await?.into_iter();
    messages.map(|message| Ok(serde_json::from_str(message.body().unwrap_or_default())?)).collect()
}
