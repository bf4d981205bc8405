//! What is verified, and what people hear of it.

use std::collections::BTreeMap;

use common::contract::{CatalogStatus, META_SOURCE_VERSION, ObjectRef, clean_key, receipt_key, rejects_key};
use common::trace;

use crate::world::{OUT, World};

const KEY: &str = "in/größe 1.csv";

#[tokio::test]
async fn a_sound_file_is_catalogued_in_silence() {
    let world = World::default();
    let event = world.processed(KEY, "v1").await;
    assert!(world.deliver(&event).await);
    let key = format!("catalog/dt=2026-11-23/{}.json", event.id);
    assert_eq!(world.store.keys(OUT, "catalog/"), std::slice::from_ref(&key));
    let line = world.store.content(OUT, &key).unwrap();
    assert_eq!(line.iter().position(|byte| *byte == b'\n'), Some(line.len() - 1), "one line for Athena");
    let [entry] = &world.entries()[..] else { panic!("one entry") };
    assert_eq!(entry.status, CatalogStatus::Processed);
    assert_eq!((entry.rows_in, entry.rows_out, entry.rows_rejected), (3, 2, 1));
    assert_eq!(entry.trace_id.as_deref(), Some("4bf92f3577b34da6a3ce929d0e0e4736"), "the message's trace");
    assert!(world.topic.messages().is_empty());
}

#[tokio::test]
async fn a_failed_file_is_told_to_people_and_catalogued() {
    let world = World::default();
    let event = world.failed(KEY, "v1").await;
    assert!(world.deliver(&event).await);
    let [entry] = &world.entries()[..] else { panic!("one entry") };
    assert_eq!((entry.status, entry.error_code.as_deref()), (CatalogStatus::Failed, Some("corrupt_gzip")));
    let [alert] = &world.topic.messages()[..] else { panic!("one alert") };
    assert_eq!(alert.subject.as_deref(), Some("Penstock could not process in/gr??e 1.csv"));
    let facts = [
        "s3://in-bucket/in/größe 1.csv",
        "corrupt_gzip",
        "the gzip stream ends in the middle of a member",
        "1234",
        "s3://out-bucket/receipts/in/größe 1.csv.json",
        "4bf92f3577b34da6a3ce929d0e0e4736",
        "1-4bf92f35-77b34da6a3ce929d0e0e4736",
        &event.id,
    ];
    for fact in facts {
        assert!(alert.body.contains(fact), "{fact} is missing in:\n{}", alert.body);
    }
    assert_eq!(alert.attributes["type"], "penstock.file.failed");
    assert_eq!(alert.attributes["event_id"], event.id);
    let span = trace::extract(&alert.attributes).unwrap();
    assert_eq!(span.trace_id().to_string(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_ne!(span.span_id().to_string(), "00f067aa0ba902b7", "a span of its own");
}

#[tokio::test]
async fn a_later_upload_supersedes_an_earlier_message() {
    for later_fails in [false, true] {
        let world = World::default();
        let earlier = world.failed(KEY, "v1").await;
        if later_fails {
            world.failed(KEY, "v2").await;
        } else {
            world.processed(KEY, "v2").await;
        }
        assert!(world.deliver(&earlier).await);
        let [entry] = &world.entries()[..] else { panic!("one entry") };
        assert_eq!((entry.status, &entry.event_id), (CatalogStatus::Superseded, &earlier.id));
        assert!(world.topic.messages().is_empty(), "no alert for what is over");
    }
}

#[tokio::test]
async fn an_output_replaced_before_its_receipt_wakes_nobody() {
    let world = World::default();
    let event = world.processed(KEY, "v1").await;
    let receipt = world.store.content(OUT, &receipt_key(KEY).unwrap()).unwrap();
    world.processed(KEY, "v2").await;
    world.write(&ObjectRef::new(OUT, receipt_key(KEY).unwrap()), receipt.to_vec(), BTreeMap::new()).await;
    assert!(!world.deliver(&event).await, "it comes back when the receipt is there");
    assert!(world.topic.messages().is_empty() && world.entries().is_empty());
    world.processed(KEY, "v2").await;
    assert!(world.deliver(&event).await);
    assert_eq!(world.entries()[0].status, CatalogStatus::Superseded);
}

/// Damages the world, and expects one alert that says so, no entry, and silence from then on.
async fn damaged(damage: impl AsyncFnOnce(&World), says: &str) {
    let world = World::default();
    let event = world.processed(KEY, "v1").await;
    damage(&world).await;
    assert!(!world.deliver(&event).await, "{says}");
    let [alert] = &world.topic.messages()[..] else { panic!("one alert: {says}") };
    assert!(alert.body.contains(says), "{says} is missing in:\n{}", alert.body);
    assert_eq!(alert.attributes["type"], "penstock.file.mismatch");
    assert!(world.entries().is_empty());
    assert!(!world.deliver(&event).await);
    assert_eq!(world.topic.messages().len(), 1, "the repeat is not told again: {says}");
    // Once the damage is repaired, the message that comes again is done.
    world.processed(KEY, "v1").await;
    assert!(world.deliver(&event).await);
    assert_eq!(world.entries()[0].status, CatalogStatus::Processed);
}

#[tokio::test]
async fn what_is_not_as_the_receipt_says_is_an_alert_and_comes_back() {
    let clean = || ObjectRef::new(OUT, clean_key(KEY).unwrap());
    let replace = async |world: &World, content: &[u8]| {
        world.write(&clean(), content.to_vec(), BTreeMap::new()).await;
    };
    damaged(async |world| replace(world, b"id,name\n").await, "has 8 bytes instead of 18").await;
    damaged(async |world| replace(world, b"id,name\n1,a\n2,Xv1").await, "has 17 bytes instead of 18").await;
    damaged(async |world| replace(world, b"id,name\n1,a\n2,X\nv1").await, "has the checksum").await;
    // The right bytes from nobody knows where.
    let unversioned = "größe 1.csv does not say which version of the source it was made from";
    damaged(async |world| replace(world, b"id,name\n1,a\n2,b\nv1").await, unversioned).await;
    damaged(async |world| world.store.remove(OUT, &clean().key), "clean/in/größe 1.csv does not exist").await;
    let rejects = |world: &World| world.store.keys(OUT, &rejects_key(KEY, "").unwrap()[..20]).remove(0);
    damaged(async |world| world.store.remove(OUT, &rejects(world)), ".ndjson does not exist").await;
    let set_aside = async |world: &World, content: &[u8], metadata| {
        world.write(&ObjectRef::new(OUT, rejects(world)), content.to_vec(), metadata).await;
    };
    damaged(async |world| set_aside(world, b"{}", BTreeMap::new()).await, "has 2 bytes instead of 3").await;
    damaged(async |world| set_aside(world, b"[]\n", BTreeMap::new()).await, ".ndjson has the checksum").await;
    let unversioned = ".ndjson does not say which version of the source it was made from";
    damaged(async |world| set_aside(world, b"{}\n", BTreeMap::new()).await, unversioned).await;
    let of_another = || BTreeMap::from([(META_SOURCE_VERSION.to_owned(), "v0".to_owned())]);
    let another = ".ndjson was made from the source's version v0 instead of v1";
    damaged(async |world| set_aside(world, b"{}\n", of_another()).await, another).await;
    let receipt = ObjectRef::new(OUT, receipt_key(KEY).unwrap());
    let spoil = async |world: &World, from: &str, to: &str| {
        let text = String::from_utf8(world.store.content(OUT, &receipt.key).unwrap().to_vec()).unwrap();
        world.write(&receipt, text.replace(from, to).into_bytes(), BTreeMap::new()).await;
    };
    damaged(async |world| spoil(world, "\"kept\":8", "\"kept\":9").await, "sums don't add up").await;
    damaged(async |world| spoil(world, "\"rows_out\":2", "\"rows_out\":3").await, "count rows differently")
        .await;
    damaged(async |world| spoil(world, "\"size\":18", "\"size\":19").await, "name different outputs").await;
    damaged(async |world| spoil(world, "\"size\":3", "\"size\":4").await, "name different rejects").await;
    damaged(async |world| spoil(world, "{\"schema", "schema").await, "is malformed: not JSON").await;
}

#[tokio::test]
async fn without_its_receipt_a_message_comes_back() {
    let world = World::default();
    let event = world.processed(KEY, "v1").await;
    world.store.remove(OUT, &receipt_key(KEY).unwrap());
    assert!(!world.deliver(&event).await);
    assert!(world.topic.messages().is_empty() && world.entries().is_empty());
    world.processed(KEY, "v1").await;
    assert!(world.deliver(&event).await, "the claim was given back");
}

#[tokio::test]
async fn a_receipt_that_stays_away_is_an_alert() {
    let world = World::default();
    let event = world.processed(KEY, "v1").await;
    world.store.remove(OUT, &receipt_key(KEY).unwrap());
    assert!(!world.deliver_again(&event, 2).await);
    assert!(world.topic.messages().is_empty());
    assert!(!world.deliver_again(&event, 3).await);
    let [alert] = &world.topic.messages()[..] else { panic!("one alert") };
    assert!(alert.body.contains("receipts/in/größe 1.csv.json does not exist"), "{}", alert.body);
    assert!(world.deliver_again(&event, 4).await, "set aside");
    assert_eq!((world.entries()[0].status, world.queues.sent().len()), (CatalogStatus::Failed, 1));
}
