//! The record of a file, and with it the ledger of what was done: an event that has its entry is done.

use common::contract::{CatalogEntry, FileEvent, ObjectRef, catalog_key};
use common::document::{self, DocumentError};
use common::store::{Condition, ErrorKind, Store, StoreError};
use futures::stream::{self, Stream, TryStreamExt as _};
use jiff::civil::Date;

/// Entries that are read at once.
const READS_IN_FLIGHT: usize = 16;

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

/// The days that have entries, from `since` on, in order. Days are UTC's.
///
/// # Errors
///
/// The bucket can't be listed.
pub async fn days(store: &dyn Store, bucket: &str, since: Option<Date>) -> Result<Vec<Date>, StoreError> {
    let mut days = Vec::new();
    let mut after = since.map(prefix).unwrap_or_default();
    loop {
        let page = store.list(bucket, PREFIX, &after).await?;
        let Some(key) = page.first().map(|first| &first.key) else { return Ok(days) };
        let folder = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('/')).map(|(folder, _)| folder);
        // What is no day's was put there by somebody else.
        days.extend(folder.and_then(|folder| folder.parse::<Date>().ok()));
        // The next folder's entries come after everything that lies in this one.
        after = folder.map_or_else(|| key.clone(), |folder| format!("{PREFIX}{folder}/\u{ff}"));
    }
}

/// The entries of a day, in no order. An entry that is gone when it is read is passed over.
pub fn entries<'a>(
    store: &'a dyn Store,
    bucket: &'a str,
    day: Date,
) -> impl Stream<Item = Result<CatalogEntry, DocumentError>> + Send + 'a {
    let prefix = prefix(day);
    let pages = stream::try_unfold(String::new(), move |after| {
        let prefix = prefix.clone();
        async move {
            let page = store.list(bucket, &prefix, &after).await?;
            let last = page.last().map(|last| last.key.clone());
            Ok::<_, DocumentError>(last.map(|last| (page, last)))
        }
    });
    let keys = pages.map_ok(|page| stream::iter(page.into_iter().map(Ok))).try_flatten();
    let entries = keys.map_ok(move |listed| async move {
        let object = ObjectRef::new(bucket, listed.key);
        Ok(document::read::<CatalogEntry>(store, &object).await?.map(|entry| entry.value))
    });
    entries.try_buffer_unordered(READS_IN_FLIGHT).try_filter_map(async |entry| Ok(entry))
}

const PREFIX: &str = "catalog/dt=";

fn prefix(day: Date) -> String {
    format!("{PREFIX}{day}/")
}

#[cfg(test)]
mod tests {
    use common::store::{MemoryStore, NewObject, Payload};

    use super::*;

    const ENTRY: &str = include_str!("../../common/tests/fixtures/catalog-entry.json");

    async fn catalogued(keys: &[String]) -> MemoryStore {
        let store = MemoryStore::new();
        for key in keys {
            let object = ObjectRef::new("out", key);
            let new =
                NewObject { object, content_type: "text/plain", metadata: std::collections::BTreeMap::new() };
            let payload = Payload::new(ENTRY.as_bytes().to_vec().into());
            store.put(&new, payload, &Condition::Always).await.unwrap();
        }
        store
    }

    #[tokio::test]
    async fn days_are_found_and_their_entries_read_page_by_page() {
        let mut keys: Vec<String> =
            (0..25).map(|number| format!("catalog/dt=2026-11-23/{number:032x}.json")).collect();
        keys.push("catalog/dt=2026-11-21/0.json".into());
        keys.push("catalog/dt=2026-11-20".into());
        keys.push("catalog/dt=2026-11-22-old/0.json".into());
        keys.push("catalog/dt=/0.json".into());
        keys.push("catalog/dt=2026-12-01/0.json".into());
        keys.push("catalogue/dt=2026-12-02/0.json".into());
        let store = catalogued(&keys).await;
        let found = |since: Option<&str>| days(&store, "out", since.map(|day| day.parse().unwrap()));
        let texts = |days: Vec<Date>| days.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(found(None).await.unwrap()), ["2026-11-21", "2026-11-23", "2026-12-01"]);
        assert_eq!(texts(found(Some("2026-11-22")).await.unwrap()), ["2026-11-23", "2026-12-01"]);
        assert_eq!(texts(found(Some("2026-12-01")).await.unwrap()), ["2026-12-01"]);
        assert!(found(Some("2026-12-02")).await.unwrap().is_empty());
        let day = "2026-11-23".parse().unwrap();
        let entries: Vec<_> = entries(&store, "out", day).try_collect().await.unwrap();
        assert_eq!(entries.len(), 25);
    }

    #[tokio::test]
    async fn what_is_no_entry_is_an_error_and_not_passed_over() {
        let store = MemoryStore::new();
        let object = ObjectRef::new("out", "catalog/dt=2026-11-23/0.json");
        document::write(&store, &object, &"other", &Condition::Always).await.unwrap();
        let day = "2026-11-23".parse().unwrap();
        let read: Result<Vec<_>, _> = entries(&store, "out", day).try_collect().await;
        assert!(matches!(read, Err(DocumentError::Unreadable(_))));
    }
}
