//! One file's trace: as it was received on this machine, or from a deployed stage's X-Ray.
//!
//! # Layout
//!
//! - [`run`]: the command.
//! - `kept`: what the last `penstock up` or `penstock demo` received.
//! - `deployed`: from X-Ray; `segment`: X-Ray's documents as spans.

mod deployed;
mod kept;
mod segment;

use std::path::PathBuf;

use anyhow::{Context as _, bail};
use common::receiver::ReceivedSpan;
use serde::Serialize;

use crate::ending::Ending;
use crate::interrupt::unless_interrupted;
use crate::page::trace::page;
use crate::terminal::Terminal;
use crate::waterfall::waterfall;

pub(crate) use kept::receive;

const ABOUT: &str = "\
Draws where a file's time went: a line a span, from its upload to the last that the consumer did.

Without --stage it is the last trace that the last `penstock up` or `penstock demo` on this machine received. With it, \
the trace is looked for in the stage's output bucket (the receipt and the consumer's entry name it), else by X-Ray's \
search, and comes from X-Ray. That needs the rights cloudformation:DescribeStacks, s3:GetObject on the output bucket, \
xray:GetTraceSummaries and xray:BatchGetTraces. Credentials are those of the AWS CLI's environment and profiles; of a \
login by SSO, `eval \"$(aws configure export-credentials --format env)\"` makes some.";

const EXAMPLES: &str = "\
Examples:
  penstock up                       in one terminal
  aws s3 cp … s3://…/orders.csv     in another, as it says
  penstock trace orders.csv
  penstock trace orders.csv --html orders.html
  penstock trace orders.csv --json | jq '.spans[] | select(.error)'
  penstock trace orders.csv --stage prod --region eu-central-1

Spans that go elsewhere (OTEL_EXPORTER_OTLP_ENDPOINT), or of a system that was left running, are not received.";

/// Which file.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub struct Args {
    /// The file's key in the input bucket
    key: String,
    /// Of a deployed stage, from X-Ray: the stack penstock-NAME
    #[arg(long, value_name = "NAME")]
    stage: Option<String>,
    /// Where the stage is [default: as the AWS CLI is configured]
    #[arg(long, requires = "stage")]
    region: Option<String>,
    /// Write it as a page that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print the spans as one JSON document instead of text
    #[arg(long)]
    json: bool,
}

/// What programs get.
#[derive(Serialize)]
struct Document<'a> {
    key: &'a str,
    trace_id: &'a str,
    spans: &'a [ReceivedSpan],
}

/// Draws the last trace of a file.
pub async fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let trace = match &args.stage {
        Some(stage) => {
            terminal.step(&format!("asking X-Ray of the stage {stage}"));
            let trace = deployed::trace(&args.key, stage, args.region.as_deref());
            unless_interrupted(Box::pin(trace)).await?
        }
        None => kept::trace(&args.key)?,
    };
    let Some(first) = trace.first() else { bail!("the trace of {} has no spans", args.key) };
    if let Some(path) = &args.html {
        std::fs::write(path, page(&args.key, &trace)).with_context(|| format!("write {}", path.display()))?;
        terminal.step(&format!("wrote {}", path.display()));
    }
    if args.json {
        let document = Document { key: &args.key, trace_id: &first.trace_id, spans: &trace };
        terminal.print(&serde_json::to_string_pretty(&document)?)?;
    } else {
        draw(&args.key, &trace, terminal)?;
    }
    Ok(Ending::Done)
}

fn draw(key: &str, trace: &[ReceivedSpan], terminal: &Terminal) -> anyhow::Result<()> {
    terminal.print(&format!("trace {}", trace.first().map_or("", |span| &span.trace_id)))?;
    for line in waterfall(trace) {
        terminal.print(&line)?;
    }
    if let Some(last) = trace.iter().filter(|span| is_file(span, key)).max_by_key(|span| span.start) {
        terminal.print(&format!("\n{}", words(last)))?;
    }
    for span in trace.iter().filter(|span| span.name == "transfer") {
        terminal.print(&work(span))?;
    }
    for error in trace.iter().filter_map(|span| span.error.as_ref()) {
        terminal.print(&format!("failed: {error}"))?;
    }
    Ok(())
}

/// Whether a span is that of the file itself.
fn is_file(span: &ReceivedSpan, key: &str) -> bool {
    span.name == "file" && span.attribute("aws.s3.key") == key
}

/// What became of the file.
fn words(file: &ReceivedSpan) -> String {
    let count = |name: &str| file.attributes.get(&format!("penstock.rows.{name}")).cloned();
    let rows = match (count("in"), count("out"), count("rejected"), count("filtered")) {
        (Some(all), Some(out), Some(rejected), Some(filtered)) => {
            format!(": {all} rows in = {out} out + {rejected} rejected + {filtered} filtered")
        }
        _ => String::new(),
    };
    format!("{}{rows}", file.attribute("penstock.outcome"))
}

/// Where the transfer's time went.
fn work(transfer: &ReceivedSpan) -> String {
    let number = |name: &str| transfer.attribute(name).parse::<f64>().unwrap_or_default();
    let took = std::time::Duration::from_nanos(transfer.end.saturating_sub(transfer.start)).as_secs_f64();
    let megabytes = number("penstock.bytes.decompressed") / 1e6;
    format!(
        "transfer: {megabytes:.1} MB of text, {:.1} MB/s; waited {:.1} ms for bytes and {:.1} ms for room; {} retries",
        megabytes / took.max(1e-6),
        number("penstock.wait.input_ms"),
        number("penstock.wait.output_ms"),
        transfer.attribute("penstock.retries"),
    )
}
