//! What to do about a file, from what is in the output bucket already. No I/O in here.

use common::contract::{
    META_EVENT_ID, META_SEQUENCER, META_SOURCE_BUCKET, META_SOURCE_KEY_SHA256, Receipt, Sequencer, Source,
    Status, key_sha256,
};
use common::store::{Condition, ObjectMeta};

/// What is in the output bucket under a file's names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// The receipt and its `ETag`.
    pub receipt: Option<(Receipt, String)>,
    /// The clean file, where it is one object.
    pub output: Option<ObjectMeta>,
    /// Whether the receipt is this event's, and objects that it names are not there.
    pub lacks_objects: bool,
}

impl Found {
    /// That the receipt is still the one that was found.
    pub fn receipt_condition(&self) -> Condition {
        match &self.receipt {
            Some((_, etag)) => Condition::IfMatch(etag.clone()),
            None => Condition::IfAbsent,
        }
    }

    /// Whether nobody can tell if a source comes before or after the receipt that was found, which is another's.
    pub fn is_unordered(&self, source: &Source) -> bool {
        self.receipt.as_ref().is_some_and(|(receipt, _)| {
            let (theirs, ours) = (receipt.source.sequencer.as_ref(), source.sequencer.as_ref());
            !receipt.source.is_same(source) && (theirs.is_none() || ours.is_none())
        })
    }
}

/// What is about to be done.
#[derive(Debug, Clone, Copy)]
pub struct Intent<'a> {
    /// The input.
    pub source: &'a Source,
    /// The recipe's hash.
    pub recipe_sha256: &'a str,
    /// 0, and one more with each replay that an operator asks for.
    pub attempt: u32,
    /// The id of the outcome, should it be processed.
    pub event_id: &'a str,
}

/// What to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Process it.
    Process {
        /// The condition under which the clean file may be written.
        output: Condition,
    },
    /// It has been done, receipt and all, by this attempt or a later one: publish from the receipt.
    Republish(Box<Receipt>),
    /// The clean file has been written, by a twin or before a crash; its receipt has not.
    Adopt {
        /// What was written.
        output: ObjectMeta,
    },
    /// Something newer has taken its place: do nothing.
    Superseded,
    /// Another input's clean file has the name: fail, touch nothing.
    Taken {
        /// The other input's bucket.
        by: String,
    },
}

impl Decision {
    /// In a word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Process { .. } => "process",
            Self::Republish(_) => "republish",
            Self::Adopt { .. } => "adopt",
            Self::Superseded => "superseded",
            Self::Taken { .. } => "taken",
        }
    }
}

/// Decides. The order of the rules is design.md's, 'Exactly one effect'.
pub fn decide(found: &Found, intent: &Intent<'_>) -> Decision {
    let ours = intent.source.sequencer.as_ref();
    if let Some((receipt, _)) = &found.receipt {
        let other_bucket = receipt.source.bucket != intent.source.bucket;
        if other_bucket && receipt.status == Status::Processed {
            return Decision::Taken { by: receipt.source.bucket.clone() };
        }
        let same = receipt.source.is_same(intent.source) && receipt.recipe.sha256 == intent.recipe_sha256;
        if same
            && receipt.status == Status::Processed
            && receipt.attempt >= intent.attempt
            && !found.lacks_objects
            && !is_overtaken(receipt, found.output.as_ref(), intent)
        {
            return Decision::Republish(Box::new(receipt.clone()));
        }
        if !same && !other_bucket && is_later(receipt.source.sequencer.as_ref(), ours) {
            return Decision::Superseded;
        }
    }
    let Some(output) = &found.output else {
        return Decision::Process { output: Condition::IfAbsent };
    };
    let meta = |name: &str| output.metadata.get(name);
    match meta(META_SOURCE_BUCKET) {
        Some(bucket) if *bucket != intent.source.bucket => return Decision::Taken { by: bucket.clone() },
        _ => {}
    }
    // Where recipes name outputs, `a.csv` and `a.csv.gz` can come to have one name.
    if meta(META_SOURCE_KEY_SHA256).is_some_and(|hash| *hash != key_sha256(&intent.source.key)) {
        return Decision::Taken { by: intent.source.bucket.clone() };
    }
    if meta(META_EVENT_ID).is_some_and(|id| id == intent.event_id) {
        return Decision::Adopt { output: output.clone() };
    }
    if is_later(sequencer(output).as_ref(), ours) {
        return Decision::Superseded;
    }
    Decision::Process { output: Condition::IfMatch(output.etag.clone()) }
}

/// Whether the receipt of this very event names an output in whose place another lies, that is not known to be newer.
///
/// Two writers whose order is unknown, as of a replay, can leave that behind: one writes its receipt after the other,
/// content with an earlier receipt of its own, has replaced the output. Whoever comes next mends it. An output that is
/// gone, or that is not Penstock's, is somebody else's will.
fn is_overtaken(receipt: &Receipt, output: Option<&ObjectMeta>, intent: &Intent<'_>) -> bool {
    output.is_some_and(|output| {
        output.metadata.contains_key(META_EVENT_ID)
            && !receipt.outputs.iter().any(|named| named.etag == output.etag)
            && !is_later(sequencer(output).as_ref(), intent.source.sequencer.as_ref())
    })
}

fn sequencer(output: &ObjectMeta) -> Option<Sequencer> {
    output.metadata.get(META_SEQUENCER).map(|sequencer| Sequencer(sequencer.clone()))
}

/// Whether `theirs` came after `ours`. A missing one, as in a replay, never counts as older.
pub(crate) fn is_later(theirs: Option<&Sequencer>, ours: Option<&Sequencer>) -> bool {
    matches!((theirs, ours), (Some(theirs), Some(ours)) if theirs.is_later_than(ours))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::receipt::failed;
    use common::contract::{Failure, RecipeRef};

    fn source(etag: &str, sequencer: &str) -> Source {
        Source {
            bucket: "in".into(),
            key: "k.csv".into(),
            version_id: None,
            etag: etag.into(),
            size: 1,
            sequencer: (!sequencer.is_empty()).then(|| Sequencer(sequencer.into())),
        }
    }

    #[allow(clippy::unnecessary_wraps, reason = "as `Found` holds it")]
    fn receipt(source: &Source, status: Status, id: &str) -> Option<(Receipt, String)> {
        let recipe = RecipeRef { name: "r".into(), sha256: "r".into() };
        let failure = Failure { code: "c".into(), message: "m".into(), line: None, byte_offset: None };
        let receipt = failed(source, &recipe, failure, jiff::Timestamp::UNIX_EPOCH);
        let output = common::contract::Output {
            bucket: "out".into(),
            key: "clean/k.csv".into(),
            etag: "output-etag".into(),
            size: 1,
            checksum_crc64nvme: String::new(),
            parts: 0,
        };
        let outputs = if status == Status::Processed { vec![output] } else { Vec::new() };
        Some((Receipt { status, event_id: id.into(), outputs, ..receipt }, "receipt-etag".into()))
    }

    #[allow(clippy::unnecessary_wraps, reason = "as `Found` holds it")]
    fn output(id: &str, sequencer: &str, bucket: &str) -> Option<ObjectMeta> {
        let metadata = [(META_EVENT_ID, id), (META_SEQUENCER, sequencer), (META_SOURCE_BUCKET, bucket)];
        Some(ObjectMeta {
            etag: "output-etag".into(),
            size: 1,
            version_id: None,
            metadata: metadata.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            checksum_crc64nvme: None,
        })
    }

    fn decided(receipt: Option<(Receipt, String)>, output: Option<ObjectMeta>, source: &Source) -> Decision {
        let intent = Intent { source, recipe_sha256: "r", attempt: 0, event_id: "mine" };
        decide(&Found { receipt, output, lacks_objects: false }, &intent)
    }

    #[test]
    fn a_new_file_is_written_only_where_nothing_is() {
        let fresh = Decision::Process { output: Condition::IfAbsent };
        assert_eq!(decided(None, None, &source("a", "1")), fresh);
    }

    #[test]
    fn the_same_source_is_published_again_and_no_more() {
        let source = source("a", "1");
        let receipt = receipt(&source, Status::Processed, "mine");
        assert!(matches!(decided(receipt, output("mine", "1", "in"), &source), Decision::Republish(_)));
    }

    #[test]
    fn a_receipt_whose_output_was_replaced_out_of_order_is_not_the_end() {
        let ours = source("a", "1");
        let with = |etag: &str, output: Option<ObjectMeta>| {
            let output = output.map(|output| ObjectMeta { etag: etag.into(), ..output });
            decided(receipt(&ours, Status::Processed, "mine"), output, &ours)
        };
        let replay = output("theirs", "", "in").map(|mut output| {
            output.metadata.remove(META_SEQUENCER);
            output
        });
        let again = Decision::Process { output: Condition::IfMatch("other".into()) };
        assert_eq!(with("other", replay), again);
        assert!(matches!(with("other", output("mine", "1", "in")), Decision::Adopt { .. }));
        // A newer one's receipt is still to come; what is gone or was edited is somebody's will.
        let foreign = output("", "", "in").map(|output| ObjectMeta { metadata: BTreeMap::new(), ..output });
        for untouched in [output("theirs", "2", "in"), None, foreign] {
            assert!(matches!(with("other", untouched), Decision::Republish(_)));
        }
    }

    #[test]
    fn a_failed_receipt_of_the_same_source_is_tried_again() {
        let source = source("a", "1");
        let receipt = receipt(&source, Status::Failed, "failed");
        assert_eq!(decided(receipt, None, &source), Decision::Process { output: Condition::IfAbsent });
    }

    #[test]
    fn a_later_receipt_supersedes_and_an_earlier_or_unknown_one_is_replaced() {
        let replaced = Decision::Process { output: Condition::IfMatch("output-etag".into()) };
        for (theirs, ours, superseded) in
            [("2", "1", true), ("1", "2", false), ("", "1", false), ("1", "", false)]
        {
            let receipt = receipt(&source("b", theirs), Status::Processed, "theirs");
            let decision = decided(receipt, output("theirs", "", "in"), &source("a", ours));
            let expected = if superseded { Decision::Superseded } else { replaced.clone() };
            assert_eq!(decision, expected, "theirs {theirs:?}, ours {ours:?}");
        }
    }

    #[test]
    fn an_output_without_its_receipt_decides_by_its_metadata() {
        let ours = source("a", "5");
        assert!(matches!(decided(None, output("mine", "5", "in"), &ours), Decision::Adopt { .. }));
        assert_eq!(decided(None, output("theirs", "6", "in"), &ours), Decision::Superseded);
        assert!(matches!(decided(None, output("theirs", "4", "in"), &ours), Decision::Process { .. }));
    }

    #[test]
    fn two_buckets_never_share_one_output() {
        let ours = source("a", "5");
        assert_eq!(
            decided(None, output("theirs", "1", "other"), &ours),
            Decision::Taken { by: "other".into() }
        );
        let theirs = receipt(&Source { bucket: "other".into(), ..ours.clone() }, Status::Processed, "x");
        assert_eq!(decided(theirs, None, &ours), Decision::Taken { by: "other".into() });
    }

    #[test]
    fn an_output_of_unknown_origin_is_replaced_knowingly() {
        let foreign = ObjectMeta { metadata: BTreeMap::new(), ..output("", "", "").unwrap() };
        let expected = Decision::Process { output: Condition::IfMatch("output-etag".into()) };
        assert_eq!(decided(None, Some(foreign), &source("a", "1")), expected);
    }
}
