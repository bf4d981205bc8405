//! The record of a file, and with it the ledger of what was done: an event that has its entry is done.

use common::contract::{CatalogEntry, FileEvent, ObjectRef, catalog_key};
use common::store::{Condition, ErrorKind, Store, StoreError};

use common::document;

/// Whether the event was done before.
pub(crate) async fn is_done(store: &dyn Store, bucket: &str, event: &FileEvent) -> Result<bool, StoreError> {
    Ok(store.head(&entry_object(bucket, event)).await?.is_some())
}

/// Writes the event's entry. One that is there already stays: somebody else finished first.
pub(crate) async fn record(
    store: &dyn Store,
    bucket: &str,
    event: &FileEvent,
    entry: &CatalogEntry,
) -> Result<(), StoreError> {
    match document::write(store, &entry_object(bucket, event), entry, &Condition::IfAbsent).await {
        Ok(_) => Ok(()),
        Err(error) if error.kind == ErrorKind::Precondition => Ok(()),
        Err(error) => Err(error),
    }
}

fn entry_object(bucket: &str, event: &FileEvent) -> ObjectRef {
    ObjectRef::new(bucket, catalog_key(&event.id, event.time))
}
