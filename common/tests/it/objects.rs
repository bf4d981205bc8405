//! Objects for the tests.

use std::collections::BTreeMap;

use bytes::Bytes;
use common::contract::ObjectRef;
use common::store::{Condition, NewObject, Payload, Store};

pub(crate) const BUCKET: &str = "bucket";

pub(crate) fn object(key: &str) -> ObjectRef {
    ObjectRef::new(BUCKET, key)
}

pub(crate) fn new(key: &str) -> NewObject {
    let metadata = BTreeMap::from([("penstock-event-id".to_owned(), "e1".to_owned())]);
    NewObject { object: object(key), content_type: "text/csv", metadata }
}

/// Bytes that differ at every offset, as far as a byte can.
pub(crate) fn bytes(length: usize) -> Bytes {
    let period: Vec<u8> = (0..251).collect();
    let mut bytes = period.repeat(length.div_ceil(period.len()));
    bytes.truncate(length);
    bytes.into()
}

pub(crate) async fn put(store: &dyn Store, key: &str, content: impl Into<Bytes>) -> String {
    store.put(&new(key), Payload::new(content.into()), &Condition::Always).await.unwrap().etag
}
