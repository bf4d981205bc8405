//! Making the work visible: the clean file, then the receipt, each under the condition that what was seen before is
//! still there.

use common::contract::{ObjectRef, Output, Receipt};
use common::document;
use common::store::{Condition, ErrorKind, ObjectMeta};

use super::{File, FileError, MAX_TRIES, NEWER, Outcome, Places, Work, is_race, pause};
use crate::decision::{Decision, Found};
use crate::outputs;

/// How far the clean file came.
pub(super) enum Committed {
    /// Visible; the receipt is to be written under this condition.
    Output(Box<Output>, Condition),
    /// Somebody else's business by now.
    Settled(Outcome),
}

impl File<'_> {
    /// Makes the clean file visible, unless somebody newer or a twin came first. An upload that is not completed then is
    /// the caller's to abort.
    pub(super) async fn commit_output(
        &self,
        work: &mut Work,
        mut found: Found,
        places: &Places,
    ) -> Result<Committed, FileError> {
        let mut last_error = None;
        for tries in 0..MAX_TRIES {
            let (condition, receipt) = match self.decide(&found) {
                Decision::Process { output, receipt } => (output, receipt),
                Decision::Adopt { output, receipt } => match adopted(work, &places.clean, &output) {
                    Some(output) => return Ok(Committed::Output(Box::new(output), receipt)),
                    // Another Penstock's bytes under the same name: ours replace them.
                    None => (Condition::IfMatch(output.etag), receipt),
                },
                settled => {
                    let outcome = self.settle(&settled, places).await?;
                    return Ok(Committed::Settled(outcome.unwrap_or(Outcome::Superseded(NEWER))));
                }
            };
            match work.writer.finish(&condition).await {
                Ok(finished) => {
                    let output = outputs::output(&places.clean, finished);
                    return Ok(Committed::Output(Box::new(output), receipt));
                }
                Err(error) if matches!(error.kind, ErrorKind::Precondition | ErrorKind::NotFound) => {
                    last_error = Some(error);
                    pause(tries).await;
                    found = self.look(places).await?;
                }
                // A conflict (409) among them: S3 wants the parts uploaded anew, which Lambda's retry does.
                Err(error) => return Err(error.into()),
            }
        }
        Err(FileError::Contended { object: places.clean.clone(), source: last_error })
    }

    /// Writes a `processed` receipt, unless somebody newer or a twin came first, and publishes.
    pub(super) async fn commit_receipt(
        &self,
        receipt: Receipt,
        mut condition: Condition,
        places: &Places,
    ) -> Result<Outcome, FileError> {
        let store = &*self.processor.store;
        let ours = receipt.outputs.first().map(|output| output.etag.as_str());
        let mut last_error = None;
        for tries in 0..MAX_TRIES {
            match document::write(store, &places.receipt, &receipt, &condition).await {
                Ok(_) => {
                    self.publish(&receipt, &places.receipt).await?;
                    return Ok(Outcome::Processed(Box::new(receipt)));
                }
                Err(error) if is_race(&error) => last_error = Some(error),
                Err(error) => return Err(error.into()),
            }
            pause(tries).await;
            let found = self.look(places).await?;
            let ours_is_current = found.output.as_ref().map(|output| output.etag.as_str()) == ours;
            let theirs = found.receipt.as_ref().map(|(_, etag)| Condition::IfMatch(etag.clone()));
            condition = match self.decide(&found) {
                // A twin's receipt that names an output which ours has replaced since.
                Decision::Republish(twin) if ours_is_current && twin.outputs != receipt.outputs => {
                    theirs.unwrap_or(Condition::IfAbsent)
                }
                Decision::Process { receipt, .. } | Decision::Adopt { receipt, .. } if ours_is_current => {
                    receipt
                }
                // Our output has been replaced. A receipt must not name what is no longer there.
                Decision::Process { .. } | Decision::Adopt { .. } => break,
                settled => {
                    let outcome = self.settle(&settled, places).await?;
                    return Ok(outcome.unwrap_or(Outcome::Superseded(NEWER)));
                }
            };
        }
        Err(FileError::Contended { object: places.receipt.clone(), source: last_error })
    }
}

/// The twin's output in the receipt's words, if it has the bytes that ours would have.
fn adopted(work: &Work, object: &ObjectRef, theirs: &ObjectMeta) -> Option<Output> {
    let ours = work.writer.checksum();
    let same = theirs.size == work.writer.size()
        && theirs.checksum_crc64nvme.as_ref().is_none_or(|checksum| *checksum == ours);
    same.then(|| Output {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        etag: theirs.etag.clone(),
        size: theirs.size,
        checksum_crc64nvme: ours,
        parts: etag_parts(&theirs.etag),
    })
}

/// S3 says in the `ETag` of how many parts an object was made: `…-7`.
fn etag_parts(etag: &str) -> u32 {
    etag.rsplit_once('-').and_then(|(_, parts)| parts.parse().ok()).unwrap_or(0)
}
