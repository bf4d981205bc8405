//! The processor against an S3 whose objects are computed: any size, no disk, one machine.
//!
//! The S3 is a process of its own, so that what is measured is the processor's alone.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use common::aws;
use common::config::ProcessorConfig;
use common::contract::{FileEvent, ObjectRef, Source, Status};
use common::sim::{ComputedStore, SimServer};
use common::store::{S3Store, Store as _};
use common::topic::MemoryTopic;
use common::trace;
use indicatif::{HumanBytes, HumanCount};
use processor::Processor;
use processor::file::{Outcome, process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::rows::{Trips, trips};

const BUCKET: &str = "sim-input";
const OUTPUT_BUCKET: &str = "sim-output";
const KEY: &str = "trips.csv";

/// What to send.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Bytes of text: a number with KiB, MiB, GiB or TiB
    #[arg(long, default_value = "1GiB", value_parser = parse_size)]
    size: u64,
    /// Gzip the file
    #[arg(long)]
    gzip: bool,
    /// The memory that the processor may count on, in MiB, as `MEMORY_BUDGET_MIB`
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(64..=10_240))]
    memory_budget: u64,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match &text[digits.len()..] {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        unit => return Err(format!("{unit:?} is none of KiB, MiB, GiB, TiB")),
    };
    let number: u64 = digits.parse().map_err(|error| format!("{digits:?} is not a whole number: {error}"))?;
    number.checked_mul(1 << shift).ok_or_else(|| "more than there is".into())
}

/// Serves the computed object until standard input closes. Prints the endpoint.
pub async fn serve(args: &Args) -> anyhow::Result<()> {
    let input = trips(args.size, args.gzip)?.object;
    let store = ComputedStore::new([(ObjectRef::new(BUCKET, KEY), input)]);
    let server = SimServer::start(Arc::new(store)).await.context("start the S3")?;
    writeln!(std::io::stdout(), "{}", server.endpoint()).context("say where the S3 is")?;
    // The parent holds the other end for as long as it lives.
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await.context("wait for the end")?;
    Ok(())
}

/// Sends one file through the processor and prints what it took. Whether every row is accounted for.
pub async fn run(args: &Args) -> anyhow::Result<bool> {
    let Trips { rows, text_bytes, object } = trips(args.size, args.gzip)?;
    let object_bytes = object.size();
    drop(object);
    let (_server, endpoint) = start_server(args).await?;

    let config = ProcessorConfig {
        output_bucket: OUTPUT_BUCKET.into(),
        topic_arn: "arn:aws:sns:us-east-1:000000000000:sim".into(),
        memory_budget_mib: args.memory_budget,
    };
    let store = Arc::new(S3Store::new(aws::s3_client_at(&endpoint, "test", "test-secret")));
    let topic = Arc::new(MemoryTopic::default());
    let processor = Processor::new(&config, "sim".into(), store.clone(), topic.clone());
    let meta = store.head(&ObjectRef::new(BUCKET, KEY)).await?.context("the S3 has no input")?;
    ensure!(meta.size == object_bytes, "the S3 computed another object");
    let source = Source {
        bucket: BUCKET.into(),
        key: KEY.into(),
        version_id: None,
        etag: meta.etag,
        size: meta.size,
        sequencer: None,
    };

    let (begun, cpu) = (Instant::now(), cpu_seconds()?);
    let outcome = process(&processor, source, trace::new_span(None)).await?;
    let (seconds, cpu) = (begun.elapsed().as_secs_f64(), cpu_seconds()? - cpu);
    let Outcome::Processed(receipt) = outcome else { bail!("the file was not processed: {outcome:?}") };
    let [message] = &topic.messages()[..] else { bail!("not exactly one message") };
    let published = FileEvent::parse(&message.body)?;

    let counts = receipt.counts;
    let whole = receipt.status == Status::Processed
        && receipt.adds_up()
        && (counts.rows_in, counts.rows_out) == (rows, rows)
        && receipt.bytes.decompressed == text_bytes
        && published.id == receipt.event_id;
    let gigabytes = text_bytes as f64 / 1e9;
    let line = if args.json {
        json!({
            "rows": counts.rows_in,
            "every_row_accounted_for": whole,
            "text_bytes": text_bytes,
            "object_bytes": object_bytes,
            "output_bytes": receipt.bytes.output,
            "seconds": seconds,
            "cpu_seconds": cpu,
            "cpu_seconds_per_gb": cpu / gigabytes,
            "peak_memory_bytes": receipt.peak_memory_bytes,
            "memory_budget_mib": args.memory_budget,
        })
        .to_string()
    } else {
        format!(
            "{} of text, {} rows, {}\n{seconds:.1} s, {:.0} MB/s, {:.2} CPU seconds a GB, peak memory {}",
            HumanBytes(text_bytes),
            HumanCount(counts.rows_in),
            if whole { "every row accounted for" } else { "NOT every row accounted for" },
            text_bytes as f64 / 1e6 / seconds,
            cpu / gigabytes,
            HumanBytes(receipt.peak_memory_bytes),
        )
    };
    writeln!(std::io::stdout(), "{line}").context("write to standard output")?;
    Ok(whole)
}

/// Starts the S3 in a process of its own, which ends with the child that is returned.
async fn start_server(args: &Args) -> anyhow::Result<(Child, String)> {
    let program = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(program);
    command.arg("sim-server").args(["--size", &args.size.to_string()]).args(args.gzip.then_some("--gzip"));
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start the S3's process")?;
    let stdout = child.stdout.take().context("the S3's process has no output")?;
    let mut endpoint = String::new();
    BufReader::new(stdout).read_line(&mut endpoint).await.context("hear from the S3's process")?;
    ensure!(!endpoint.is_empty(), "the S3's process did not start");
    Ok((child, endpoint.trim().to_owned()))
}

/// CPU seconds that this process has used, in user and kernel mode.
fn cpu_seconds() -> anyhow::Result<f64> {
    /// Linux counts a process's time in hundredths of a second, whatever the machine (`USER_HZ`).
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat").context("read /proc/self/stat")?;
    // The name, in parentheses, may hold spaces; after it, user and kernel time are fields 11 and 12.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|ticks| ticks.parse::<f64>().ok());
    Ok((ticks(11).context("no user time")? + ticks(12).context("no kernel time")?) / TICKS_A_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size("64GiB"), Ok(64 << 30));
        assert_eq!(parse_size("5"), Ok(5));
        assert!(parse_size("5GB").is_err() && parse_size("x").is_err() && parse_size("99999999TiB").is_err());
    }
}
