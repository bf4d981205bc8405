//! Every store does what every store must do.

use std::sync::Arc;

use common::sim::SimServer;
use common::store::{FaultyStore, MemoryStore};

use crate::suite::suite;

#[tokio::test]
async fn memory() {
    suite(&MemoryStore::with_versioned(&["versioned"])).await;
}

#[tokio::test]
async fn faulty_without_faults() {
    suite(&FaultyStore::new(Arc::new(MemoryStore::with_versioned(&["versioned"])))).await;
}

#[tokio::test]
async fn s3_over_http() {
    let server = SimServer::start(Arc::new(MemoryStore::with_versioned(&["versioned"]))).await.unwrap();
    suite(&server.store(1)).await;
}
