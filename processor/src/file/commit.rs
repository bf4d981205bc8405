//! Making the work visible: the clean file, then the receipt, each under the condition that what was seen before is
//! still there.

use common::contract::{ObjectRef, Output, Receipt};
use common::document;
use common::store::{Condition, ErrorKind, ObjectMeta};
use common::trace;
use common::write::ObjectWriter;

use super::{File, FileError, MAX_TRIES, NEWER, Outcome, Places, Work, is_race, pause};
use crate::decision::{Decision, Found};
use crate::outputs::{self, CleanWriter};

/// How far the clean file came.
pub(super) enum Committed {
    /// Visible; the receipt is to be written in the place of what was found.
    Outputs(Box<(Vec<Output>, Found)>),
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
        if places.partition_room.is_some() {
            // No condition of a partition's object says what the one of a single clean file does: that nothing has come in
            // between.
            found = self.look(places).await?;
        }
        for tries in 0..MAX_TRIES {
            let decision = self.decide(&found);
            let writer = match (&mut work.writer, &decision) {
                (CleanWriter::One(writer), _) => writer,
                (CleanWriter::Partitioned(writer), Decision::Process { .. }) => {
                    // Other bytes under this event's names are replaced only after another look for its receipt.
                    match trace::tallied(writer.finish(tries > 0)).await {
                        Ok(outputs) => return Ok(Committed::Outputs(Box::new((outputs, found)))),
                        Err(error) if is_race(&error) => last_error = Some(error),
                        Err(error) => return Err(error.into()),
                    }
                    pause(tries).await;
                    found = self.look(places).await?;
                    continue;
                }
                (CleanWriter::Partitioned(_), settled) => {
                    let outcome = self.settle(settled, places).await?;
                    return Ok(Committed::Settled(outcome.unwrap_or(Outcome::Superseded(NEWER))));
                }
            };
            let condition = match decision {
                Decision::Process { output } => output,
                Decision::Adopt { output } => match adopted(writer, &places.clean, &output) {
                    Some(output) => return Ok(Committed::Outputs(Box::new((vec![output], found)))),
                    // Another Penstock's bytes under the same name: ours replace them.
                    None => Condition::IfMatch(output.etag),
                },
                settled => {
                    let outcome = self.settle(&settled, places).await?;
                    return Ok(Committed::Settled(outcome.unwrap_or(Outcome::Superseded(NEWER))));
                }
            };
            match writer.finish(&condition).await {
                Ok(finished) => {
                    let outputs = vec![outputs::output(&places.clean, finished)];
                    return Ok(Committed::Outputs(Box::new((outputs, found))));
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

    /// Writes a `processed` receipt in the place of what was found, unless somebody newer or a twin came first, and
    /// publishes.
    pub(super) async fn commit_receipt(
        &self,
        receipt: Receipt,
        mut found: Found,
        places: &Places,
    ) -> Result<Outcome, FileError> {
        let store = &*self.processor.store;
        let ours = receipt.outputs.first().map(|output| output.etag.as_str());
        // Of a partitioned file, only twins write to the same keys: `look` sees what they did.
        let is_partitioned = places.partition_room.is_some();
        let is_ours = |output: &Option<ObjectMeta>| {
            is_partitioned || output.as_ref().map(|output| output.etag.as_str()) == ours
        };
        let mut last_error = None;
        for tries in 0..MAX_TRIES {
            match document::write(store, &places.receipt, &receipt, &found.receipt_condition()).await {
                Ok(_) => {
                    // Whoever replaced our output meanwhile writes a receipt as well, and sees ours; but not if there was
                    // one of that event already, in whose place ours is now.
                    let is_shared = !is_partitioned && found.is_unordered(&self.source);
                    if is_shared && !is_ours(&store.head(&places.clean).await?) {
                        break;
                    }
                    self.tidy_up(found.receipt.as_ref().map(|(replaced, _)| replaced), places).await;
                    if is_partitioned && self.lacks_objects(&receipt, places).await? {
                        break;
                    }
                    self.publish(&receipt, &places.receipt).await?;
                    return Ok(Outcome::Processed(Box::new(receipt)));
                }
                Err(error) if is_race(&error) => last_error = Some(error),
                Err(error) => return Err(error.into()),
            }
            pause(tries).await;
            found = self.look(places).await?;
            match self.decide(&found) {
                // Our output has been replaced. A receipt must not name what is no longer there.
                Decision::Process { .. } | Decision::Adopt { .. } if !is_ours(&found.output) => break,
                Decision::Process { .. } | Decision::Adopt { .. } => {}
                settled => {
                    let outcome = self.settle(&settled, places).await?;
                    return Ok(outcome.unwrap_or(Outcome::Superseded(NEWER)));
                }
            }
        }
        Err(FileError::Contended { object: places.receipt.clone(), source: last_error })
    }
}

/// The twin's output in the receipt's words, if it has the bytes that ours would have.
fn adopted(writer: &ObjectWriter, object: &ObjectRef, theirs: &ObjectMeta) -> Option<Output> {
    let ours = writer.checksum();
    let same = theirs.size == writer.size()
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
