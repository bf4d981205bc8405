//! How far a piece of work was, and when: as many samples as a span can carry, however long it takes.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use opentelemetry::KeyValue;
use tokio::time::Instant;

/// The attribute that carries them.
pub const SAMPLES: &str = "penstock.samples";

/// Where bytes are on their way. A sample has a count of each, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// They have come from S3.
    Fetched,
    /// The engine has taken them.
    Read,
    /// The engine has written them.
    Written,
    /// S3 has taken them, as parts.
    Uploaded,
}

/// What a sample counts.
pub const STEPS: [Step; 4] = [Step::Fetched, Step::Read, Step::Written, Step::Uploaded];

/// Milliseconds since the work began, and the bytes of each step until then.
pub type Sample = (u64, [u64; STEPS.len()]);

/// When there are as many, every other one is dropped and the time between them doubles: 3 KB of text, where X-Ray takes
/// 64 KB of a whole span.
const MAX_SAMPLES: usize = 60;

/// Between the first.
const FIRST_INTERVAL_MS: u64 = 10;

/// Bytes so far, and what they were earlier.
///
/// Without a timer: whoever counts looks at the clock. Nothing is counted while nothing moves, and the next sample shows
/// it.
#[derive(Debug)]
pub(super) struct Progress {
    begun: Instant,
    bytes: [AtomicU64; STEPS.len()],
    /// When the next sample is due, in milliseconds.
    due: AtomicU64,
    samples: Mutex<Vec<Sample>>,
}

impl Progress {
    pub(super) fn begin() -> Self {
        Self {
            begun: Instant::now(),
            bytes: std::array::from_fn(|_| AtomicU64::default()),
            due: AtomicU64::new(FIRST_INTERVAL_MS),
            samples: Mutex::default(),
        }
    }

    pub(super) fn count(&self, step: Step, bytes: u64) {
        self.bytes[step as usize].fetch_add(bytes, Ordering::Relaxed);
        let now = self.elapsed_ms();
        if now >= self.due.load(Ordering::Relaxed) {
            self.sample(now);
        }
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(Duration::as_millis(&self.begun.elapsed())).unwrap_or(u64::MAX)
    }

    fn sample(&self, now: u64) {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        // Somebody else may have been here since.
        if now < self.due.load(Ordering::Relaxed) {
            return;
        }
        samples.push(self.now(now));
        if samples.len() == MAX_SAMPLES {
            let mut number = 0;
            samples.retain(|_| {
                number += 1;
                number % 2 == 0
            });
        }
        // A multiple of the first, so that those that are kept stay about as far apart.
        let interval = (now / (MAX_SAMPLES as u64 / 2)).max(FIRST_INTERVAL_MS);
        self.due.store(now + interval, Ordering::Relaxed);
    }

    fn now(&self, ms: u64) -> Sample {
        (ms, STEPS.map(|step| self.bytes[step as usize].load(Ordering::Relaxed)))
    }

    /// The samples, the last of them now; nothing of work that was too short to have any.
    pub(super) fn attribute(&self) -> Option<KeyValue> {
        let mut samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if samples.is_empty() {
            return None;
        }
        samples.push(self.now(self.elapsed_ms()));
        Some(KeyValue::new(SAMPLES, written(&samples)))
    }
}

/// Text, which every backend keeps as it is: `10 8388608 1048576 0 0;20 …`.
fn written(samples: &[Sample]) -> String {
    let mut text = String::with_capacity(samples.len() * 48);
    for (ms, bytes) in samples {
        let separator = if text.is_empty() { "" } else { ";" };
        write!(text, "{separator}{ms}").unwrap_or_default();
        for bytes in bytes {
            write!(text, " {bytes}").unwrap_or_default();
        }
    }
    text
}

/// Reads [`SAMPLES`], as far as it can be read: a backend may have cut it.
pub fn read_samples(text: &str) -> Vec<Sample> {
    let sample = |text: &str| {
        let mut numbers = text.split(' ').map(|number| number.parse::<u64>().ok());
        let ms = numbers.next()??;
        let mut bytes = [0; STEPS.len()];
        for place in &mut bytes {
            *place = numbers.next()??;
        }
        numbers.next().is_none().then_some((ms, bytes))
    };
    text.split(';').map_while(sample).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(progress: &Progress, chunks: u64, each: Duration) {
        for _ in 0..chunks {
            tokio::time::advance(each).await;
            progress.count(Step::Read, 1000);
        }
    }

    fn samples(progress: &Progress) -> Vec<Sample> {
        let attribute = progress.attribute().map(|attribute| attribute.value.to_string());
        read_samples(&attribute.unwrap_or_default())
    }

    #[tokio::test(start_paused = true)]
    async fn samples_are_few_however_long_the_work_and_each_is_true() {
        for (chunks, each) in [(100, 1), (5_000, 1), (100_000, 9), (900, 1000)] {
            let progress = Progress::begin();
            run(&progress, chunks, Duration::from_millis(each)).await;
            let samples = samples(&progress);
            assert!((8..=MAX_SAMPLES).contains(&samples.len()), "{} of {chunks}", samples.len());
            for (ms, [fetched, read, written, uploaded]) in &samples {
                assert_eq!(*read, ms / each * 1000);
                assert_eq!([fetched, written, uploaded], [&0; 3]);
            }
            assert_eq!(samples.last().unwrap().0, chunks * each, "the last is of the end");
            let gaps: Vec<u64> = samples.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
            let longest = gaps.iter().max().unwrap();
            assert!(longest * 5 <= chunks * each, "no gap of a fifth of the time: {gaps:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_over_at_once_has_none() {
        let progress = Progress::begin();
        run(&progress, 9, Duration::from_millis(1)).await;
        assert_eq!(progress.attribute(), None);
    }

    #[test]
    fn samples_are_read_as_they_were_written_and_cut_ones_as_far_as_they_go() {
        let samples = [(10, [1, 2, 3, 4]), (20, [5, 6, 7, u64::MAX])];
        assert_eq!(read_samples(&written(&samples)), samples);
        assert_eq!(read_samples("10 1 2 3 4;20 5 6"), samples[..1]);
        let long = written(&[(900_000, [1 << 40; 4]); MAX_SAMPLES]);
        assert!(long.len() < 4096, "{} bytes where X-Ray takes 64 KB of a span", long.len());
        for bad in ["", "x", "1 2 3 4 5 6", "1 2 3 4", "-1 0 0 0 0"] {
            assert_eq!(read_samples(bad), [], "{bad}");
        }
    }
}
