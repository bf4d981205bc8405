//! The multipart writer: whole or nothing.

use std::sync::Arc;
use std::time::Duration;

use common::store::{Condition, ErrorKind, Fault, FaultyStore, MemoryStore, Operation, Payload, Store};
use common::write::{ObjectWriter, WritePlan};
use proptest::prelude::*;

use crate::objects::{BUCKET, bytes, new, put};

const MIB: usize = 1024 * 1024;

fn plan() -> WritePlan {
    WritePlan { part_bytes: 5 * MIB as u64, max_part_bytes: 5 * MIB as u64, in_flight: 2 }
}

struct Bench {
    memory: Arc<MemoryStore>,
    faulty: Arc<FaultyStore>,
}

impl Bench {
    fn new() -> Self {
        let memory = Arc::new(MemoryStore::new());
        Self { faulty: Arc::new(FaultyStore::new(memory.clone())), memory }
    }

    fn writer(&self) -> ObjectWriter {
        ObjectWriter::new(self.faulty.clone(), new("out"), plan())
    }

    async fn settled(&self) -> usize {
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

#[test]
fn parts_grow_so_that_ten_thousand_suffice() {
    let small = WritePlan { part_bytes: 8 << 20, max_part_bytes: 8 << 20, in_flight: 2 };
    assert_eq!(small.max_object_bytes(), 10_000 * (8 << 20));
    let growing = WritePlan { max_part_bytes: 64 << 20, ..small };
    assert!(growing.max_object_bytes() > 400 << 30);
}
