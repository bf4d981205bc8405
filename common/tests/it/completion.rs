//! A completion happens once, whatever became of its answer.

use common::store::{Condition, ErrorKind, Fault, NewObject, Operation, Payload, Store as _};
use common::write::Finished;

use crate::objects::{BUCKET, bytes, new, object, put};
use crate::write::{Bench, MIB};

/// A size for each way to write, with the request that makes the object visible, and how many parts there are.
const WAYS: [(usize, Operation, u32); 2] =
    [(100, Operation::Put, 0), (5 * MIB + 1, Operation::CompleteUpload, 2)];

async fn is_whole(bench: &Bench, finished: &Finished, size: usize) {
    let meta = bench.memory.head(&object("out")).await.unwrap().unwrap();
    assert_eq!(finished.etag, meta.etag);
    assert_eq!((finished.size, meta.size), (size as u64, size as u64));
    assert_eq!(Some(&finished.checksum_crc64nvme), meta.checksum_crc64nvme.as_ref());
    assert!(bench.memory.content(BUCKET, "out").unwrap() == bytes(size));
    assert_eq!(bench.settled().await, 0);
}

/// The condition of a write to a place where nothing is, or something else.
async fn condition(bench: &Bench, replacing: bool) -> Condition {
    if replacing {
        Condition::IfMatch(put(&*bench.memory, "out", bytes(10)).await)
    } else {
        Condition::IfAbsent
    }
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_recognised_whatever_the_repeat_is_told() {
    let told = [ErrorKind::NotFound, ErrorKind::Precondition, ErrorKind::Conflict];
    for (size, operation, parts) in WAYS {
        for replacing in [false, true] {
            for told in [None].into_iter().chain(told.map(Some)) {
                let bench = Bench::new();
                let condition = condition(&bench, replacing).await;
                bench.faulty.plan(operation, Fault::After(ErrorKind::Transient));
                if let Some(kind) = told {
                    bench.faulty.plan(operation, Fault::Before(kind));
                }
                let mut writer = bench.writer();
                writer.write(bytes(size)).await.unwrap();
                let finished = writer.finish(&condition).await.unwrap();
                assert_eq!((bench.faulty.pending(), finished.parts), (0, parts));
                is_whole(&bench, &finished, size).await;
            }
        }
    }
}

#[tokio::test]
async fn a_repeat_that_the_client_below_made_is_recognised_too() {
    for (size, operation, _) in WAYS {
        for kind in [ErrorKind::NotFound, ErrorKind::Precondition] {
            let bench = Bench::new();
            bench.faulty.plan(operation, Fault::After(kind));
            let mut writer = bench.writer();
            writer.write(bytes(size)).await.unwrap();
            let finished = writer.finish(&Condition::IfAbsent).await.unwrap();
            is_whole(&bench, &finished, size).await;
        }
    }
}

#[tokio::test]
async fn a_completion_whose_answers_are_lost_for_ever_is_found_at_last() {
    for (size, operation, _) in WAYS {
        let bench = Bench::new();
        bench.faulty.always(operation, Fault::After(ErrorKind::Transient));
        let mut writer = bench.writer();
        writer.write(bytes(size)).await.unwrap();
        let finished = writer.finish(&Condition::IfAbsent).await.unwrap();
        is_whole(&bench, &finished, size).await;
    }
}

#[tokio::test]
async fn a_twins_object_is_as_good_as_ours_and_our_upload_is_given_up() {
    for (size, _, _) in WAYS {
        let bench = Bench::new();
        let theirs = put(&*bench.memory, "out", bytes(size)).await;
        let mut writer = bench.writer();
        writer.write(bytes(size)).await.unwrap();
        let finished = writer.finish(&Condition::IfAbsent).await.unwrap();
        assert_eq!(finished.etag, theirs);
        assert_eq!(bench.memory.open_uploads(), 0);
    }
}

#[tokio::test]
async fn an_object_that_differs_in_anything_is_not_ours() {
    for (size, operation, _) in WAYS {
        let mut other_bytes = bytes(size).to_vec();
        other_bytes[size / 2] ^= 1;
        let mut other_event = new("out");
        other_event.metadata.insert("penstock-event-id".into(), "e2".into());
        let theirs: [(NewObject, Vec<u8>); 3] =
            [(new("out"), other_bytes), (other_event, bytes(size).to_vec()), (new("out"), bytes(1).to_vec())];
        for (their_new, their_bytes) in theirs {
            let bench = Bench::new();
            // Ours fails for the moment, and before it is repeated theirs is there.
            bench.faulty.plan(operation, Fault::Before(ErrorKind::Transient));
            let mut writer = bench.writer();
            writer.write(bytes(size)).await.unwrap();
            let payload = Payload::new(their_bytes.into());
            let written = bench.memory.put(&their_new, payload, &Condition::Always).await.unwrap();
            let refused = writer.finish(&Condition::IfAbsent).await.unwrap_err();
            assert_eq!(refused.kind, ErrorKind::Precondition);
            assert_eq!(bench.memory.head(&object("out")).await.unwrap().unwrap().etag, written.etag);
            let finished = writer.finish(&Condition::IfMatch(written.etag)).await.unwrap();
            is_whole(&bench, &finished, size).await;
        }
    }
}

#[tokio::test]
async fn a_look_that_fails_leaves_the_refusal_as_the_error_told() {
    for (size, operation, _) in WAYS {
        let bench = Bench::new();
        bench.faulty.plan(operation, Fault::After(ErrorKind::Transient));
        bench.faulty.plan(operation, Fault::Before(ErrorKind::Precondition));
        bench.faulty.always(Operation::Head, Fault::Before(ErrorKind::Transient));
        let mut writer = bench.writer();
        writer.write(bytes(size)).await.unwrap();
        let error = writer.finish(&Condition::IfAbsent).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Precondition);
        drop(writer);
        assert_eq!(bench.settled().await, 0);
    }
}

#[tokio::test]
async fn what_was_finished_is_not_finished_twice() {
    for (size, _, _) in WAYS {
        let bench = Bench::new();
        let mut writer = bench.writer();
        writer.write(bytes(size)).await.unwrap();
        let finished = writer.finish(&Condition::IfAbsent).await.unwrap();
        let error = writer.finish(&Condition::Always).await.unwrap_err();
        assert_eq!(error.to_string(), "write s3://bucket/out: it is closed");
        is_whole(&bench, &finished, size).await;
    }
}
