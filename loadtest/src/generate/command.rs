//! `loadtest generate` and `loadtest expect`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use common::aws;
use common::contract::ObjectRef;
use common::store::{S3Store, Store as _};
use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use local::ending::UsageError;
use local::interrupt::Signals;
use serde_json::{Value, json};

use super::output::{Job, Output, object};
use super::{DEFAULT_BYTES, Sample, Spec, SpecArgs, Text};

/// What takes no longer needs no progress bar.
const BAR_AFTER: Duration = Duration::from_secs(1);

/// A document on a file is shorter.
const DOCUMENT_BYTES: u64 = 64 * 1024;

const GENERATE_EXAMPLES: &str = "\
Profiles:
  taxi     trips as New York publishes them, with a number in front: 20 columns of times, numbers and codes
  orders   names and addresses in many scripts; quotes, commas and line ends in fields
  events   JSON in a field
  wide     1,000 columns
  narrow   two numbers

Examples:
  loadtest generate --size 100MB -o trips.csv
  loadtest generate --size 64GiB -o s3://my-bucket/in/trips.csv              by parts, with no disk
  loadtest generate --profile orders --dirty 0.1%:ragged,quotes -o orders.csv
  loadtest generate --from mine.csv --size 10GiB --compression zstd -o large.csv.zst
  loadtest generate --rows 1000 --compression gzip | zcat | head

The same arguments give the same bytes on every machine, whatever the threads. `loadtest expect` with the same arguments
tells what Penstock must make of them.";

const EXPECT_EXAMPLES: &str = "\
Examples:
  loadtest expect s3://my-bucket/in/trips.csv         from the object's metadata alone
  loadtest generate --size 100MB -o trips.csv --json > trips.json
  loadtest expect trips.json                          from what was told of a file when it was made
  loadtest expect --size 100MB --dirty 0.1%           of a file made with these arguments
  loadtest expect --size 1GB --dirty 1% --rejects     each row that must be rejected, one JSON object a line
  loadtest expect --size 1GB --hash --json            and the clean output's length and checksum";

/// What to generate, and where to.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = GENERATE_EXAMPLES)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    spec: SpecArgs,
    /// Where it goes: a file, <s3://bucket/key>, or - for standard output
    #[arg(short, long, default_value = "-", value_name = "PLACE")]
    output: Output,
    /// How many threads make it; every core's by default. The bytes are the same
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
    /// Print one JSON document on what was made; not with standard output
    #[arg(long)]
    json: bool,
}

/// What to tell the outcome of.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = EXPECT_EXAMPLES)]
pub(crate) struct ExpectArgs {
    /// An object that `loadtest generate` made, <s3://bucket/key>, or the document of its --json about a file; without
    /// either, the arguments below say what is meant, as they said it to `loadtest generate`
    #[arg(value_name = "MADE", conflicts_with_all = ["profile", "size", "rows", "seed", "compression", "dirty"])]
    made: Option<Made>,
    #[command(flatten)]
    spec: SpecArgs,
    /// Print each row that must be rejected, one JSON object a line
    #[arg(long, conflicts_with_all = ["hash", "json"])]
    rejects: bool,
    /// The clean output's length, CRC-64/NVME and SHA-256, too: every row is made for it
    #[arg(long)]
    hash: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Where it stands what a file was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Made {
    /// In the metadata of the object that it is.
    Object(ObjectRef),
    /// In the document that was printed when it was made.
    Document(PathBuf),
}

impl FromStr for Made {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("s3://") {
            object(text).map(Self::Object)
        } else {
            Ok(Self::Document(text.into()))
        }
    }
}

/// Makes a file.
pub(crate) async fn generate(args: &GenerateArgs) -> anyhow::Result<bool> {
    if args.json && args.output == Output::Stdout {
        let text = "--json would stand in the midst of the file: name another place by --output";
        return Err(UsageError(text.into()).into());
    }
    let spec = args.spec.spec(DEFAULT_BYTES)?;
    let text = Arc::new(Text::new(&spec)?);
    let (bar, stop) = (Arc::new(Bar::new(text.rows())), Arc::new(AtomicBool::new(false)));
    let drawn = Arc::clone(&bar);
    let job = Job {
        spec: spec.clone(),
        text: Arc::clone(&text),
        threads: threads(args.threads),
        stop: Arc::clone(&stop),
        made: Box::new(move |rows| drawn.show(rows)),
    };
    let began = Instant::now();
    let mut signals = Signals::listen()?;
    let mut work = Box::pin(job.write_to(&args.output));
    let done = tokio::select! {
        done = &mut work => done,
        interrupted = signals.next() => {
            stop.store(true, Ordering::Relaxed);
            // It takes back what it left, if it was not at its end; who interrupts again does not wait for that.
            signals.unless(async { work.await.or(Err(interrupted.into())) }).await
        }
    };
    bar.clear();
    let bytes = done?;
    let seconds = began.elapsed().as_secs_f64();
    if args.json {
        let mut document = serde_json::to_value(spec.metadata(&text)).context("describe what was made")?;
        document["place"] = json!(place(&args.output));
        document["rows"] = json!(text.rows());
        document["text_bytes"] = json!(text.bytes());
        document["bytes"] = json!(bytes);
        document["seconds"] = json!(seconds);
        say(&document.to_string())?;
    } else {
        let line = format!(
            "{}: {} rows, {} of text, {bytes} bytes, in {seconds:.1} s",
            place(&args.output),
            HumanCount(text.rows()),
            HumanBytes(text.bytes()),
        );
        // A remark that nobody can read is not worth failing for.
        writeln!(io::stderr(), "{line}").unwrap_or_default();
    }
    Ok(true)
}

/// Tells what must become of a file.
pub(crate) async fn expect(args: &ExpectArgs) -> anyhow::Result<bool> {
    let spec = match &args.made {
        None => args.spec.spec(DEFAULT_BYTES)?,
        Some(made) => described(made, args.spec.sample()).await?,
    };
    let text = Text::new(&spec)?;
    if args.rejects {
        let mut out = io::BufWriter::new(io::stdout().lock());
        for reject in text.rejects() {
            let line = serde_json::to_string(&reject).context("describe a row")?;
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        return Ok(true);
    }
    let expectation = text.expect();
    let hashes = args.hash.then(|| {
        let bar = Bar::new(text.rows());
        let hashes = text.hash_clean(threads(None), true, |rows| bar.show(rows));
        bar.clear();
        hashes
    });
    if args.json {
        let mut document = serde_json::to_value(&expectation).context("describe what is expected")?;
        document["clean"] = json!(hashes);
        document["metadata"] = json!(spec.metadata(&text));
        say(&document.to_string())?;
        return Ok(true);
    }
    let mut lines = vec![format!(
        "{} rows in {}: {} kept, {} rejected",
        HumanCount(expectation.rows_in),
        HumanBytes(expectation.text_bytes),
        HumanCount(expectation.rows_out),
        HumanCount(expectation.rows_rejected),
    )];
    lines.extend(
        expectation.by_reason.iter().map(|(reason, rows)| format!("  {reason}: {}", HumanCount(*rows))),
    );
    if let Some(hashes) = hashes {
        lines.push(format!("clean: {} bytes", hashes.output_bytes));
        lines.push(format!("  crc64nvme: {}", hashes.crc64nvme));
        lines.extend(hashes.sha256.map(|sha256| format!("  sha256: {sha256}")));
    }
    say(&lines.join("\n"))?;
    Ok(true)
}

/// The spec that a file was made from.
async fn described(made: &Made, sample: Option<&PathBuf>) -> anyhow::Result<Spec> {
    let (metadata, place) = match made {
        Made::Object(object) => {
            let store = S3Store::new(aws::s3_client(&aws::sdk_config().await));
            let meta = store.head(object).await?.with_context(|| format!("there is no {object}"))?;
            (meta.metadata, object.to_string())
        }
        Made::Document(path) => (documented(path)?, path.display().to_string()),
    };
    let sample = sample.map(|path| Sample::read(path)).transpose()?;
    Spec::from_metadata(&metadata, sample.as_ref()).context(place)
}

/// What the document of `--json` says that a file was made from.
fn documented(path: &Path) -> anyhow::Result<BTreeMap<String, String>> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(DOCUMENT_BYTES).read_to_string(&mut text));
    let wrong = |why: &str| {
        UsageError(format!(
            "{}: {why}. What a file was made from stands in the metadata of an object (s3://bucket/key), in the document \
             that `loadtest generate --json` printed, or else in the arguments, as in `loadtest expect --size 100MB \
             --dirty 0.1%`: name one of these",
            path.display()
        ))
    };
    match read {
        // A file with bytes that are not UTF-8 is none of ours.
        Err(error) if error.kind() != io::ErrorKind::InvalidData => {
            return Err(wrong(&error.to_string()).into());
        }
        _ => {}
    }
    let mut document = serde_json::from_str::<Value>(&text).unwrap_or_default();
    // `expect --json` tells of it too.
    if document["metadata"].is_object() {
        document = document["metadata"].take();
    }
    let fields = document.as_object().into_iter().flatten();
    let told: BTreeMap<_, _> =
        fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
    if told.keys().any(|name| name.starts_with("loadtest-")) {
        return Ok(told);
    }
    Err(wrong("this is no such document, and a file itself does not say").into())
}

fn say(text: &str) -> anyhow::Result<()> {
    writeln!(io::stdout(), "{text}").context("write to standard output")
}

fn place(output: &Output) -> String {
    match output {
        Output::Stdout => "standard output".into(),
        Output::File(path) => path.display().to_string(),
        Output::Object(object) => object.to_string(),
    }
}

fn threads(given: Option<NonZero<usize>>) -> usize {
    given.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get)
}

/// How many rows are made: a bar on a terminal, once it takes long; nothing elsewhere.
struct Bar {
    bar: ProgressBar,
    began: Instant,
}

impl Bar {
    fn new(rows: u64) -> Self {
        let style = "{wide_bar} {human_pos}/{human_len} rows {per_sec} {eta}";
        let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(rows), ProgressDrawTarget::hidden()).with_style(style);
        Self { bar, began: Instant::now() }
    }

    fn show(&self, rows: u64) {
        if self.bar.is_hidden() && self.began.elapsed() > BAR_AFTER {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(rows);
    }

    fn clear(&self) {
        self.bar.finish_and_clear();
    }
}
