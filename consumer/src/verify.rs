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
const HEADS_IN_FLIGHT: usize = 16;

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
    let set_aside = |rejects: &Rejects| {
        (rejects.key.clone(), rejects.by_reason.clone(), rejects.size, rejects.checksum_crc64nvme.clone())
    };
    let rejects = said.rejects.as_ref().map(set_aside) == receipt.rejects.as_ref().map(set_aside);
    if receipt.timing.finished_at != said.timing.finished_at {
        Some("the receipt and the event differ in their time".into())
    } else if receipt.status != said.status {
        Some("the receipt and the event differ in their status".into())
    } else if receipt.counts != said.counts {
        Some("the receipt and the event count rows differently".into())
    } else if receipt.outputs.len() as u64 != event.data.outputs_total || !(listed || said.outputs.is_empty())
    {
        Some("the receipt and the event name different outputs".into())
    } else if !rejects {
        Some("the receipt and the event name different rejects".into())
    } else if receipt.status == Status::Processed && !receipt.adds_up() {
        // A failed file's sums end where it failed.
        Some("the receipt's sums don't add up".into())
    } else {
        None
    }
}

/// What a receipt says of an object.
struct Told<'a> {
    object: ObjectRef,
    etag: &'a str,
    size: u64,
    checksum: &'a str,
}

impl<'a> Told<'a> {
    fn of_output(output: &'a Output) -> Self {
        let object = ObjectRef::new(&output.bucket, &output.key);
        Self { object, etag: &output.etag, size: output.size, checksum: &output.checksum_crc64nvme }
    }

    /// Nothing where it says too little; the processor says all of it.
    fn of_rejects(rejects: &'a Rejects) -> Option<Self> {
        Some(Self {
            object: ObjectRef::new(&rejects.bucket, &rejects.key),
            etag: rejects.etag.as_deref()?,
            size: rejects.size?,
            checksum: rejects.checksum_crc64nvme.as_deref()?,
        })
    }
}

/// The first of the receipt's objects that is not as the receipt says. A failed file has none to look at.
async fn first_difference(store: &dyn Store, receipt: &Receipt) -> Result<Option<Difference>, MessageError> {
    if receipt.status == Status::Failed {
        return Ok(None);
    }
    let mut told: Vec<Told<'_>> = receipt.outputs.iter().map(Told::of_output).collect();
    if let Some(rejects) = &receipt.rejects {
        let Some(rejects) = Told::of_rejects(rejects) else {
            let what =
                "the receipt does not say how large its rejects are, or what their ETag and checksum is";
            return Ok(Some(Difference { what: what.into(), replaced_by: None }));
        };
        told.push(rejects);
    }
    let looked = futures::stream::iter(told.iter().map(|told| async move {
        let found = store.head(&told.object).await?;
        Ok::<_, MessageError>(difference(told, found.as_ref(), &receipt.source, &receipt.event_id))
    }));
    let differences = looked.buffered(HEADS_IN_FLIGHT).try_filter_map(async |difference| Ok(difference));
    std::pin::pin!(differences).try_next().await
}

fn difference(
    told: &Told<'_>,
    found: Option<&ObjectMeta>,
    source: &Source,
    event_id: &str,
) -> Option<Difference> {
    let Told { object, etag, size, checksum } = told;
    let Some(found) = found else {
        return Some(Difference { what: format!("{object} does not exist"), replaced_by: None });
    };
    let stored = found.checksum_crc64nvme.as_deref();
    let version = found.metadata.get(META_SOURCE_VERSION).map(String::as_str);
    let what = if found.size != *size {
        format!("{object} has {} bytes instead of {size}", found.size)
    } else if let Some(stored) = stored.filter(|stored| stored != checksum) {
        format!("{object} has the checksum {stored} instead of {checksum}")
    } else if found.etag != *etag {
        format!("{object} has the ETag {} instead of {etag}", found.etag)
    } else if version == Some(source.version()) {
        return None;
    } else if let Some(version) = version {
        format!("{object} was made from the source's version {version} instead of {}", source.version())
    } else {
        format!("{object} does not say which version of the source it was made from")
    };
    // Another event's, or a twin's of this very event: the same bytes, uploaded once more.
    let same_bytes = found.size == *size && stored == Some(*checksum);
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
            metadata: BTreeMap::from([(META_SOURCE_VERSION.to_owned(), "v1".to_owned())]),
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
        difference(&Told::of_output(&output()), found, &source(), "ours")
    }

    fn made_from(version: &str) -> ObjectMeta {
        let metadata = BTreeMap::from([(META_SOURCE_VERSION.to_owned(), version.to_owned())]);
        ObjectMeta { metadata, ..meta() }
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
            (Some(made_from("v2")), "was made from the source's version v2 instead of v1"),
            (
                Some(ObjectMeta { metadata: BTreeMap::new(), ..meta() }),
                "does not say which version of the source it was made from",
            ),
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
    fn a_receipt_says_all_of_its_rejects_or_nothing() {
        let told = Rejects {
            bucket: "out".into(),
            key: "rejects/a".into(),
            by_reason: BTreeMap::new(),
            etag: Some("e".into()),
            size: Some(10),
            checksum_crc64nvme: Some("c".into()),
        };
        let found = |meta: &ObjectMeta| {
            difference(&Told::of_rejects(&told).unwrap(), Some(meta), &source(), "ours")
                .map(|found| found.what)
        };
        assert_eq!(found(&meta()), None);
        let uploaded_again = ObjectMeta { etag: "f".into(), ..meta() };
        assert_eq!(found(&uploaded_again).unwrap(), "s3://out/rejects/a has the ETag f instead of e");
        for untold in [
            Rejects { etag: None, ..told.clone() },
            Rejects { size: None, ..told.clone() },
            Rejects { checksum_crc64nvme: None, ..told.clone() },
        ] {
            assert!(Told::of_rejects(&untold).is_none());
        }
    }
}
