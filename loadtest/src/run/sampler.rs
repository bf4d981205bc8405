//! What is seen over time, in as many samples as a page can show, however long the run.

use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::trace;
use tokio::time::{Instant, MissedTickBehavior};

use super::drive::Known;
use super::progress::{PLAIN_EVERY, Progress};
use super::world::World;
use crate::report::document::Sample;

/// Between samples, at first.
const EVERY: Duration = Duration::from_millis(250);
/// The receiver is in this process.
const FLUSH_WITHIN: Duration = Duration::from_secs(1);
/// Samples are thinned to a half when there are so many.
const MOST: usize = 1200;

/// Samples so far.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    kept: Vec<Sample>,
    /// Of so many that were taken, one is kept.
    one_in: u32,
    taken: u32,
    /// The largest memory since the last that was kept: no peak falls between two.
    highest: Option<u64>,
}

impl Samples {
    /// Keeps a sample, or at least its peak.
    pub(crate) fn add(&self, mut sample: Sample) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.one_in = state.one_in.max(1);
        state.highest = state.highest.max(sample.memory_bytes);
        state.taken += 1;
        if !state.taken.is_multiple_of(state.one_in) {
            return;
        }
        sample.memory_bytes = sample.memory_bytes.and(state.highest.take());
        state.kept.push(sample);
        if state.kept.len() >= MOST {
            let pairs = state.kept.chunks(2).map(|pair| {
                let mut last = pair[pair.len() - 1];
                last.memory_bytes = pair.iter().filter_map(|sample| sample.memory_bytes).max();
                last
            });
            state.kept = pairs.collect();
            state.one_in *= 2;
        }
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<Sample> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }
}

/// Takes samples until this is dropped, and tells how far the run is.
pub(crate) async fn sample(world: &World, known: &Known, samples: &Samples, progress: &Progress) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let (mut rate, mut last) = (0.0, (Duration::ZERO, 0));
    let mut say_at = Instant::now() + PLAIN_EVERY;
    loop {
        ticks.tick().await;
        let queue = world.queue_depth().await;
        let bytes = world.bytes_read().unwrap_or_else(|| known.bytes.load(Ordering::Relaxed));
        let elapsed = known.elapsed();
        let seconds = elapsed.saturating_sub(last.0).as_secs_f64();
        if seconds >= 1.0 {
            rate = bytes.saturating_sub(last.1) as f64 / seconds;
            last = (elapsed, bytes);
        }
        samples.add(Sample {
            seconds: elapsed.as_secs_f64(),
            bytes,
            memory_bytes: world.memory_bytes(),
            queue,
            under_way: known.under_way(),
        });
        progress.tell(known, bytes, rate, queue);
        if Instant::now() >= say_at {
            progress.say(known, bytes, rate, queue);
            // Only so many of the uploads' spans are kept.
            trace::flush(FLUSH_WITHIN).await;
            say_at += PLAIN_EVERY;
        }
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that were set, not computed")]
mod tests {
    use super::*;

    #[test]
    fn samples_are_bounded_and_keep_every_peak() {
        let samples = Samples::default();
        for n in 0..10_000_u64 {
            let memory = if n == 7_777 { 1_000 } else { 10 };
            samples.add(Sample {
                seconds: n as f64,
                bytes: n,
                memory_bytes: Some(memory),
                ..Sample::default()
            });
        }
        let all = samples.all();
        assert!(all.len() <= MOST && all.len() >= MOST / 4, "{}", all.len());
        assert!(all.windows(2).all(|pair| pair[0].seconds < pair[1].seconds));
        assert_eq!(all.iter().filter(|sample| sample.memory_bytes == Some(1_000)).count(), 1);
        let steps: Vec<f64> = all.windows(2).map(|pair| pair[1].seconds - pair[0].seconds).collect();
        assert!(steps.iter().all(|step| *step == steps[0]), "evenly spread");
    }
}
