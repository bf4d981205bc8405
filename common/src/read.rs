//! An object as a stream: several ranges in flight, handed on in order.
//!
//! Each range is fetched whole by a task of its own (`range.rs`), so whoever consumes the stream, however slowly, never
//! stalls a connection. How many are fetched at once follows the consumer: one more each time it had to wait, one fewer
//! when it found range after range ready. What is in memory is bounded by the plan, and lies in buffers of the stream's
//! own ([`crate::buffers`]).

mod range;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use tokio_util::task::AbortOnDropHandle;

use crate::buffers::Buffers;
use crate::contract::{ByteRange, ObjectRef};
use crate::store::{ErrorKind, Store, StoreError};
use crate::trace;
use range::Source;

/// How an object is fetched. At most `max_in_flight + 1` ranges are in memory: those being fetched or waiting, and the
/// one being consumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadPlan {
    /// Bytes of a range.
    pub range_bytes: u64,
    /// Ranges fetched at once, at most.
    pub max_in_flight: usize,
    /// How often a range is taken up again without progress.
    pub retries: u32,
    /// The first pause before that; it doubles, with jitter.
    pub backoff: Duration,
    /// How long to wait for an answer, and for each next 1 MiB of its body.
    pub stall: Duration,
}

impl Default for ReadPlan {
    fn default() -> Self {
        Self {
            range_bytes: 8 * 1024 * 1024,
            max_in_flight: 3,
            retries: 5,
            backoff: Duration::from_millis(100),
            stall: Duration::from_secs(20),
        }
    }
}

/// Streams `size` bytes of an object, and fails if it is not, at every moment, the one with this `ETag` and size. A
/// stream that ends without an error has given all of them.
///
/// # Errors
///
/// [`ErrorKind::Precondition`] or [`ErrorKind::NotFound`] when the object changed or went; transient errors only
/// after the plan's retries.
pub fn read_object(
    store: Arc<dyn Store>,
    object: &ObjectRef,
    etag: &str,
    size: u64,
    plan: ReadPlan,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + use<> {
    let buffers = Buffers::for_pieces(plan.range_bytes, plan.max_in_flight.max(1) + 1);
    let source = Source { store, object: object.clone(), etag: etag.to_owned(), size, plan, buffers };
    let ranges = Ranges {
        pace: Pace::new(plan.max_in_flight),
        source: Arc::new(source),
        begun: 0,
        fetching: VecDeque::new(),
        ready: Vec::new().into_iter(),
    };
    futures::stream::try_unfold(ranges, |mut ranges| async move {
        Ok(ranges.next_chunk().await?.map(|chunk| (chunk, ranges)))
    })
}

type Fetched = Result<Vec<Bytes>, StoreError>;

/// The ranges of an object on their way to the consumer.
struct Ranges {
    source: Arc<Source>,
    pace: Pace,
    /// The offset up to which ranges have been begun.
    begun: u64,
    /// In order. Those that are fetched wait here.
    fetching: VecDeque<AbortOnDropHandle<Fetched>>,
    /// What is left of the range being consumed.
    ready: std::vec::IntoIter<Bytes>,
}

impl Ranges {
    async fn next_chunk(&mut self) -> Result<Option<Bytes>, StoreError> {
        loop {
            if let Some(chunk) = self.ready.next() {
                return Ok(Some(chunk));
            }
            self.begin();
            let Some(next) = self.fetching.pop_front() else { return Ok(None) };
            self.pace.follow(next.is_finished());
            let fetched = next.await.map_err(|error| {
                StoreError::new(ErrorKind::Permanent, "the task that fetched a range died").caused_by(error)
            })?;
            self.ready = fetched?.into_iter();
            self.begin();
        }
    }

    /// Begins as many ranges as there may be.
    fn begin(&mut self) {
        while self.fetching.len() < self.pace.in_flight && self.begun < self.source.size {
            let length = self.source.plan.range_bytes.max(1).min(self.source.size - self.begun);
            let range = ByteRange { start: self.begun, length };
            self.begun += length;
            let source = Arc::clone(&self.source);
            let task = trace::spawn(async move { source.fetch(range).await });
            self.fetching.push_back(AbortOnDropHandle::new(task));
        }
    }
}

/// How many ranges are fetched at once.
#[derive(Debug, PartialEq, Eq)]
struct Pace {
    in_flight: usize,
    max: usize,
    /// Ranges in a row for which the consumer did not have to wait.
    ready: u32,
}

/// Two connections already hide the pause between one answer and the next request.
const FIRST_IN_FLIGHT: usize = 2;

/// So many ranges in a row that were there before they were wanted are no accident of the network.
const READY_IN_A_ROW: u32 = 8;

impl Pace {
    fn new(max: usize) -> Self {
        let max = max.max(1);
        Self { in_flight: FIRST_IN_FLIGHT.min(max), max, ready: 0 }
    }

    /// Follows the consumer, which wants a range that is `ready` or that it has to wait for.
    fn follow(&mut self, ready: bool) {
        if !ready {
            self.in_flight = (self.in_flight + 1).min(self.max);
            self.ready = 0;
            return;
        }
        self.ready += 1;
        if self.ready == READY_IN_A_ROW {
            self.in_flight = (self.in_flight - 1).max(1);
            self.ready = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(pace: &mut Pace, ready: &[bool]) -> usize {
        for ready in ready {
            pace.follow(*ready);
        }
        pace.in_flight
    }

    #[test]
    fn waits_raise_the_pace_up_to_its_limit_and_a_row_of_ready_ranges_lowers_it() {
        let mut pace = Pace::new(4);
        assert_eq!(pace.in_flight, 2);
        assert_eq!(follow(&mut pace, &[false]), 3);
        assert_eq!(follow(&mut pace, &[false; 5]), 4);
        assert_eq!(follow(&mut pace, &[true; 7]), 4);
        assert_eq!(follow(&mut pace, &[true]), 3);
        assert_eq!(follow(&mut pace, &[true; 7]), 3);
        assert_eq!(follow(&mut pace, &[false]), 4, "a wait in between begins the row anew");
        assert_eq!(follow(&mut pace, &[true; 80]), 1);
        assert_eq!(follow(&mut pace, &[false]), 2);
    }

    #[test]
    fn a_plan_of_one_stays_at_one() {
        for max in [0, 1] {
            let mut pace = Pace::new(max);
            assert_eq!((pace.in_flight, follow(&mut pace, &[false; 3])), (1, 1));
        }
    }
}
