//! A partitioned clean file on its way: many uploads, none of them visible before all of it has arrived.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use common::contract::{ObjectRef, Output, partition_key};
use common::store::{Condition, ErrorKind, NewObject, Payload, Store, StoreError};
use common::trace;
use common::write::{ObjectUpload, WritePlan};
use engine::recipe::{FormatWord, Piece, suffix};
use futures::{FutureExt as _, StreamExt as _, stream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::outputs::{content_type, output};

/// Objects that are made visible, looked at or removed at once.
pub(crate) const OBJECTS_AT_ONCE: usize = 32;

/// How long an object takes to be made visible, where so many are at once: 2 ms, if a request takes 60. The rest is for a
/// small share of a processor.
const TIME_FOR_AN_OBJECT: Duration = Duration::from_millis(5);

/// However small they are, so many pieces are on their way at most.
const MAX_PIECES_UNDER_WAY: u32 = 32;

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
    ending: JoinSet<Ended>,
    /// Those that have arrived.
    arrived: BTreeMap<u32, ObjectUpload>,
    /// Those that are visible.
    visible: BTreeMap<u32, Output>,
    /// Room in memory for pieces on their way.
    room: Arc<Semaphore>,
    room_units: u32,
    /// Cancelled: nothing more is to be sent.
    given_up: CancellationToken,
}

/// An object whose last piece was sent, and whether it has arrived.
type Ended = (u32, ObjectUpload, Result<(), StoreError>);

impl PartitionWriter {
    pub(crate) fn new(place: PartitionPlace) -> Self {
        let bytes = place.plan.part_bytes * place.plan.in_flight.max(1) as u64;
        let room_units = u32::try_from(bytes / ROOM_UNIT).unwrap_or(u32::MAX).max(1);
        Self {
            place,
            begun: HashMap::new(),
            ending: JoinSet::new(),
            arrived: BTreeMap::new(),
            visible: BTreeMap::new(),
            room: Arc::new(Semaphore::new(room_units as usize)),
            room_units,
            given_up: CancellationToken::new(),
        }
    }

    /// How long it takes to make visible what has arrived, by a slow reckoning.
    pub(crate) fn time_to_finish(&self) -> Duration {
        TIME_FOR_AN_OBJECT * u32::try_from(self.arrived.len()).unwrap_or(u32::MAX)
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
        let mut object = self.begun.remove(&number).unwrap_or_else(|| self.begin(&piece));
        let part = Payload::of_chunks(piece.chunks);
        if !is_last {
            // It stays among the begun ones, from where it is given up if this one is.
            return self.begun.entry(number).or_insert(object).send(part, room).await;
        }
        // In a task, as the store is first asked for an upload: there may be thousands.
        let given_up = self.given_up.clone();
        trace::spawn_into(&mut self.ending, async move {
            let sent = async {
                if !is_empty {
                    object.send(part, room).await?;
                }
                object.settle().await
            };
            let sent = tokio::select! { () = given_up.cancelled() => Ok(()), sent = sent => sent };
            (number, object, sent)
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

    fn keep(&mut self, ended: Result<Ended, JoinError>) -> Result<(), StoreError> {
        let died = |error| {
            StoreError::new(ErrorKind::Permanent, "the task that ends an object died").caused_by(error)
        };
        let (number, object, sent) = ended.map_err(died)?;
        self.arrived.insert(number, object);
        sent
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

    /// Makes the objects visible. Their keys have the event's id: what lies there already was written for this very event,
    /// by a twin or before a crash, and is as good where it has the same bytes. Another's, that was cut by another memory
    /// budget, is an [`ErrorKind::Precondition`], unless it is to be replaced; then this can be asked again.
    pub(crate) async fn finish(&mut self, replaces: bool) -> Result<Vec<Output>, StoreError> {
        let store = &*self.place.store;
        let finished = self.arrived.iter_mut();
        let finished: Vec<_> =
            finished.map(|(number, object)| finish(store, *number, object, replaces).boxed()).collect();
        let mut finished = stream::iter(finished).buffer_unordered(OBJECTS_AT_ONCE);
        let mut refused = None;
        while let Some(done) = finished.next().await {
            match done {
                Ok((number, output)) => _ = self.visible.insert(number, output),
                // The others may be all right.
                Err(error) => refused = refused.or(Some(error)),
            }
        }
        drop(finished);
        self.arrived.retain(|number, _| !self.visible.contains_key(number));
        match refused {
            Some(error) => Err(error),
            None => Ok(self.visible.values().cloned().collect()),
        }
    }

    /// Gives up whatever is not visible. That of some this failed is said once.
    pub(crate) async fn abort(mut self) -> Result<(), StoreError> {
        self.given_up.cancel();
        while let Some(ended) = self.ending.join_next().await {
            // Why it was not sent has been said.
            let _sent = self.keep(ended);
        }
        let left = self.begun.into_values().chain(self.arrived.into_values());
        let left: Vec<_> = left.map(|object| object.abort().boxed()).collect();
        let aborted = stream::iter(left).buffer_unordered(OBJECTS_AT_ONCE);
        aborted.fold(Ok(()), async |failed: Result<(), StoreError>, done| failed.and(done)).await
    }
}

async fn finish(
    store: &dyn Store,
    number: u32,
    object: &mut ObjectUpload,
    replaces: bool,
) -> Result<(u32, Output), StoreError> {
    let place = object.new_object().object.clone();
    let nothing = || Payload::of_chunks(Vec::new());
    let finished = match object.finish(&Condition::IfAbsent, nothing()).await {
        Err(error) if error.kind == ErrorKind::Precondition && replaces => {
            let found = store.head(&place).await?;
            let condition = found.map_or(Condition::IfAbsent, |found| Condition::IfMatch(found.etag));
            object.finish(&condition, nothing()).await
        }
        finished => finished,
    };
    finished.map(|finished| (number, output(&place, finished)))
}
