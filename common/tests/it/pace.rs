//! How the reader follows its consumer, and what it holds meanwhile.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::read::read_object;
use common::store::{MemoryStore, Store, StoreError};
use futures::{Stream, StreamExt as _};

use crate::objects::{bytes, object, put};
use crate::probe::Probe;
use crate::read::plan;

const RANGE: usize = 1000;

async fn slow_store(ranges: usize) -> (Arc<Probe>, String) {
    let probe = Probe::slow(Arc::new(MemoryStore::new()), Duration::from_millis(100));
    let etag = put(&*probe, "in", bytes(ranges * RANGE)).await;
    (probe, etag)
}

fn stream(
    store: &Arc<Probe>,
    etag: &str,
    ranges: usize,
    max_in_flight: usize,
) -> impl Stream<Item = Result<Bytes, StoreError>> + use<> {
    let store: Arc<dyn Store> = store.clone();
    let (size, plan) = ((ranges * RANGE) as u64, plan(RANGE as u64, max_in_flight));
    read_object(store, &object("in"), etag, size, plan)
}

#[tokio::test(start_paused = true)]
async fn a_fast_consumer_gets_more_ranges_at_once_and_a_slow_one_fewer() {
    let (store, etag) = slow_store(200).await;
    let mut stream = std::pin::pin!(stream(&store, &etag, 200, 5));
    stream.next().await.unwrap().unwrap();
    assert_eq!(store.most_gets(), 2, "it begins with two");
    for _ in 0..40 {
        stream.next().await.unwrap().unwrap();
    }
    assert_eq!(store.most_gets(), 5, "it grows up to the plan");
    // Each step down takes eight ranges that were there in time.
    let mut consumed = 41 * RANGE as u64;
    for ahead in [5, 4, 3, 2, 1, 1] {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((store.served() - consumed) / RANGE as u64, ahead, "ranges that wait for the consumer");
        for _ in 0..8 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            consumed += stream.next().await.unwrap().unwrap().len() as u64;
        }
    }
    for _ in 0..40 {
        stream.next().await.unwrap().unwrap();
    }
    assert_eq!(store.most_gets(), 5, "it grows again");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_plan_is_fetched_ahead_of_the_consumer() {
    for pause in [0, 10, 99, 101, 1000] {
        let (store, etag) = slow_store(60).await;
        let mut stream = std::pin::pin!(stream(&store, &etag, 60, 4));
        let mut consumed = 0;
        while let Some(chunk) = stream.next().await {
            tokio::time::sleep(Duration::from_millis(pause)).await;
            let held = store.served() - consumed;
            assert!(held <= 5 * RANGE as u64, "{held} bytes held with pauses of {pause} ms");
            consumed += chunk.unwrap().len() as u64;
        }
        assert_eq!(consumed, 60 * RANGE as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn the_memory_used_is_the_same_whatever_the_timing() {
    for pause in [0, 99, 1000] {
        for ranges in [6, 60] {
            let (store, etag) = slow_store(ranges).await;
            let mut stream = std::pin::pin!(stream(&store, &etag, ranges, 4));
            let mut places = BTreeSet::new();
            while let Some(chunk) = stream.next().await {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                places.insert(chunk.unwrap().as_ptr() as usize);
            }
            assert_eq!(places.len(), 5, "{ranges} ranges, with pauses of {pause} ms");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_leaves_no_request() {
    let (store, etag) = slow_store(10).await;
    {
        let mut stream = std::pin::pin!(stream(&store, &etag, 10, 4));
        stream.next().await.unwrap().unwrap();
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    // The first two, and those begun when the first was there.
    assert!(store.served() <= 2 * RANGE as u64, "{} bytes came", store.served());
}
