//! `loadtest run`: files sent to a system, every row accounted for, and the report.
//!
//! # Layout
//!
//! - [`run`]: the steps, in order.
//! - `args`: what was asked for; `plan`: the files that follow from it; `volume`: how much that is, and whether memory
//!   holds it; `spending`: asks before money is spent.
//! - `world`: the system, whichever it is; `sim`: the whole flow simulated, for any size; `deployed`: the deployed
//!   system, on MiniStack or in AWS; `upload`: a file into its bucket; `invoke`: events again.
//! - `chaos`: faults at given rates; `proxy`: those on the wire; `processes`: the functions' processes.
//! - `drive`: files sent and followed; `progress`, `sampler`: what is seen meanwhile.
//! - `judge`: each file against what was generated; `output`, `locate`, `rejects`: where it departs from that.
//! - `conclude`: the document; `cost`, `machine`: parts of it.

mod args;
mod chaos;
mod conclude;
mod cost;
mod deployed;
mod drive;
mod invoke;
mod judge;
mod locate;
mod machine;
mod output;
mod plan;
mod processes;
mod progress;
mod proxy;
mod rejects;
mod sampler;
pub(crate) mod sim;
mod spending;
mod upload;
mod volume;
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::receiver::SpanReceiver;
use common::trace::{self, Destination};
use local::interrupt::{Interrupted, Signals};
use local::terminal::Terminal;
use tokio::time::Instant;

use crate::report::{self, document::Run};

pub use args::Args;
pub(crate) use sim::server::serve as serve_s3;
pub(crate) use sim::worker::{Args as WorkerArgs, serve as work};

use args::Asked;
use chaos::Chaos;
use deployed::Deployed;
use drive::{Followed, Known, drive};
use plan::Plan;
use progress::Progress;
use sampler::{Samples, sample};
use sim::Sim;
use volume::Volume;
use world::{Target, World};

/// How long the spans of an invocation may take to arrive.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// How long events and messages that come again may keep the system busy, after the last file is through.
const IDLE_WITHIN: Duration = Duration::from_mins(4);
/// It has to be idle for so long: an event that was handed over shows only once it is at work.
const IDLE_FOR: Duration = Duration::from_secs(2);

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Every row is accounted for, or nothing was to be sent.
    Clean,
    /// Something is lost, doubled, late or wrong; what has been told.
    NotClean,
    /// It was broken off; what was through is clean, and has been told.
    BrokenOff(Interrupted),
}

/// Sends files, follows them, judges them, and writes the reports.
pub async fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<Ended> {
    // Whoever interrupts a second time does not want to know any more: so one listener for all of it.
    let mut signals = Signals::listen()?;
    let mut asked = args.check()?;
    let run = format!("{:08x}", fastrand::u32(..));
    let plan = asked.plan(run.clone())?;
    asked.pace.most = most(args, &asked, &plan, terminal)?;
    asked.outputs.check()?;
    let chaos = Arc::new(Chaos::new(asked.chaos.clone(), asked.seed));
    let spans = SpanReceiver::start().await.context("receive spans")?;
    trace::start("loadtest", &Destination::Otlp(spans.endpoint()), None);

    // Until files are sent there is nothing to report: an interrupt ends it.
    let starting = Box::pin(start(args, &asked, &plan, spans, chaos, terminal));
    let Some(world) = signals.unless(starting).await? else { return Ok(Ended::Clean) };
    let known = Known::new();
    let samples = Samples::default();
    let started_at = jiff::Timestamp::now();
    let mut interrupted = {
        let progress = Progress::new(asked.pace.files, terminal);
        let driving = Box::pin(drive(&world, &plan, asked.pace, &known, &progress));
        tokio::select! {
            () = driving => None,
            interrupted = signals.next() => Some(interrupted),
            () = sample(&world, &known, &samples, &progress) => None,
        }
    };
    let seconds = known.elapsed();
    // Without faults nothing comes again.
    if interrupted.is_none() && world.chaos.is_asked_for() {
        interrupted = tokio::select! {
            () = settle(&world, terminal) => None,
            interrupted = signals.next() => Some(interrupted),
        };
    }
    if let Some(interrupted) = interrupted {
        terminal
            .step(&format!("{interrupted}: reporting of the files that are through; once more ends at once"));
    }
    let seen = conclude::Seen {
        run,
        started_at,
        seconds,
        interrupted: interrupted.is_some(),
        unfinished: if interrupted.is_some() { known.under_way() } else { 0 },
        samples: samples.all(),
    };
    let files = std::mem::take(&mut *known.through());
    let finishing = Box::pin(finish(world, &asked, &plan, seen, files, terminal));
    let document = signals.unless(finishing).await?;
    asked.outputs.write(&document, terminal)?;
    Ok(match interrupted {
        _ if !document.verdict.clean => Ended::NotClean,
        Some(interrupted) => Ended::BrokenOff(interrupted),
        None => Ended::Clean,
    })
}

/// How many files may be begun at most: of what is kept in this machine's memory, no more than that holds.
fn most(args: &Args, asked: &Asked, plan: &Plan, terminal: &Terminal) -> anyhow::Result<Option<u64>> {
    let keeps_in_memory = asked.target == args::Target::Local;
    let Some(free) = volume::free_memory_bytes().filter(|_| keeps_in_memory && !args.yes) else {
        return Ok(None);
    };
    let volume = Volume::of(plan, &asked.pace)?;
    let most = volume.bounded_by(free)?;
    if volume.files.is_none() {
        terminal
            .step(&format!("at most {} are begun: this machine's memory holds no more", report::files(most)));
    }
    Ok(Some(most))
}

/// Judges what is through, and ends the system.
async fn finish(
    world: World,
    asked: &Asked,
    plan: &Plan,
    seen: conclude::Seen,
    files: Vec<Followed>,
    terminal: &Terminal,
) -> anyhow::Result<Run> {
    trace::flush(FLUSH_WITHIN).await;
    let document = conclude::conclude(&world, asked, plan, seen, files, terminal).await?;
    if !document.verdict.clean
        && let Target::Deployed(deployed) = &world.target
        && let Some(log) = deployed.keep_log()
    {
        terminal.step(&format!("the functions' log: {}", log.display()));
    }
    match world.target {
        Target::Sim(sim) => sim.stop().await,
        Target::Deployed(deployed) => deployed.stop().await,
    }
    Ok(document)
}

/// The system, started or found; nothing if money was to be spent and somebody said no.
async fn start(
    args: &Args,
    asked: &Asked,
    plan: &Plan,
    spans: SpanReceiver,
    chaos: Arc<Chaos>,
    terminal: &Terminal,
) -> anyhow::Result<Option<World>> {
    let target = match &asked.target {
        args::Target::Sim => {
            let options = sim::Options {
                processors: asked.pace.concurrency as u64,
                memory_mib: asked.memory_mib,
                spans_to: Some(spans.endpoint()),
            };
            Target::Sim(Box::new(Sim::start(&options, &chaos).await?))
        }
        args::Target::Local => {
            Target::Deployed(Box::new(Deployed::start_local(&spans, &chaos, terminal).await?))
        }
        args::Target::Stage { stack, region } => {
            let deployed = Deployed::find(stack, region.as_deref(), &chaos).await?;
            if !spending::agreed(args, asked, plan, stack, terminal).await? {
                return Ok(None);
            }
            Target::Deployed(Box::new(deployed))
        }
    };
    Ok(Some(World::new(target, chaos, spans)))
}

/// Waits for what comes again to be dealt with.
async fn settle(world: &World, terminal: &Terminal) {
    let deadline = Instant::now() + IDLE_WITHIN;
    let mut idle_since = Instant::now();
    if !world.is_idle().await {
        let minutes = IDLE_WITHIN.as_secs() / 60;
        terminal.step(&format!("waiting for events and messages that come again, up to {minutes} minutes"));
    }
    while idle_since.elapsed() < IDLE_FOR {
        if Instant::now() > deadline {
            terminal.step("the queue is still not empty: going on all the same");
            return;
        }
        if !world.is_idle().await {
            idle_since = Instant::now();
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
