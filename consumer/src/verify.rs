//! Whether the file is there, whole, and as its receipt says.
//!
//! The receipt is read again: it is the commit, and the message may be old. What it says is then compared with the
//! message and, object by object, with what the store says.

use common::contract::{FileEvent, META_EVENT_ID, ObjectRef, Output, Receipt, Status};
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
pub(crate) async fn verify(store: &dyn Store, event: &FileEvent) -> Result<Verdict, MessageError> {
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
    if receipt.status != said.status {
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
    let missing = store.head(&object).await?.is_none();
    Ok(missing.then(|| Difference { what: format!("{object} does not exist"), replaced_by: None }))
}

fn difference(
    output: &Output,
    object: &ObjectRef,
    found: Option<&ObjectMeta>,
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

    fn compared(found: Option<&ObjectMeta>) -> Option<Difference> {
        difference(&output(), &ObjectRef::new("out", "clean/a.csv"), found, "ours")
    }

    #[test]
    fn every_difference_is_named() {
        assert_eq!(compared(Some(&meta())), None);
        assert_eq!(compared(Some(&ObjectMeta { checksum_crc64nvme: None, ..meta() })), None);
        let cases = [
            (None, "does not exist"),
            (Some(ObjectMeta { size: 9, ..meta() }), "has 9 bytes instead of 10"),
            (
                Some(ObjectMeta { checksum_crc64nvme: Some("d".into()), ..meta() }),
                "has the checksum d instead of c",
            ),
            (Some(ObjectMeta { etag: "f".into(), ..meta() }), "has the ETag f instead of e"),
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
}
