//! Messages that come back later each time, and those that don't come back.

use std::time::Duration;

use common::contract::{CatalogStatus, FileEvent, clean_key};
use consumer::Invocation;
use consumer::dead_letter::{ORIGINAL_ID, REASON, REASON_TEXT};
use consumer::notify::Notifications;
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;

use crate::batch::spoilt;
use crate::chaos::{Blow, Chaos};
use crate::world::{DLQ, OUT, QUEUE, World, batch, consumer, failures, received, record};

#[tokio::test]
async fn a_message_that_fails_comes_back_later_each_time() {
    let world = World::default();
    let event = world.failed("in/a.csv", "v1").await;
    world.topic.refuse(u32::MAX);
    for receives in 1..=5 {
        assert!(!world.deliver_again(&event, receives).await);
    }
    let put_off = world.queues.delayed();
    assert!(
        put_off.iter().all(|put_off| put_off.queue_url == QUEUE && put_off.receipt_handle == "receipt of m1")
    );
    for (put_off, most) in put_off.iter().zip([20, 60, 180, 540, 0]) {
        let most = Duration::from_secs(most);
        assert!((most / 2..=most).contains(&put_off.pause), "{put_off:?}");
    }
    assert_eq!(put_off.len(), 5, "after the last, it goes to the dead-letter queue at once");
}

#[tokio::test]
async fn who_finds_a_claim_twice_waits_for_its_end() {
    let world = World::default();
    let event = world.failed("in/a.csv", "v1").await;
    world.claim(&event, Timestamp::now() + 10.minutes()).await;
    assert!(!world.deliver_again(&event, 1).await && !world.deliver_again(&event, 2).await);
    let [first, second] = &world.queues.delayed()[..] else { panic!("two") };
    assert!(first.pause <= Duration::from_secs(20), "the other is probably about to finish");
    assert!((598..=601).contains(&second.pause.as_secs()), "{second:?}");
}

#[tokio::test]
async fn where_the_queue_does_not_hear_it_the_message_comes_back_all_the_same() {
    let world = World::default();
    let event = world.failed("in/a.csv", "v1").await;
    world.topic.refuse(1);
    world.queues.refuse(1);
    assert!(!world.deliver(&event).await);
    assert!(world.queues.delayed().is_empty());
    assert!(world.deliver(&event).await);
}

#[tokio::test]
async fn what_can_never_have_been_right_is_set_aside_at_once() {
    let cases = [
        ("/time", json!("2026-11-22T12:00:00Z"), "its time is not its receipt's"),
        ("/data/receipt_object/bucket", json!("elsewhere"), "its receipt lies in another system's bucket"),
        ("/subject", json!("in/b.csv"), "its subject is not its receipt's key"),
        ("/data/counts/rows_in", json!(4), "its sums don't add up"),
        ("/data/bytes/spans/kept", json!(9), "its sums don't add up"),
        ("/data/outputs_total", json!(0), "it lists more outputs than it counts"),
    ];
    for (pointer, value, says) in cases {
        let world = World::default();
        let event = world.processed("in/a.csv", "v1").await;
        let record = spoilt(&event, pointer, value);
        let response = world
            .consumer()
            .handle(batch(std::slice::from_ref(&record)), &Invocation::default())
            .await
            .unwrap();
        assert!(failures(&response).is_empty(), "{pointer}: it does not come back");
        let [(url, letter)] = &world.queues.sent()[..] else { panic!("one letter") };
        assert_eq!((url.as_str(), letter.body.as_str()), (DLQ, record["body"].as_str().unwrap()));
        assert_eq!(letter.attributes[REASON], "contradiction");
        assert_eq!(letter.attributes[REASON_TEXT], format!("the event contradicts itself: {says}"));
        assert_eq!(letter.attributes[ORIGINAL_ID], pointer);
        assert!(letter.attributes["traceparent"].starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736"));
        assert!(world.topic.messages().is_empty());
        // The same message once more has no effect. It was a corrupted copy: the true one is still to come.
        world.consumer().handle(batch(&[record]), &Invocation::default()).await.unwrap();
        assert_eq!((world.queues.sent().len(), world.entries().len()), (1, 0));
        assert!(world.deliver(&event).await);
        assert_eq!(world.entries()[0].status, CatalogStatus::Processed);
    }
}

#[tokio::test]
async fn an_event_whose_receipt_can_not_be_right_either_is_catalogued_as_failed() {
    let world = World::default();
    let event = impossible(&world, "in/a.csv").await;
    assert!(world.deliver(&event).await && world.deliver(&event).await);
    let [entry] = &world.entries()[..] else { panic!("one entry") };
    assert_eq!((entry.status, entry.error_code.as_deref()), (CatalogStatus::Failed, Some("contradiction")));
    assert_eq!((world.queues.sent().len(), world.topic.messages().len()), (1, 0));
}

/// A file whose receipt's sums don't add up.
pub(crate) async fn impossible(world: &World, key: &str) -> FileEvent {
    let mut receipt = world.processed(key, "v1").await.data.receipt;
    receipt.counts.rows_in += 1;
    world.commit(&receipt).await
}

#[tokio::test]
async fn an_event_has_one_entry_whatever_its_time_says() {
    let world = World::default();
    let mut event = world.failed("in/a.csv", "v1").await;
    assert!(world.deliver(&event).await);
    // The same event of another day, as if its receipt had been written anew.
    event.data.receipt.timing.finished_at = "2026-11-24T12:00:00Z".parse().unwrap();
    let event = world.commit(&event.data.receipt).await;
    assert!(world.deliver(&event).await);
    assert_eq!((world.entries().len(), world.topic.messages().len()), (1, 1));
}

async fn damaged(world: &World) -> FileEvent {
    let event = world.processed("in/a.csv", "v1").await;
    world.store.remove(OUT, &clean_key("in/a.csv").unwrap());
    event
}

#[tokio::test]
async fn what_stays_damaged_is_set_aside_at_its_last_receive_but_one() {
    let world = World::default();
    let event = damaged(&world).await;
    for receives in 1..4 {
        assert!(!world.deliver_again(&event, receives).await);
    }
    assert!(world.entries().is_empty() && world.queues.sent().is_empty());
    assert!(world.deliver_again(&event, 4).await);
    let [(_, letter)] = &world.queues.sent()[..] else { panic!("one letter") };
    assert_eq!(letter.attributes[REASON], "mismatch");
    assert!(letter.attributes[REASON_TEXT].ends_with("s3://out-bucket/clean/in/a.csv does not exist"));
    let [entry] = &world.entries()[..] else { panic!("one entry") };
    assert_eq!((entry.status, entry.error_code.as_deref()), (CatalogStatus::Failed, Some("mismatch")));
    assert_eq!(world.topic.messages().len(), 1, "told once, when it was found");
}

#[tokio::test]
async fn what_nobody_could_be_told_of_takes_the_queues_way() {
    let world = World::default();
    let event = damaged(&world).await;
    world.topic.refuse(1);
    assert!(!world.deliver_again(&event, 5).await);
    assert!(world.entries().is_empty() && world.queues.sent().is_empty(), "put back, it can still be done");
}

#[tokio::test]
async fn a_dead_letter_queue_that_refuses_is_tried_again() {
    let world = World::default();
    let event = damaged(&world).await;
    world.queues.refuse(1);
    assert!(!world.deliver_again(&event, 4).await);
    assert!(world.entries().is_empty(), "no entry before the letter");
    assert!(world.deliver_again(&event, 5).await);
    assert_eq!((world.queues.sent().len(), world.entries().len()), (1, 1));
}

/// Ten at once: seven that are fine, one that can't be right, one whose alert is refused, one that is slow.
#[tokio::test]
async fn of_ten_the_poison_is_set_aside_one_comes_back_and_eight_are_done() {
    let world = World::default();
    let mut records = Vec::new();
    for number in 0..7 {
        let event = world.processed(&format!("in/{number}.csv"), "v1").await;
        records.push(record(&format!("m{number}"), &event));
    }
    let poison = impossible(&world, "in/poison.csv").await;
    records.insert(2, record("poison", &poison));
    let transient = world.failed("in/transient.csv", "v1").await;
    records.insert(4, record("transient", &transient));
    // Of the slow one somebody hears who lets all the others go first.
    let slow = world.processed("in/slow.csv", "v1").await;
    records.insert(6, record("slow", &slow));
    let rules = Notifications::parse(
        "rules",
        "{targets: {other: {eventbridge: other}}, rules: [{to: [other], key: in/slow.csv}]}",
    );
    let chaos = Chaos::new(&world, &[200; 1]);
    let notifier = world.notifier().with_rules(rules.unwrap()).with_target("other", chaos.clone());
    let consumer = consumer(world.store.clone(), world.queues.clone(), notifier);
    world.topic.refuse(1);
    let response = consumer.handle(batch(&records), &Invocation::default()).await.unwrap();
    assert_eq!(failures(&response), ["transient"]);
    assert_eq!((world.entries().len(), chaos.steps()), (9, 1));

    let back = batch(&[received("transient", &transient, 2)]);
    assert!(failures(&consumer.handle(back, &Invocation::default()).await.unwrap()).is_empty());
    let entries = world.entries();
    let with = |status| entries.iter().filter(|entry| entry.status == status).count();
    assert_eq!((entries.len(), with(CatalogStatus::Processed), with(CatalogStatus::Failed)), (10, 8, 2));
    assert_eq!((world.queues.sent().len(), world.topic.messages().len()), (1, 1), "no effect twice");
}

/// The letter is out and the invocation dies before the entry: at most one more for the claim that is taken anew.
#[tokio::test]
async fn a_crash_between_letter_and_entry_loses_neither() {
    let world = World::default();
    let poison = record("m1", &impossible(&world, "in/a.csv").await);
    let chaos = Chaos::new(&world, &[]);
    // The entry is looked for, the claim is taken, the receipt is looked at, the letter is sent.
    chaos.plan(3, Blow::CrashAfter);
    assert_eq!(chaos.deliver_record(poison.clone()).await, None);
    assert_eq!((world.queues.sent().len(), world.entries().len()), (1, 0));
    world.expire_claims().await;
    assert_eq!(Chaos::new(&world, &[]).deliver_record(poison).await, Some(true));
    assert_eq!((world.queues.sent().len(), world.entries().len()), (2, 1));
}
