//! The processor against an S3 whose objects are computed: any size, no disk, one machine.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use common::aws;
use common::config::{MaskKeyPlace, ProcessorConfig, RecipesPlace, Secret, environment, mask_key};
use common::contract::{Counts, FileEvent, ObjectRef, Receipt, Source, Status};
use common::store::{S3Store, Store as _, TracedStore};
use common::telemetry::peak_memory_bytes;
use common::topic::MemoryTopic;
use common::trace::{self, Destination};
use indicatif::{HumanBytes, HumanCount};
use opentelemetry::trace::{FutureExt as _, TraceContextExt as _};
use processor::Processor;
use processor::file::{Outcome, process};
use processor::recipes::{Loaded, load_file};
use serde_json::json;

use crate::copy::copy;
use crate::rows::Kind;
use crate::server::{Offer, Server};

const OUTPUT_BUCKET: &str = "sim-output";

/// As the functions do.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

const EXAMPLES: &str = "\
The rows are trips of trip_id, pickup_at, passengers, distance_km, from_zone, to_zone, fare, tip and note; --shape has others. `loadtest
rows --size 1KiB` prints some, for `penstock recipe init` and for a look.

Examples:
  loadtest sim --size 8GiB
  loadtest sim --size 8GiB --recipe trips.yml --memory-budget 128
                       in Parquet, say, with trips.yml:
                         match: \"**\"
                         schema: { fields: [{ name: fare, type: number, constraints: { maximum: 80 } }] }
                         output: { format: parquet }
  MASK_KEY='sixteen bytes or more' loadtest sim --recipe masked.yml --json | jq .cpu_seconds

Exit codes: 0 every row accounted for, 1 not, or the recipe is wrong, 2 wrong usage.";

/// What to send.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    kind: Kind,
    /// The memory that the processor may count on, in MiB, as `MEMORY_BUDGET_MIB`
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(64..=10_240))]
    memory_budget: u64,
    /// Only copy the object, by ranged GETs and a multipart upload of the same SDK: what the processor has to be
    /// measured by
    #[arg(long, conflicts_with_all = ["memory_budget", "recipe"])]
    copy: bool,
    /// A recipe that says what the clean file is: a file of YAML. It is loaded and checked as the processor does it, and
    /// holds whatever its `match` says; a key for masks is taken from `MASK_KEY`. Rows that it rejects or filters are
    /// accounted for
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// What a run took.
struct Figures {
    /// Whether all that went in came out.
    whole: bool,
    /// Of the processor, not of a copy.
    counts: Option<Counts>,
    output_bytes: u64,
    seconds: f64,
    cpu_seconds: f64,
}

/// Sends one object through the processor, or copies it, and prints what it took. Whether all of it arrived.
pub async fn run(args: &Args) -> anyhow::Result<bool> {
    // What is wrong with it is told at once.
    let recipe = args.recipe.as_deref().map(load_file).transpose()?;
    let input = ObjectRef::new("sim-input", "trips.csv");
    let mut server = Server::start(&args.kind, &input).await?;
    let offer = server.offer.clone();
    let run = async {
        if args.copy { send_bare(&input, &offer).await } else { send(args, recipe, &input, &offer).await }
    };
    let figures = tokio::select! {
        figures = Box::pin(run) => figures?,
        () = server.draw() => bail!("the S3's process ended"),
    };
    let line = if args.json { document(args, &offer, &figures) } else { text(args, &offer, &figures) };
    writeln!(std::io::stdout(), "{line}").context("write to standard output")?;
    Ok(figures.whole)
}

/// The processor's way.
async fn send(
    args: &Args,
    recipe: Option<Loaded>,
    input: &ObjectRef,
    offer: &Offer,
) -> anyhow::Result<Figures> {
    let key = key_here()?;
    let config = ProcessorConfig {
        output_bucket: OUTPUT_BUCKET.into(),
        topic_arn: "arn:aws:sns:us-east-1:000000000000:sim".into(),
        memory_budget_mib: args.memory_budget,
        max_decompressed_bytes: common::config::DEFAULT_MAX_DECOMPRESSED_BYTES,
        max_compression_ratio: common::config::DEFAULT_MAX_COMPRESSION_RATIO,
        recipes: RecipesPlace::None,
        mask_key: None,
    };
    trace::start("loadtest", &Destination::from_lookup(environment), None);
    let s3 = S3Store::new(client(offer));
    let store = Arc::new(TracedStore::new(Arc::new(s3)));
    let topic = Arc::new(MemoryTopic::default());
    let mut processor = Processor::new(&config, "sim".into(), store.clone(), topic.clone());
    if let Some(recipe) = recipe {
        processor = processor.with_recipe(recipe, key.as_ref()).context("use the recipe")?;
    }
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
        && counts.rows_in == offer.rows
        // Only a recipe may leave a row out.
        && (args.recipe.is_some() || counts.rows_out == offer.rows)
        && receipt.bytes.decompressed == offer.text_bytes
        && published.id == receipt.event_id;
    Ok(Figures { whole, counts: Some(counts), output_bytes: receipt.bytes.output, seconds, cpu_seconds })
}

/// The mask key of the environment. There is no AWS here to have another from.
fn key_here() -> anyhow::Result<Option<Secret>> {
    Ok(match mask_key(|name| (name == "MASK_KEY").then(|| environment(name)).flatten())? {
        Some(MaskKeyPlace::Here(key)) => Some(key),
        Some(MaskKeyPlace::Secret(_)) | None => None,
    })
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
    let whole = output_bytes == offer.object_bytes;
    Ok(Figures { whole, counts: None, output_bytes, seconds, cpu_seconds })
}

fn client(offer: &Offer) -> aws_sdk_s3::Client {
    aws::s3_client_at(&offer.endpoint, "test", "test-secret")
}

/// For programs.
fn document(args: &Args, offer: &Offer, figures: &Figures) -> String {
    json!({
        "rows": offer.rows,
        "rows_out": figures.counts.map(|counts| counts.rows_out),
        "rows_rejected": figures.counts.map(|counts| counts.rows_rejected),
        "rows_filtered": figures.counts.map(|counts| counts.rows_filtered),
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
    let fates = figures.counts.filter(|_| args.recipe.is_some()).map(|counts| {
        let [out, rejected, filtered] =
            [counts.rows_out, counts.rows_rejected, counts.rows_filtered].map(HumanCount);
        format!(" ({out} out, {rejected} rejected, {filtered} filtered)")
    });
    format!(
        "{} of text, {} rows{}, {end}\n{seconds:.1} s, {:.0} MB/s, {:.2} CPU seconds a GB, peak memory {}",
        HumanBytes(offer.text_bytes),
        HumanCount(offer.rows),
        fates.unwrap_or_default(),
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
