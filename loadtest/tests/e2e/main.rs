//! `loadtest` against the whole system on MiniStack, from outside: a deployed stack, found by its name, and the local target
//! with faults.
//!
//! `cargo test --release -p loadtest --test e2e`, and `-- NAME…` for those scenarios whose name contains one.

use std::process::{ExitCode, Output, Stdio};
use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures::future::BoxFuture;
use loadtest::report::document::Run;
use local::interrupt::unless_interrupted;
use local::stack::{ACCESS_KEY, REGION, SECRET_KEY, STACK_NAME, Stack, StackOptions};
use local::terminal::Terminal;
use serde_json::Value;
use tokio::process::Command;

type Scenario = for<'a> fn(&'a Stack) -> BoxFuture<'a, anyhow::Result<()>>;

const SCENARIOS: [(&str, Scenario); 4] = [
    ("a_stage_is_asked_about_first", |stack| Box::pin(asked(stack))),
    ("a_stage_is_held_to_every_row", |stack| Box::pin(stage(stack))),
    ("an_object_tells_what_must_become_of_it", |stack| Box::pin(object(stack))),
    ("whatever_goes_wrong_every_row_is_accounted_for", |_| Box::pin(chaos())),
];

#[tokio::main]
async fn main() -> ExitCode {
    let terminal = Terminal::default();
    match unless_interrupted(Box::pin(run(&terminal))).await {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            terminal.error(&error);
            ExitCode::FAILURE
        }
    }
}

/// How many failed.
async fn run(terminal: &Terminal) -> anyhow::Result<usize> {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str()));
    let scenarios: Vec<_> = SCENARIOS.into_iter().filter(|(name, _)| is_wanted(name)).collect();
    // The names may be the other crate's, when both are run at once.
    if scenarios.is_empty() {
        return Ok(0);
    }
    let stack = Stack::start(&StackOptions::default(), terminal).await?;
    let mut failed = 0;
    for (name, scenario) in scenarios {
        let begun = Instant::now();
        let result = scenario(&stack).await;
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        terminal.note(&format!("scenario {name} … {outcome} ({:.1} s)", begun.elapsed().as_secs_f64()));
        if let Err(error) = result {
            failed += 1;
            terminal.error(&error);
        }
    }
    stack.stop().await;
    terminal.note(&format!("{} failed", if failed == 0 { "none".into() } else { failed.to_string() }));
    Ok(failed)
}

/// The command with what the environment of an operator says of the stack.
async fn loadtest(stack: &Stack, arguments: &[&str]) -> anyhow::Result<Output> {
    command(stack, arguments).output().await.context("start loadtest")
}

fn command(stack: &Stack, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    command.args(arguments).env("AWS_ENDPOINT_URL", stack.endpoint()).env("AWS_REGION", REGION);
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY).env("AWS_SECRET_ACCESS_KEY", SECRET_KEY);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

/// What it said, once its exit code is as expected.
fn said(output: &Output, code: i32) -> anyhow::Result<String> {
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code), "{}: {}\n{said}", output.status, outcome(&output.stdout));
    Ok(said.into_owned())
}

/// Why a run's document, which is long, has its exit code; another output as it is.
fn outcome(stdout: &[u8]) -> String {
    match serde_json::from_slice::<Run>(stdout) {
        Ok(run) => format!("{:?}, faults {:?}", run.verdict, run.faults),
        Err(_no_run) => String::from_utf8_lossy(stdout).into_owned(),
    }
}

async fn inputs(stack: &Stack) -> anyhow::Result<i32> {
    let listed =
        stack.clients().s3.list_objects_v2().bucket(&stack.outputs().input_bucket).prefix("loadtest/");
    Ok(listed.send().await?.key_count.unwrap_or_default())
}

async fn asked(stack: &Stack) -> anyhow::Result<()> {
    let sent = ["run", "--target", "stage", "--stack", STACK_NAME];
    let said_of = said(&loadtest(stack, &sent).await?, 2)?;
    ensure!(
        said_of.contains("This sends 20 files, ") && said_of.contains("that costs less than $0.01"),
        "{said_of}"
    );
    ensure!(said_of.contains("say --yes"), "{said_of}");
    ensure!(inputs(stack).await? == 0, "something was sent before anybody agreed");
    let said_of =
        said(&loadtest(stack, &["run", "--target", "stage", "--stack", "absent", "--yes"]).await?, 1)?;
    ensure!(said_of.contains("the stack absent"), "{said_of}");
    let mut without = command(stack, &["run", "--target", "stage", "--stack", STACK_NAME, "--yes"]);
    without
        .env_remove("AWS_REGION")
        .env("AWS_CONFIG_FILE", "/dev/null")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    let said_of = said(&without.output().await?, 2)?;
    ensure!(said_of.contains("--region"), "{said_of}");
    Ok(())
}

async fn stage(stack: &Stack) -> anyhow::Result<()> {
    let sent = ["run", "--target", "stage", "--stack", STACK_NAME, "--region", REGION, "--yes", "--json"];
    let files = ["--files", "4", "--size", "700KB", "--dirty", "1%", "--compression", "gzip"];
    let output = loadtest(stack, &[&sent[..], &files[..]].concat()).await?;
    let said_of = said(&output, 0)?;
    ensure!(said_of.contains("This sends 4 files, 2.8 MB of text, to the stack"), "{said_of}");
    let run: Run = serde_json::from_slice(&output.stdout)?;
    ensure!(run.verdict.clean && run.files.len() == 4, "{:?}", run.verdict);
    ensure!(run.files.iter().all(|file| file.accounted && file.catalogue_seconds.is_some()));
    ensure!(run.totals.rows_rejected > 0 && run.cost.total > 0.0, "{:?} {:?}", run.totals, run.cost);
    ensure!(run.configuration.stack.as_deref() == Some(STACK_NAME));
    ensure!(inputs(stack).await? == 4);
    Ok(())
}

async fn object(stack: &Stack) -> anyhow::Result<()> {
    let file = ["--rows", "30000", "--dirty", "1%", "--compression", "zstd"];
    let place = format!("s3://{}/made/trips.csv.zst", stack.outputs().input_bucket);
    said(&loadtest(stack, &[&["generate", "-o", &place], &file[..]].concat()).await?, 0)?;
    let expected = async |of: &[&str]| {
        let output = loadtest(stack, &[&["expect", "--json", "--hash"], of].concat()).await?;
        said(&output, 0)?;
        anyhow::Ok(serde_json::from_slice::<Value>(&output.stdout)?)
    };
    let told = expected(&[&place]).await?;
    ensure!(told == expected(&file).await? && told["rows_rejected"].as_u64() > Some(100), "{told}");
    let template = format!("s3://{}/absent.csv", stack.outputs().input_bucket);
    let said_of = said(&loadtest(stack, &["expect", &template]).await?, 1)?;
    ensure!(said_of.contains("there is no s3://"), "{said_of}");
    Ok(())
}

/// Starts a system of its own, with a proxy before it.
async fn chaos() -> anyhow::Result<()> {
    let sent =
        ["run", "--files", "50", "--size", "256KiB", "--dirty", "0.001", "--chaos", "default", "--json"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadtest"));
    let output = command.args(sent).stdin(Stdio::null()).kill_on_drop(true).output().await?;
    said(&output, 0)?;
    let run: Run = serde_json::from_slice(&output.stdout)?;
    ensure!(run.verdict.clean && run.verdict.open_uploads == 0 && run.files.len() == 50, "{:?}", run.verdict);
    let injected: u64 = run.faults.values().sum();
    ensure!(injected > 0 && run.faults.contains_key("duplicate"), "{:?}", run.faults);
    Ok(())
}
