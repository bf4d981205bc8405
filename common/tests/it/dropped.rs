//! A writer dropped at any await: the whole object or nothing, and no upload left open.

use std::future::{Future, poll_fn};
use std::sync::Arc;
use std::task::Poll;

use common::store::{Condition, MemoryStore, StoreError};
use common::write::{Finished, ObjectWriter, WritePlan};

use crate::objects::{BUCKET, bytes, new};
use crate::probe::Probe;
use crate::write::{MIB, plan};

/// Polls a future so often and drops it.
async fn poll_times<F: Future>(future: F, mut polls: u32) -> Option<F::Output> {
    let mut future = Box::pin(future);
    poll_fn(|cx| {
        if polls == 0 {
            return Poll::Ready(None);
        }
        polls -= 1;
        future.as_mut().poll(cx).map(Some)
    })
    .await
}

/// Lets the tasks that a dropped writer left behind come to their end: nothing here waits for time or a network.
async fn settle() {
    for _ in 0..200 {
        tokio::task::yield_now().await;
    }
}

fn writer(store: &Arc<Probe>) -> ObjectWriter {
    let plan = WritePlan { in_flight: 1, ..plan() };
    ObjectWriter::new(store.clone(), new("out"), plan)
}

async fn write(store: &Arc<Probe>, content: bytes::Bytes) -> Result<Finished, StoreError> {
    let mut writer = writer(store);
    writer.write(content).await?;
    writer.finish(&Condition::IfAbsent).await
}

#[tokio::test]
async fn a_write_dropped_at_any_await_leaves_the_whole_or_nothing() {
    for (size, least_polls) in [(100, 3), (5 * MIB + 1, 5), (10 * MIB + 1, 6)] {
        let content = bytes(size);
        for (yields, polls) in [1, 4].into_iter().flat_map(|yields| (0..40).map(move |polls| (yields, polls)))
        {
            let case = format!("{size} bytes, {yields} yields, dropped after {polls} polls");
            let memory = Arc::new(MemoryStore::new());
            // One that lets others go first, so often, before and after each call.
            let store = Probe::hesitant(memory.clone(), yields);
            let finished = poll_times(write(&store, content.clone()), polls).await;
            settle().await;
            assert_eq!(store.parts_at_abort(), 0, "a part that arrives later would stay: {case}");
            assert_eq!(memory.open_uploads(), 0, "{case}");
            let left = memory.content(BUCKET, "out");
            assert!(left.as_ref().is_none_or(|left| *left == content), "{case}");
            assert!(finished.is_some() || polls < 39, "more awaits than were tried: {case}");
            if let Some(finished) = finished {
                assert_eq!(finished.unwrap().size, size as u64);
                assert!(left.is_some() && polls >= least_polls, "{case}");
            }
        }
    }
}

#[tokio::test]
async fn an_abort_dropped_at_any_await_is_carried_out() {
    for polls in 0..10 {
        let memory = Arc::new(MemoryStore::new());
        let store = Probe::hesitant(memory.clone(), 1);
        let mut writer = writer(&store);
        writer.write(bytes(5 * MIB + 1)).await.unwrap();
        assert_eq!(memory.open_uploads(), 1);
        let aborted = poll_times(writer.abort(), polls).await;
        settle().await;
        assert_eq!(store.parts_at_abort(), 0, "dropped after {polls} polls");
        assert_eq!(memory.open_uploads(), 0, "dropped after {polls} polls");
        assert!(aborted.is_none() || polls > 2, "only {polls} polls");
        assert!(aborted.is_some() || polls < 9, "more awaits than were tried");
    }
}
