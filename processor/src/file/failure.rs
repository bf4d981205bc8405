//! Saying that a file can never be processed.

use common::contract::{Failure, ObjectRef, Receipt, Status, failure_receipt_key};
use common::document;
use common::store::Condition;
use common::write::WritePlan;

use super::{File, FileError, MAX_TRIES, NEWER, OUT_OF_TIME, Outcome, Places, is_race, pause};
use crate::decision::is_later;
use crate::receipt;

impl File<'_> {
    /// Says that the file can never be processed.
    pub(super) async fn fail(&self, failure: Failure, places: &Places) -> Result<Outcome, FileError> {
        self.fail_at(places.receipt.clone(), failure).await
    }

    /// Says that what would come of the file is larger than can be written under this `plan`.
    pub(super) async fn fail_too_large(
        &self,
        plan: WritePlan,
        places: &Places,
    ) -> Result<Outcome, FileError> {
        let (size, largest) = (self.source.size, plan.max_object_bytes());
        let message = format!(
            "what comes of the file's {size} bytes would have more than {largest}, the most that can be written with \
             this function's memory: give the function more memory, or split the file"
        );
        self.fail(super::failure("too_large", message), places).await
    }

    /// Says so in a place of this file's own.
    pub(super) async fn fail_beside(&self, failure: Failure) -> Result<Outcome, FileError> {
        self.fail_at(self.beside(), failure).await
    }

    fn beside(&self) -> ObjectRef {
        let key = failure_receipt_key(&format!("{}/{}", self.source.bucket, self.source.key));
        ObjectRef::new(&self.processor.output_bucket, key)
    }

    /// Writes a `failed` receipt and publishes. Never in the place of a `processed` receipt of the same source, nor of
    /// another bucket's file. A failure that was told before is told again from the receipt of then. An event has one time,
    /// whatever is found wrong later: the catalogue has one place for it.
    pub(super) async fn fail_at(
        &self,
        mut object: ObjectRef,
        failure: Failure,
    ) -> Result<Outcome, FileError> {
        let store = &*self.processor.store;
        let receipt = receipt::failed(&self.source, &self.recipe.reference, failure, self.started_at);
        let receipt = receipt::of_attempt(receipt, self.attempt);
        let mut last_error = None;
        for tries in 0..MAX_TRIES {
            let mut told = None;
            let condition = match document::read::<Receipt>(store, &object).await? {
                None => Condition::IfAbsent,
                Some(found) if self.is_protected(&found.value) => {
                    object = self.beside();
                    continue;
                }
                Some(found) if tells_as_much(&found.value, &receipt) => {
                    self.publish(&found.value, &object).await?;
                    return Ok(Outcome::Republished(Box::new(found.value)));
                }
                Some(found)
                    if is_later(found.value.source.sequencer.as_ref(), self.source.sequencer.as_ref()) =>
                {
                    return Ok(Outcome::Superseded(NEWER));
                }
                Some(found) => {
                    told = (found.value.event_id == receipt.event_id).then_some(found.value.timing);
                    Condition::IfMatch(found.etag)
                }
            };
            let receipt = match told {
                Some(timing) => Receipt { timing, ..receipt.clone() },
                None => receipt.clone(),
            };
            match document::write(store, &object, &receipt, &condition).await {
                Ok(_) => {
                    self.publish(&receipt, &object).await?;
                    return Ok(Outcome::Failed(Box::new(receipt)));
                }
                Err(error) if is_race(&error) => last_error = Some(error),
                Err(error) => return Err(error.into()),
            }
            pause(tries).await;
        }
        Err(FileError::Contended { object, source: last_error })
    }

    /// Whether no failure of this file may replace it.
    fn is_protected(&self, theirs: &Receipt) -> bool {
        let is_done = theirs.status == Status::Processed && theirs.source.is_same(&self.source);
        theirs.source.bucket != self.source.bucket || is_done
    }
}

/// Whether the same failure was told before. That there was too little time gives way to what is wrong with the file.
fn tells_as_much(theirs: &Receipt, ours: &Receipt) -> bool {
    let is_out_of_time =
        |receipt: &Receipt| receipt.error.as_ref().is_some_and(|error| error.code == OUT_OF_TIME);
    theirs.event_id == ours.event_id && (!is_out_of_time(theirs) || is_out_of_time(ours))
}
