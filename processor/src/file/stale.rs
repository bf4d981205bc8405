//! What earlier outcomes of a file left under `clean/`, and no receipt names any more.

use std::collections::HashSet;

use common::contract::{
    META_EVENT_ID, META_SEQUENCER, META_SOURCE_BUCKET, META_SOURCE_KEY_SHA256, ObjectRef, Output, Receipt,
    Sequencer, is_partition_key, key_sha256, partition_prefix,
};
use common::store::{ErrorKind, ObjectMeta, StoreError};
use common::{telemetry, trace};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};

use super::{File, Places};
use crate::decision::is_later;
use crate::partitions::OBJECTS_AT_ONCE;

impl File<'_> {
    /// Removes what the receipt in whose place `receipt` stands now named and this one doesn't, and, where the file is
    /// partitioned, what earlier events left that died before they had a receipt. Objects of events that are not known to
    /// be earlier stay: they may be about to get a receipt. That something could not be removed is only logged: no receipt
    /// names it.
    pub(super) async fn remove_stale(&self, replaced: Option<&Receipt>, receipt: &Receipt, places: &Places) {
        let live: HashSet<&str> = receipt.outputs.iter().map(|output| output.key.as_str()).collect();
        let named = replaced.iter().flat_map(|replaced| &replaced.outputs);
        let named: Vec<Output> =
            named.filter(|output| !live.contains(output.key.as_str())).cloned().collect();
        let removed = async {
            self.remove_unnamed(&named).await;
            if places.partition_room.is_some() {
                self.remove_leftovers(&live, places).await.unwrap_or_else(|error| left(&error));
            }
        };
        tokio::select! {
            biased;
            _reason = self.give_up.commit_is_over() => {
                tracing::warn!("there was no time to remove an earlier outcome's objects: no receipt names them");
            }
            () = trace::tallied(removed) => {}
        }
    }

    /// Removes objects that no receipt names.
    pub(super) async fn remove_unnamed(&self, outputs: &[Output]) {
        at_once(outputs.iter().map(|output| {
            let object = ObjectRef::new(&output.bucket, &output.key);
            async move { self.remove(&object, &output.etag).await }.boxed()
        }))
        .await;
    }

    async fn remove(&self, object: &ObjectRef, etag: &str) {
        match self.processor.store.delete(object, etag).await {
            Ok(()) => tracing::info!(key = object.key, "an earlier outcome's object was removed"),
            // Somebody has written there anew.
            Err(error) if error.kind == ErrorKind::Precondition => {}
            Err(error) => left(&error),
        }
    }

    async fn remove_leftovers(&self, live: &HashSet<&str>, places: &Places) -> Result<(), StoreError> {
        let (store, bucket) = (&*self.processor.store, &places.clean.bucket);
        let prefix = partition_prefix(&self.source.key);
        let mut after = String::new();
        loop {
            let page = store.list(bucket, &prefix, &after).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after.clone_from(last);
            let unnamed = page
                .into_iter()
                .filter(|key| !live.contains(key.as_str()) && is_partition_key(key, &self.source.key));
            at_once(unnamed.map(|key| self.look_at(ObjectRef::new(bucket, key)).boxed())).await;
        }
    }

    /// Removes an object that the current receipt does not name, if it may go.
    async fn look_at(&self, object: ObjectRef) {
        match self.processor.store.head(&object).await {
            Ok(Some(meta)) if self.is_leftover(&meta) => self.remove(&object, &meta.etag).await,
            Ok(_) => {}
            Err(error) => left(&error),
        }
    }

    /// Whether an object that the current receipt does not name is this file's, of an event that came before this one; or
    /// of this very event, from one who cut it in another way.
    fn is_leftover(&self, meta: &ObjectMeta) -> bool {
        let is = |name: &str, value: &str| meta.metadata.get(name).is_some_and(|found| found == value);
        let theirs = meta.metadata.get(META_SEQUENCER).map(|sequencer| Sequencer(sequencer.clone()));
        is(META_SOURCE_BUCKET, &self.source.bucket)
            && is(META_SOURCE_KEY_SHA256, &key_sha256(&self.source.key))
            && (is(META_EVENT_ID, &self.event_id)
                || is_later(self.source.sequencer.as_ref(), theirs.as_ref()))
    }
}

/// Does these, several at once.
async fn at_once<'a>(work: impl Iterator<Item = BoxFuture<'a, ()>>) {
    let work: Vec<_> = work.collect();
    stream::iter(work).buffer_unordered(OBJECTS_AT_ONCE).for_each(std::future::ready).await;
}

fn left(error: &StoreError) {
    tracing::warn!(
        error = telemetry::chain(error),
        "an earlier outcome's object stays, though no receipt names it"
    );
}
