//! What happens on the wire, seen through the real client.

use std::sync::Arc;

use common::sim::SimServer;
use common::store::{ErrorKind, Fault, FaultyStore, MemoryStore, Operation};

use crate::objects::{bytes, put};
use crate::proxy::{Proxy, Trick};
use crate::read::{plan, read_all};

const KIB: usize = 1024;

#[tokio::test]
async fn connections_reset_in_the_middle_of_an_answer_are_survived() {
    let content = bytes(1000 * KIB);
    let memory = Arc::new(MemoryStore::new());
    let etag = put(&*memory, "in", content.clone()).await;
    // Before the answer, in its head, in its body, and in a later answer on the same connection.
    for after in [0, 1, 100, 500, 1000, 30 * KIB, 200 * KIB, 256 * KIB, 300 * KIB, 600 * KIB] {
        let server = SimServer::start(memory.clone()).await.unwrap();
        let proxy = Proxy::before(server, vec![Trick::ResetAfter(after); 4]).await;
        let store = Arc::new(proxy.store(1));
        let read = read_all(store, &etag, content.len(), plan(256 * KIB as u64, 2)).await.unwrap();
        assert!(read == content, "reset after {after} bytes");
        assert!(proxy.pending() < 4, "reset after {after} bytes");
    }
}

#[tokio::test]
async fn connections_that_are_reset_for_ever_end_in_an_error() {
    let memory = Arc::new(MemoryStore::new());
    let etag = put(&*memory, "in", bytes(1000)).await;
    let server = SimServer::start(memory).await.unwrap();
    let proxy = Proxy::before(server, vec![Trick::ResetAfter(100); 50]).await;
    let error = read_all(Arc::new(proxy.store(1)), &etag, 1000, plan(1000, 1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    let chain = common::telemetry::chain(&error);
    assert!(chain.contains("reset by peer"), "{chain}");
}

#[tokio::test]
async fn s3_asking_to_slow_down_is_obeyed_for_a_while_and_told_if_it_never_ends() {
    let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let etag = put(&*faulty, "in", bytes(300)).await;
    let server = SimServer::start(faulty.clone()).await.unwrap();
    for _ in 0..5 {
        faulty.plan(Operation::Get, Fault::Before(ErrorKind::Transient));
    }
    let store = Arc::new(server.store(1));
    assert_eq!(read_all(store.clone(), &etag, 300, plan(300, 1)).await.unwrap(), bytes(300));
    assert_eq!(faulty.pending(), 0);
    faulty.always(Operation::Get, Fault::Before(ErrorKind::Transient));
    let error = read_all(store, &etag, 300, plan(100, 2)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(common::telemetry::chain(&error).contains("SlowDown"), "{}", common::telemetry::chain(&error));
}
