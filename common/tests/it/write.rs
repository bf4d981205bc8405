//! The multipart writer: whole or nothing.

use std::sync::Arc;
use std::time::Duration;

use common::store::{Condition, ErrorKind, Fault, FaultyStore, MemoryStore, Operation, Payload, Store};
use common::write::{ObjectWriter, WritePlan};
use proptest::prelude::*;

use crate::objects::{BUCKET, bytes, new, put};

pub(crate) const MIB: usize = 1024 * 1024;

pub(crate) fn plan() -> WritePlan {
    WritePlan {
        part_bytes: 5 * MIB as u64,
        max_part_bytes: 5 * MIB as u64,
        in_flight: 2,
        backoff: Duration::from_micros(10),
        ..WritePlan::default()
    }
}

pub(crate) struct Bench {
    pub(crate) memory: Arc<MemoryStore>,
    pub(crate) faulty: Arc<FaultyStore>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let memory = Arc::new(MemoryStore::new());
        Self { faulty: Arc::new(FaultyStore::new(memory.clone())), memory }
    }

    pub(crate) fn writer(&self) -> ObjectWriter {
        ObjectWriter::new(self.faulty.clone(), new("out"), plan())
    }

    /// Uploads still open when what a dropped writer left running has had its time.
    pub(crate) async fn settled(&self) -> usize {
        // The abort of a dropped writer runs on its own.
        for _ in 0..100 {
            if self.memory.open_uploads() == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.memory.open_uploads()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_parts_give_the_object(size in 0usize..12 * MIB, chunk in 1usize..3 * MIB) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            let (bench, content) = (Bench::new(), bytes(size));
            let mut writer = bench.writer();
            for at in (0..size).step_by(chunk) {
                writer.write(content.slice(at..size.min(at + chunk))).await.unwrap();
            }
            let finished = writer.finish(&Condition::IfAbsent).await.unwrap();
            assert_eq!(bench.memory.content(BUCKET, "out").unwrap(), content);
            assert_eq!(finished.size, size as u64);
            assert_eq!(finished.checksum_crc64nvme, Payload::new(content).checksum());
            let parts = if size <= 5 * MIB { 0 } else { size.div_ceil(5 * MIB) };
            assert_eq!(finished.parts as usize, parts);
        });
    }
}

#[tokio::test]
async fn nothing_is_visible_before_the_end_and_a_dropped_writer_leaves_nothing() {
    let bench = Bench::new();
    let mut writer = bench.writer();
    writer.write(bytes(11 * MIB)).await.unwrap();
    assert_eq!(bench.memory.open_uploads(), 1);
    assert!(bench.memory.keys(BUCKET, "").is_empty());
    drop(writer);
    assert_eq!(bench.settled().await, 0);
    assert!(bench.memory.keys(BUCKET, "").is_empty());
}

#[tokio::test]
async fn requests_that_fail_for_a_while_are_made_again() {
    let content = bytes(6 * MIB);
    for operation in [Operation::CreateUpload, Operation::UploadPart, Operation::CompleteUpload] {
        let bench = Bench::new();
        for _ in 0..5 {
            bench.faulty.plan(operation, Fault::Before(ErrorKind::Transient));
        }
        let mut writer = bench.writer();
        writer.write(content.clone()).await.unwrap();
        writer.finish(&Condition::IfAbsent).await.unwrap();
        assert_eq!(bench.faulty.pending(), 0, "{operation:?}");
        assert!(bench.memory.content(BUCKET, "out").unwrap() == content, "{operation:?}");
    }
    // A part that was taken is sent again when its answer was lost.
    let bench = Bench::new();
    bench.faulty.plan(Operation::UploadPart, Fault::After(ErrorKind::Transient));
    let mut writer = bench.writer();
    writer.write(content.clone()).await.unwrap();
    assert_eq!(writer.finish(&Condition::IfAbsent).await.unwrap().parts, 2);
    assert!(bench.memory.content(BUCKET, "out").unwrap() == content);
}

#[tokio::test]
async fn requests_that_fail_for_ever_are_the_error_told_and_leave_nothing() {
    for operation in [Operation::CreateUpload, Operation::UploadPart, Operation::CompleteUpload] {
        for (kind, calls) in [(ErrorKind::Transient, 6), (ErrorKind::Forbidden, 1)] {
            let bench = Bench::new();
            // One more than are made, so that one is left.
            for _ in 0..=calls {
                bench.faulty.plan(operation, Fault::Before(kind));
            }
            let mut writer =
                ObjectWriter::new(bench.faulty.clone(), new("out"), WritePlan { in_flight: 1, ..plan() });
            let written = match writer.write(bytes(5 * MIB + 1)).await {
                Ok(()) => writer.finish(&Condition::IfAbsent).await.map(|_| ()),
                Err(error) => Err(error),
            };
            let error = written.unwrap_err();
            assert_eq!((error.kind, bench.faulty.pending()), (kind, 1), "{operation:?}");
            drop(writer);
            assert_eq!(bench.settled().await, 0, "{operation:?}");
            assert!(bench.memory.keys(BUCKET, "").is_empty(), "{operation:?}");
        }
    }
}

#[tokio::test]
async fn an_object_of_which_a_part_is_missing_is_never_completed() {
    let bench = Bench::new();
    bench.faulty.plan(Operation::UploadPart, Fault::Before(ErrorKind::Forbidden));
    let mut writer = bench.writer();
    writer.write(bytes(6 * MIB)).await.unwrap();
    assert_eq!(writer.finish(&Condition::Always).await.unwrap_err().kind, ErrorKind::Forbidden);
    let again = writer.finish(&Condition::Always).await.unwrap_err();
    assert_eq!(again.to_string(), "complete an upload of which a part is missing");
    assert!(bench.memory.keys(BUCKET, "").is_empty());
}

#[tokio::test]
async fn a_part_that_fails_is_the_error_told_even_if_the_abort_fails_too() {
    let bench = Bench::new();
    bench.faulty.always(Operation::UploadPart, Fault::Before(ErrorKind::Forbidden));
    bench.faulty.always(Operation::AbortUpload, Fault::Before(ErrorKind::Transient));
    let mut writer = bench.writer();
    writer.write(bytes(6 * MIB)).await.unwrap();
    let error = writer.finish(&Condition::Always).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden);
    assert!(bench.memory.keys(BUCKET, "").is_empty());
}

#[tokio::test]
async fn a_refused_completion_can_be_tried_under_another_condition() {
    let bench = Bench::new();
    let theirs = put(&*bench.memory, "out", bytes(10)).await;
    for size in [100, 6 * MIB] {
        let mut writer = bench.writer();
        writer.write(bytes(size)).await.unwrap();
        assert_eq!(writer.finish(&Condition::IfAbsent).await.unwrap_err().kind, ErrorKind::Precondition);
        let condition =
            Condition::IfMatch(bench.memory.head(&new("out").object).await.unwrap().unwrap().etag);
        assert_ne!(writer.finish(&condition).await.unwrap().etag, theirs);
        assert_eq!(bench.memory.content(BUCKET, "out").unwrap().len(), size);
    }
    assert_eq!(bench.settled().await, 0);
}

#[tokio::test]
async fn an_abort_frees_the_parts() {
    let bench = Bench::new();
    let mut writer = bench.writer();
    writer.write(bytes(6 * MIB)).await.unwrap();
    writer.abort().await.unwrap();
    assert_eq!(bench.memory.open_uploads(), 0);
}

#[tokio::test]
async fn an_abort_is_tried_again_a_little() {
    for (failing, left) in [(2, 0), (3, 1)] {
        let bench = Bench::new();
        for _ in 0..failing {
            bench.faulty.plan(Operation::AbortUpload, Fault::Before(ErrorKind::Transient));
        }
        let mut writer = bench.writer();
        writer.write(bytes(6 * MIB)).await.unwrap();
        assert_eq!(writer.abort().await.is_ok(), left == 0);
        assert_eq!((bench.memory.open_uploads(), bench.faulty.pending()), (left, 0));
    }
}
