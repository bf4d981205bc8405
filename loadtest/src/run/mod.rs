//! `loadtest run`: files sent to a system, every row accounted for, and the report.
//!
//! # Layout
//!
//! - [`run`]: the steps, in order.
//! - `args`: what was asked for; `plan`: the files that follow from it; `spending`: asks before money is spent.
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
mod world;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::receiver::SpanReceiver;
use common::trace::{self, Destination};
use local::interrupt::{received, unless_interrupted};
use local::terminal::Terminal;
use tokio::time::Instant;

pub use args::Args;
pub(crate) use sim::server::serve as serve_s3;
pub(crate) use sim::worker::{Args as WorkerArgs, serve as work};

use chaos::Chaos;
use deployed::Deployed;
use drive::{Known, drive};
use plan::Plan;
use progress::Progress;
use sampler::{Samples, sample};
use sim::Sim;
use world::{Target, World};

/// How long the spans of an invocation may take to arrive.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);
/// How long events and messages that come again may keep the system busy, after the last file is through.
const IDLE_WITHIN: Duration = Duration::from_mins(4);
/// It has to be idle for so long: an event that was handed over shows only once it is at work.
const IDLE_FOR: Duration = Duration::from_secs(2);

/// Sends files, follows them, judges them, and writes the reports. Whether every row is accounted for.
pub async fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<bool> {
    let asked = args.check()?;
    let run = format!("{:08x}", fastrand::u32(..));
    let plan = asked.plan(run.clone())?;
    asked.outputs.check()?;
    let chaos = Arc::new(Chaos::new(asked.chaos.clone(), asked.seed));
    let spans = SpanReceiver::start().await.context("receive spans")?;
    trace::start("loadtest", &Destination::Otlp(spans.endpoint()), None);

    // Until files are sent there is nothing to report: an interrupt ends it.
    let starting = Box::pin(start(args, &asked, &plan, spans, chaos, terminal));
    let Some(world) = unless_interrupted(starting).await? else { return Ok(true) };
    let known = Known::new();
    let samples = Samples::default();
    let started_at = jiff::Timestamp::now();
    let interrupted = {
        let progress = Progress::new(asked.pace.files, terminal);
        let driving = Box::pin(drive(&world, &plan, asked.pace, &known, &progress));
        tokio::select! {
            () = driving => None,
            interrupted = received() => Some(interrupted?),
            () = sample(&world, &known, &samples, &progress) => None,
        }
    };
    let seconds = known.elapsed();
    match interrupted {
        Some(interrupted) => {
            terminal.step(&format!("{interrupted}: reporting of the files that are through"));
        }
        // Without faults nothing comes again.
        None if world.chaos.is_asked_for() => settle(&world, terminal).await,
        None => {}
    }
    trace::flush(FLUSH_WITHIN).await;
    let seen = conclude::Seen {
        run,
        started_at,
        seconds,
        interrupted: interrupted.is_some(),
        unfinished: if interrupted.is_some() { known.under_way() } else { 0 },
        samples: samples.all(),
    };
    let files = std::mem::take(&mut *known.through());
    // Who interrupts again does not want to know any more.
    let concluding = Box::pin(conclude::conclude(&world, &asked, &plan, seen, files, terminal));
    let document = unless_interrupted(concluding).await?;
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
    asked.outputs.write(&document, terminal)?;
    Ok(document.verdict.clean)
}

/// The system, started or found; nothing if money was to be spent and somebody said no.
async fn start(
    args: &Args,
    asked: &args::Asked,
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
            if !spending::agreed(args, asked, plan, stack, terminal)? {
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
