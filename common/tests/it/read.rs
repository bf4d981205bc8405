//! The ranged reader: in order, bounded, taking up what broke off.

use std::sync::Arc;
use std::time::Duration;

use common::read::{ReadPlan, read_object};
use common::store::{ErrorKind, Fault, FaultyStore, MemoryStore, Operation, Store, StoreError};
use futures::{StreamExt as _, TryStreamExt as _};
use proptest::prelude::*;

use crate::objects::{bytes, object, put};
use crate::probe::Probe;

pub(crate) fn plan(range_bytes: u64, max_in_flight: usize) -> ReadPlan {
    ReadPlan { range_bytes, max_in_flight, backoff: Duration::from_micros(10), ..ReadPlan::default() }
}

pub(crate) async fn read_all(
    store: Arc<dyn Store>,
    etag: &str,
    size: usize,
    plan: ReadPlan,
) -> Result<Vec<u8>, StoreError> {
    let stream = read_object(store, &object("in"), etag, size as u64, plan);
    stream
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend(chunk);
            Ok(all)
        })
        .await
}

async fn faulty(size: usize) -> (Arc<FaultyStore>, String) {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    let etag = put(&store, "in", bytes(size)).await;
    (Arc::new(store), etag)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_ranges_give_the_object(size in 0usize..5000, range in 1u64..700, in_flight in 1usize..5) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (store, etag) = faulty(size).await;
            assert_eq!(read_all(store, &etag, size, plan(range, in_flight)).await.unwrap(), bytes(size));
        });
    }
}

#[tokio::test]
async fn a_body_torn_at_any_point_is_taken_up_there() {
    for at in 0..100 {
        for fault in [Fault::TornAt(at), Fault::ShortAt(at)] {
            let (store, etag) = faulty(300).await;
            store.plan(Operation::Get, fault);
            let read = read_all(store.clone(), &etag, 300, plan(100, 2)).await.unwrap();
            assert_eq!(read, bytes(300), "{fault:?}");
            assert_eq!(store.pending(), 0);
        }
    }
}

#[tokio::test]
async fn a_fault_for_a_while_is_survived_and_one_for_ever_is_told() {
    let (store, etag) = faulty(300).await;
    for _ in 0..5 {
        store.plan(Operation::Get, Fault::Before(ErrorKind::Transient));
    }
    assert_eq!(read_all(store.clone(), &etag, 300, plan(300, 1)).await.unwrap(), bytes(300));
    store.always(Operation::Get, Fault::Before(ErrorKind::Transient));
    assert_eq!(read_all(store, &etag, 300, plan(100, 2)).await.unwrap_err().kind, ErrorKind::Transient);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again() {
    for kind in [ErrorKind::Forbidden, ErrorKind::NotFound, ErrorKind::Precondition, ErrorKind::Permanent] {
        let (store, etag) = faulty(300).await;
        store.plan(Operation::Get, Fault::Before(kind));
        assert_eq!(read_all(store, &etag, 300, plan(300, 1)).await.unwrap_err().kind, kind);
    }
}

#[tokio::test]
async fn progress_resets_the_count_of_failures() {
    let (store, etag) = faulty(300).await;
    store.always(Operation::Get, Fault::TornAt(10));
    assert_eq!(read_all(store, &etag, 300, plan(300, 1)).await.unwrap(), bytes(300));
}

#[tokio::test]
async fn a_changed_object_is_told_apart_from_a_fault() {
    let (store, etag) = faulty(300).await;
    let mut stream = std::pin::pin!(read_object(store.clone(), &object("in"), &etag, 300, plan(100, 1)));
    assert!(stream.next().await.unwrap().is_ok());
    put(&*store, "in", bytes(301)).await;
    let error = stream.try_collect::<Vec<_>>().await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Precondition);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_is_taken_up() {
    let (store, etag) = faulty(300).await;
    store.plan(Operation::Get, Fault::StallAt(100));
    assert_eq!(read_all(store, &etag, 300, plan(300, 1)).await.unwrap(), bytes(300));
}

#[tokio::test]
async fn an_answer_about_another_object_is_refused_even_if_the_store_heeds_no_condition() {
    let (store, etag) = faulty(300).await;
    for (expected, size, found) in [("other", 300, "found ETag"), (&etag, 299, "and 300 bytes")] {
        let error = read_all(Probe::heedless(store.clone()), expected, size, plan(100, 2)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Precondition);
        let expected = format!("get bytes=0-99 of s3://bucket/in: expected ETag {expected} and {size} bytes");
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(error.to_string().contains(found) && error.to_string().contains(&etag), "{error}");
    }
}

#[tokio::test]
async fn more_bytes_than_asked_for_are_refused() {
    let (store, etag) = faulty(300).await;
    let error = read_all(Probe::heedless(store), &etag, 300, plan(100, 2)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Permanent);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_taken_up_on_another_request() {
    for at in [0, 1, 100, 999] {
        let (store, etag) = faulty(1000).await;
        store.plan(Operation::Get, Fault::DripFrom(at));
        let begun = tokio::time::Instant::now();
        assert_eq!(read_all(store.clone(), &etag, 1000, plan(1000, 1)).await.unwrap(), bytes(1000));
        assert!(begun.elapsed() < Duration::from_secs(21), "{at}: {:?}", begun.elapsed());
        assert_eq!(store.pending(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drip_for_ever_ends_in_an_error() {
    let (store, etag) = faulty(1000).await;
    store.always(Operation::Get, Fault::DripFrom(100));
    let begun = tokio::time::Instant::now();
    let error = read_all(store, &etag, 1000, plan(1000, 1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(error.to_string().ends_with("more bytes should have come within 20s"), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(121), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_moves_before_it_drips_is_given_another_chance_each_time() {
    // Each request brings 1 MiB and 20 drops: slow, but seven of them bring the object.
    const SIZE: usize = 7 * 1024 * 1024 + 100;
    let (store, etag) = faulty(SIZE).await;
    store.always(Operation::Get, Fault::DripFrom(1024 * 1024));
    assert_eq!(read_all(store, &etag, SIZE, plan(SIZE as u64, 1)).await.unwrap(), bytes(SIZE));
}
