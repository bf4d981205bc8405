//! A partitioned clean file on its way: many uploads, none of them visible before all of it has arrived.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use common::contract::{ObjectRef, Output, partition_key};
use common::store::{Condition, ErrorKind, NewObject, Payload, Store, StoreError};
use common::trace;
use common::write::{ObjectUpload, WritePlan};
use engine::recipe::{FormatWord, Piece, suffix};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::outputs::{content_type, output};

/// Objects that are made visible, looked at or removed at once.
pub(crate) const OBJECTS_AT_ONCE: usize = 16;

/// However small they are, so many pieces are on their way at most.
const MAX_PIECES_UNDER_WAY: u32 = 32;

/// How often an object in whose place another one lies is tried again.
const MAX_TRIES: u32 = 4;

/// What the permits of [`PartitionWriter::room`] stand for: there are not enough numbers for bytes.
const ROOM_UNIT: u64 = 1024;

/// Where a file's partitions go, and as what.
pub(crate) struct PartitionPlace {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bucket: String,
    pub(crate) source_key: String,
    pub(crate) event_id: String,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) format: FormatWord,
    pub(crate) plan: WritePlan,
}

/// Writes the objects of a partitioned output.
pub(crate) struct PartitionWriter {
    place: PartitionPlace,
    /// Those of which more is to come, by their numbers.
    begun: HashMap<u32, ObjectUpload>,
    /// Those whose last piece is on its way.
    ending: JoinSet<Result<(u32, ObjectUpload), StoreError>>,
    /// Those that have arrived.
    arrived: BTreeMap<u32, ObjectUpload>,
    /// Room in memory for pieces on their way.
    room: Arc<Semaphore>,
    room_units: u32,
}

impl PartitionWriter {
    pub(crate) fn new(place: PartitionPlace) -> Self {
        let bytes = place.plan.part_bytes * place.plan.in_flight.max(1) as u64;
        let room_units = u32::try_from(bytes / ROOM_UNIT).unwrap_or(u32::MAX).max(1);
        Self {
            place,
            begun: HashMap::new(),
            ending: JoinSet::new(),
            arrived: BTreeMap::new(),
            room: Arc::new(Semaphore::new(room_units as usize)),
            room_units,
        }
    }

    /// Takes the next piece of an object; waits while as many are on their way as there is room for.
    pub(crate) async fn write(&mut self, piece: Piece) -> Result<(), StoreError> {
        while let Some(ended) = self.ending.try_join_next() {
            self.keep(ended)?;
        }
        let units = u32::try_from(piece.length() as u64 / ROOM_UNIT).unwrap_or(u32::MAX);
        let units = units.clamp(self.room_units.div_ceil(MAX_PIECES_UNDER_WAY), self.room_units);
        let room = Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|error| {
            StoreError::new(ErrorKind::Permanent, "wait for room for a piece").caused_by(error)
        })?;
        let (number, is_last, is_empty) = (piece.object, piece.is_last, piece.length() == 0);
        let begun = self.begun.remove(&number).unwrap_or_else(|| self.begin(&piece));
        let part = Payload::of_chunks(piece.chunks);
        if !is_last {
            // It stays among the begun ones, from where it is given up if this one is.
            return self.begun.entry(number).or_insert(begun).send(part, room).await;
        }
        let mut object = begun;
        // In a task, as the store is first asked for an upload: there may be thousands.
        trace::spawn_into(&mut self.ending, async move {
            if !is_empty {
                object.send(part, room).await?;
            }
            object.settle().await?;
            Ok((number, object))
        });
        Ok(())
    }

    fn begin(&self, piece: &Piece) -> ObjectUpload {
        let PartitionPlace { store, bucket, source_key, event_id, metadata, format, plan } = &self.place;
        let suffix = suffix(*format, piece.compression);
        let key = partition_key(source_key, &piece.path, event_id, piece.sequence, &suffix);
        let new = NewObject {
            object: ObjectRef::new(bucket, key),
            content_type: content_type(*format, piece.compression),
            metadata: metadata.clone(),
        };
        ObjectUpload::new(Arc::clone(store), new, *plan)
    }

    fn keep(
        &mut self,
        ended: Result<Result<(u32, ObjectUpload), StoreError>, tokio::task::JoinError>,
    ) -> Result<(), StoreError> {
        let died = |error| {
            StoreError::new(ErrorKind::Permanent, "the task that ends an object died").caused_by(error)
        };
        let (number, object) = ended.map_err(died)??;
        self.arrived.insert(number, object);
        Ok(())
    }

    /// Waits until all of it has arrived.
    pub(crate) async fn drain(&mut self) -> Result<(), StoreError> {
        while let Some(ended) = self.ending.join_next().await {
            self.keep(ended)?;
        }
        if self.begun.is_empty() {
            return Ok(());
        }
        Err(StoreError::new(ErrorKind::Permanent, "an object's last piece never came"))
    }

    /// Makes all objects visible. Their keys have the event's id: what lies there already was written for this very
    /// event, by a twin or before a crash, and is as good where it has the same bytes. Another Penstock's bytes are replaced.
    pub(crate) async fn finish(&mut self) -> Result<Vec<Output>, StoreError> {
        let store = &*self.place.store;
        let finished: Vec<_> =
            self.arrived.values_mut().map(|object| finish(store, object).boxed()).collect();
        stream::iter(finished).buffered(OBJECTS_AT_ONCE).try_collect().await
    }

    /// Gives up whatever is not visible. That of some this failed is said once.
    pub(crate) async fn abort(mut self) -> Result<(), StoreError> {
        let mut failed = Ok(());
        while let Some(ended) = self.ending.join_next().await {
            // An upload whose task failed has given itself up.
            let _dropped = self.keep(ended);
        }
        let left = self.begun.into_values().chain(self.arrived.into_values());
        let left: Vec<_> = left.map(|object| object.abort().boxed()).collect();
        let aborted = stream::iter(left).buffer_unordered(OBJECTS_AT_ONCE);
        let mut aborted = std::pin::pin!(aborted);
        while let Some(done) = aborted.next().await {
            failed = failed.and(done);
        }
        failed
    }
}

async fn finish(store: &dyn Store, object: &mut ObjectUpload) -> Result<Output, StoreError> {
    let place = object.new_object().object.clone();
    let (mut condition, mut tries) = (Condition::IfAbsent, 0);
    loop {
        tries += 1;
        match object.finish(&condition, Payload::of_chunks(Vec::new())).await {
            Ok(finished) => return Ok(output(&place, finished)),
            Err(error) if error.kind == ErrorKind::Precondition && tries < MAX_TRIES => {}
            Err(error) => return Err(error),
        }
        let found = store.head(&place).await?;
        condition = found.map_or(Condition::IfAbsent, |found| Condition::IfMatch(found.etag));
    }
}
