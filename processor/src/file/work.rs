//! The engine between source and uploads; nothing of it is visible yet.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::read::read_object;
use common::store::Condition;
use common::write::ObjectWriter;
use engine::{EngineError, Summary};
use futures::TryStreamExt as _;

use super::{File, Places};
use crate::give_up::Reason;
use crate::outputs::{self, ObjectSink};

/// What the engine made, not visible yet.
pub(super) struct Work {
    pub(super) summary: Summary,
    pub(super) writer: ObjectWriter,
}

/// Why there is nothing to make visible. No upload is open.
pub(super) enum Stopped {
    /// The engine failed, or what it reads from or writes to.
    Engine(EngineError),
    /// The file was given up after `read` bytes of the input object.
    GivenUp { reason: Reason, read: u64 },
}

impl File<'_> {
    /// Runs the engine from the source into uploads; rejects are finished, the clean file has arrived but is not visible.
    pub(super) async fn work(&self, places: &Places) -> Result<Work, Stopped> {
        let processor = self.processor;
        let store = || Arc::clone(&processor.store);
        let source = &self.source;
        let read = Arc::new(AtomicU64::new(0));
        let count = {
            let read = Arc::clone(&read);
            move |bytes: &bytes::Bytes| _ = read.fetch_add(bytes.len() as u64, Ordering::Relaxed)
        };
        let input = read_object(store(), &source.object(), &source.etag, source.size, processor.read);
        let input = std::pin::pin!(input.inspect_ok(count).map_err(io::Error::other));
        let writer =
            outputs::clean_writer(store(), places.clean.clone(), source, &self.event_id, processor.write);
        let mut clean = ObjectSink(writer);
        let rejects = outputs::rejects_writer(store(), places.rejects.clone(), processor.write_rejects);
        let mut rejects = ObjectSink(rejects);
        let ran = async {
            let summary = engine::run(input, &mut clean, &mut rejects, &processor.options).await?;
            if summary.input_bytes != source.size {
                let (read, size) = (summary.input_bytes, source.size);
                return Err(EngineError::Internal(format!("{read} bytes were read of {size}")));
            }
            if summary.counts.rows_rejected > 0 {
                let finished = rejects.0.finish(&Condition::Always).await;
                finished.map_err(|error| EngineError::Rejects(io::Error::other(error)))?;
            }
            clean.0.drain().await.map_err(|error| EngineError::Output(io::Error::other(error)))?;
            Ok(summary)
        };
        let stopped = tokio::select! {
            // In this order: an engine that always finds bytes uses up the task's budget, without which no timer fires.
            biased;
            reason = self.give_up.work_is_over() => {
                Stopped::GivenUp { reason, read: read.load(Ordering::Relaxed) }
            }
            ran = ran => match ran {
                Ok(summary) => return Ok(Work { summary, writer: clean.0 }),
                Err(error) => Stopped::Engine(error),
            },
        };
        tokio::join!(self.abort(rejects.0), self.abort(clean.0));
        Err(stopped)
    }
}
