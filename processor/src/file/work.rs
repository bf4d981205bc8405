//! The engine between source and uploads; nothing of it is visible yet.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use common::contract::ObjectRef;
use common::read::read_object;
use common::store::{Condition, StoreError};
use common::trace::{self, Step, Tally, Waited, count_of};
use common::write::{Finished, ObjectWriter};
use engine::{EngineError, Summary};
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use opentelemetry::trace::{FutureExt as _, SpanBuilder, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};

use super::{File, MAX_TRIES, Places, is_race, pause};
use crate::give_up::Reason;
use crate::outputs::{self, CleanSink, CleanWriter, ObjectSink, clean_metadata};
use crate::partitions::{PartitionPlace, PartitionWriter};

/// What the engine made.
pub(super) struct Work {
    pub(super) summary: Summary,
    /// The rejects' object, visible already: its key is this event's own. None where nothing was rejected.
    pub(super) rejects: Option<Finished>,
    pub(super) writer: CleanWriter,
}

/// Why there is nothing to make visible. No upload is open.
pub(super) enum Stopped {
    /// The engine failed, or what it reads from or writes to.
    Engine(EngineError),
    /// The file was given up after `read` bytes of the input object.
    GivenUp { reason: Reason, read: u64 },
}

/// What a receipt says of an object beside its bucket, its key and the event's id in that, at most, in bytes.
const LISTED_BYTES: usize = 220;

/// For what the engine waited: rows to come, room for those that are done.
#[derive(Default)]
struct Waits {
    input: Waited,
    output: Waited,
}

/// The same stream, with the time it makes its consumer wait.
fn timed<S: Stream + Unpin>(stream: S, waited: &Waited) -> impl Stream<Item = S::Item> {
    stream::unfold(stream, async |mut stream| {
        let item = waited.during(stream.next()).await?;
        Some((item, stream))
    })
}

/// What the engine counted, as attributes.
fn sums(summary: &Summary) -> Vec<KeyValue> {
    vec![
        KeyValue::new("penstock.compression", summary.input_compression.name()),
        count_of("penstock.bytes.in", summary.input_bytes),
        count_of("penstock.bytes.decompressed", summary.decompressed_bytes),
        count_of("penstock.bytes.out", summary.output_bytes),
        count_of("penstock.rows.in", summary.counts.rows_in),
        count_of("penstock.rows.out", summary.counts.rows_out),
        count_of("penstock.rows.rejected", summary.counts.rows_rejected),
    ]
}

impl File<'_> {
    /// Runs the engine from the source into uploads; rejects are finished, the clean file has arrived but is not visible.
    pub(super) async fn work(&self, places: &Places) -> Result<Work, Stopped> {
        let span = trace::span(SpanBuilder::from_name("transfer"), &Context::current());
        let (tally, context) = Tally::begin(&span);
        let waits = Waits::default();
        let done = self.transfer(places, &waits, &tally).with_context(context).await;
        match &done {
            Ok(work) => span.span().set_attributes(sums(&work.summary)),
            Err(Stopped::Engine(EngineError::BadFile(bad))) => {
                trace::fail_as(&span, bad.code, bad.message.clone());
            }
            Err(Stopped::Engine(error)) => trace::fail(&span, error),
            Err(Stopped::GivenUp { reason, .. }) => trace::fail(&span, reason),
        }
        span.span().set_attributes(tally.attributes());
        span.span().set_attribute(waits.input.attribute("penstock.wait.input_ms"));
        span.span().set_attribute(waits.output.attribute("penstock.wait.output_ms"));
        span.span().end();
        done
    }

    async fn transfer(&self, places: &Places, waits: &Waits, tally: &Tally) -> Result<Work, Stopped> {
        let processor = self.processor;
        let store = || Arc::clone(&processor.store);
        let source = &self.source;
        let read = Arc::new(AtomicU64::new(0));
        let count = {
            let read = Arc::clone(&read);
            move |bytes: &bytes::Bytes| {
                read.fetch_add(bytes.len() as u64, Ordering::Relaxed);
                tally.moved(Step::Read, bytes.len() as u64);
            }
        };
        let input = read_object(store(), &source.object(), &source.etag, source.size, processor.read);
        let input = std::pin::pin!(input.inspect_ok(count).map_err(io::Error::other));
        let input = std::pin::pin!(timed(input, &waits.input));
        let mut options = processor.options(&self.recipe);
        if let Some(room) = places.partition_room {
            options.partitions.max_path_bytes = room;
            options.partitions.listed_bytes =
                LISTED_BYTES + places.clean.bucket.len() + places.clean.key.len() + self.event_id.len();
        }
        let mut clean = CleanSink { writer: self.clean_writer(places), tally, waited: &waits.output };
        let rejects = outputs::rejects_writer(
            store(),
            places.rejects.clone(),
            source,
            &self.event_id,
            processor.write_rejects,
        );
        let mut rejects = ObjectSink { writer: rejects, tally, waited: &waits.output };
        let ran = async {
            let summary = engine::run(input, &mut clean, &mut rejects, &options).await?;
            if summary.input_bytes != source.size {
                let (read, size) = (summary.input_bytes, source.size);
                return Err(EngineError::Internal(format!("{read} bytes were read of {size}")));
            }
            let mut set_aside = None;
            if summary.counts.rows_rejected > 0 {
                let finished = self.finish_rejects(&mut rejects.writer, &places.rejects).await;
                set_aside = Some(finished.map_err(|error| EngineError::Rejects(io::Error::other(error)))?);
            }
            waits
                .output
                .during(clean.writer.drain())
                .await
                .map_err(|error| EngineError::Output(io::Error::other(error)))?;
            Ok((summary, set_aside))
        };
        let stopped = tokio::select! {
            // In this order: an engine that always finds bytes uses up the task's budget, without which no timer fires.
            biased;
            reason = self.give_up.work_is_over() => {
                Stopped::GivenUp { reason, read: read.load(Ordering::Relaxed) }
            }
            ran = ran => match ran {
                Ok(_) if !self.give_up.has_time(clean.writer.time_to_finish()) => {
                    Stopped::GivenUp { reason: Reason::OutOfTime, read: read.load(Ordering::Relaxed) }
                }
                Ok((summary, rejects)) => return Ok(Work { summary, rejects, writer: clean.writer }),
                Err(error) => Stopped::Engine(error),
            },
        };
        let rejects = CleanWriter::One(Box::new(rejects.writer));
        tokio::join!(self.abort(rejects), self.abort(clean.writer));
        Err(stopped)
    }

    /// Where clean rows go.
    fn clean_writer(&self, places: &Places) -> CleanWriter {
        let (store, plan) = (Arc::clone(&self.processor.store), self.processor.write);
        let (source, event_id, format) = (&self.source, &self.event_id, self.recipe.recipe.format);
        if places.partition_room.is_none() {
            let clean = places.clean.clone();
            let writer = outputs::clean_writer(store, clean, source, event_id, format, plan);
            return CleanWriter::One(Box::new(writer));
        }
        CleanWriter::Partitioned(Box::new(PartitionWriter::new(PartitionPlace {
            store,
            bucket: places.clean.bucket.clone(),
            source_key: source.key.clone(),
            event_id: event_id.clone(),
            metadata: clean_metadata(source, event_id),
            format,
            plan,
        })))
    }

    /// Makes the rejects visible. Those that a twin wrote before stay, where they are the same: its receipt names their
    /// `ETag`, as ours will.
    async fn finish_rejects(
        &self,
        writer: &mut ObjectWriter,
        object: &ObjectRef,
    ) -> Result<Finished, StoreError> {
        let (mut condition, mut tries) = (Condition::IfAbsent, 0);
        loop {
            tries += 1;
            match writer.finish(&condition).await {
                // Another Penstock's bytes under the same name: ours replace them.
                Err(error) if is_race(&error) && tries < MAX_TRIES => pause(tries).await,
                finished => return finished,
            }
            let found = self.processor.store.head(object).await?;
            condition = found.map_or(Condition::IfAbsent, |found| Condition::IfMatch(found.etag));
        }
    }
}
