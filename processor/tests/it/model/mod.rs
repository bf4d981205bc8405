//! The races of design.md's 'Exactly one effect', as a model: real files through the real processor, on buckets whose
//! every step waits for its turn. The schedules are explored, not left to chance.
//!
//! # Layout
//!
//! - `gate`: store and topic of one attempt.
//! - `run`: the buckets, who waits, and what must hold after each step.
//! - `play`: one schedule from start to end, and what must hold then.
//! - here: the casts, and which of their schedules are played.
//!
//! Steps that nobody else sees (rejects, the beginning of an upload, the message) are done at once: their order makes
//! no difference. A crash may come after each step that has an effect; before it, or after one that only reads, it is
//! as if the attempt had never been. Two schedules that lead to the same state are played on once.

mod gate;
mod play;
mod run;

use std::collections::HashSet;

use play::{Cast, Played, Scenario, bad, newer, newest, older, play};
use run::Etags;

/// Seconds, in a debug build: a scenario with more schedules is to be made smaller, or played by chance.
const MOST_SCHEDULES: usize = 5000;

/// Plays every schedule of a scenario.
async fn explore(scenario: &Scenario) {
    let inputs = scenario.inputs().await;
    let mut visited = HashSet::new();
    // What was chosen, of how many.
    let mut schedule: Vec<(usize, usize)> = Vec::new();
    let mut ended = 0;
    for _ in 0..MOST_SCHEDULES {
        let mut at = 0;
        let result = play(scenario, &inputs, |digest, options| {
            if at == schedule.len() {
                if !visited.insert(digest) {
                    return None;
                }
                schedule.push((0, options));
            }
            let (chosen, all) = schedule[at];
            assert_eq!(all, options, "{}: not repeatable: {schedule:?}", scenario.name);
            at += 1;
            Some(chosen)
        })
        .await;
        match result {
            Ok(Played::ToTheEnd) => ended += 1,
            Ok(Played::Abandoned) => {}
            Err(what) => panic!("{}: {what}\nschedule {:?}", scenario.name, choices(&schedule)),
        }
        // The next one differs in the latest choice that has an alternative left.
        while schedule.last().is_some_and(|(chosen, options)| chosen + 1 == *options) {
            schedule.pop();
        }
        let Some((chosen, _)) = schedule.last_mut() else {
            assert!(ended > 0);
            return;
        };
        *chosen += 1;
    }
    panic!("{}: more than {MOST_SCHEDULES} schedules", scenario.name);
}

fn choices(schedule: &[(usize, usize)]) -> Vec<usize> {
    schedule.iter().map(|(chosen, _)| *chosen).collect()
}

/// Plays a scenario by chance, the same for the same seed.
async fn gamble(scenario: &Scenario, seed: u64) {
    let inputs = scenario.inputs().await;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut chosen = Vec::new();
    let result = play(scenario, &inputs, |_, options| {
        let choice = random.usize(..options);
        chosen.push(choice);
        Some(choice)
    })
    .await;
    if let Err(what) = result {
        panic!("{}, seed {seed}: {what}\nschedule {chosen:?}", scenario.name);
    }
}

/// Buckets that name a file by its bytes, files in one piece; and the opposite.
const PLAIN: (Etags, bool) = (Etags::OfContent, false);
const PARTS: (Etags, bool) = (Etags::OfWrite, true);

/// Plays every schedule of a cast: with all going well, with one process killed after each of its steps, its write done
/// or still on its way, and with one answer lost, repeated or refused.
async fn explore_all(name: &'static str, cast: &[Cast], (etags, parts): (Etags, bool)) {
    let scenario = Scenario { etags, parts, ..Scenario::of(name, cast) };
    explore(&scenario).await;
    explore(&Scenario { crashes: 1, late: true, ..scenario.clone() }).await;
    explore(&Scenario { faults: 1, ..scenario }).await;
}

#[tokio::test(start_paused = true)]
async fn twins() {
    explore_all("twins", &[newer(), newer()], PARTS).await;
    explore_all("twins that fail", &[bad(), bad()], PLAIN).await;
}

#[tokio::test(start_paused = true)]
async fn an_older_and_a_newer_version() {
    explore_all("an older and a newer version", &[older(), newer()], PARTS).await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_version_of_the_same_bytes() {
    explore_all("a newer version of the same bytes", &[newer(), newest()], PLAIN).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_that_fails() {
    explore_all("a newer version that fails", &[newer(), bad()], PARTS).await;
    explore_all("an older version that fails", &[bad(), newest()], PLAIN).await;
}

#[tokio::test(start_paused = true)]
async fn a_twin_out_of_time() {
    explore_all("a twin out of time", &[newer(), newer().slow()], PARTS).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_out_of_time() {
    explore_all("a newer version out of time", &[older(), newer().slow()], PLAIN).await;
    explore_all("an older version out of time", &[older().slow(), newer()], PLAIN).await;
}

#[tokio::test(start_paused = true)]
async fn a_replay_beside_its_original() {
    explore_all("a replay beside its original", &[newer(), newer().replayed()], PLAIN).await;
}

/// Whose order nobody knows: they replace each other until one has given up, so only what goes well is explored whole.
#[tokio::test(start_paused = true)]
async fn a_replay_beside_another_version() {
    for (etags, parts) in [PLAIN, PARTS] {
        for cast in [[newer(), older().replayed()], [newer(), bad().replayed()]] {
            explore(&Scenario { etags, parts, ..Scenario::of("a replay beside another version", &cast) })
                .await;
        }
    }
}

/// Three actors and more: by chance, with up to two processes killed and two answers lost, repeated or refused.
async fn gamble_all(name: &'static str, cast: &[Cast], seeds: u64) {
    for seed in 0..seeds {
        let mut random = fastrand::Rng::with_seed(seed);
        let etags = if random.bool() { Etags::OfContent } else { Etags::OfWrite };
        let parts = random.bool();
        let (crashes, faults, late) = (random.u32(..3), random.u32(..3), random.bool());
        gamble(&Scenario { etags, parts, crashes, late, faults, ..Scenario::of(name, cast) }, seed).await;
    }
}

#[tokio::test(start_paused = true)]
async fn three_and_more_in_order() {
    gamble_all("three versions", &[older(), newer(), newest()], 250).await;
    gamble_all("twins beside an older version", &[older(), newer(), newer()], 250).await;
    gamble_all("a failure in between", &[newer(), bad(), newest()], 250).await;
    gamble_all("twins, one out of time", &[older(), newer(), newer(), newer().slow()], 250).await;
    gamble_all("everybody", &[older(), newer(), bad(), newest().slow(), newest()], 250).await;
}

#[tokio::test(start_paused = true)]
async fn three_and_more_with_replays() {
    gamble_all("a replay beside twins", &[older().replayed(), newer(), newer()], 400).await;
    gamble_all("twin replays", &[older().replayed(), older().replayed(), newer()], 250).await;
    gamble_all("replays of two versions", &[older().replayed(), newer().replayed(), newest()], 250).await;
    gamble_all("a replay that fails", &[bad().replayed(), newer(), newer()], 250).await;
}
