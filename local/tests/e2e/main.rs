//! The whole system on MiniStack, from outside: the deployed template, the real functions, and assertions on the
//! objects, the queues and the catalogue.
//!
//! `cargo test --release -p local --test e2e`, and `-- NAME…` for those scenarios whose name contains one, and
//! `--template FILE` for another packaged template than the golden one, and `--udp` for spans as X-Ray's daemon takes
//! them. One system serves all of them; each keeps to
//! keys of its own, and they run at the same time.
//!
//! # Layout
//!
//! - `system`: the system, and how to look at it.
//! - `invoke`: Lambda, asked directly: a function called as S3 would.
//! - `files`: what is right: every sample, every kind of key.
//! - `repeats`: the same, again; older after newer; twice at once.
//! - `failures`: what is wrong: bad files, poison, events that are none of ours.
//! - `given_up`: an event that the processor gives up, and its replay.
//! - `set_aside`: a message that the consumer gives up or puts off, and an operator's tools.
//! - `subscribers`: others who subscribe to the events.
//! - `told`: whom `notifications.yml` names: a bus, and a webhook; `webhook`: who answers that.
//! - `digest`: a day's summary, as its schedule asks for it.
//! - `recipes`: a deployed prefix of recipes, the command that fills it, and what lies there broken.
//! - `traces`: one file, one trace, through all of it.
//! - `sdk`: clients of what only some of these ask.
//! - `roles`: what each function may do, and what it is refused.

mod digest;
mod failures;
mod files;
mod given_up;
mod invoke;
mod recipes;
mod repeats;
mod roles;
mod sdk;
mod set_aside;
mod subscribers;
mod system;
mod told;
mod traces;
mod webhook;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use common::receiver::SpanReceiver;
use common::trace::{self, Destination};
use futures::future::BoxFuture;
use local::interrupt::unless_interrupted;
use local::stack::{Ground, StackOptions};
use local::terminal::Terminal;
use tokio::task::JoinSet;

use recipes::Pusher;
use system::System;
use told::Audience;
use webhook::Receiver;

type Scenario = fn(Arc<System>) -> BoxFuture<'static, anyhow::Result<()>>;

const SCENARIOS: [(&str, Scenario); 20] = [
    ("every_sample_comes_to_what_is_expected", |system| Box::pin(files::samples(system))),
    ("keys_of_every_kind_are_kept", |system| Box::pin(files::keys(system))),
    ("a_repeated_event_changes_nothing", |system| Box::pin(repeats::repeated(system))),
    ("an_older_event_after_a_newer_is_superseded", |system| Box::pin(repeats::older_after_newer(system))),
    ("one_event_at_once_has_one_effect", |system| Box::pin(repeats::at_once(system))),
    ("a_corrupt_gzip_fails_with_its_place", |system| Box::pin(failures::corrupt_gzip(system))),
    ("poison_reaches_the_dead_letters", |system| Box::pin(failures::poison(system))),
    ("events_of_others_are_refused", |system| Box::pin(failures::not_ours(system))),
    ("what_is_not_there_is_superseded", |system| Box::pin(failures::gone(system))),
    ("what_fails_thrice_is_set_aside_and_replayed", |system| {
        Box::pin(given_up::set_aside_and_replayed(system))
    }),
    ("of_ten_one_is_set_aside_one_comes_back_eight_are_done", |system| Box::pin(set_aside::batch(system))),
    ("what_stays_damaged_is_set_aside_and_replayed", |system| {
        Box::pin(set_aside::damaged_and_replayed(system))
    }),
    ("a_subscriber_gets_what_it_asks_for", |system| Box::pin(subscribers::of_failures(system))),
    ("a_bus_and_a_signed_webhook_are_told_once", |system| Box::pin(told::once(system))),
    ("a_days_digest_is_sent_once", |system| Box::pin(digest::of_a_day(system))),
    ("recipes_are_pushed_refreshed_and_refused", |system| Box::pin(recipes::pushed(system))),
    ("a_partitioned_file_is_replaced_whole", |system| Box::pin(recipes::partitioned(system))),
    ("ten_files_in_one_batch_keep_their_traces", |system| Box::pin(traces::batch(system))),
    ("the_processor_does_what_its_role_says_and_no_more", |system| Box::pin(roles::processor(system))),
    ("the_consumer_does_what_its_role_says_and_no_more", |system| Box::pin(roles::consumer(system))),
];

/// What would be in the others' way: one after the other, when all of those are through.
const ALONE: [(&str, Scenario); 1] =
    [("a_recipe_broken_by_hand_is_never_in_force", |system| Box::pin(recipes::broken_by_hand(system)))];

/// Redelivery within seconds: five receives of a poisoned message are to take no minute.
const VISIBILITY_SECONDS: u32 = 2;
/// The longest scenario, the poisoned message, takes a dozen seconds.
const SCENARIO_WITHIN: Duration = Duration::from_mins(2);

#[tokio::main]
async fn main() -> ExitCode {
    let terminal = Terminal::default();
    match unless_interrupted(Box::pin(run(&terminal))).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            terminal.error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(terminal: &Terminal) -> anyhow::Result<bool> {
    let mut options = StackOptions { visibility_seconds: VISIBILITY_SECONDS, ..StackOptions::default() };
    let (mut wanted, mut by_udp) = (Vec::new(), false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--template" {
            let path = arguments.next().context("--template needs a file")?;
            options.template = std::fs::read_to_string(&path).with_context(|| format!("read {path}"))?.into();
        } else if argument == "--udp" {
            by_udp = true;
        } else if !argument.starts_with('-') {
            wanted.push(argument);
        }
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let spans = SpanReceiver::start().await.context("receive spans")?;
    options.spans_to =
        if by_udp { Destination::Daemon(spans.daemon()) } else { Destination::Otlp(spans.endpoint()) };
    trace::start("e2e", &options.spans_to, None);
    let receiver = Receiver::start().await.context("receive webhooks")?;
    options.parameters = told::parameters();
    options.parameters.insert("DigestSchedule".into(), digest::SCHEDULE.into());
    let ground = Ground::prepare(&options, terminal).await?;
    options.parameters.extend(recipes::parameters(&ground).await.context("make a mask key")?);
    let stack = ground.deploy(&options, terminal).await?;
    // The processor reads it when its first event comes.
    let pusher = Pusher::of(&stack).await.context("bring a recipe into force")?;
    // The consumer reads it when its first message comes.
    let audience = Audience::of(&stack, receiver).await.context("name whom to tell")?;
    let system = Arc::new(System::new(stack, spans, audience, pusher));

    let mut running = JoinSet::new();
    for (name, scenario) in SCENARIOS.into_iter().filter(|(name, _)| is_wanted(name)) {
        running.spawn(timed(name, scenario(Arc::clone(&system))));
    }
    let mut failed = 0;
    let mut tell = |name: &str, result: anyhow::Result<()>, took: Duration| {
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        terminal.note(&format!("scenario {name} … {outcome} ({:.1} s)", took.as_secs_f64()));
        if let Err(error) = result {
            failed += 1;
            terminal.error(&error);
        }
    };
    while let Some(ended) = running.join_next().await {
        let (name, result, took) = ended?;
        tell(name, result, took);
    }
    for (name, scenario) in ALONE.into_iter().filter(|(name, _)| is_wanted(name)) {
        let (name, result, took) = timed(name, scenario(Arc::clone(&system))).await;
        tell(name, result, took);
    }
    // Only now: any scenario may have left something behind.
    let begun = Instant::now();
    tell("nothing_is_left_open", system.nothing_is_left_open().await, begun.elapsed());
    let begun = Instant::now();
    tell("every_file_has_one_whole_trace", traces::all_whole(&system).await, begun.elapsed());

    if let Some(latency) = traces::latency(&system) {
        terminal.note(&latency);
    }
    if failed > 0 {
        terminal.note(&format!("MiniStack's log: {}", system.stack.keep_log()?.display()));
    }
    if let Ok(system) = Arc::try_unwrap(system) {
        system.stack.stop().await;
    }
    terminal.note(&format!("{} failed", if failed == 0 { "none".into() } else { failed.to_string() }));
    Ok(failed == 0)
}

/// A scenario's name, what came of it, and how long it took.
async fn timed(
    name: &'static str,
    scenario: BoxFuture<'static, anyhow::Result<()>>,
) -> (&'static str, anyhow::Result<()>, Duration) {
    let begun = Instant::now();
    let result = match tokio::time::timeout(SCENARIO_WITHIN, scenario).await {
        Ok(result) => result,
        Err(_) => Err(anyhow::anyhow!("took longer than {} s", SCENARIO_WITHIN.as_secs())),
    };
    (name, result, begun.elapsed())
}
