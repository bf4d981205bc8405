//! Events as SQS hands them to Lambda, in each way of delivery.

use std::collections::BTreeMap;

use aws_lambda_events::event::sqs::SqsEvent;
use common::contract::{FileEvent, META_SOURCE_VERSION, ObjectRef, catalog_key};
use consumer::Invocation;
use serde_json::Value;

use crate::world::{OUT, World, failures};

const RAW: &str = include_str!("../fixtures/raw.json");
const WRAPPED: &str = include_str!("../fixtures/wrapped.json");
const XRAY: &str = include_str!("../fixtures/xray.json");

/// The output that the fixtures name, and its `ETag` as S3 made it.
const OUTPUT: (&str, &[u8]) = ("clean/orders/2026 11+ä.csv", b"id,name\n1,Ada\n");
const S3_ETAG: &str = "6c1abef29d8c78fb8e696f94546a3918";
/// Of the input.
const SOURCE_VERSION: &str = "3HL4kqtJlcpXroDTDmJ";

/// Delivers a fixture into the world that it tells of, and gives the entry that comes of it.
async fn catalogued(fixture: &str, body_in: &str) -> Value {
    let world = World::default();
    let metadata = BTreeMap::from([(META_SOURCE_VERSION.to_owned(), SOURCE_VERSION.to_owned())]);
    let etag = world.write(&ObjectRef::new(OUT, OUTPUT.0), OUTPUT.1.to_vec(), metadata).await;
    let batch: SqsEvent = serde_json::from_str(&fixture.replace(S3_ETAG, &etag)).unwrap();
    let mut body = batch.records[0].body.clone().unwrap();
    if !body_in.is_empty() {
        let envelope: Value = serde_json::from_str(&body).unwrap();
        body = envelope[body_in].as_str().unwrap().to_owned();
    }
    let event = FileEvent::parse(&body).unwrap();
    world.commit(&event.data.receipt).await;
    let response = world.consumer().handle(batch, &Invocation::default()).await.unwrap();
    assert!(failures(&response).is_empty());
    let entry = world.store.content(OUT, &catalog_key(&event.id, event.time)).unwrap();
    serde_json::from_slice(&entry).unwrap()
}

#[tokio::test]
async fn raw_delivery_is_read() {
    let entry = catalogued(RAW, "").await;
    assert_eq!(entry["status"], "processed");
    assert_eq!(entry["source_key"], "orders/2026 11+ä.csv");
    assert_eq!(entry["trace_id"], "6741d1a0b34da6a3ce929d0e0e473600");
}

#[tokio::test]
async fn wrapped_delivery_is_read() {
    let entry = catalogued(WRAPPED, "Message").await;
    assert_eq!(entry["status"], "processed");
    assert_eq!(entry["trace_id"], "6741d1a0b34da6a3ce929d0e0e473600");
}

#[tokio::test]
async fn without_a_context_of_its_own_xrays_is_taken() {
    let entry = catalogued(XRAY, "").await;
    assert_eq!(entry["status"], "processed");
    assert_eq!(entry["trace_id"], "5759e988bd862e3fe1be46a994272793");
}
