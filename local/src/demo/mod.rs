//! Files through the whole system, and an account of every row.
//!
//! # Layout
//!
//! - [`run`]: the steps, in order.
//! - `inputs`: the files, checked.
//! - `follow`: one file, uploaded and watched; `queues`: what the system gave up; `progress`: how far each is.
//! - `account`: whether every row is accounted for.
//! - `report`: what is told in the end; `excerpt`: what the log adds when something went wrong.

mod account;
mod excerpt;
mod follow;
mod inputs;
mod progress;
pub mod queues;
mod report;

use std::path::PathBuf;
use std::time::Duration;

use common::receiver::{ReceivedSpan, SpanReceiver};
use common::trace;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use crate::ending::Ending;
use crate::interrupt::unless_interrupted;
use crate::stack::{Stack, StackOptions};
use crate::terminal::Terminal;
use crate::trace::receive;
use crate::up::{directions, stop_it};
use crate::waterfall::waterfall;
use follow::{Followed, Watch, follow};
use inputs::Input;
use progress::Progress;
use queues::GivenUp;
use report::{Document, FileReport, Running};

pub use inputs::{Expected, expectations, samples};

/// How long the spans of an invocation may take to arrive.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// How many files are under way at once.
const AT_ONCE: usize = 8;

const ABOUT: &str = "\
Starts MiniStack (a local AWS) on a free port of this machine, deploys the system's CloudFormation template to it \
with the real functions, uploads the files, and follows each through processor and consumer. Then it checks that \
every row is accounted for, by the receipt, the objects and the catalogue, and stops everything it started.

The first run installs MiniStack into the build folder; that needs python3 (3.10 or newer, with venv). Where cargo \
is there, every run first builds what has changed of the functions (`cargo build --release`).";

const EXAMPLES: &str = "\
Examples:
  penstock demo                        the samples in local/samples
  penstock demo orders.csv.gz          a file of your own
  penstock demo --json > report.json   progress stays on standard error
  penstock demo --keep                 look around afterwards with the AWS CLI

Exit codes: 0 every file processed and every row accounted for, 1 not so, 2 wrong usage, 128 + n ended by
signal n.";

/// What to send, and what to tell.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub struct Args {
    /// CSV files, plain or gzip [default: the samples]
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print one JSON document instead of text
    #[arg(long)]
    json: bool,
    /// Leave the system running, and say how to talk to it and how to stop it
    #[arg(long)]
    keep: bool,
    /// How long to wait for the files to come through
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    timeout: u64,
}

/// Sends the files through the system.
pub async fn run(args: Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let inputs = inputs::gather(&args.files)?;
    unless_interrupted(Box::pin(send_all(&args, inputs, terminal))).await
}

async fn send_all(args: &Args, inputs: Vec<Input>, terminal: &Terminal) -> anyhow::Result<Ending> {
    let mut options = StackOptions { detached: args.keep, ..StackOptions::default() };
    let receiver = receive(&mut options).await?;
    trace::start("penstock", &options.spans_to, None);
    let stack = Stack::start(&options, terminal).await?;
    let reports = Box::pin(reports(&stack, inputs, Duration::from_secs(args.timeout), terminal)).await;
    trace::flush(FLUSH_WITHIN).await;
    let reports = reports.inspect_err(|_| point_at_log(&stack, &[], false, terminal))?;
    let accounted = reports.iter().all(|report| report.accounted);
    // Of a file that failed, the receipt says why; the log helps with the others.
    let odd = reports.iter().filter(|report| !report.accounted && report.error.is_none());
    let needles: Vec<&str> = odd.flat_map(|report| [report.key.as_str(), report.trace_id.as_str()]).collect();
    if !needles.is_empty() {
        point_at_log(&stack, &needles, args.keep, terminal);
    }
    let drawn = match (&receiver, reports.iter().max_by(|a, b| a.seconds.total_cmp(&b.seconds))) {
        (Some(receiver), Some(slowest)) if !args.json => draw(slowest, receiver).await,
        _ => Vec::new(),
    };
    tell(args, reports, drawn, stack, terminal).await?;
    Ok(if accounted { Ending::Done } else { Ending::Failed })
}

/// The waterfall of a file's trace, once its last span has come.
async fn draw(report: &FileReport, receiver: &SpanReceiver) -> Vec<String> {
    let deadline = Instant::now() + FLUSH_WITHIN;
    let is_last = |span: &ReceivedSpan| span.name.starts_with("process ");
    loop {
        let spans = receiver.of_trace(&report.trace_id);
        if spans.iter().any(is_last) || Instant::now() > deadline {
            let mut lines = waterfall(&spans);
            lines.insert(0, format!("\nThe slowest, {}:", report.key));
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Follows all files to their end and sums up each.
async fn reports(
    stack: &Stack,
    inputs: Vec<Input>,
    timeout: Duration,
    terminal: &Terminal,
) -> anyhow::Result<Vec<FileReport>> {
    let progress = Progress::new(inputs.iter().map(|input| input.key.as_str()), terminal);
    let given_up = GivenUp::default();
    let watch = Watch { stack, progress: &progress, given_up: &given_up, deadline: Instant::now() + timeout };
    let files =
        stream::iter(inputs.into_iter().enumerate().map(|(index, input)| follow(index, input, watch)));
    let all: Vec<Followed> = tokio::select! {
        all = files.buffered(AT_ONCE).try_collect() => all?,
        () = given_up.watch(stack.clients(), stack.outputs()) => Vec::new(),
    };
    let mut reports = Vec::with_capacity(all.len());
    for followed in &all {
        let seen = match &followed.receipt {
            Some((_, receipt)) => account::look(receipt, stack).await?,
            None => account::Seen::default(),
        };
        let problems = account::problems(followed, &seen);
        reports.push(FileReport::new(followed, problems, &stack.outputs().output_bucket));
    }
    Ok(reports)
}

/// Prints the result, and ends the stack or leaves it running.
async fn tell(
    args: &Args,
    reports: Vec<FileReport>,
    drawn: Vec<String>,
    stack: Stack,
    terminal: &Terminal,
) -> anyhow::Result<()> {
    if !args.json {
        for line in reports.iter().flat_map(FileReport::lines).chain(drawn) {
            terminal.print(&line)?;
        }
        let (input, output) = (&stack.outputs().input_bucket, &stack.outputs().output_bucket);
        terminal.print(&format!("\nfrom s3://{input}\nto   s3://{output}"))?;
    }
    let directions = directions(&stack);
    let mut running = None;
    if args.keep {
        let outputs = stack.outputs().clone();
        let endpoint = stack.endpoint().to_owned();
        let (input_bucket, output_bucket) = (outputs.input_bucket, outputs.output_bucket);
        running =
            Some(Running { endpoint, input_bucket, output_bucket, process_group: stack.detach()?.group });
    } else {
        stack.stop().await;
    }
    if args.json {
        let accounted = reports.iter().all(|report| report.accounted);
        let document = Document { files: reports, accounted, stack: running };
        return terminal.print(&serde_json::to_string_pretty(&document)?);
    }
    if let Some(running) = running {
        terminal.print("\nStill running:")?;
        for line in directions {
            terminal.print(&line)?;
        }
        terminal.print(&stop_it(running.process_group))?;
    }
    terminal.print(&report::total(&reports))
}

/// Shows what MiniStack and the functions said, and where the rest of it is.
fn point_at_log(stack: &Stack, needles: &[&str], keep: bool, terminal: &Terminal) {
    for line in excerpt::excerpt(&stack.log_text(), needles) {
        terminal.note(&format!("  | {line}"));
    }
    let log = if keep { Ok(stack.log()) } else { stack.keep_log() };
    match log {
        Ok(path) => terminal.step(&format!("the whole log: {}", path.display())),
        Err(error) => terminal.error(&error),
    }
}
