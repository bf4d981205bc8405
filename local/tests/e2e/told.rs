//! Whom `notifications.yml` names: a bus of `EventBridge`, and a webhook whose secret Secrets Manager keeps.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use aws_sdk_eventbridge::types::Target;
use aws_sdk_s3::primitives::ByteStream;
use common::contract::{CatalogStatus, Receipt};
use local::stack::{ACCOUNT, REGION, Stack};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::sdk;
use crate::set_aside::event_of;
use crate::subscribers::received;
use crate::system::System;
use crate::webhook::{Call, Receiver};

/// Where the consumer's role may read who is to be told.
pub(crate) const CONFIG_BUCKET: &str = "penstock-e2e-config";
pub(crate) const CONFIG_KEY: &str = "notifications.yml";
/// The bus that it may tell, and one that is there as well.
pub(crate) const BUS: &str = "penstock-e2e";
pub(crate) const OTHER_BUS: &str = "penstock-e2e-other";
/// The secret that it may have, and one that is there as well.
pub(crate) const SECRET_NAME: &str = "penstock-e2e/hook";
pub(crate) const OTHER_SECRET_NAME: &str = "penstock-e2e/other";
const SECRET: &str = "whsec_cGVuc3RvY2sncyBzZWNyZXQgb2YgYSB3ZWJob29r";
const OTHER_SECRET: &str = "whsec_cGVuc3RvY2sncyBzZWNyZXQgb2Ygc29tZWJvZHkh";
/// Of whose files they hear; no other scenario's.
const FOLDER: &str = "told/";
const RULE: &str = "penstock-e2e";
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(50);

/// The template's parameters that let the consumer have them.
pub(crate) fn parameters() -> BTreeMap<String, String> {
    let arn = |service: &str, resource: &str| format!("arn:aws:{service}:{REGION}:{ACCOUNT}:{resource}");
    // A secret's ARN ends in six characters that Secrets Manager chooses.
    let secret = arn("secretsmanager", &format!("secret:{SECRET_NAME}-??????"));
    let given = [
        ("Notifications", format!("{CONFIG_BUCKET}/{CONFIG_KEY}")),
        ("NotificationSecrets", secret),
        ("NotificationBuses", arn("events", &format!("event-bus/{BUS}"))),
    ];
    given.map(|(name, value)| (name.to_owned(), value)).into()
}

/// Who is told, and where that can be seen.
pub(crate) struct Audience {
    receiver: Receiver,
    /// Where the bus's rule sends what the bus is told.
    queue: String,
}

impl Audience {
    /// Makes bus, rule, queue and secrets, and the file that names them.
    pub(crate) async fn of(stack: &Stack, receiver: Receiver) -> anyhow::Result<Self> {
        let sdk = sdk::config(stack.clients(), stack.endpoint());
        let secrets = aws_sdk_secretsmanager::Client::new(&sdk);
        for (name, secret) in [(SECRET_NAME, SECRET), (OTHER_SECRET_NAME, OTHER_SECRET)] {
            let create = secrets.create_secret().name(name).secret_string(secret).send().await;
            create.with_context(|| format!("create the secret {name}"))?;
        }
        let queue = bus(stack, &aws_sdk_eventbridge::Client::new(&sdk)).await?;
        let notifications = json!({
            "targets": {
                "bus": { "eventbridge": BUS },
                "hook": { "webhook": receiver.url(), "secret": SECRET_NAME },
            },
            "rules": [{ "key": format!("{FOLDER}**"), "to": ["bus", "hook"] }],
            "allow_private_hosts": ["127.0.0.1"],
        });
        let s3 = &stack.clients().s3;
        s3.create_bucket().bucket(CONFIG_BUCKET).send().await.context("create a bucket")?;
        // YAML is a superset of JSON.
        let body = ByteStream::from(notifications.to_string().into_bytes());
        let put = s3.put_object().bucket(CONFIG_BUCKET).key(CONFIG_KEY).body(body).send().await;
        put.with_context(|| format!("put {CONFIG_KEY}"))?;
        Ok(Self { receiver, queue })
    }

    /// The calls about an event.
    fn calls_about(&self, event_id: &str) -> Vec<Call> {
        self.receiver.calls().into_iter().filter(|call| call.id() == event_id).collect()
    }
}

/// Two buses, and a queue to which a rule of the first sends everything of Penstock's.
async fn bus(stack: &Stack, events: &aws_sdk_eventbridge::Client) -> anyhow::Result<String> {
    for bus in [BUS, OTHER_BUS] {
        events.create_event_bus().name(bus).send().await.with_context(|| format!("create the bus {bus}"))?;
    }
    let name = "penstock-e2e-bus";
    let created = stack.clients().sqs.create_queue().queue_name(name).send().await?;
    let queue = created.queue_url.context("the queue has no URL")?;
    let pattern = json!({ "source": ["penstock"], "detail-type": [{ "prefix": "penstock.file." }] });
    let rule = events.put_rule().name(RULE).event_bus_name(BUS).event_pattern(pattern.to_string());
    rule.send().await.context("put a rule on the bus")?;
    let arn = format!("arn:aws:sqs:{REGION}:{ACCOUNT}:{name}");
    let target = Target::builder().id("queue").arn(arn).build()?;
    let put = events.put_targets().rule(RULE).event_bus_name(BUS).targets(target).send().await;
    ensure!(put.context("give the rule a target")?.failed_entry_count() == 0, "the rule has no target");
    Ok(queue)
}

/// A file that was processed and one that failed are told to the bus and to the webhook, each once, also where its first
/// answer was that it is busy, and where the message comes again; nobody else's files are.
pub(crate) async fn once(system: Arc<System>) -> anyhow::Result<()> {
    let (good, entry) = system.send(&format!("{FOLDER}good.csv"), b"id,name\n1,a\n2\n").await?;
    ensure!(entry.status == CatalogStatus::Processed, "{entry:?}");
    let (bad, entry) = system.send(&format!("{FOLDER}bad.csv.gz"), b"\x1f\x8b\x08 and no more").await?;
    ensure!(entry.status == CatalogStatus::Failed, "{entry:?}");
    // The catalogue's entry comes last: everybody has been told.
    for (receipt, kind) in [(&good, "penstock.file.processed"), (&bad, "penstock.file.failed")] {
        let calls = system.audience.calls_about(&receipt.event_id);
        ensure!(calls.iter().filter(|call| call.taken).count() == 1, "{calls:?}");
        for call in &calls {
            call.verify(SECRET)?;
            ensure!(call.verify(OTHER_SECRET).is_err(), "any secret will do: {call:?}");
            says(&call.said()?["data"], receipt)?;
            ensure!(call.said()?["type"] == kind, "{call:?}");
        }
    }
    system.enqueue(&event_of(&system, &good)?).await?;
    system.enqueue(&event_of(&system, &bad)?).await?;
    system.event_queue_is_empty().await?;

    let mut events = Vec::new();
    let begun = Instant::now();
    while events.len() < 2 {
        ensure!(begun.elapsed() < PATIENCE, "the bus was told {events:?}");
        events.extend(of_bus(&system).await?);
        tokio::time::sleep(LOOK).await;
    }
    events.extend(of_bus(&system).await?);
    ensure!(events.len() == 2, "the bus was told {events:?}");
    for (receipt, kind) in [(&good, "penstock.file.processed"), (&bad, "penstock.file.failed")] {
        let told = events.iter().find(|event| event["detail"]["event_id"] == receipt.event_id.as_str());
        let told = told.with_context(|| format!("nothing of {} in {events:?}", receipt.source.key))?;
        ensure!(told["source"] == "penstock" && told["detail-type"] == kind, "{told}");
        ensure!(told["detail"]["id"] == receipt.event_id.as_str(), "{told}");
        says(&told["detail"], receipt)?;
    }
    let calls = system.audience.receiver.calls();
    // Of the two files, each once, and the one that was refused.
    ensure!(calls.len() == 3 && !calls[0].taken && calls[0].id() == calls[1].id(), "{calls:?}");
    Ok(())
}

/// What programs are told of a file is what its receipt says.
fn says(data: &Value, receipt: &Receipt) -> anyhow::Result<()> {
    let expected = [
        ("event_id", json!(receipt.event_id)),
        ("status", json!(receipt.status)),
        ("counts", json!(receipt.counts)),
        ("error", json!(receipt.error)),
    ];
    for (field, value) in expected {
        ensure!(data[field] == value, "{field} of {} is not {value} in {data}", receipt.source.key);
    }
    ensure!(data["source"]["key"] == receipt.source.key.as_str(), "{data}");
    Ok(())
}

/// What the bus handed on since.
async fn of_bus(system: &System) -> anyhow::Result<Vec<Value>> {
    let messages = received(system, &system.audience.queue).await?.into_iter();
    messages
        .map(|message| {
            let body = message.body().context("a message has no body")?;
            serde_json::from_str(body).with_context(|| format!("read {body}"))
        })
        .collect()
}
