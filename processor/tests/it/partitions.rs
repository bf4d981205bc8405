//! Partitioned clean files: many objects, one receipt.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::contract::{META_EVENT_ID, META_SEQUENCER, ObjectRef, Receipt, Status};
use common::store::{Condition, ErrorKind, Fault, NewObject, Operation, Payload, Store as _};
use processor::handler::Answer;
use processor::recipes::Recipes;

use crate::recipes::set;
use crate::world::{IN, KEY, OUT, World};

const RECIPE: &str = "match: in/*\noutput: { partition_by: [country] }\n";
const FIRST: &[u8] = b"id,country\n1,DE\n2,FR\n3,DE\n";
const SECOND: &[u8] = b"id,country\n4,FR\n5,IT\n";

fn partitioned(mut world: World) -> World {
    world.processor.recipes = Recipes::fixed(set(&[("orders.yml", RECIPE)]));
    world
}

/// A world whose function has so little room for partitions that each row becomes an object.
async fn cramped() -> World {
    let mut world = partitioned(World::new().await);
    world.processor.options.partitions.held_bytes = 1;
    world
}

/// What is under `clean/`, by key: the texts.
fn clean(world: &World) -> BTreeMap<String, String> {
    let keys = world.memory.keys(OUT, "clean/").into_iter();
    keys.map(|key| {
        let text = String::from_utf8(world.read(&key).unwrap()).unwrap();
        (key, text)
    })
    .collect()
}

/// The texts of each partition's objects, in order, without their headers.
fn rows(world: &World) -> BTreeMap<String, String> {
    let mut rows: BTreeMap<String, String> = BTreeMap::new();
    for (key, text) in clean(world) {
        let partition = key.rsplit_once('/').unwrap().0.rsplit_once('/').unwrap().1.to_owned();
        *rows.entry(partition).or_default() += text.strip_prefix("id\n").unwrap();
    }
    rows
}

fn expected(rows: &[(&str, &str)]) -> BTreeMap<String, String> {
    rows.iter().map(|(partition, text)| ((*partition).to_owned(), (*text).to_owned())).collect()
}

/// The receipt names all that lies under `clean/`, as it is, and nothing else; no upload is open.
async fn assert_exact(world: &World) -> Receipt {
    let receipt = world.receipt(KEY).unwrap();
    assert_eq!(receipt.status, Status::Processed);
    assert!(receipt.adds_up());
    let named: BTreeSet<String> = receipt.outputs.iter().map(|output| output.key.clone()).collect();
    assert_eq!(named, clean(world).into_keys().collect());
    for output in &receipt.outputs {
        let meta = world.memory.head(&ObjectRef::new(OUT, &output.key)).await.unwrap().unwrap();
        assert_eq!((&meta.etag, meta.size), (&output.etag, output.size));
        assert_eq!(meta.checksum_crc64nvme.as_ref(), Some(&output.checksum_crc64nvme));
        assert_eq!(meta.metadata[META_EVENT_ID], receipt.event_id);
    }
    assert_eq!(receipt.bytes.output, receipt.outputs.iter().map(|output| output.size).sum::<u64>());
    assert_eq!(world.memory.open_uploads(), 0, "uploads left open");
    receipt
}

#[tokio::test]
async fn rows_lie_in_their_partitions_and_the_receipt_names_them() {
    let world = partitioned(World::new().await);
    let event = world.upload(KEY, FIRST, "01").await;
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    let receipt = assert_exact(&world).await;
    let id = &receipt.event_id;
    let expected = [("DE", "id\n1\n3\n"), ("FR", "id\n2\n")]
        .map(|(country, text)| (format!("clean/{KEY}/country={country}/{id}-0000.csv"), text.to_owned()));
    assert_eq!(clean(&world), BTreeMap::from(expected));
    // The same once more does nothing.
    assert_eq!(world.handle(&event).await.unwrap(), Answer { republished: 1, ..Answer::default() });
    assert_eq!(assert_exact(&world).await, receipt);
}

#[tokio::test]
async fn gzip_stays_gzip_and_its_names_say_so() {
    let world = partitioned(World::new().await);
    let event = world.upload(KEY, &crate::world::gzip(FIRST), "01").await;
    world.handle(&event).await.unwrap();
    for key in world.memory.keys(OUT, "clean/") {
        assert!(key.ends_with("-0000.csv.gz"), "{key}");
        assert!(crate::world::gunzip(&world.read(&key).unwrap()).starts_with(b"id\n"));
    }
    assert_eq!(world.memory.keys(OUT, "clean/").len(), 2);
}

#[tokio::test]
async fn large_partitions_are_uploads_of_several_parts() {
    let mut world = partitioned(World::new().await);
    world.processor.options.partitions.held_bytes = 12 * 1024 * 1024;
    world.processor.options.partitions.piece_bytes = 5 * 1024 * 1024;
    let row = |row: usize| format!("{row} and what makes it long enough,{}\n", ["DE", "FR"][row % 2]);
    let text = format!("id,country\n{}", (0..900_000).map(row).collect::<String>());
    let event = world.upload(KEY, text.as_bytes(), "01").await;
    world.handle(&event).await.unwrap();
    let receipt = assert_exact(&world).await;
    assert_eq!(receipt.outputs.len(), 2);
    assert!(receipt.outputs.iter().all(|output| output.parts > 2), "{:?}", receipt.outputs);
    let found = rows(&world);
    assert_eq!(found["country=DE"].lines().count() + found["country=FR"].lines().count(), 900_000);
}

#[tokio::test]
async fn a_newer_file_replaces_all_of_an_older_one() {
    let world = cramped().await;
    for (content, sequencer) in [(FIRST, "01"), (SECOND, "02")] {
        let event = world.upload(KEY, content, sequencer).await;
        assert_eq!(world.handle(&event).await.unwrap().processed, 1);
        assert_exact(&world).await;
    }
    assert_eq!(rows(&world), expected(&[("country=FR", "4\n"), ("country=IT", "5\n")]));
    // The older event, delivered late, finds a newer receipt and leaves everything.
    let older = world.upload(KEY, FIRST, "01").await;
    assert_eq!(world.handle(&older).await.unwrap().superseded, 1);
    assert_exact(&world).await;
}

#[tokio::test]
async fn a_recipe_that_begins_or_ceases_to_partition_leaves_nothing_behind() {
    let mut world = World::new().await;
    let plain = "match: in/*\nselect: [id, country]\n";
    for (at, recipe) in [plain, RECIPE, plain, "match: in/*\noutput: { format: ndjson }\n"].iter().enumerate()
    {
        world.processor.recipes = Recipes::fixed(set(&[("orders.yml", recipe)]));
        let event = world.upload(KEY, FIRST, &format!("{at:02}")).await;
        assert_eq!(world.handle(&event).await.unwrap().processed, 1);
        assert_exact(&world).await;
    }
}

#[tokio::test]
async fn twins_at_once_leave_one_set_of_objects() {
    let world = cramped().await;
    let event = world.upload(KEY, FIRST, "01").await;
    let answers = tokio::join!(world.handle(&event), world.handle(&event), world.handle(&event));
    for answer in [answers.0, answers.1, answers.2] {
        let answer = answer.unwrap();
        assert_eq!(answer.processed + answer.republished, 1);
    }
    assert_exact(&world).await;
    assert_eq!(rows(&world), expected(&[("country=DE", "1\n3\n"), ("country=FR", "2\n")]));
}

#[tokio::test]
async fn two_versions_at_once_end_with_the_newer_alone() {
    for _ in 0..20 {
        let mut world = partitioned(World::versioned().await);
        world.processor.options.partitions.held_bytes = 1;
        let older = world.upload(KEY, FIRST, "01").await;
        let newer = world.upload(KEY, SECOND, "02").await;
        let (first, second) = tokio::join!(world.handle(&older), world.handle(&newer));
        first.unwrap();
        assert_eq!(second.unwrap().processed, 1);
        let receipt = world.receipt(KEY).unwrap();
        assert_eq!(receipt.source.sequencer.unwrap().0, "02");
        assert_exact(&world).await;
    }
}

#[tokio::test]
async fn any_fault_at_any_step_is_healed_by_the_retry() {
    use Operation::{CompleteUpload, CreateUpload, Delete, Get, Head, List, Put, UploadPart};
    for operation in [Head, Get, Put, CreateUpload, UploadPart, CompleteUpload, List, Delete] {
        for fault in [
            Fault::Before(ErrorKind::Transient),
            Fault::After(ErrorKind::Transient),
            Fault::Before(ErrorKind::Forbidden),
        ] {
            if (operation, fault) == (CreateUpload, Fault::After(ErrorKind::Transient)) {
                // Nobody knows the id of an upload whose answer was lost: the lifecycle rule ends it.
                continue;
            }
            for skip in 0..3 {
                let world = cramped().await;
                let event = world.upload(KEY, FIRST, "01").await;
                world.handle(&event).await.unwrap();
                let event = world.upload(KEY, SECOND, "02").await;
                world.s3.plan_after(operation, skip, fault);
                let mut tries = 0;
                let case = format!("{operation:?} {fault:?} at call {skip}");
                while world.handle(&event).await.is_err() {
                    tries += 1;
                    assert!(tries < 3, "{case}");
                }
                assert!(skip > 0 || world.s3.pending() == 0, "{case} was never met");
                assert_eq!(world.receipt(KEY).unwrap().source.sequencer.unwrap().0, "02");
                let found = rows(&world);
                assert!(
                    found["country=IT"].ends_with("5\n") && found["country=FR"].contains("4\n"),
                    "{case}"
                );
                // What could not be removed then goes with the next delivery.
                while world.handle(&event).await.is_err() {}
                world.handle(&event).await.unwrap();
                assert_exact(&world).await;
                assert_eq!(rows(&world), expected(&[("country=FR", "4\n"), ("country=IT", "5\n")]), "{case}");
            }
        }
    }
}

/// Killed while its objects were being made visible, and replaced before its retry: what it left has no receipt.
#[tokio::test]
async fn what_a_killed_attempt_left_goes_with_the_next_receipt() {
    let world = cramped().await;
    let object = |partition: &str, id: &str, sequencer: Option<&str>, key: &str| {
        let metadata = [
            (META_EVENT_ID, id),
            ("penstock-source-bucket", IN),
            ("penstock-source-key-sha256", &*common::contract::key_sha256(key)),
        ];
        let mut metadata: BTreeMap<String, String> =
            metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        metadata.extend(sequencer.map(|sequencer| (META_SEQUENCER.to_owned(), sequencer.to_owned())));
        let object = ObjectRef::new(OUT, format!("clean/{KEY}/{partition}/{id}-0000.csv"));
        NewObject { object, content_type: "text/csv", metadata }
    };
    let id = |digit: &str| digit.repeat(32);
    let stays = [
        // Newer, of unknown age, another input's, nobody's.
        object("country=DE", &id("b"), Some("03"), KEY),
        object("country=DE", &id("c"), None, KEY),
        object("country=DE", &id("d"), Some("01"), "in/orders.csv/country=DE/x.csv"),
        NewObject { metadata: BTreeMap::new(), ..object("country=DE", &id("e"), None, KEY) },
    ];
    let goes = object("country=DE", &id("a"), Some("01"), KEY);
    for new in stays.iter().chain([&goes]) {
        world.memory.put(new, Payload::new("id\n".into()), &Condition::Always).await.unwrap();
    }
    let event = world.upload(KEY, SECOND, "02").await;
    world.handle(&event).await.unwrap();
    let there = |new: &NewObject| world.memory.content(OUT, &new.object.key).is_some();
    assert!(stays.iter().all(there));
    assert!(!there(&goes));
    // Killed between the receipt and the removal: the retry finds the receipt, and removes.
    world.memory.put(&goes, Payload::new("id\n".into()), &Condition::Always).await.unwrap();
    assert_eq!(world.handle(&event).await.unwrap().republished, 1);
    assert!(!there(&goes) && stays.iter().all(there));
}

#[tokio::test]
async fn a_bad_file_shows_nothing() {
    let world = cramped().await;
    let mut torn = crate::world::gzip(&[FIRST, &crate::world::large(300_000)].concat());
    torn.truncate(torn.len() - 20);
    let event = world.upload(KEY, &torn, "01").await;
    assert_eq!(world.handle(&event).await.unwrap().failed, 1);
    assert_eq!(world.receipt(KEY).unwrap().status, Status::Failed);
    assert!(clean(&world).is_empty());
    assert_eq!(world.memory.open_uploads(), 0, "uploads left open");
}

#[tokio::test(start_paused = true)]
async fn out_of_time_shows_nothing() {
    let mut world = partitioned(World::direct());
    world.processor.options.partitions.held_bytes = 1;
    let event = world.upload(KEY, FIRST, "01").await;
    world.s3.always(Operation::UploadPart, Fault::Late(Duration::from_hours(1)));
    assert!(world.handle_within(&event, 60_000).await.is_ok());
    assert_eq!(world.receipt(KEY).unwrap().error.unwrap().code, "out_of_time");
    assert!(clean(&world).is_empty());
    assert_eq!(world.memory.open_uploads(), 0, "uploads left open");
}

#[tokio::test]
async fn a_key_without_room_for_partitions_fails_the_file() {
    let world = partitioned(World::new().await);
    let key = format!("in/{}", "k".repeat(940));
    let event = world.upload(&key, FIRST, "01").await;
    assert_eq!(world.handle(&event).await.unwrap().failed, 1);
    let receipt = world.read(&common::contract::failure_receipt_key(&key)).unwrap();
    let receipt: Receipt = serde_json::from_slice(&receipt).unwrap();
    assert_eq!(receipt.error.unwrap().code, "key_too_long");
}

/// Twins of which one has another memory size cut their objects in another way, under the same names.
#[tokio::test]
async fn twins_with_another_budget_end_with_a_receipt_that_is_true() {
    for order in [[1, 1 << 20], [1 << 20, 1]] {
        for killed in [false, true] {
            let world = partitioned(World::new().await);
            let event = world.upload(KEY, FIRST, "01").await;
            let mut other = partitioned(World::new().await);
            other.processor.options.partitions.held_bytes = order[0];
            let mut world = world;
            world.processor.options.partitions.held_bytes = order[1];
            // Both on one store.
            other.processor.store = std::sync::Arc::clone(&world.processor.store);
            if killed {
                // The first one dies once its objects are visible: its receipt can't be written.
                world.s3.plan_after(Operation::Put, 0, Fault::Before(ErrorKind::Forbidden));
                other.handle(&event).await.unwrap_err();
                assert!(!clean(&world).is_empty() && world.receipt(KEY).is_none());
                assert_eq!(world.handle(&event).await.unwrap().processed, 1);
            } else {
                let (one, two) = tokio::join!(world.handle(&event), other.handle(&event));
                // One that sees that its objects were written anew fails, and its retry finds the other's receipt.
                if one.is_err() || two.is_err() {
                    world.handle(&event).await.unwrap();
                }
            }
            let receipt = assert_exact(&world).await;
            assert_eq!(rows(&world), expected(&[("country=DE", "1\n3\n"), ("country=FR", "2\n")]));
            assert_eq!(world.handle(&event).await.unwrap().republished, 1);
            assert_eq!(assert_exact(&world).await, receipt);
        }
    }
}

#[tokio::test]
async fn what_the_receipt_names_and_is_gone_is_made_again() {
    let world = cramped().await;
    let event = world.upload(KEY, FIRST, "01").await;
    world.handle(&event).await.unwrap();
    let gone = clean(&world).into_keys().next().unwrap();
    world.memory.remove(OUT, &gone);
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    assert_exact(&world).await;
    assert_eq!(rows(&world), expected(&[("country=DE", "1\n3\n"), ("country=FR", "2\n")]));
}

/// The same content a third time, without versions: its event is the first one's, and its objects have the same names.
#[tokio::test]
async fn the_same_content_once_more_is_not_taken_for_the_earlier_one() {
    let world = cramped().await;
    for (content, sequencer) in [(FIRST, "01"), (SECOND, "02"), (FIRST, "03")] {
        let event = world.upload(KEY, content, sequencer).await;
        assert_eq!(world.handle(&event).await.unwrap().processed, 1);
        assert_exact(&world).await;
    }
    assert_eq!(rows(&world), expected(&[("country=DE", "1\n3\n"), ("country=FR", "2\n")]));
}

#[tokio::test]
async fn an_attempt_that_died_half_way_is_cleared_when_it_finds_itself_superseded() {
    let world = cramped().await;
    let older = world.upload(KEY, FIRST, "01").await;
    world.s3.plan_after(Operation::CompleteUpload, 1, Fault::Before(ErrorKind::Forbidden));
    world.handle(&older).await.unwrap_err();
    assert!(!clean(&world).is_empty() && world.receipt(KEY).is_none());
    let newer = world.upload(KEY, SECOND, "02").await;
    // It is not known to have come after: nothing of the older one may go yet.
    world.handle(&newer).await.unwrap();
    assert_exact(&world).await;
    assert_eq!(world.memory.open_uploads(), 0);
}

/// What a failed version has replaced the receipt of stays: it may be all that there is.
#[tokio::test]
async fn a_version_that_fails_takes_nothing_away() {
    let world = cramped().await;
    let good = world.upload(KEY, FIRST, "01").await;
    world.handle(&good).await.unwrap();
    let before = clean(&world);
    let bad = world.upload(KEY, b"\x1f\x8b\x08\0broken", "02").await;
    assert_eq!(world.handle(&bad).await.unwrap().failed, 1);
    assert_eq!(clean(&world), before);
    assert_eq!(world.handle(&good).await.unwrap().superseded, 1);
    assert_eq!(clean(&world), before);
    let mended = world.upload(KEY, SECOND, "03").await;
    world.handle(&mended).await.unwrap();
    assert_exact(&world).await;
}
