//! A second opinion on S3, SNS and SQS: the product's own code against LocalStack, which others wrote.
//!
//! `cargo test -p local --test localstack`, and `-- NAME…` for those tests whose name contains one. MiniStack, which
//! the end-to-end tests run on, and the stand-ins of `common` were made to fit each other and the functions; LocalStack
//! checks every checksum, condition and part, carries trace headers, and sets poison aside as AWS does.
//!
//! # Layout
//!
//! - `server`: LocalStack, installed on first use and started, on loopback alone.
//! - `suite`, `objects`: `common`'s conformance suite of stores, as it stands there.
//! - `completions`: where LocalStack is known to differ from AWS.
//! - `messages`: S3's notification → processor → topic → queue → consumer, raw and wrapped; poison.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

mod completions;
mod messages;
#[path = "../../../common/tests/it/objects.rs"]
mod objects;
mod server;
#[path = "../../../common/tests/it/suite.rs"]
mod suite;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use futures::future::LocalBoxFuture;
use local::interrupt::unless_interrupted;
use local::terminal::Terminal;
use tokio::task::{JoinSet, LocalSet, spawn_local};

use server::LocalStack;

type Test = fn(Arc<LocalStack>) -> LocalBoxFuture<'static, anyhow::Result<()>>;

const TESTS: [(&str, Test); 6] = [
    ("the_store_does_what_every_store_must_do", |localstack| Box::pin(conformance(localstack))),
    ("a_repeated_completion_is_not_found", |localstack| Box::pin(completions::repeated(localstack))),
    ("a_completion_whose_answer_was_lost_is_recognised", |localstack| {
        Box::pin(completions::lost(localstack))
    }),
    ("an_event_delivered_raw_keeps_its_trace", |localstack| Box::pin(messages::raw(localstack))),
    ("an_event_delivered_wrapped_keeps_its_trace", |localstack| Box::pin(messages::wrapped(localstack))),
    ("poison_is_received_three_times_and_set_aside", |localstack| Box::pin(messages::poison(localstack))),
];

async fn conformance(localstack: Arc<LocalStack>) -> anyhow::Result<()> {
    suite::suite(&localstack.store()).await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let terminal = Terminal::default();
    // The functions' futures are not for threads to share, by the compiler's judgement.
    let tests = LocalSet::new();
    match unless_interrupted(Box::pin(tests.run_until(run(&terminal)))).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            terminal.error(&error);
            ExitCode::FAILURE
        }
    }
}

async fn run(terminal: &Terminal) -> anyhow::Result<bool> {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let localstack = Arc::new(LocalStack::start(terminal).await?);
    localstack.create_bucket("bucket", false).await?;
    localstack.create_bucket("versioned", true).await?;

    let mut running = JoinSet::new();
    for (name, test) in TESTS.into_iter().filter(|(name, _)| is_wanted(name)) {
        let test = test(Arc::clone(&localstack));
        running.spawn_local(async move {
            let begun = Instant::now();
            // On a task of its own: the suite says by a panic what is wrong.
            let result = spawn_local(test).await.unwrap_or_else(|panic| Err(panic.into()));
            (name, result, begun.elapsed())
        });
    }
    let mut failed = 0;
    while let Some(ended) = running.join_next().await {
        let (name, result, took) = ended?;
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        terminal.note(&format!("test {name} … {outcome} ({:.1} s)", took.as_secs_f64()));
        if let Err(error) = result {
            failed += 1;
            terminal.error(&error);
        }
    }
    if failed > 0 {
        let kept = std::env::temp_dir().join(format!("penstock-localstack-{}.log", std::process::id()));
        std::fs::copy(localstack.log(), &kept)?;
        terminal.note(&format!("LocalStack's log: {}", kept.display()));
    }
    if let Ok(localstack) = Arc::try_unwrap(localstack) {
        localstack.stop().await;
    }
    terminal.note(&format!("{} failed", if failed == 0 { "none".into() } else { failed.to_string() }));
    Ok(failed == 0)
}
