//! Whether the file is there, whole, and as its receipt says.
//!
//! The message itself first: one that contradicts itself can never have been right. Then the receipt is read again: it is
//! the commit, and the message may be old. What it says is compared with the message and, object by object, with what the
//! store says: size, checksum, `ETag`, and the version of the source that the object was made from.

use common::contract::{
    FileEvent, META_EVENT_ID, META_SOURCE_VERSION, ObjectRef, Output, Receipt, Rejects, Source, Status,
};
use common::document;
use common::store::{ObjectMeta, Store};
use futures::{StreamExt as _, TryStreamExt as _};

use crate::error::MessageError;

/// Objects asked for at once.
const HEADS_IN_FLIGHT: usize = 8;

/// What is to be thought of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Everything is as the message says.
    Sound,
    /// Another event's receipt has taken this one's place.
    Superseded,
    /// Something is not as it should be: what.
    Unsound(String),
}

impl Verdict {
    /// In a word.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::Superseded => "superseded",
            Self::Unsound(_) => "unsound",
        }
    }
}

/// An object that is not as the receipt says.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    what: String,
    /// The event whose processing seems to be replacing the object right now, its receipt still to come.
    replaced_by: Option<String>,
}

/// Compares the message with the receipt, and the receipt with the objects.
pub(crate) async fn verify(
    store: &dyn Store,
    bucket: &str,
    event: &FileEvent,
) -> Result<Verdict, MessageError> {
    if let Some(what) = impossible(event, bucket) {
        return Err(MessageError::Contradiction(what));
    }
    let receipt = match current_receipt(store, event).await {
        Ok(receipt) => receipt,
        Err(MessageError::Unreadable(why)) => return Ok(Verdict::Unsound(why.to_string())),
        Err(error) => return Err(error),
    };
    let Some(receipt) = receipt else { return Ok(Verdict::Superseded) };
    if let Some(what) = contradiction(event, &receipt) {
        return Ok(Verdict::Unsound(what));
    }
    let Some(difference) = first_difference(store, &receipt).await? else { return Ok(Verdict::Sound) };
    // The output is replaced before its receipt: before anyone is woken, see whether that is going on, or over.
    if current_receipt(store, event).await?.is_none() {
        return Ok(Verdict::Superseded);
    }
    match difference.replaced_by {
        Some(by) => Err(MessageError::BeingReplaced(by)),
        None => Ok(Verdict::Unsound(difference.what)),
    }
}

/// What this system's processor can't have published.
fn impossible(event: &FileEvent, bucket: &str) -> Option<&'static str> {
    let receipt = &event.data.receipt;
    if event.data.receipt_object.bucket != bucket {
        Some("its receipt lies in another system's bucket")
    } else if event.subject != receipt.source.key {
        Some("its subject is not its receipt's key")
    } else if receipt.status == Status::Processed && !receipt.adds_up() {
        Some("its sums don't add up")
    } else if event.data.outputs_total < receipt.outputs.len() as u64 {
        Some("it lists more outputs than it counts")
    } else if event.time != receipt.timing.finished_at {
        // The catalogue's day is the event's.
        Some("its time is not its receipt's")
    } else {
        None
    }
}

/// The message's receipt; nothing if another event's lies in its place.
async fn current_receipt(store: &dyn Store, event: &FileEvent) -> Result<Option<Receipt>, MessageError> {
    let location = &event.data.receipt_object;
    let object = ObjectRef::new(&location.bucket, &location.key);
    let found = document::read::<Receipt>(store, &object).await?;
    let receipt = found.ok_or(MessageError::NoReceipt(object))?.value;
    Ok(Some(receipt).filter(|receipt| receipt.event_id == event.id))
}

/// What the message and its receipt say differently, or the receipt can't mean.
fn contradiction(event: &FileEvent, receipt: &Receipt) -> Option<String> {
    let said = &event.data.receipt;
    // An ETag depends on how an upload was cut into parts; what counts is the content, and the ETag is compared with
    // the object itself.
    let content = |output: &Output| (output.key.clone(), output.size, output.checksum_crc64nvme.clone());
    let listed = said.outputs.iter().map(content).eq(receipt.outputs.iter().map(content));
    if receipt.timing.finished_at != said.timing.finished_at {
        Some("the receipt and the event differ in their time".into())
    } else if receipt.status != said.status {
        Some("the receipt and the event differ in their status".into())
    } else if receipt.counts != said.counts {
        Some("the receipt and the event count rows differently".into())
    } else if receipt.outputs.len() as u64 != event.data.outputs_total || !(listed || said.outputs.is_empty())
    {
        Some("the receipt and the event name different outputs".into())
    } else if receipt.status == Status::Processed && !receipt.adds_up() {
        // A failed file's sums end where it failed.
        Some("the receipt's sums don't add up".into())
    } else {
        None
    }
}

/// The first of the receipt's objects that is not as the receipt says. A failed file has none to look at.
async fn first_difference(store: &dyn Store, receipt: &Receipt) -> Result<Option<Difference>, MessageError> {
    if receipt.status == Status::Failed {
        return Ok(None);
    }
    let outputs = futures::stream::iter(receipt.outputs.iter().map(|output| async move {
        let object = ObjectRef::new(&output.bucket, &output.key);
        Ok::<_, MessageError>(difference(
            output,
            &object,
            store.head(&object).await?.as_ref(),
            &receipt.source,
            &receipt.event_id,
        ))
    }));
    let outputs = outputs.buffered(HEADS_IN_FLIGHT).try_filter_map(async |difference| Ok(difference));
    let mut outputs = std::pin::pin!(outputs);
    if let Some(difference) = outputs.try_next().await? {
        return Ok(Some(difference));
    }
    let Some(rejects) = &receipt.rejects else { return Ok(None) };
    let object = ObjectRef::new(&rejects.bucket, &rejects.key);
    let what = rejects_difference(rejects, &object, store.head(&object).await?.as_ref());
    Ok(what.map(|what| Difference { what, replaced_by: None }))
}

/// The rejects' key has the event's id, so whoever writes them writes the same bytes; how they were uploaded may differ.
fn rejects_difference(rejects: &Rejects, object: &ObjectRef, found: Option<&ObjectMeta>) -> Option<String> {
    let Some(found) = found else { return Some(format!("{object} does not exist")) };
    let size = rejects.size.filter(|size| *size != found.size);
    let checksums = rejects.checksum_crc64nvme.as_ref().zip(found.checksum_crc64nvme.as_ref());
    match (size, checksums) {
        (Some(size), _) => Some(format!("{object} has {} bytes instead of {size}", found.size)),
        (None, Some((told, stored))) if told != stored => {
            Some(format!("{object} has the checksum {stored} instead of {told}"))
        }
        _ => None,
    }
}

fn difference(
    output: &Output,
    object: &ObjectRef,
    found: Option<&ObjectMeta>,
    source: &Source,
    event_id: &str,
) -> Option<Difference> {
    let Some(found) = found else {
        return Some(Difference { what: format!("{object} does not exist"), replaced_by: None });
    };
    let checksum = found.checksum_crc64nvme.as_ref();
    let what = if found.size != output.size {
        format!("{object} has {} bytes instead of {}", found.size, output.size)
    } else if let Some(checksum) = checksum.filter(|checksum| **checksum != output.checksum_crc64nvme) {
        format!("{object} has the checksum {checksum} instead of {}", output.checksum_crc64nvme)
    } else if found.etag != output.etag {
        format!("{object} has the ETag {} instead of {}", found.etag, output.etag)
    } else if let Some(version) =
        found.metadata.get(META_SOURCE_VERSION).filter(|version| *version != source.version())
    {
        format!("{object} was made from the source's version {version} instead of {}", source.version())
    } else {
        return None;
    };
    // Another event's, or a twin's of this very event: the same bytes, uploaded once more.
    let same_bytes = found.size == output.size && checksum == Some(&output.checksum_crc64nvme);
    let replaced_by = found.metadata.get(META_EVENT_ID).filter(|id| *id != event_id || same_bytes).cloned();
    Some(Difference { what, replaced_by })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn output() -> Output {
        Output {
            bucket: "out".into(),
            key: "clean/a.csv".into(),
            etag: "e".into(),
            size: 10,
            checksum_crc64nvme: "c".into(),
            parts: 0,
        }
    }

    fn meta() -> ObjectMeta {
        ObjectMeta {
            etag: "e".into(),
            size: 10,
            version_id: None,
            metadata: BTreeMap::new(),
            checksum_crc64nvme: Some("c".into()),
        }
    }

    fn source() -> Source {
        Source {
            bucket: "in".into(),
            key: "a.csv".into(),
            version_id: Some("v1".into()),
            etag: "e".into(),
            size: 1,
            sequencer: None,
        }
    }

    fn compared(found: Option<&ObjectMeta>) -> Option<Difference> {
        difference(&output(), &ObjectRef::new("out", "clean/a.csv"), found, &source(), "ours")
    }

    fn made_from(version: &str) -> ObjectMeta {
        let metadata = BTreeMap::from([(META_SOURCE_VERSION.to_owned(), version.to_owned())]);
        ObjectMeta { metadata, ..meta() }
    }

    #[test]
    fn every_difference_is_named() {
        assert_eq!(compared(Some(&meta())), None);
        assert_eq!(compared(Some(&ObjectMeta { checksum_crc64nvme: None, ..meta() })), None);
        assert_eq!(compared(Some(&made_from("v1"))), None);
        let cases = [
            (None, "does not exist"),
            (Some(ObjectMeta { size: 9, ..meta() }), "has 9 bytes instead of 10"),
            (
                Some(ObjectMeta { checksum_crc64nvme: Some("d".into()), ..meta() }),
                "has the checksum d instead of c",
            ),
            (Some(ObjectMeta { etag: "f".into(), ..meta() }), "has the ETag f instead of e"),
            (Some(made_from("v2")), "was made from the source's version v2 instead of v1"),
        ];
        for (found, says) in cases {
            let what = compared(found.as_ref()).unwrap().what;
            assert_eq!(what, format!("s3://out/clean/a.csv {says}"));
        }
    }

    #[test]
    fn an_object_being_replaced_is_told_from_a_damaged_one() {
        let named = |id: &str, meta| {
            let metadata = BTreeMap::from([(META_EVENT_ID.to_owned(), id.to_owned())]);
            compared(Some(&ObjectMeta { metadata, ..meta })).unwrap().replaced_by
        };
        let cut_short = || ObjectMeta { size: 9, ..meta() };
        let uploaded_again = || ObjectMeta { etag: "f".into(), ..meta() };
        assert_eq!(named("theirs", cut_short()).as_deref(), Some("theirs"));
        assert_eq!(named("theirs", uploaded_again()).as_deref(), Some("theirs"));
        assert_eq!(named("ours", cut_short()), None);
        assert_eq!(named("ours", uploaded_again()).as_deref(), Some("ours"));
        let unknown = ObjectMeta { checksum_crc64nvme: None, ..uploaded_again() };
        assert_eq!(named("ours", unknown), None);
    }

    #[test]
    fn rejects_are_held_to_what_the_receipt_says_of_them() {
        let told = Rejects {
            bucket: "out".into(),
            key: "rejects/a".into(),
            by_reason: BTreeMap::new(),
            size: Some(10),
            checksum_crc64nvme: Some("c".into()),
        };
        let untold = Rejects { size: None, checksum_crc64nvme: None, ..told.clone() };
        let object = ObjectRef::new("out", "rejects/a");
        let compared = |rejects, found: Option<ObjectMeta>| {
            rejects_difference(rejects, &object, found.as_ref())
                .map(|what| what.replace("s3://out/rejects/a ", ""))
        };
        let uploaded_again = ObjectMeta { etag: "f".into(), ..meta() };
        let (shorter, other) =
            (ObjectMeta { size: 9, ..meta() }, ObjectMeta { checksum_crc64nvme: Some("d".into()), ..meta() });
        assert_eq!(compared(&told, Some(uploaded_again)), None);
        assert_eq!(compared(&untold, Some(shorter.clone())), None);
        assert_eq!(compared(&untold, None).as_deref(), Some("does not exist"));
        assert_eq!(compared(&told, Some(shorter)).as_deref(), Some("has 9 bytes instead of 10"));
        assert_eq!(compared(&told, Some(other)).as_deref(), Some("has the checksum d instead of c"));
    }
}
