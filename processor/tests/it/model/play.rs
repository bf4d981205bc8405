//! One schedule from start to end, and what must hold then.

use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::Duration;

use common::config::ProcessorConfig;
use common::contract::{META_EVENT_ID, ObjectRef, Sequencer, Source, Status, event_id};
use common::store::{Condition, MemoryStore, NewObject, Payload, Store as _};
use processor::Processor;
use processor::file::{FileError, Outcome, process_until};
use processor::give_up::GiveUp;
use tokio::task::JoinHandle;

use super::gate::{Gate, Step, Turn};
use super::run::{Etags, Run, clean, is_named};
use crate::world::{IN, KEY, OUT, gzip};

/// Lambda's: the first and two more.
const ATTEMPTS: u32 = 3;

/// The versions of the file, in the order of their uploads. The last but one is cut short, the last has the bytes of
/// the second.
const VERSIONS: usize = 4;

fn content(version: usize) -> Vec<u8> {
    match version {
        0 => b"id,name\n1,a\n2\n".to_vec(),
        1 | 3 => b"id,name\n3,b\n".to_vec(),
        _ => {
            let whole = gzip(b"id,name\n4,c\n");
            whole[..whole.len() - 1].to_vec()
        }
    }
}

/// One event: which version it tells of, and how its file is processed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cast {
    version: usize,
    has_sequencer: bool,
    is_slow: bool,
}

impl Cast {
    const fn of(version: usize) -> Self {
        Self { version, has_sequencer: true, is_slow: false }
    }

    /// Sent again by an operator.
    pub(crate) const fn replayed(self) -> Self {
        Self { has_sequencer: false, ..self }
    }

    /// Runs out of Lambda's time.
    pub(crate) const fn slow(self) -> Self {
        Self { is_slow: true, ..self }
    }

    fn is_bad(self) -> bool {
        self.version == 2
    }
}

pub(crate) const fn older() -> Cast {
    Cast::of(0)
}

pub(crate) const fn newer() -> Cast {
    Cast::of(1)
}

pub(crate) const fn bad() -> Cast {
    Cast::of(2)
}

/// Newer than all, with the bytes of `newer`.
pub(crate) const fn newest() -> Cast {
    Cast::of(3)
}

/// Who takes part, and what may go wrong.
#[derive(Debug, Clone)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) cast: Vec<Cast>,
    pub(crate) etags: Etags,
    /// Clean files are uploads in parts.
    pub(crate) parts: bool,
    /// How many processes may be killed.
    pub(crate) crashes: u32,
    /// Whether a killed process's write may be done at any time after.
    pub(crate) late: bool,
    /// How many answers may be lost or be conflicts.
    pub(crate) faults: u32,
}

/// The input bucket and the events' sources.
pub(crate) struct Inputs {
    store: Arc<MemoryStore>,
    sources: Vec<Source>,
}

impl Scenario {
    pub(crate) fn of(name: &'static str, cast: &[Cast]) -> Self {
        let etags = Etags::OfContent;
        Self { name, cast: cast.to_vec(), etags, parts: false, crashes: 0, late: false, faults: 0 }
    }

    pub(crate) async fn inputs(&self) -> Inputs {
        let store = Arc::new(MemoryStore::with_versioned(&[IN]));
        let mut versions = Vec::new();
        for version in 0..VERSIONS {
            let content = content(version);
            let object = ObjectRef::new(IN, KEY);
            let new = NewObject { object, content_type: "", metadata: [].into() };
            let size = content.len() as u64;
            let put = store.put(&new, Payload::new(content.into()), &Condition::Always).await.unwrap();
            versions.push((put, size));
        }
        let source = |cast: &Cast| {
            let (written, size) = versions[cast.version].clone();
            Source {
                bucket: IN.into(),
                key: KEY.into(),
                version_id: written.version_id,
                etag: written.etag,
                size,
                sequencer: cast.has_sequencer.then(|| Sequencer(format!("0{}", cast.version))),
            }
        };
        Inputs { store, sources: self.cast.iter().map(source).collect() }
    }

    fn has_replays(&self) -> bool {
        self.cast.iter().any(|cast| !cast.has_sequencer)
    }
}

/// How far a schedule was played.
pub(crate) enum Played {
    ToTheEnd,
    Abandoned,
}

/// Who may go next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Actor(usize, Turn),
    /// A killed process's write.
    Late(usize),
}

/// An event on its way through its attempts.
struct Actor {
    cast: Cast,
    source: Source,
    attempt: u32,
    task: Option<JoinHandle<()>>,
    outcome: Option<Outcome>,
    /// Whether anything of what may go wrong did, in this attempt and in any.
    is_hurt_now: bool,
    is_hurt: bool,
    is_killed: bool,
}

impl Actor {
    /// Set aside in the failures queue.
    fn is_lost(&self) -> bool {
        self.outcome.is_none() && self.attempt > ATTEMPTS
    }

    fn state(&self) -> impl Hash + use<> {
        let outcome = self.outcome.as_ref().map(std::mem::discriminant);
        (self.attempt, outcome, self.is_hurt_now, self.is_hurt, self.is_killed)
    }

    fn ids(&self, recipe: &str) -> [String; 2] {
        [Status::Processed, Status::Failed].map(|status| event_id(&self.source, recipe, 0, status))
    }
}

struct Stage<'a> {
    scenario: &'a Scenario,
    run: Arc<Run>,
    actors: Vec<Actor>,
    crashes: u32,
    faults: u32,
    problems: Vec<String>,
    /// What was done, for people.
    trace: Vec<String>,
}

/// Plays the schedule that `choose` makes: given a digest of all that decides what follows and the number of options,
/// it picks one, or gives the run up.
pub(crate) async fn play(
    scenario: &Scenario,
    inputs: &Inputs,
    mut choose: impl FnMut(u64, usize) -> Option<usize>,
) -> Result<Played, String> {
    let run = Arc::new(Run::new(inputs.store.clone(), scenario.etags));
    let actor = |(cast, source): (&Cast, &Source)| Actor {
        cast: *cast,
        source: source.clone(),
        attempt: 0,
        task: None,
        outcome: None,
        is_hurt_now: false,
        is_hurt: false,
        is_killed: false,
    };
    let actors = scenario.cast.iter().zip(&inputs.sources).map(actor).collect();
    let (crashes, faults) = (scenario.crashes, scenario.faults);
    let mut stage = Stage { scenario, run, actors, crashes, faults, problems: Vec::new(), trace: Vec::new() };
    (0..stage.actors.len()).for_each(|actor| stage.attempt(actor));
    let played = loop {
        stage.settle().await;
        let options = stage.options();
        if options.is_empty() {
            break Played::ToTheEnd;
        }
        let states: Vec<_> = stage.actors.iter().map(Actor::state).collect();
        let digest = stage.run.digest(&(states, stage.crashes, stage.faults));
        let Some(choice) = choose(digest, options.len()) else { break Played::Abandoned };
        stage.go(options[choice]);
    };
    for task in stage.actors.iter().filter_map(|actor| actor.task.as_ref()) {
        task.abort();
    }
    if matches!(played, Played::ToTheEnd) {
        stage.check_end();
    }
    stage.problems.append(&mut stage.run.lock().violations);
    if stage.problems.is_empty() {
        return Ok(played);
    }
    Err(format!("{}\nafter {}", stage.problems.join("\n"), stage.trace.join(", ")))
}

impl Stage<'_> {
    /// Begins the actor's next attempt, if Lambda grants one.
    fn attempt(&mut self, index: usize) {
        let run = Arc::clone(&self.run);
        let actor = &mut self.actors[index];
        actor.attempt += 1;
        actor.is_hurt_now = false;
        if actor.attempt > ATTEMPTS {
            return;
        }
        let gate = Arc::new(Gate {
            run: Arc::clone(&run),
            actor: index,
            attempt: actor.attempt,
            is_slow: actor.cast.is_slow,
            is_dead: Arc::new(AtomicBool::new(false)),
            steps: Arc::new(AtomicU32::new(0)),
        });
        let processor = processor(gate, self.scenario.parts, actor.cast.is_slow);
        let (source, is_slow) = (actor.source.clone(), actor.cast.is_slow);
        let mut state = run.lock();
        state.seen.insert(index, 0);
        state.running += 1;
        drop(state);
        actor.task = Some(tokio::spawn(async move {
            let hour = Duration::from_hours(1);
            let give_up = if is_slow { GiveUp::never().or_within(hour, hour) } else { GiveUp::never() };
            let outcome = process_until(&processor, source, &give_up).await;
            run.end(index, outcome);
        }));
    }

    /// Lets everybody run until all wait for their turn or are over, retries included.
    async fn settle(&mut self) {
        loop {
            let (is_idle, crashed, ended) = {
                let mut state = self.run.lock();
                (state.running == 0, std::mem::take(&mut state.crashed), std::mem::take(&mut state.ended))
            };
            let is_settled = crashed.is_empty() && ended.is_empty();
            if is_settled && is_idle {
                return;
            }
            if is_settled {
                self.run.changed.notified().await;
            }
            for index in crashed {
                self.actors[index].is_killed = true;
                if let Some(task) = self.actors[index].task.take() {
                    task.abort();
                }
                self.attempt(index);
            }
            for (index, outcome) in ended {
                match outcome {
                    Ok(outcome) => self.actors[index].outcome = Some(outcome),
                    Err(error) => {
                        self.explain(index, &error);
                        self.attempt(index);
                    }
                }
            }
        }
    }

    /// An attempt fails for what was done to it, for want of time, or where a replay goes against the order.
    fn explain(&mut self, index: usize, error: &FileError) {
        let actor = &self.actors[index];
        let is_explained = match error {
            FileError::GivenUp(_) => actor.cast.is_slow,
            FileError::Contended { .. } => self.scenario.has_replays(),
            _ => false,
        };
        if !is_explained && !actor.is_hurt_now {
            self.problems.push(format!("{index} fails for no reason: {}", common::telemetry::chain(error)));
        }
    }

    fn options(&self) -> Vec<Next> {
        let state = self.run.lock();
        let private = state.waiting.iter().find(|(_, (step, _))| step.is_private());
        if let Some((actor, (step, _))) = private {
            return self.turns(*step).into_iter().map(|turn| Next::Actor(*actor, turn)).collect();
        }
        let actors = state.waiting.iter().flat_map(|(actor, (step, _))| {
            self.turns(*step).into_iter().map(|turn| Next::Actor(*actor, turn))
        });
        actors.chain((0..state.late.len()).map(Next::Late)).collect()
    }

    fn turns(&self, step: Step) -> Vec<Turn> {
        let is_write = matches!(step, Step::WriteClean | Step::WriteReceipt);
        let mut turns = vec![Turn::Go];
        if self.crashes > 0 && !matches!(step, Step::ReadReceipt | Step::LookAtClean) {
            turns.push(Turn::Crash);
            // A limit: where replays bring the same bytes back, and with them the same ETag, a late write's condition
            // holds again. It would have to be on its way for longer than Lambda waits before it tries again.
            let comes_back = self.scenario.has_replays() && step == Step::WriteClean;
            turns.extend((self.scenario.late && is_write && !comes_back).then_some(Turn::Late));
        }
        if self.faults > 0 && is_write {
            turns.extend([Turn::Again, Turn::Lost, Turn::Conflict]);
        }
        turns
    }

    fn go(&mut self, next: Next) {
        self.trace.push(match next {
            Next::Actor(actor, turn) => format!("{actor} {:?} {turn:?}", self.run.lock().waiting[&actor].0),
            Next::Late(index) => format!("{} late", self.run.lock().late[index].0),
        });
        match next {
            Next::Actor(index, turn) => {
                let actor = &mut self.actors[index];
                match turn {
                    Turn::Go => {}
                    Turn::Crash | Turn::Late => self.crashes -= 1,
                    Turn::Again | Turn::Lost | Turn::Conflict => self.faults -= 1,
                }
                actor.is_hurt_now |= turn != Turn::Go;
                actor.is_hurt |= turn != Turn::Go;
                let mut state = self.run.lock();
                state.running += 1;
                let (_, sender) = state.waiting.remove(&index).unwrap();
                sender.send(turn).unwrap();
            }
            Next::Late(index) => {
                let (actor, name, write) = self.run.lock().late.remove(index);
                // Nobody is there to hear the answer.
                self.run.apply(actor, &name, &write).map(drop).unwrap_or_default();
            }
        }
    }

    fn check_end(&mut self) {
        let receipt = self.run.lock().receipt.clone();
        let output = self.run.head(&clean());
        let mut problems = Vec::new();
        let recipe = processor::recipes::Loaded::default().reference.sha256;
        let lost: Vec<String> =
            self.actors.iter().filter(|actor| actor.is_lost()).flat_map(|actor| actor.ids(&recipe)).collect();

        let is_processed = receipt.as_ref().is_some_and(|receipt| receipt.status == Status::Processed);
        let is_exact = match (&receipt, &output) {
            (Some(receipt), Some(meta)) if is_processed => is_named(meta, &receipt.outputs[0]),
            _ => false,
        };
        if let Some(meta) = output.as_ref().filter(|_| !is_exact) {
            let id = &meta.metadata[META_EVENT_ID];
            // A newer version that failed says so, and leaves alone what is not its own.
            let source = |ids: &Actor| ids.ids(&recipe)[0] == *id;
            let is_of_another = receipt.as_ref().is_some_and(|receipt| {
                !self.actors.iter().any(|actor| source(actor) && actor.source.is_same(&receipt.source))
            });
            if !lost.contains(id) && (is_processed || !is_of_another) {
                problems.push("an output has no receipt".to_owned());
            }
        } else if is_processed && !is_exact {
            problems.push("a receipt has no output".to_owned());
        }
        let Some(receipt) = receipt else {
            if lost.is_empty() {
                problems.push("there is no receipt".to_owned());
            }
            self.problems.append(&mut problems);
            return;
        };
        let newest =
            self.actors.iter().filter(|actor| !actor.is_lost()).map(|actor| actor.cast.version).max();
        // An output of one that was stopped every time keeps older ones out, though its receipt never comes.
        let is_lost = output.is_some_and(|meta| lost.contains(&meta.metadata[META_EVENT_ID]));
        if let (Some(newest), false) = (newest, is_lost || self.scenario.has_replays()) {
            let told = &receipt.source.sequencer.as_ref().unwrap().0;
            let of_newest =
                || self.actors.iter().filter(|actor| !actor.is_lost() && actor.cast.version == newest);
            let succeeds = of_newest().any(|actor| !actor.cast.is_slow && !actor.cast.is_bad());
            match told.cmp(&format!("0{newest}")) {
                std::cmp::Ordering::Less => problems.push("an older version won".to_owned()),
                std::cmp::Ordering::Equal if succeeds && !is_processed => {
                    problems.push("the newest version did not succeed".to_owned());
                }
                _ => {}
            }
        }
        let open = self.run.open_uploads();
        if open.iter().any(|actor| !self.actors[*actor].is_killed) {
            problems.push("an upload was left open by a process that was not killed".to_owned());
        }
        let state = self.run.lock();
        for told in state.told.iter().filter(|told| !state.published.contains(&told.event_id)) {
            // A failure that was overcome before it was told need not be.
            if told.status == Status::Failed && is_processed {
                continue;
            }
            // Stopped between receipt and message, and superseded before its retry, or stopped every time: nobody is
            // left to say so.
            let of_it = || self.actors.iter().filter(|actor| actor.ids(&recipe).contains(&told.event_id));
            let is_silent = |actor: &Actor| matches!(actor.outcome, None | Some(Outcome::Superseded(_)));
            if !(of_it().all(is_silent) && of_it().any(|actor| actor.is_hurt || actor.is_lost())) {
                problems.push(format!("nothing was published of {}", &told.event_id[..4]));
            }
        }
        drop(state);
        self.problems.append(&mut problems);
    }
}

/// A processor behind the gate, with parts of a few bytes.
fn processor(gate: Arc<Gate>, parts: bool, is_slow: bool) -> Processor {
    let config = ProcessorConfig {
        output_bucket: OUT.into(),
        topic_arn: "arn:aws:sns:us-east-1:123456789012:events".into(),
        memory_budget_mib: 128,
        max_decompressed_bytes: common::config::DEFAULT_MAX_DECOMPRESSED_BYTES,
        max_compression_ratio: common::config::DEFAULT_MAX_COMPRESSION_RATIO,
        recipes: common::config::RecipesPlace::None,
        mask_key: None,
    };
    let mut processor = Processor::new(&config, "model".into(), gate.clone(), gate);
    processor.emit = |_| {};
    processor.read.stall = Duration::from_hours(24 * 365);
    (processor.options.block_bytes, processor.options.max_record_bytes) = (64, 64);
    if is_slow {
        processor.read.range_bytes = 4;
    }
    if parts {
        (processor.write.part_bytes, processor.write.max_part_bytes) = (4, 4);
    }
    processor
}
