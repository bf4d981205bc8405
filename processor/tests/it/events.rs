//! What becomes of each kind of event, and of a good file.

use common::contract::{ObjectRef, Status, receipt_key};
use common::store::{Payload, Store as _};
use processor::handler::Answer;
use serde_json::{Value, json};

use crate::world::{CLEAN, CSV, IN, KEY, OUT, World, gunzip, gzip, large};

#[tokio::test]
async fn a_file_becomes_clean_file_rejects_receipt_and_message() {
    let world = World::versioned().await;
    let event = world.upload(KEY, CSV, "01").await;
    assert_eq!(world.handle(&event).await.unwrap(), Answer { processed: 1, ..Answer::default() });

    assert_eq!(world.read("clean/in/orders.csv").unwrap(), CLEAN);
    let receipt = world.receipt(KEY).unwrap();
    assert_eq!(receipt.status, Status::Processed);
    assert_eq!((receipt.counts.rows_in, receipt.counts.rows_out, receipt.counts.rows_rejected), (3, 2, 1));
    assert_eq!(receipt.bytes.input, CSV.len() as u64);
    assert_eq!(receipt.outputs[0].parts, 0);
    assert!(receipt.peak_memory_bytes > 0);
    assert!(receipt.source.version_id.is_some());
    let rejects = receipt.rejects.as_ref().unwrap();
    assert_eq!(rejects.key, format!("rejects/in/orders.csv.{}.ndjson", receipt.event_id));
    let stored = world.read(&rejects.key).unwrap();
    let found = world.memory.head(&ObjectRef::new(OUT, &rejects.key)).await.unwrap().unwrap();
    assert_eq!(rejects.etag, Some(found.etag));
    assert_eq!(found.metadata["penstock-event-id"], receipt.event_id);
    assert_eq!(Some(&found.metadata["penstock-source-version"]), receipt.source.version_id.as_ref());
    assert_eq!(rejects.size, Some(stored.len() as u64));
    assert_eq!(rejects.checksum_crc64nvme, Some(Payload::new(stored.clone().into()).checksum()));
    let line: Value = serde_json::from_slice(&stored).unwrap();
    assert_eq!((&line["line"], &line["raw"]), (&3.into(), &"2\n".into()));

    let [event] = &world.events()[..] else { panic!() };
    assert_eq!(event.id, receipt.event_id);
    assert_eq!((event.event_type.as_str(), event.subject.as_str()), ("penstock.file.processed", KEY));
    assert_eq!(event.data.receipt_object.key, receipt_key(KEY).unwrap());
    let attributes = &world.topic.messages()[0].attributes;
    assert_eq!(attributes["type"], "penstock.file.processed");
    assert!(
        attributes["traceparent"].starts_with("00-6923f0000123456789abcdef01234567-"),
        "the uploader's trace"
    );
    assert_eq!(attributes.len(), 2);
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn keys_are_taken_as_they_are() {
    let world = World::new().await;
    for key in ["a b.csv", "a+b.csv", "ä €/ü.csv", "100%25 %.csv", "x=1/y&z?.csv", "../receipts/a//b.csv"]
    {
        let event = world.upload(key, CSV, "01").await;
        world.handle(&event).await.unwrap();
        assert_eq!(world.read(&format!("clean/{key}")).as_deref(), Some(CLEAN), "{key}");
        world.assert_whole(key).await;
    }
}

#[tokio::test]
async fn gzip_stays_gzip_whatever_its_name() {
    let world = World::new().await;
    let event = world.upload(KEY, &gzip(CSV), "01").await;
    world.handle(&event).await.unwrap();
    assert_eq!(gunzip(&world.read("clean/in/orders.csv").unwrap()), CLEAN);
    let compression = world.receipt(KEY).unwrap().compression.unwrap();
    assert_eq!(
        (compression.input.as_str(), compression.members, compression.output.as_str()),
        ("gzip", 1, "gzip")
    );
}

#[tokio::test]
async fn a_large_file_is_read_by_ranges_and_written_by_parts() {
    let world = World::new().await;
    let csv = large(12 * 1024 * 1024);
    let event = world.upload(KEY, &csv, "01").await;
    world.handle(&event).await.unwrap();
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), csv);
    assert_eq!(world.receipt(KEY).unwrap().outputs[0].parts, 3);
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn files_without_rows_are_processed() {
    let world = World::new().await;
    for (key, content) in
        [("empty.csv", &b""[..]), ("header.csv", b"id,name\n"), ("empty.csv.gz", &gzip(b""))]
    {
        let event = world.upload(key, content, "01").await;
        assert_eq!(world.handle(&event).await.unwrap().processed, 1, "{key}");
        let receipt = world.receipt(key).unwrap();
        assert_eq!((receipt.status, receipt.counts.rows_in), (Status::Processed, 0));
        assert!(receipt.rejects.is_none());
        world.assert_whole(key).await;
    }
}

#[tokio::test]
async fn every_record_is_handled_also_after_one_failed() {
    let world = World::new().await;
    let mut event = world.upload("1.csv", CSV, "01").await;
    let incomplete = json!({ "eventTime": "2026-11-23T10:00:00.000Z", "eventName": "ObjectCreated:Put",
        "userIdentity": {}, "requestParameters": {}, "responseElements": {}, "s3": { "bucket": {}, "object": {} } });
    let second = world.upload("2.csv", CSV, "01").await["Records"][0].clone();
    event["Records"].as_array_mut().unwrap().extend([incomplete, second]);
    let error = world.handle(&event).await.unwrap_err();
    assert_eq!(error.to_string(), "a record of the event has no bucket");
    assert!(world.receipt("1.csv").is_some() && world.receipt("2.csv").is_some());
}

#[tokio::test]
async fn what_is_none_of_its_business_is_acknowledged_and_ignored() {
    let world = World::new().await;
    let ignored = Answer { ignored: 1, ..Answer::default() };
    let test: Value = serde_json::from_str(include_str!("../fixtures/test-event.json")).unwrap();
    assert_eq!(world.handle(&test).await.unwrap(), ignored);

    let created = world.upload(KEY, CSV, "01").await;
    for name in ["ObjectRemoved:Delete", "ObjectRestore:Completed", "s3:ObjectRemoved:Delete"] {
        let mut event = created.clone();
        event["Records"][0]["eventName"] = name.into();
        assert_eq!(world.handle(&event).await.unwrap(), ignored, "{name}");
    }
    let mut from_output = created.clone();
    from_output["Records"][0]["s3"]["bucket"]["name"] = OUT.into();
    assert_eq!(world.handle(&from_output).await.unwrap(), ignored);
    let folder = world.upload("folder/", b"", "01").await;
    assert_eq!(world.handle(&folder).await.unwrap(), ignored);

    assert!(world.memory.keys(OUT, "").is_empty());
    assert!(world.events().is_empty());
    assert!(world.handle(&json!({ "hello": 1 })).await.is_err());
    assert_eq!(world.memory.keys(IN, "").len(), 2);
}
