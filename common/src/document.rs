//! Small JSON objects, read and written whole: receipts, claims, catalogue entries.

use futures::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::contract::{ObjectRef, json_fault};
use crate::store::{Condition, ErrorKind, NewObject, Payload, Store, StoreError, Written};

/// The largest document that is read: far above any receipt. Ten messages at once, each with one of this size in
/// memory and parsed, fit into the consumer's 256 MiB.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A document, and which of its versions.
#[derive(Debug, Clone, PartialEq)]
pub struct Document<T> {
    /// What it says.
    pub value: T,
    /// Without quotes.
    pub etag: String,
}

/// Why a document could not be read.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What lies there is not the document it should be.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}

/// An object that is not the document it should be.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Larger than a document may be.
    #[error("{object} has {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// The object.
        object: ObjectRef,
        /// Its bytes.
        size: u64,
        /// The most that are read.
        limit: u64,
    },
    /// Not JSON, or not of the shape that is expected.
    #[error("{object} is malformed: {place}")]
    Malformed {
        /// The object.
        object: ObjectRef,
        /// Where.
        place: String,
    },
}

/// Reads a document; nothing if there is none.
pub async fn read<T: DeserializeOwned>(
    store: &dyn Store,
    object: &ObjectRef,
) -> Result<Option<Document<T>>, DocumentError> {
    let mut body = match store.get(object, None, None).await {
        Ok(body) => body,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let size = body.meta.size;
    let too_large = |size| Unreadable::TooLarge { object: object.clone(), size, limit: MAX_BYTES };
    if size > MAX_BYTES {
        return Err(too_large(size).into());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = body.stream.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() as u64 > MAX_BYTES {
            return Err(too_large(bytes.len() as u64).into());
        }
    }
    if bytes.len() as u64 != size {
        let what = format!("get {object}: {} of {size} bytes came", bytes.len());
        return Err(StoreError::new(ErrorKind::Transient, what).into());
    }
    match serde_json::from_slice(&bytes) {
        Ok(value) => Ok(Some(Document { value, etag: body.meta.etag })),
        Err(error) => Err(Unreadable::Malformed { object: object.clone(), place: json_fault(&error) }.into()),
    }
}

/// Writes a document, on one line.
pub async fn write<T: Serialize>(
    store: &dyn Store,
    object: &ObjectRef,
    value: &T,
    condition: &Condition,
) -> Result<Written, StoreError> {
    let mut line = serde_json::to_vec(value).map_err(|error| {
        StoreError::new(ErrorKind::Permanent, format!("spell {object} as JSON")).caused_by(error)
    })?;
    line.push(b'\n');
    let new = NewObject {
        object: object.clone(),
        content_type: "application/json",
        metadata: std::collections::BTreeMap::new(),
    };
    store.put(&new, Payload::new(line.into()), condition).await
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::store::{Fault, FaultyStore, MemoryStore, Operation};

    use super::*;

    async fn read_under(
        fault: Option<Fault>,
        content: &serde_json::Value,
    ) -> Result<Option<String>, DocumentError> {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        let object = ObjectRef::new("bucket", "document.json");
        write(&store, &object, content, &Condition::IfAbsent).await.unwrap();
        if let Some(fault) = fault {
            store.plan(Operation::Get, fault);
        }
        Ok(read::<String>(&store, &object).await?.map(|document| document.value))
    }

    #[tokio::test]
    async fn a_body_that_ends_early_is_never_taken_for_the_whole() {
        assert_eq!(read_under(None, &"whole".into()).await.unwrap().unwrap(), "whole");
        for fault in [Fault::ShortAt(0), Fault::ShortAt(7), Fault::TornAt(3)] {
            let error = read_under(Some(fault), &"whole".into()).await.unwrap_err();
            let DocumentError::Store(error) = error else { panic!("{fault:?}: {error}") };
            assert!(error.is_transient(), "{fault:?}: {error}");
        }
    }

    #[tokio::test]
    async fn errors_say_where_and_quote_nothing() {
        let error = read_under(None, &serde_json::json!({ "name": "Ada" })).await.unwrap_err();
        assert!(
            error.to_string().contains("s3://bucket/document.json is malformed: not of the shape"),
            "{error}"
        );
        assert!(!error.to_string().contains("Ada"), "{error}");
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_read() {
        let error = read_under(None, &"x".repeat(4 * 1024 * 1024).into()).await.unwrap_err();
        assert!(
            error.to_string().ends_with("has 4194307 bytes, more than the 4194304 that are read"),
            "{error}"
        );
    }
}
