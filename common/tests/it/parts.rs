//! How many bytes a writer holds, and the largest object that it writes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::sim::ComputedStore;
use common::store::{Condition, ErrorKind, Store as _};
use common::write::{ObjectWriter, WritePlan};

use crate::objects::{new, object};
use crate::probe::Probe;

/// S3's smallest part does not matter to this store, so ten thousand parts are quickly written.
const PLAN: WritePlan =
    WritePlan { part_bytes: 100, max_part_bytes: 1600, in_flight: 2, retries: 0, backoff: Duration::ZERO };

/// The bytes of the part that byte number `size` lies in: 8,000 of the first size, then twice as much every 250.
fn part_bytes(size: u64) -> u64 {
    let mut end = 8_000 * PLAN.part_bytes;
    let mut bytes = PLAN.part_bytes;
    while size > end {
        bytes = (2 * bytes).min(PLAN.max_part_bytes);
        end += 250 * bytes;
    }
    bytes
}

#[tokio::test(start_paused = true)]
async fn bytes_in_memory_are_bounded_while_parts_grow_to_the_largest_object() {
    for latency in [0, 10] {
        let store = Probe::slow(Arc::new(ComputedStore::default()), Duration::from_millis(latency));
        let mut writer = ObjectWriter::new(store.clone(), new("out"), PLAN);
        let max = PLAN.max_object_bytes();
        let chunk = Bytes::from_static(&[b'x'; 64]);
        while writer.size() < max {
            let rest = usize::try_from((max - writer.size()).min(64)).unwrap();
            writer.write(chunk.slice(..rest)).await.unwrap();
            let (size, held) = (writer.size(), writer.size() - store.released());
            let bound = (3 * PLAN.part_bytes).max(2 * part_bytes(size));
            assert!(held <= bound, "{held} bytes are held at {size}, more than {bound}");
            if size == 8_000 * PLAN.part_bytes {
                assert!(store.most_parts() <= 2);
                assert_eq!(store.places(), 3, "as many buffers as the plan has parts in memory");
            }
        }
        assert!(store.places() <= 2 * 1600 / 100, "{} buffers were used", store.places());
        let error = writer.write(chunk.slice(..1)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::TooLarge);
        assert_eq!(error.to_string(), format!("write s3://bucket/out: it would be larger than {max} bytes"));
        let finished = writer.finish(&Condition::Always).await.unwrap();
        assert_eq!((finished.size, finished.parts), (max, 10_000));
        let meta = store.head(&object("out")).await.unwrap().unwrap();
        assert_eq!((meta.size, meta.checksum_crc64nvme), (max, Some(finished.checksum_crc64nvme)));
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_parts_as_planned_are_on_their_way_at_once() {
    for in_flight in [1, 2, 5] {
        let store = Probe::slow(Arc::new(ComputedStore::default()), Duration::from_millis(10));
        let plan = WritePlan { in_flight, ..PLAN };
        let mut writer = ObjectWriter::new(store.clone(), new("out"), plan);
        for _ in 0..100 {
            writer.write(Bytes::from_static(&[b'x'; 100])).await.unwrap();
        }
        assert_eq!((store.most_parts(), store.places()), (in_flight, in_flight + 1));
        writer.abort().await.unwrap();
    }
}
