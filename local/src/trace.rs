//! One file's trace, as it was received last.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::receiver::{ReceivedSpan, SpanReceiver};
use common::trace::Destination;

use crate::ending::Ending;
use crate::page::trace::page;
use crate::stack::StackOptions;
use crate::terminal::Terminal;
use crate::waterfall::waterfall;
use crate::workspace;

const EXAMPLES: &str = "\
Example:
  penstock up                       in one terminal
  aws s3 cp … s3://…/orders.csv     in another, as it says
  penstock trace orders.csv

Spans that go elsewhere (OTEL_EXPORTER_OTLP_ENDPOINT), or of a system that was left running, are not received.";

/// Which file.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file's key in the input bucket
    key: String,
    /// Write it as a page that needs nothing else
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Draws the last trace of a file that the last `penstock up` or `penstock demo` received.
pub fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let spans = kept()?;
    let of_key = spans.iter().filter(|span| span.attribute("aws.s3.key") == args.key && span.name == "file");
    let Some(last) = of_key.max_by_key(|span| span.start) else {
        bail!("no trace of {} was received by the last penstock up or penstock demo", args.key);
    };
    terminal.print(&format!("trace {}", last.trace_id))?;
    let trace: Vec<ReceivedSpan> =
        spans.iter().filter(|span| span.trace_id == last.trace_id).cloned().collect();
    if let Some(path) = &args.html {
        std::fs::write(path, page(&args.key, &trace)).with_context(|| format!("write {}", path.display()))?;
    }
    for line in waterfall(&trace) {
        terminal.print(&line)?;
    }
    terminal.print(&format!("\n{}", words(last)))?;
    for span in trace.iter().filter(|span| span.name == "transfer") {
        terminal.print(&work(span))?;
    }
    for error in trace.iter().filter_map(|span| span.error.as_ref()) {
        terminal.print(&format!("failed: {error}"))?;
    }
    Ok(Ending::Done)
}

/// What became of the file.
fn words(file: &ReceivedSpan) -> String {
    let count = |name: &str| file.attributes.get(&format!("penstock.rows.{name}")).cloned();
    let rows = match (count("in"), count("out"), count("rejected")) {
        (Some(all), Some(out), Some(rejected)) => {
            format!(": {all} rows in = {out} out + {rejected} rejected")
        }
        _ => String::new(),
    };
    format!("{}{rows}", file.attribute("penstock.outcome"))
}

/// Where the transfer's time went.
fn work(transfer: &ReceivedSpan) -> String {
    let number = |name: &str| transfer.attribute(name).parse::<f64>().unwrap_or_default();
    let took = Duration::from_nanos(transfer.end.saturating_sub(transfer.start)).as_secs_f64();
    let megabytes = number("penstock.bytes.decompressed") / 1e6;
    format!(
        "transfer: {megabytes:.1} MB of text, {:.1} MB/s; waited {:.1} ms for bytes and {:.1} ms for room; {} retries",
        megabytes / took.max(1e-6),
        number("penstock.wait.input_ms"),
        number("penstock.wait.output_ms"),
        transfer.attribute("penstock.retries"),
    )
}

/// Receives a stack's spans, where they go nowhere else, and keeps them for `penstock trace`. Not of one that is left
/// running: it would go on sending to a receiver that is gone.
pub(crate) async fn receive(options: &mut StackOptions) -> anyhow::Result<Option<SpanReceiver>> {
    if options.spans_to != Destination::None || options.detached {
        return Ok(None);
    }
    let path = path()?;
    let file = File::create(&path).with_context(|| format!("create {}", path.display()))?;
    let receiver = SpanReceiver::keeping(file).await.context("receive spans")?;
    options.spans_to = Destination::Otlp(receiver.endpoint());
    Ok(Some(receiver))
}

fn path() -> anyhow::Result<PathBuf> {
    Ok(workspace::target()?.join("traces.ndjson"))
}

fn kept() -> anyhow::Result<Vec<ReceivedSpan>> {
    let path = path()?;
    let what = || format!("read {}", path.display());
    let file = File::open(&path).with_context(what)?;
    let lines = BufReader::new(file).lines();
    let spans = lines.map(|line| serde_json::from_str(&line?).map_err(std::io::Error::from));
    spans.collect::<Result<_, std::io::Error>>().with_context(what)
}
