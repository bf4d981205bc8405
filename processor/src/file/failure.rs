//! Saying that a file can never be processed.

use common::contract::{Failure, ObjectRef, Receipt, Status, failure_receipt_key};
use common::document;
use common::store::Condition;

use super::{File, FileError, MAX_TRIES, NEWER, Outcome, Places, is_race, pause};
use crate::decision::is_later;
use crate::receipt;

impl File<'_> {
    /// Says that the file can never be processed. Never in the place of a `processed` receipt of the same source, nor
    /// of another bucket's file.
    pub(super) async fn fail(&self, failure: Failure, places: &Places) -> Result<Outcome, FileError> {
        let found = document::read::<Receipt>(&*self.processor.store, &places.receipt).await?;
        match found.map(|found| found.value) {
            Some(theirs) if theirs.source.bucket != self.source.bucket => self.fail_beside(failure).await,
            Some(theirs) if theirs.status == Status::Processed && theirs.source.is_same(&self.source) => {
                self.fail_beside(failure).await
            }
            _ => self.fail_at(&places.receipt, failure).await,
        }
    }

    /// Says so in a place of this file's own.
    pub(super) async fn fail_beside(&self, failure: Failure) -> Result<Outcome, FileError> {
        let key = failure_receipt_key(&format!("{}/{}", self.source.bucket, self.source.key));
        self.fail_at(&ObjectRef::new(&self.processor.output_bucket, key), failure).await
    }

    /// Writes a `failed` receipt and publishes. A failure that was told before is told again from the receipt of
    /// then, so that its time stays the same.
    pub(super) async fn fail_at(&self, object: &ObjectRef, failure: Failure) -> Result<Outcome, FileError> {
        let store = &*self.processor.store;
        let receipt = receipt::failed(&self.source, &self.processor.recipe, failure, self.started_at);
        let mut last_error = None;
        for tries in 0..MAX_TRIES {
            let condition = match document::read::<Receipt>(store, object).await? {
                None => Condition::IfAbsent,
                Some(found) if found.value.event_id == receipt.event_id => {
                    self.publish(&found.value, object).await?;
                    return Ok(Outcome::Republished(Box::new(found.value)));
                }
                Some(found)
                    if is_later(found.value.source.sequencer.as_ref(), self.source.sequencer.as_ref()) =>
                {
                    return Ok(Outcome::Superseded(NEWER));
                }
                Some(found) => Condition::IfMatch(found.etag),
            };
            match document::write(store, object, &receipt, &condition).await {
                Ok(_) => {
                    self.publish(&receipt, object).await?;
                    return Ok(Outcome::Failed(Box::new(receipt)));
                }
                Err(error) if is_race(&error) => last_error = Some(error),
                Err(error) => return Err(error.into()),
            }
            pause(tries).await;
        }
        Err(FileError::Contended { object: object.clone(), source: last_error })
    }
}
