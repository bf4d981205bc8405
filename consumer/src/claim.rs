//! Who acts on an event, and until when: `claims/<event id>.json`.
//!
//! A claim is taken by a write that only one can win. It ends shortly after the invocation that took it must have
//! ended, so a crash blocks an event for no longer than that; a message that failed in good order gives its claim
//! back, so that its next receive need not wait.
//!
//! A claim whose work was done stays, and says where that was recorded. The catalogue entry answers every repeat that
//! looks for it under the same day; the claim answers the others. To delete it would open a gap for whoever looked for
//! the entry just before it was written. The bucket's lifecycle removes it.

use std::collections::BTreeSet;

use common::contract::{Claim, ObjectRef, claim_key};
use common::document::{self, Document};
use common::store::{Condition, ErrorKind, Store, StoreError};
use common::telemetry::chain;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::MessageError;

/// How often a claim is tried for. Each loss to another leaves a claim that is looked at; more than a few in a row
/// mean that the store answers what can't be.
const ROUNDS: usize = 3;

/// A claim as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    #[serde(flatten)]
    claim: Claim,
    /// What surely was sent already, so that whoever comes next doesn't send it again.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    sent: BTreeSet<String>,
    /// The key of what records that the work is done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    done: Option<String>,
}

/// A claim that is ours.
#[derive(Debug)]
pub(crate) struct Held {
    object: ObjectRef,
    stored: Stored,
    etag: String,
    /// Whether somebody held it before us.
    pub(crate) taken_over: bool,
}

impl Held {
    /// Whether this surely was sent, by us or by whoever held the claim before and gave it back.
    pub(crate) fn was_sent(&self, what: &str) -> bool {
        self.stored.sent.contains(what)
    }

    /// Remembers that something was sent.
    pub(crate) fn remember(&mut self, what: String) {
        self.stored.sent.insert(what);
    }

    /// Says that the work is done, and which object records it; without one the claim itself does. Where that fails, the
    /// record still answers whoever looks for it.
    pub(crate) async fn finish(mut self, store: &dyn Store, record: Option<String>) {
        self.stored.done = Some(record.unwrap_or_else(|| self.object.key.clone()));
        self.stored.claim.expires_at = Timestamp::now();
        if let Err(error) =
            document::write(store, &self.object, &self.stored, &Condition::IfMatch(self.etag)).await
        {
            tracing::warn!(error = chain(&error), "the claim could not be marked as done; it ends by itself");
        }
    }

    /// Forgets what was sent: all of it is to be sent again.
    pub(crate) fn forget(&mut self) {
        self.stored.sent.clear();
    }

    /// Gives the claim back, and with it what is known of what was sent. Where that fails the claim ends by itself.
    pub(crate) async fn release(mut self, store: &dyn Store) {
        self.stored.claim.expires_at = Timestamp::now();
        if let Err(error) =
            document::write(store, &self.object, &self.stored, &Condition::IfMatch(self.etag)).await
        {
            tracing::warn!(error = chain(&error), "the claim could not be given back; it ends by itself");
        }
    }
}

/// What lies where a claim belongs, for whoever wants it.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Absent,
    Ours,
    Expired,
    Busy,
}

/// Whether a claim is ours, whatever became of the answer to its write; else whether it may be taken over.
fn look(found: Option<&Claim>, owner: &str, now: Timestamp) -> Seen {
    match found {
        None => Seen::Absent,
        Some(claim) if claim.owner == owner => Seen::Ours,
        Some(claim) if claim.expires_at <= now => Seen::Expired,
        Some(_) => Seen::Busy,
    }
}

/// Takes the claim, or says who has it; nothing where the work is done. `claim.owner` must be of this attempt and no other.
pub(crate) async fn take(
    store: &dyn Store,
    bucket: &str,
    claim: Claim,
) -> Result<Option<Held>, MessageError> {
    let object = ObjectRef::new(bucket, claim_key(&claim.event_id));
    let mut stored = Stored { claim, sent: BTreeSet::new(), done: None };
    let mut condition = Condition::IfAbsent;
    let mut round = 1;
    loop {
        let taken_over = condition != Condition::IfAbsent;
        let error = match document::write(store, &object, &stored, &condition).await {
            Ok(written) => return Ok(Some(Held { object, stored, etag: written.etag, taken_over })),
            Err(error) => error,
        };
        if !may_be_decided_by_looking(&error) || round == ROUNDS {
            return Err(error.into());
        }
        round += 1;
        let found: Option<Document<Stored>> = document::read(store, &object).await?;
        if is_done(store, bucket, found.as_ref().and_then(|found| found.value.done.as_deref())).await? {
            return Ok(None);
        }
        let claim = found.as_ref().map(|found| &found.value.claim);
        match (look(claim, &stored.claim.owner, Timestamp::now()), found) {
            (Seen::Ours, Some(found)) => {
                return Ok(Some(Held { object, stored, etag: found.etag, taken_over }));
            }
            (Seen::Expired, Some(found)) => {
                stored.sent = found.value.sent;
                condition = Condition::IfMatch(found.etag);
            }
            (Seen::Busy, Some(Document { value: Stored { claim, .. }, .. })) => {
                return Err(MessageError::Busy { owner: claim.owner, until: claim.expires_at });
            }
            // A write without an answer may yet arrive: then the claim is ours, and ends by itself.
            _ if error.is_transient() => return Err(error.into()),
            _ => condition = Condition::IfAbsent,
        }
    }
}

/// Whether what records that the work is done is there: whoever removes it wants the work done again.
async fn is_done(store: &dyn Store, bucket: &str, record: Option<&str>) -> Result<bool, StoreError> {
    let Some(record) = record else { return Ok(false) };
    Ok(store.head(&ObjectRef::new(bucket, record)).await?.is_some())
}

/// Whether a failed write left the question open who has the claim: it was refused for somebody else's, or its
/// answer is lost. The SDK's own retry after a lost answer is refused for the claim that it wrote itself.
fn may_be_decided_by_looking(error: &StoreError) -> bool {
    let refused = [ErrorKind::Precondition, ErrorKind::Conflict, ErrorKind::NotFound];
    error.is_transient() || refused.contains(&error.kind)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use common::store::{Fault, FaultyStore, MemoryStore, Operation};

    use super::*;

    fn claim(owner: &str, lasts: Duration) -> Claim {
        Claim { event_id: "e1".into(), owner: owner.into(), expires_at: Timestamp::now() + lasts }
    }

    const MINUTE: Duration = Duration::from_mins(1);

    async fn take_by(store: &dyn Store, owner: &str, lasts: Duration) -> Result<Held, MessageError> {
        match take(store, "out", claim(owner, lasts)).await? {
            Some(held) => Ok(held),
            None => panic!("it is done"),
        }
    }

    #[tokio::test]
    async fn what_is_done_stays_done_for_as_long_as_its_record_is_there() {
        let store = MemoryStore::new();
        let record = ObjectRef::new("out", "catalog/dt=2026-11-23/e1.json");
        document::write(&store, &record, &"entry", &Condition::Always).await.unwrap();
        let held = take_by(&store, "a", MINUTE).await.unwrap();
        held.finish(&store, Some(record.key.clone())).await;
        assert!(take(&store, "out", claim("b", MINUTE)).await.unwrap().is_none());
        store.remove("out", &record.key);
        let held = take_by(&store, "b", MINUTE).await.unwrap();
        held.finish(&store, None).await;
        assert!(take(&store, "out", claim("c", MINUTE)).await.unwrap().is_none());
    }

    #[test]
    fn ours_is_ours_even_when_it_has_expired() {
        let now = Timestamp::now();
        let expired = Claim { expires_at: now, ..claim("a", MINUTE) };
        assert_eq!(look(None, "a", now), Seen::Absent);
        assert_eq!(look(Some(&expired), "a", now), Seen::Ours);
        assert_eq!(look(Some(&expired), "b", now), Seen::Expired);
        assert_eq!(look(Some(&claim("a", MINUTE)), "b", now), Seen::Busy);
    }

    #[tokio::test]
    async fn one_has_it_until_it_is_given_back_or_expires() {
        let store = MemoryStore::new();
        let mut first = take_by(&store, "a", MINUTE).await.unwrap();
        assert!(!first.taken_over);
        let error = take_by(&store, "b", MINUTE).await.unwrap_err();
        assert!(matches!(&error, MessageError::Busy { owner, .. } if owner == "a"), "{error}");
        first.remember("alerts failed".into());
        first.release(&store).await;
        let second = take_by(&store, "b", Duration::ZERO).await.unwrap();
        assert!(second.taken_over);
        assert!(second.was_sent("alerts failed"), "who gave it back says what was sent");
        assert!(!second.was_sent("bus failed"));
        assert!(take_by(&store, "c", MINUTE).await.unwrap().taken_over);
        // The second's is gone: to give it back must not take it from the third.
        second.release(&store).await;
        assert!(take_by(&store, "d", MINUTE).await.is_err());
    }

    #[tokio::test]
    async fn a_claim_whose_answer_was_lost_is_ours() {
        for lost in [ErrorKind::Transient, ErrorKind::Precondition, ErrorKind::Conflict] {
            let store = FaultyStore::new(Arc::new(MemoryStore::new()));
            store.plan(Operation::Put, Fault::After(lost));
            let held = take_by(&store, "a", MINUTE).await.unwrap();
            held.release(&store).await;
            store.plan(Operation::Put, Fault::After(lost));
            assert!(take_by(&store, "b", MINUTE).await.unwrap().taken_over, "the ETag of the first is known");
            assert!(matches!(take_by(&store, "c", MINUTE).await, Err(MessageError::Busy { .. })));
        }
    }

    #[tokio::test]
    async fn a_write_that_never_arrived_is_an_error_to_be_tried_again() {
        let store = FaultyStore::new(Arc::new(MemoryStore::new()));
        store.plan(Operation::Put, Fault::Before(ErrorKind::Transient));
        assert!(take_by(&store, "a", MINUTE).await.unwrap_err().is_transient());
        assert!(take_by(&store, "b", MINUTE).await.is_ok());
        store.plan(Operation::Put, Fault::Before(ErrorKind::Forbidden));
        assert!(!take_by(&store, "c", MINUTE).await.unwrap_err().is_transient());
    }
}
