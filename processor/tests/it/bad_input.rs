//! Files that can never succeed, and files that went away.

use common::contract::{Status, failure_receipt_key};
use common::store::{ErrorKind, Fault, Operation};
use processor::handler::Answer;

use crate::world::{CSV, IN, KEY, OUT, World, gzip, large};

#[tokio::test]
async fn a_damaged_gzip_fails_with_its_place_and_leaves_nothing_clean() {
    let world = World::new().await;
    let whole = gzip(CSV);
    let cut = &whole[..whole.len() - 9];
    let event = world.upload(KEY, cut, "01").await;
    assert_eq!(world.handle(&event).await.unwrap(), Answer { failed: 1, ..Answer::default() });

    let receipt = world.receipt(KEY).unwrap();
    let error = receipt.error.as_ref().unwrap();
    assert_eq!((receipt.status, error.code.as_str()), (Status::Failed, "truncated_gzip"));
    assert_eq!(error.byte_offset, Some(cut.len() as u64));
    assert!(world.memory.keys(OUT, "clean/").is_empty());
    assert!(world.memory.keys(OUT, "rejects/").is_empty());
    let [event] = &world.events()[..] else { panic!() };
    assert_eq!(event.event_type, "penstock.file.failed");
    assert_eq!(event.id, receipt.event_id);
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn what_is_no_csv_fails_with_its_own_code() {
    let world = World::new().await;
    for (content, code) in [
        (&b"7z\xbc\xaf\x27\x1c\0\x04"[..], "unsupported_format"),
        (b"\xff\xfe\0\0a\0\0\0", "unsupported_encoding"),
        (b"GIF89a\x00\x01", "not_csv"),
    ] {
        let event = world.upload(code, content, "01").await;
        assert_eq!(world.handle(&event).await.unwrap().failed, 1);
        assert_eq!(world.receipt(code).unwrap().error.unwrap().code, code);
    }
}

#[tokio::test]
async fn a_failure_told_again_is_the_same() {
    let world = World::new().await;
    let event = world.upload(KEY, b"\xff\xfe\0\0a\0\0\0", "01").await;
    world.handle(&event).await.unwrap();
    let receipt = world.receipt(KEY).unwrap();
    assert_eq!(world.handle(&event).await.unwrap().republished, 1);
    assert_eq!(world.receipt(KEY).unwrap(), receipt);
    let events = world.events();
    assert_eq!((events.len(), &events[0]), (2, &events[1]));
}

#[tokio::test]
async fn a_mended_file_replaces_its_failure() {
    let world = World::new().await;
    let broken = world.upload(KEY, b"\xff\xfe\0\0a\0\0\0", "01").await;
    world.handle(&broken).await.unwrap();
    let mended = world.upload(KEY, CSV, "02").await;
    assert_eq!(world.handle(&mended).await.unwrap().processed, 1);
    assert_eq!(world.receipt(KEY).unwrap().status, Status::Processed);
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn a_key_without_room_fails_with_its_own_code() {
    let world = World::new().await;
    let key = "k".repeat(1020);
    let event = world.upload(&key, CSV, "01").await;
    assert_eq!(world.handle(&event).await.unwrap().failed, 1);
    let receipt = world.read(&failure_receipt_key(&key)).unwrap();
    let receipt: common::contract::Receipt = serde_json::from_slice(&receipt).unwrap();
    assert_eq!(receipt.error.unwrap().code, "key_too_long");
    assert_eq!(world.events()[0].data.receipt_object.key, failure_receipt_key(&key));
}

#[tokio::test]
async fn a_file_that_went_or_changed_before_it_was_read_is_superseded() {
    let superseded = Answer { superseded: 1, ..Answer::default() };
    let world = World::new().await;
    let event = world.upload(KEY, CSV, "01").await;
    world.upload(KEY, b"id\n1\n", "02").await;
    assert_eq!(world.handle(&event).await.unwrap(), superseded);
    world.memory.remove(IN, KEY);
    assert_eq!(world.handle(&event).await.unwrap(), superseded);
    assert!(world.memory.keys(OUT, "").is_empty());
    assert!(world.events().is_empty());
}

#[tokio::test]
async fn a_file_that_goes_or_changes_while_it_is_read_is_superseded() {
    // The first GET is the receipt's, the second the file's.
    for kind in [ErrorKind::NotFound, ErrorKind::Precondition] {
        let world = World::new().await;
        let event = world.upload(KEY, CSV, "01").await;
        world.s3.plan(Operation::Get, Fault::Before(ErrorKind::NotFound));
        world.s3.plan(Operation::Get, Fault::Before(kind));
        assert_eq!(world.handle(&event).await.unwrap().superseded, 1);
        assert!(world.memory.keys(OUT, "").is_empty());
        world.assert_whole(KEY).await;
    }
}

#[tokio::test]
async fn an_older_version_is_still_read_by_its_id() {
    let world = World::versioned().await;
    let event = world.upload(KEY, CSV, "01").await;
    world.upload(KEY, b"id\n1\n", "02").await;
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    assert_eq!(world.receipt(KEY).unwrap().counts.rows_in, 3);
}

#[tokio::test]
async fn a_refused_bucket_is_an_error_not_an_absence() {
    let world = World::new().await;
    let event = world.upload(KEY, CSV, "01").await;
    for operation in [Operation::Head, Operation::Get] {
        world.s3.plan(operation, Fault::Before(ErrorKind::Forbidden));
        assert!(world.handle(&event).await.is_err());
    }
    assert!(world.memory.keys(OUT, "").is_empty());
}

#[tokio::test]
async fn a_file_whose_output_cannot_fit_fails_at_once_or_when_that_shows() {
    let csv = [&b"id\n"[..], &b"1\n".repeat(10_000)].concat();
    // Ten thousand parts of a byte: more than the input has, if that is compressed, but not the output.
    for (content, reads) in [(csv.clone(), 0), (gzip(&csv), 1)] {
        let mut world = World::new().await;
        world.processor.write.part_bytes = 1;
        world.processor.write.max_part_bytes = 1;
        world.processor.options.output_compression = Some(engine::Compression::None);
        assert_eq!(u64::try_from(content.len()).unwrap() > 10_000, reads == 0);
        let event = world.upload(KEY, &content, "01").await;
        assert_eq!(world.handle(&event).await.unwrap().failed, 1);
        let error = world.receipt(KEY).unwrap().error.unwrap();
        assert_eq!(error.code, "too_large");
        assert!(error.message.contains("more than 10000, the most that can be written"), "{}", error.message);
        assert!(world.memory.keys(OUT, "clean/").is_empty());
        world.assert_whole(KEY).await;
    }
}

#[tokio::test]
async fn a_bomb_fails_with_its_own_code() {
    let mut world = World::new().await;
    world.processor.options.inflate.max_text_bytes = 10_000;
    let event = world.upload(KEY, &gzip(&large(20_000)), "01").await;
    assert_eq!(world.handle(&event).await.unwrap().failed, 1);
    assert_eq!(world.receipt(KEY).unwrap().error.unwrap().code, "decompressed_too_large");
    world.assert_whole(KEY).await;
}
