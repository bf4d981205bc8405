//! Each message of a batch on its own.

use std::time::Duration;

use common::contract::FileEvent;
use consumer::Invocation;
use consumer::notify::Notifier;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::chaos::{Blow, Chaos};
use crate::world::{World, batch, consumer, failures, record};

#[tokio::test]
async fn a_poisoned_message_fails_alone() {
    let poisons = ["", "not json", "{}", "null", "{\"Type\":\"Notification\",\"Message\":\"{}\"}"];
    for poison in poisons {
        let world = World::default();
        let mut records = Vec::new();
        for number in 0..9 {
            let event = world.processed(&format!("in/{number}.csv"), "v1").await;
            records.push(record(&format!("m{number}"), &event));
        }
        records.insert(4, json!({ "messageId": "poison", "body": poison }));
        let response = world.consumer().handle(batch(&records), &Invocation::default()).await.unwrap();
        assert_eq!(failures(&response), ["poison"], "{poison}");
        assert_eq!(world.entries().len(), 9);
    }
}

#[tokio::test]
async fn events_that_are_none_are_refused() {
    let world = World::default();
    let event = world.processed("in/a.csv", "v1").await;
    let records = [
        spoilt(&event, "/type", "penstock.file.failed".into()),
        spoilt(&event, "/type", "order.created".into()),
        spoilt(&event, "/id", "../../receipts/in/a.csv".into()),
    ];
    let response = world.consumer().handle(batch(&records), &Invocation::default()).await.unwrap();
    assert_eq!(failures(&response).len(), records.len());
    assert!(world.entries().is_empty() && world.topic.messages().is_empty());
    assert!(world.queues.sent().is_empty(), "they take the queue's own way");
}

#[tokio::test]
async fn an_empty_batch_is_done_and_nobody_need_be_told() {
    let world = World::default();
    let event: FileEvent = world.failed("in/a.csv", "v1").await;
    let consumer = world.consumer_telling(Notifier::silent());
    let response = consumer.handle(batch(&[]), &Invocation::default()).await.unwrap();
    assert!(failures(&response).is_empty());
    let response = consumer.handle(batch(&[record("m1", &event)]), &Invocation::default()).await.unwrap();
    assert!(failures(&response).is_empty());
    assert_eq!(world.entries().len(), 1);
}

#[tokio::test]
async fn a_failed_message_without_an_id_brings_the_batch_back() {
    let batch = batch(&[json!({ "body": "poison" })]);
    assert!(World::default().consumer().handle(batch, &Invocation::default()).await.is_err());
}

#[tokio::test]
async fn when_time_is_up_what_is_not_done_comes_back() {
    let world = World::default();
    let event = world.failed("in/a.csv", "v1").await;
    let never_answers = Chaos::new(&world, &[]);
    never_answers.plan(0, Blow::CrashBefore);
    let stuck = consumer(never_answers, world.queues.clone(), Notifier::silent());
    let deadline = Some(Timestamp::now() + Duration::from_millis(100));
    let invocation = Invocation { deadline, ..Invocation::default() };
    let response = stuck.handle(batch(&[record("m1", &event)]), &invocation).await.unwrap();
    assert_eq!(failures(&response), ["m1"]);
}

/// The event's message, with another value somewhere.
pub(crate) fn spoilt(event: &FileEvent, pointer: &str, value: Value) -> Value {
    let mut json = serde_json::to_value(event).unwrap();
    *json.pointer_mut(pointer).unwrap() = value;
    let mut record = record(pointer, event);
    record["body"] = json.to_string().into();
    record
}
