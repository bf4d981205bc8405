//! Files sent and followed, as many at once and as fast as asked for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::contract::{CatalogEntry, FileEvent, Location, Receipt, catalog_key, receipt_key};
use futures::StreamExt as _;
use tokio::time::{Instant, MissedTickBehavior};

use super::plan::{Plan, Planned};
use super::progress::{Progress, Stage};
use super::world::{Sent, World};
use crate::generate::Text;

/// How files are sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How many; without, as many as the duration lets.
    pub(crate) files: Option<u64>,
    /// The most that may be begun, however many that are.
    pub(crate) most: Option<u64>,
    /// The most under way at once.
    pub(crate) concurrency: usize,
    /// Files begun a second.
    pub(crate) rate: Option<f64>,
    /// For how long files are begun.
    pub(crate) duration: Option<Duration>,
    /// How long a file may take from its upload to the catalogue.
    pub(crate) deadline: Duration,
}

/// What was seen of one file.
#[derive(Debug, Clone)]
pub(crate) struct Followed {
    pub(crate) file: Planned,
    /// Bytes of its text.
    pub(crate) text_bytes: u64,
    /// From the run's begin to the begin of its upload.
    pub(crate) sent_at: Duration,
    pub(crate) upload: Duration,
    /// Absent where it could not be sent.
    pub(crate) sent: Option<Sent>,
    /// From the upload's end.
    pub(crate) receipt: Option<(Duration, Receipt)>,
    /// From the upload's end.
    pub(crate) entry: Option<(Duration, CatalogEntry)>,
    /// What did not come, and why.
    pub(crate) stuck: Option<String>,
}

/// What is known of the run so far, whenever it is broken off.
pub(crate) struct Known {
    begun: Instant,
    through: Mutex<Vec<Followed>>,
    under_way: AtomicU64,
    /// Bytes of the objects of files whose receipt is there.
    pub(crate) bytes: AtomicU64,
}

impl Known {
    /// Nothing so far.
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            through: Mutex::default(),
            under_way: AtomicU64::default(),
            bytes: AtomicU64::default(),
        })
    }

    /// Since the run's begin.
    pub(crate) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Files under way.
    pub(crate) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Files that are through.
    pub(crate) fn through(&self) -> MutexGuard<'_, Vec<Followed>> {
        self.through.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends all files and follows each to its end.
pub(crate) async fn drive(world: &World, plan: &Plan, pace: Pace, known: &Known, progress: &Progress) {
    let over = pace.duration.map(|duration| known.begun + duration);
    let ticks = pace.rate.map(|rate| {
        let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        // A file that had to wait is made up for.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        ticks
    });
    let numbers = futures::stream::unfold((0, ticks), |(number, mut ticks)| async move {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let enough = pace.files.into_iter().chain(pace.most).any(|files| number >= files);
        let late = over.is_some_and(|over| Instant::now() >= over);
        (!enough && !late).then_some((number, (number + 1, ticks)))
    });
    let files = numbers.map(|number| {
        let file = plan.file(number);
        async move {
            known.under_way.fetch_add(1, Ordering::Relaxed);
            progress.begin(&file.key);
            let followed = Box::pin(follow(world, file, pace.deadline, known, progress)).await;
            progress.end(&followed.file.key, followed.stuck.is_none());
            known.under_way.fetch_sub(1, Ordering::Relaxed);
            known.through().push(followed);
        }
    });
    files.buffer_unordered(pace.concurrency).collect::<()>().await;
}

/// Sends a file, and waits for its receipt and its catalogue entry.
async fn follow(
    world: &World,
    file: Planned,
    deadline: Duration,
    known: &Known,
    progress: &Progress,
) -> Followed {
    let mut followed = Followed {
        file,
        text_bytes: 0,
        sent_at: known.elapsed(),
        upload: Duration::ZERO,
        sent: None,
        receipt: None,
        entry: None,
        stuck: None,
    };
    let done = steps(world, &mut followed, deadline, known, progress).await;
    followed.stuck = done.unwrap_or_else(|error| Some(format!("{error:#}")));
    followed
}

/// Fills in what comes; says what did not.
async fn steps(
    world: &World,
    followed: &mut Followed,
    deadline: Duration,
    known: &Known,
    progress: &Progress,
) -> anyhow::Result<Option<String>> {
    let key = followed.file.key.clone();
    let text = Text::new(&followed.file.spec)?;
    followed.text_bytes = text.bytes();
    progress.reached(&key, Stage::Uploading);
    let begun = Instant::now();
    let sent = world.send(&followed.file, &text).await?;
    let uploaded = Instant::now();
    followed.upload = uploaded - begun;
    followed.sent = Some(sent.clone());
    progress.reached(&key, Stage::Processing);

    // One that is late is waited for all the same, to tell it from one that is lost.
    let last = uploaded + 2 * deadline;
    let place = receipt_key(&key)?;
    let source = sent.source.clone();
    let ours = |receipt: &Receipt| receipt.source.is_same(&source);
    let receipt = match world.wait_for(&place, &sent, ours, last).await? {
        Ok(receipt) => receipt,
        Err(why) => return Ok(Some(format!("no receipt: {why}"))),
    };
    followed.receipt = Some((uploaded.elapsed(), receipt.clone()));
    known.bytes.fetch_add(sent.object_bytes, Ordering::Relaxed);
    progress.reached(&key, Stage::Cataloguing);
    let location = Location { bucket: world.output_bucket.clone(), key: place };
    let message = || serde_json::to_string(&FileEvent::new(&receipt, location)).unwrap_or_default();
    world.repeat(&sent, &receipt.source, message).await?;

    let place = catalog_key(&receipt.event_id, receipt.timing.finished_at);
    match world.wait_for(&place, &sent, |_: &CatalogEntry| true, last).await? {
        Ok(entry) => followed.entry = Some((uploaded.elapsed(), entry)),
        Err(why) => return Ok(Some(format!("no catalogue entry: {why}"))),
    }
    Ok(None)
}
