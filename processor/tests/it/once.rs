//! Exactly one effect: repeats, disorder, twins.

use common::contract::{META_EVENT_ID, META_SEQUENCER, META_SOURCE_BUCKET, ObjectRef, Status};
use std::time::Duration;

use common::store::{Condition, Fault, NewObject, Operation, Payload, Store as _};
use processor::handler::Answer;

use crate::world::{CLEAN, CSV, IN, KEY, OUT, World, large};

#[tokio::test]
async fn a_repeated_event_changes_nothing_and_is_published_again() {
    let world = World::new().await;
    let event = world.upload(KEY, CSV, "01").await;
    world.handle(&event).await.unwrap();
    let receipt = world.receipt(KEY).unwrap();
    let repeated = world.handle(&event).await.unwrap();
    assert_eq!(repeated, Answer { republished: 1, ..Answer::default() });
    assert_eq!(world.receipt(KEY).unwrap(), receipt);
    let events = world.events();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0], events[1]);
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn an_older_event_after_a_newer_one_changes_nothing() {
    let world = World::versioned().await;
    let older = world.upload(KEY, CSV, "0055AED6DCD90281E5").await;
    let newer = world.upload(KEY, b"id\n1\n", "0055AED6DCD90281E6").await;
    world.handle(&newer).await.unwrap();
    assert_eq!(world.handle(&older).await.unwrap(), Answer { superseded: 1, ..Answer::default() });
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), b"id\n1\n");
    assert_eq!(world.events().len(), 1);
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn a_newer_event_replaces_an_older_file() {
    let world = World::versioned().await;
    for (content, sequencer) in [(CSV, "01"), (&b"id\n1\n"[..], "02"), (b"id\n2\n", "03")] {
        let event = world.upload(KEY, content, sequencer).await;
        assert_eq!(world.handle(&event).await.unwrap().processed, 1);
        world.assert_whole(KEY).await;
    }
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), b"id\n2\n");
}

#[tokio::test]
async fn twins_at_once_leave_one_file_and_one_receipt() {
    for csv in [CSV.to_vec(), large(11 * 1024 * 1024)] {
        let world = World::new().await;
        let event = world.upload(KEY, &csv, "01").await;
        let answers = tokio::join!(world.handle(&event), world.handle(&event), world.handle(&event));
        for answer in [answers.0, answers.1, answers.2] {
            let answer = answer.unwrap();
            assert_eq!(answer.processed + answer.republished, 1);
        }
        let ids: Vec<String> = world.events().into_iter().map(|event| event.id).collect();
        assert_eq!(ids, vec![world.receipt(KEY).unwrap().event_id; 3]);
        for event in world.events() {
            assert_eq!(event.data.receipt.outputs, world.receipt(KEY).unwrap().outputs);
        }
        world.assert_whole(KEY).await;
    }
}

#[tokio::test]
async fn two_versions_at_once_end_with_the_newer() {
    for _ in 0..20 {
        let world = World::versioned().await;
        let older = world.upload(KEY, CSV, "01").await;
        let newer = world.upload(KEY, b"id\n1\n", "02").await;
        let (first, second) = tokio::join!(world.handle(&older), world.handle(&newer));
        first.unwrap();
        assert_eq!(second.unwrap().processed, 1);
        assert_eq!(world.receipt(KEY).unwrap().source.sequencer.unwrap().0, "02");
        assert_eq!(world.read("clean/in/orders.csv").unwrap(), b"id\n1\n");
        world.assert_whole(KEY).await;
    }
}

/// Writes an output as a twin would have, that died before its receipt.
async fn orphan(world: &World, content: &[u8], event_id: &str, sequencer: &str) -> String {
    let metadata = [(META_EVENT_ID, event_id), (META_SEQUENCER, sequencer), (META_SOURCE_BUCKET, IN)];
    let metadata = metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let object = ObjectRef::new(OUT, format!("clean/{KEY}"));
    let new = NewObject { object, content_type: "text/csv", metadata };
    let payload = Payload::new(content.to_vec().into());
    world.memory.put(&new, payload, &Condition::Always).await.unwrap().etag
}

#[tokio::test]
async fn an_output_whose_receipt_never_came_is_adopted() {
    let world = World::new().await;
    let event = world.upload(KEY, CSV, "01").await;
    world.handle(&event).await.unwrap();
    let id = world.receipt(KEY).unwrap().event_id;
    world.memory.remove(OUT, &format!("receipts/{KEY}.json"));
    let etag = orphan(&world, CLEAN, &id, "01").await;
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    assert_eq!(world.receipt(KEY).unwrap().outputs[0].etag, etag);
    world.assert_whole(KEY).await;

    // The same name with other bytes, as another Penstock may have made them: replaced.
    world.memory.remove(OUT, &format!("receipts/{KEY}.json"));
    orphan(&world, b"other\n", &id, "01").await;
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), CLEAN);
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn rejects_whose_receipt_never_came_stay_where_they_are_the_same() {
    let world = World::new().await;
    let event = world.upload(KEY, CSV, "01").await;
    world.handle(&event).await.unwrap();
    let rejects = ObjectRef::new(OUT, world.receipt(KEY).unwrap().rejects.unwrap().key);
    let made = world.memory.head(&rejects).await.unwrap().unwrap();
    let content = world.read(&rejects.key).unwrap();
    let forget = || {
        world.memory.remove(OUT, &format!("receipts/{KEY}.json"));
        world.memory.remove(OUT, &format!("clean/{KEY}"));
    };
    // In one part of an upload, so that the same bytes have another ETag.
    forget();
    let new = NewObject { object: rejects.clone(), content_type: "", metadata: made.metadata.clone() };
    let upload = world.memory.create_upload(&new).await.unwrap();
    let payload = Payload::new(content.clone().into());
    let crc64nvme = payload.crc64nvme;
    let part = world.memory.upload_part(&upload, 1, payload).await.unwrap();
    let twins = world.memory.complete_upload(&upload, &[part], crc64nvme, &Condition::Always).await.unwrap();
    assert_ne!(twins.etag, made.etag);
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    assert_eq!(world.receipt(KEY).unwrap().rejects.unwrap().etag, Some(twins.etag));
    world.assert_whole(KEY).await;

    // Other bytes, as another Penstock may have made them: replaced.
    forget();
    let payload = Payload::new(b"{}\n".to_vec().into());
    world.memory.put(&new, payload, &Condition::Always).await.unwrap();
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    assert_eq!(world.read(&rejects.key).unwrap(), content);
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn a_newer_output_without_its_receipt_is_left_alone() {
    let world = World::new().await;
    let event = world.upload(KEY, CSV, "01").await;
    orphan(&world, b"newer\n", "another", "02").await;
    assert_eq!(world.handle(&event).await.unwrap().superseded, 1);
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), b"newer\n");
}

#[tokio::test]
async fn the_same_key_from_another_bucket_fails_and_touches_nothing() {
    let world = World::new().await;
    let event = world.upload(KEY, CSV, "01").await;
    world.handle(&event).await.unwrap();
    let receipt = world.receipt(KEY).unwrap();
    let other =
        NewObject { object: ObjectRef::new("other-bucket", KEY), content_type: "", metadata: [].into() };
    let written = world.memory.put(&other, Payload::new(CSV.into()), &Condition::Always).await.unwrap();
    let mut event = event;
    event["Records"][0]["s3"]["bucket"]["name"] = "other-bucket".into();
    event["Records"][0]["s3"]["object"]["eTag"] = written.etag.into();
    assert_eq!(world.handle(&event).await.unwrap().failed, 1);
    assert_eq!(world.receipt(KEY).unwrap(), receipt);
    let failed = &world.events()[1];
    assert_eq!(failed.data.receipt.error.as_ref().unwrap().code, "output_taken");
    assert!(failed.data.receipt_object.key.starts_with("receipts/sha256/"));
    assert!(world.read(&failed.data.receipt_object.key).is_some());
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn a_receipt_never_names_an_output_that_was_replaced() {
    let world = World::versioned().await;
    // A replay has no sequencer, so a newer version replaces its output before its receipt comes.
    let replay = world.upload(KEY, b"id\n1\n", "").await;
    let newer = world.upload(KEY, b"id\n2\n", "02").await;
    world.s3.plan_after(Operation::Put, 1, Fault::Late(Duration::from_secs(3)));
    let (replayed, done) = tokio::join!(world.handle(&replay), async {
        // The replay's output is written by now, its receipt is not.
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.handle(&newer).await
    });
    assert!(replayed.unwrap_err().to_string().contains("changes faster than it can be written"));
    assert_eq!(done.unwrap().processed, 1);
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), b"id\n2\n");
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn another_buckets_failure_blocks_nobody() {
    let world = World::new().await;
    let broken = world.upload(KEY, b"\xff\xfe\0\0a\0\0\0", "01").await;
    world.handle(&broken).await.unwrap();
    let other =
        NewObject { object: ObjectRef::new("other-bucket", KEY), content_type: "", metadata: [].into() };
    let written = world.memory.put(&other, Payload::new(CSV.into()), &Condition::Always).await.unwrap();
    let mut event = broken;
    event["Records"][0]["s3"]["bucket"]["name"] = "other-bucket".into();
    event["Records"][0]["s3"]["object"]["eTag"] = written.etag.into();
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn a_replay_that_an_operator_asks_for_is_an_attempt_of_its_own() {
    let world = World::versioned().await;
    let event = world.upload(KEY, CSV, "01").await;
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    let first = world.receipt(KEY).unwrap();
    let mut again = event.clone();
    again["penstock"] = serde_json::json!({ "attempt": 1 });
    assert_eq!(world.handle(&again).await.unwrap().processed, 1);
    let second = world.receipt(KEY).unwrap();
    assert_eq!((first.attempt, second.attempt), (0, 1));
    assert_ne!(first.event_id, second.event_id);
    assert_eq!(first.counts, second.counts);
    // Neither a repeat of it nor a late one of the first does it again.
    for event in [&again, &event] {
        assert_eq!(world.handle(event).await.unwrap().republished, 1);
        assert_eq!(world.receipt(KEY).unwrap(), second);
    }
    let ids: Vec<String> = world.events().into_iter().map(|event| event.id).collect();
    assert_eq!(ids, [&first, &second, &second, &second].map(|receipt| receipt.event_id.clone()));
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn a_replay_of_a_file_that_fails_is_told_anew() {
    let world = World::versioned().await;
    let mut event = world.upload(KEY, b"\x1f\x8b\x08not gzip", "01").await;
    assert_eq!(world.handle(&event).await.unwrap().failed, 1);
    let first = world.receipt(KEY).unwrap();
    event["penstock"] = serde_json::json!({ "attempt": 1 });
    assert_eq!(world.handle(&event).await.unwrap().failed, 1);
    let second = world.receipt(KEY).unwrap();
    assert_eq!((second.status, second.attempt), (Status::Failed, 1));
    assert_ne!(first.event_id, second.event_id, "people hear of it as of something new");
}
