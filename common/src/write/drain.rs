//! The end of an upload's body, apart from making it visible.

use super::ObjectWriter;
use crate::store::StoreError;

impl ObjectWriter {
    /// Sends what is left of an upload in parts and waits until all of it has arrived, so that nothing but the
    /// completion is left to [`ObjectWriter::finish`]. What fits one part stays with that.
    ///
    /// Until `finish` is called nothing can become visible; afterwards nobody knows before it answers.
    pub async fn drain(&mut self) -> Result<(), StoreError> {
        if self.upload.is_none() {
            return Ok(());
        }
        if self.part.length > 0 {
            self.send_part().await?;
        }
        while !self.in_flight.is_empty() {
            self.settle_one().await?;
        }
        Ok(())
    }
}
