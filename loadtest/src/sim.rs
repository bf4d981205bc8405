//! The processor against an S3 whose objects are computed: any size, no disk, one machine.

use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use common::aws;
use common::config::{ProcessorConfig, environment};
use common::contract::{FileEvent, ObjectRef, Receipt, Source, Status};
use common::store::{S3Store, Store as _, TracedStore};
use common::telemetry::peak_memory_bytes;
use common::topic::MemoryTopic;
use common::trace::{self, Destination};
use indicatif::{HumanBytes, HumanCount};
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};
use processor::Processor;
use processor::file::{Outcome, process};
use serde_json::json;

use crate::copy::copy;
use crate::rows::Kind;
use crate::server::{Offer, Server};

const OUTPUT_BUCKET: &str = "sim-output";

/// As the functions do.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// What to send.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[command(flatten)]
    kind: Kind,
    /// The memory that the processor may count on, in MiB, as `MEMORY_BUDGET_MIB`
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(64..=10_240))]
    memory_budget: u64,
    /// Only copy the object, by ranged GETs and a multipart upload of the same SDK: what the processor has to be
    /// measured by
    #[arg(long, conflicts_with = "memory_budget")]
    copy: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What a run took.
struct Figures {
    /// Whether all that went in came out.
    whole: bool,
    output_bytes: u64,
    seconds: f64,
    cpu_seconds: f64,
}

/// Sends one object through the processor, or copies it, and prints what it took. Whether all of it arrived.
pub async fn run(args: &Args) -> anyhow::Result<bool> {
    let input = ObjectRef::new("sim-input", "trips.csv");
    let mut server = Server::start(&args.kind, &input).await?;
    let offer = server.offer.clone();
    let run =
        async { if args.copy { send_bare(&input, &offer).await } else { send(args, &input, &offer).await } };
    let figures = tokio::select! {
        figures = Box::pin(run) => figures?,
        () = server.draw() => bail!("the S3's process ended"),
    };
    let line = if args.json { document(args, &offer, &figures) } else { text(args, &offer, &figures) };
    writeln!(std::io::stdout(), "{line}").context("write to standard output")?;
    Ok(figures.whole)
}

/// The processor's way.
async fn send(args: &Args, input: &ObjectRef, offer: &Offer) -> anyhow::Result<Figures> {
    let config = ProcessorConfig {
        output_bucket: OUTPUT_BUCKET.into(),
        topic_arn: "arn:aws:sns:us-east-1:000000000000:sim".into(),
        memory_budget_mib: args.memory_budget,
        max_decompressed_bytes: common::config::DEFAULT_MAX_DECOMPRESSED_BYTES,
        max_compression_ratio: common::config::DEFAULT_MAX_COMPRESSION_RATIO,
        recipes: common::config::RecipesPlace::None,
        mask_key: None,
    };
    trace::start("loadtest", &Destination::from_lookup(environment), None);
    let s3 = S3Store::new(client(offer));
    let store = Arc::new(TracedStore::new(Arc::new(s3)));
    let topic = Arc::new(MemoryTopic::default());
    let processor = Processor::new(&config, "sim".into(), store.clone(), topic.clone());
    let meta = store.head(input).await?.context("the S3 has no input")?;
    ensure!(meta.size == offer.object_bytes, "the S3 computed another object");
    let source = Source {
        bucket: input.bucket.clone(),
        key: input.key.clone(),
        version_id: None,
        etag: meta.etag,
        size: meta.size,
        sequencer: None,
    };

    let clock = Clock::start()?;
    let file = trace::root("file");
    let outcome = process(&processor, source).with_context(file.clone()).await?;
    file.span().end();
    trace::flush(FLUSH_WITHIN).await;
    let (seconds, cpu_seconds) = clock.read()?;
    let receipt = match outcome {
        Outcome::Processed(receipt) => receipt,
        Outcome::Failed(receipt) => bail!("the file can't be processed: {}", reason(&receipt)),
        outcome => bail!("the file was not processed: {outcome:?}"),
    };
    let [message] = &topic.messages()[..] else { bail!("not exactly one message") };
    let published = FileEvent::parse(&message.body)?;
    let counts = receipt.counts;
    let whole = receipt.status == Status::Processed
        && receipt.adds_up()
        && (counts.rows_in, counts.rows_out) == (offer.rows, offer.rows)
        && receipt.bytes.decompressed == offer.text_bytes
        && published.id == receipt.event_id;
    Ok(Figures { whole, output_bytes: receipt.bytes.output, seconds, cpu_seconds })
}

fn reason(receipt: &Receipt) -> String {
    receipt.error.as_ref().map(|error| format!("{} [{}]", error.message, error.code)).unwrap_or_default()
}

/// The bare copy. The S3 has checked its checksum.
async fn send_bare(input: &ObjectRef, offer: &Offer) -> anyhow::Result<Figures> {
    let client = client(offer);
    let clock = Clock::start()?;
    let output_bytes = copy(&client, input, &ObjectRef::new(OUTPUT_BUCKET, &input.key)).await?;
    let (seconds, cpu_seconds) = clock.read()?;
    Ok(Figures { whole: output_bytes == offer.object_bytes, output_bytes, seconds, cpu_seconds })
}

fn client(offer: &Offer) -> aws_sdk_s3::Client {
    aws::s3_client_at(&offer.endpoint, "test", "test-secret")
}

/// For programs.
fn document(args: &Args, offer: &Offer, figures: &Figures) -> String {
    json!({
        "rows": offer.rows,
        "every_row_accounted_for": figures.whole,
        "text_bytes": offer.text_bytes,
        "object_bytes": offer.object_bytes,
        "output_bytes": figures.output_bytes,
        "seconds": figures.seconds,
        "cpu_seconds": figures.cpu_seconds,
        "cpu_seconds_per_gb": figures.cpu_seconds / (offer.text_bytes as f64 / 1e9),
        "peak_memory_bytes": peak_memory_bytes(),
        "memory_budget_mib": (!args.copy).then_some(args.memory_budget),
    })
    .to_string()
}

/// For people.
fn text(args: &Args, offer: &Offer, figures: &Figures) -> String {
    let Figures { seconds, cpu_seconds, whole, .. } = figures;
    let end = match (args.copy, whole) {
        (false, true) => "every row accounted for",
        (false, false) => "NOT every row accounted for",
        (true, true) => "every byte copied",
        (true, false) => "NOT every byte copied",
    };
    format!(
        "{} of text, {} rows, {end}\n{seconds:.1} s, {:.0} MB/s, {:.2} CPU seconds a GB, peak memory {}",
        HumanBytes(offer.text_bytes),
        HumanCount(offer.rows),
        offer.text_bytes as f64 / 1e6 / seconds,
        cpu_seconds / (offer.text_bytes as f64 / 1e9),
        HumanBytes(peak_memory_bytes()),
    )
}

/// Time on the wall, and on the processors.
struct Clock {
    begun: Instant,
    cpu_seconds: f64,
}

impl Clock {
    fn start() -> anyhow::Result<Self> {
        Ok(Self { begun: Instant::now(), cpu_seconds: cpu_seconds()? })
    }

    /// Seconds, and CPU seconds.
    fn read(&self) -> anyhow::Result<(f64, f64)> {
        Ok((self.begun.elapsed().as_secs_f64(), cpu_seconds()? - self.cpu_seconds))
    }
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
