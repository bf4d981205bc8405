//! What lies under `clean/` of a file and is named by no receipt.

use std::collections::{HashMap, HashSet};

use common::contract::{
    META_EVENT_ID, META_SEQUENCER, META_SOURCE_BUCKET, META_SOURCE_KEY_SHA256, ObjectRef, Receipt, Sequencer,
    Status, is_partition_key, key_sha256, partition_prefix,
};
use common::document::{self, DocumentError};
use common::store::{ErrorKind, Listed, ObjectMeta, StoreError};
use common::{telemetry, trace};
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};

use super::{File, Places};
use crate::decision::is_later;
use crate::partitions::OBJECTS_AT_ONCE;

impl File<'_> {
    /// Removes the file's clean objects that the current receipt does not name: those of the receipt that it `replaced`, and
    /// of a partitioned file all that are not of a later event. Whoever wrote them is over, or sees it before its own
    /// receipt is believed ([`Self::lacks_objects`]). Of events whose order is not known only this one's and the replaced
    /// one's go. Where the current receipt is a failure, all stays but what this event itself made visible before it
    /// failed: what an earlier one made may be all that there is. That something could not be removed is only logged: no
    /// receipt names it.
    pub(super) async fn tidy_up(&self, replaced: Option<&Receipt>, places: &Places) {
        let mut named = replaced.iter().flat_map(|replaced| &replaced.outputs);
        if places.partition_room.is_none() && named.all(|output| output.key == places.clean.key) {
            return;
        }
        tokio::select! {
            biased;
            _reason = self.give_up.commit_is_over() => {
                tracing::warn!("there was no time to remove objects that no receipt names");
            }
            tidied = trace::tallied(self.remove_unnamed(replaced, places)) => match tidied {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "objects that no receipt names are gone"),
                Err(error) => left(&error),
            }
        }
    }

    async fn remove_unnamed(
        &self,
        replaced: Option<&Receipt>,
        places: &Places,
    ) -> Result<usize, DocumentError> {
        let store = &*self.processor.store;
        // Read anew: what it names now is not to be touched.
        let current = document::read::<Receipt>(store, &places.receipt).await?.map(|found| found.value);
        let is_failure = current.as_ref().is_none_or(|receipt| receipt.status == Status::Failed);
        let is_ours = current.as_ref().is_some_and(|receipt| receipt.source.is_same(&self.source));
        if is_failure && !is_ours {
            return Ok(0);
        }
        let named = current.iter().flat_map(|receipt| &receipt.outputs);
        let live: HashSet<&str> = named.map(|output| output.key.as_str()).collect();
        let mut removed = 0;
        if let Some(replaced) = replaced.filter(|_| !is_failure) {
            let keys = replaced.outputs.iter().map(|output| output.key.clone());
            let keys = keys.filter(|key| !live.contains(key.as_str()));
            removed += self.remove(keys, |found| self.may_go(found, Some(replaced)), places).await;
        }
        if places.partition_room.is_some() {
            let mut after = String::new();
            while let Some(page) = self.listed(&after, places).await? {
                page.last().into_iter().for_each(|last| after.clone_from(&last.key));
                let keys = page.into_iter().map(|listed| listed.key);
                let keys = keys
                    .filter(|key| !live.contains(key.as_str()) && is_partition_key(key, &self.source.key));
                let may_go = |found: &ObjectMeta| {
                    if is_failure { self.is_own(found) } else { self.may_go(found, replaced) }
                };
                removed += self.remove(keys, may_go, places).await;
            }
        }
        Ok(removed)
    }

    /// Whether not all objects that a receipt of a partitioned file names are there, as it names them: somebody took them
    /// for an earlier event's, or wrote them anew.
    pub(super) async fn lacks_objects(&self, receipt: &Receipt, places: &Places) -> Result<bool, StoreError> {
        let named = receipt.outputs.iter().filter(|output| is_partition_key(&output.key, &self.source.key));
        let mut lacking: HashMap<&str, &str> =
            named.map(|output| (output.key.as_str(), output.etag.as_str())).collect();
        let mut after = String::new();
        while !lacking.is_empty()
            && let Some(page) = self.listed(&after, places).await?
        {
            page.last().into_iter().for_each(|last| after.clone_from(&last.key));
            for Listed { key, etag } in page {
                if lacking.get(key.as_str()).is_some_and(|named| *named == etag) {
                    lacking.remove(key.as_str());
                }
            }
        }
        Ok(!lacking.is_empty())
    }

    /// The next objects of a partitioned file, in the order of their keys.
    async fn listed(&self, after: &str, places: &Places) -> Result<Option<Vec<Listed>>, StoreError> {
        let prefix = partition_prefix(&self.source.key);
        let page = self.processor.store.list(&places.clean.bucket, &prefix, after).await?;
        Ok(Some(page).filter(|page| !page.is_empty()))
    }

    /// Removes those that may go, several at once. Returns how many went.
    async fn remove(
        &self,
        keys: impl Iterator<Item = String>,
        may_go: impl Fn(&ObjectMeta) -> bool + Sync,
        places: &Places,
    ) -> usize {
        let (bucket, may_go) = (&places.clean.bucket, &may_go);
        let work: Vec<BoxFuture<'_, bool>> =
            keys.map(|key| self.remove_one(ObjectRef::new(bucket, key), may_go).boxed()).collect();
        let removed = stream::iter(work).buffer_unordered(OBJECTS_AT_ONCE);
        removed.filter(|removed| std::future::ready(*removed)).count().await
    }

    async fn remove_one(&self, object: ObjectRef, may_go: &(impl Fn(&ObjectMeta) -> bool + Sync)) -> bool {
        let store = &self.processor.store;
        let removed = async {
            match store.head(&object).await? {
                Some(found) if may_go(&found) => store.delete(&object, &found.etag).await.map(|()| true),
                _ => Ok(false),
            }
        };
        removed.await.unwrap_or_else(|error: StoreError| {
            // Otherwise somebody has written there anew.
            if error.kind != ErrorKind::Precondition {
                left(&error);
            }
            false
        })
    }

    /// Whether an object that the current receipt does not name is this file's, and not of an event that may come after.
    fn may_go(&self, found: &ObjectMeta, replaced: Option<&Receipt>) -> bool {
        let theirs = sequencer(found);
        let ours = self.source.sequencer.as_ref();
        let is_earlier = theirs.is_some() && ours.is_some() && !is_later(theirs.as_ref(), ours);
        self.is_of_file(found)
            && (is_earlier
                || self.is_own(found)
                || replaced.is_some_and(|it| is_of(found, &it.event_id, it.source.sequencer.as_ref())))
    }

    fn is_own(&self, found: &ObjectMeta) -> bool {
        self.is_of_file(found) && is_of(found, &self.event_id, self.source.sequencer.as_ref())
    }

    fn is_of_file(&self, found: &ObjectMeta) -> bool {
        is(found, META_SOURCE_BUCKET, &self.source.bucket)
            && is(found, META_SOURCE_KEY_SHA256, &key_sha256(&self.source.key))
    }
}

fn is(found: &ObjectMeta, name: &str, value: &str) -> bool {
    found.metadata.get(name).is_some_and(|found| found == value)
}

fn sequencer(found: &ObjectMeta) -> Option<Sequencer> {
    found.metadata.get(META_SEQUENCER).map(|sequencer| Sequencer(sequencer.clone()))
}

/// The same content again has the same event: what tells them apart is the sequencer.
fn is_of(found: &ObjectMeta, event_id: &str, of: Option<&Sequencer>) -> bool {
    is(found, META_EVENT_ID, event_id) && sequencer(found).as_ref() == of
}

fn left<E: std::error::Error + 'static>(error: &E) {
    tracing::warn!(error = telemetry::chain(error), "an object stays, though no receipt names it");
}
