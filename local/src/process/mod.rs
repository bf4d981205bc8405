//! `penstock process`: the engine on one local file, no AWS.

mod clean;
mod dialect;
mod folder;
mod input;
mod output;
mod preview;
mod replay;

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use common::config::{DEFAULT_MAX_COMPRESSION_RATIO, environment};
use common::contract::{Failure, Output, Receipt, Source, Status};
use common::store::checksum_base64;
use engine::recipe::{FormatWord, MaskKey, Recipe};
use engine::{Compression, EngineError, InflateLimits, Options, Summary, Told};
use jiff::Timestamp;
use processor::receipt;
use processor::recipes::{Loaded, load_file};

use crate::ending::{ClosedPipe, Ending, UsageError};
use crate::interrupt::unless_interrupted;
use crate::terminal::Terminal;
use clean::{Clean, Written};
use dialect::{DialectArgs, PolicyArgs};
pub(crate) use input::Input;
use output::Target;
#[cfg(test)]
pub(crate) use preview::excerpt_of;
pub(crate) use preview::{Excerpt, excerpt};
use replay::Rejects;

const EXAMPLES: &str = "\
Examples:
  penstock process orders.csv                             what is in it, and what would be rejected
  penstock process orders.csv.gz -o clean.csv.gz --rejects bad.ndjson
  zcat big.csv.gz | penstock process - -o - > clean.csv   in flat memory, whatever the size
  penstock process orders.csv --replay bad.ndjson --ragged pad -o more.csv --rejects still-bad.ndjson
  penstock process orders.csv --json | jq '.dialect, .counts'
  penstock process orders.csv --profile --json | jq '.columns[] | {name, type, min, max}'
  penstock process orders.csv --recipe orders.yml --limit 20
  penstock process orders.csv --recipe by-day.yml -o orders   a folder for each value: orders/day=2026-11-25/part-0000.csv
  penstock process export.txt --delimiter ';' --encoding windows-1252 --header-lines 0 -o clean.csv

Compression, encoding and dialect are found by the first bytes, never by the name; the receipt says
what was found, and how sure that is. The clean file is always UTF-8 with commas, `\"` where needed, and `\\n`.
Exit codes: 0 processed (rejected rows are said on standard error), 1 failed, 2 wrong usage,
128 + n ended by signal n.
Where the recipe partitions the output (`partition_by`), OUT is a folder, and must be empty or not be there yet.
A failed run leaves no OUT behind; rows that went to standard output (-o -) before it failed are no result.";

/// What to clean, and where to.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The file to clean: plain, gzip, zstd, bzip2, xz, or a zip of one file; `-` is standard input
    input: PathBuf,
    /// Where the clean rows go; `-` is standard output, and a folder where the recipe partitions them. Without it they are
    /// counted and checked only
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Where rejected rows go, one JSON object a line with line, byte offset, reason and raw bytes
    #[arg(long, value_name = "FILE")]
    rejects: Option<PathBuf>,
    /// Process only the rows of this rejects file, mended by hand in their `raw` or read by other flags. INPUT is the file
    /// that they are of: its header names the columns, and a row that is `cut` is read from it again
    #[arg(long, value_name = "REJECTS")]
    replay: Option<PathBuf>,
    /// The recipe that says what a clean file is: a file of YAML. What is given beside it goes before what it says
    #[arg(long, value_name = "FILE")]
    recipe: Option<PathBuf>,
    /// Show what becomes of the first rows, as a table, and the rejected ones with their reasons beneath; writes nothing
    #[arg(long, value_name = "N", conflicts_with_all = ["output", "rejects", "receipt", "json", "replay"], value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Where the receipt goes: the counts, and the sums that prove them
    #[arg(long, value_name = "FILE")]
    receipt: Option<PathBuf>,
    /// The clean file's compression, whatever its name [default: the recipe's, else by OUT's suffix; none for `-` and a
    /// folder]
    #[arg(long, value_name = "KIND")]
    output_compression: Option<OutputCompression>,
    /// Threads that compress at once; they change no byte [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
    /// The most text that a compressed file may hold, such as 500GiB
    #[arg(long, value_name = "SIZE", default_value = "1TiB", value_parser = common::size::parse)]
    max_decompressed: u64,
    /// How many times its size a compressed file may grow to
    #[arg(long, value_name = "N", default_value_t = DEFAULT_MAX_COMPRESSION_RATIO)]
    max_ratio: u64,
    /// Print the receipt on standard output
    #[arg(long)]
    json: bool,
    /// Say in the receipt what the output's columns hold: type, nulls, least, greatest, about how many values differ
    #[arg(long, overrides_with = "no_profile")]
    profile: bool,
    /// Don't, which is the default
    #[arg(long, overrides_with = "profile")]
    no_profile: bool,
    #[command(flatten)]
    dialect: DialectArgs,
    #[command(flatten)]
    policy: PolicyArgs,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OutputCompression {
    None,
    Gzip,
    Zstd,
}

/// Cleans one file.
pub async fn run(args: Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    check(&args)?;
    let done = unless_interrupted(Box::pin(process(&args, terminal))).await;
    done.map_err(|error| if is_closed_pipe(&error) { ClosedPipe.into() } else { error })
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<io::Error>());
    causes.any(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// What can be known to make no sense before anything is touched.
fn check(args: &Args) -> Result<(), UsageError> {
    let told = args.dialect.over(Told::default());
    let header = args.dialect.header_delimiter().map(|it| Told { delimiter: Some(it), ..told.clone() });
    if let Some(contradiction) = told.contradiction().or_else(|| header?.contradiction()) {
        return Err(UsageError(contradiction.into()));
    }
    let to_stdout = is_dash(args.output.as_deref());
    if to_stdout && args.json {
        return Err(UsageError(
            "--json and -o - both want standard output: write one of them to a file".into(),
        ));
    }
    if is_dash(args.replay.as_deref()) {
        return Err(UsageError("--replay wants a file; standard input is for INPUT".into()));
    }
    for (name, path) in [("--rejects", &args.rejects), ("--receipt", &args.receipt)] {
        if is_dash(path.as_deref()) {
            return Err(UsageError(format!("{name} wants a file; standard output is for -o - and --json")));
        }
    }
    let files =
        [("INPUT", Some(&args.input)), ("--replay", args.replay.as_ref()), ("-o", args.output.as_ref())];
    let files =
        files.into_iter().chain([("--rejects", args.rejects.as_ref()), ("--receipt", args.receipt.as_ref())]);
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (name, path) in files.filter_map(|(name, path)| Some((name, path?))) {
        let Some(path) = regular(path) else { continue };
        if let Some((other, _)) = seen.iter().find(|(_, known)| *known == path) {
            return Err(UsageError(format!("{other} and {name} are the same file, {}", path.display())));
        }
        seen.push((name, path));
    }
    Ok(())
}

fn is_dash(path: Option<&Path>) -> bool {
    path.is_some_and(|path| path == Path::new("-"))
}

/// A path in a form that can be compared; nothing for streams and devices, which may well be given twice.
fn regular(path: &Path) -> Option<PathBuf> {
    if path == Path::new("-") || path.metadata().is_ok_and(|meta| !meta.is_file()) {
        return None;
    }
    path.canonicalize().or_else(|_| std::path::absolute(path)).ok()
}

async fn process(args: &Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let started_at = Timestamp::now();
    let recipe = match &args.recipe {
        Some(path) => load_file(path).with_context(|| format!("use {}", path.display()))?,
        None => Loaded::default(),
    };
    if let Some(rows) = args.limit {
        return preview::show(args, &recipe.recipe, rows as usize, terminal).await;
    }
    if let Some(path) = args.output.as_deref().filter(|_| recipe.recipe.is_partitioned()) {
        folder::check(
            path,
            &[("--rejects", args.rejects.as_deref()), ("--receipt", args.receipt.as_deref())],
        )?;
    }
    let mut input = Input::open(&args.input, terminal)?;
    let mut clean = Clean::open(args.output.as_deref(), &recipe.recipe)?;
    let mut rejects = Target::open(args.rejects.as_deref())?;
    let options = options(args, &recipe.recipe)?;
    let mut replayed = None;
    let ran = match &args.replay {
        None => engine::run(&mut input, &mut clean, &mut rejects, &options).await,
        Some(path) => {
            let mut rows = Rejects::open(path, options.max_record_bytes)?;
            let ran = engine::replay(&mut input, &mut rows, &mut clean, &mut rejects, &options).await;
            replayed = Some(checksum_base64(rows.finish()?));
            // The receipt names the whole file.
            input.drain().await.with_context(|| format!("read {}", args.input.display()))?;
            ran.map(|summary| Summary { input_bytes: input.size(), ..summary })
        }
    };
    let (size, etag) = input.finish();
    let key = args.input.display().to_string();
    let source = Source { bucket: "local".into(), key, version_id: None, etag, size, sequencer: None };
    let mut written = Written::default();
    let receipt = match ran {
        Ok(summary) => {
            written = clean.commit().await?;
            if args.rejects.is_some() {
                rejects.commit().await?;
            }
            let outputs = std::mem::take(&mut written.outputs);
            processed(args, &source, &recipe, &summary, outputs, started_at)
        }
        Err(EngineError::BadFile(bad)) => {
            receipt::failed(&source, &recipe.reference, receipt::failure(&bad), started_at)
        }
        Err(EngineError::Input { byte_offset, source }) => {
            return Err(source)
                .with_context(|| format!("read {} at byte {byte_offset}", args.input.display()));
        }
        Err(error) => return Err(error.into()),
    };
    let receipt = match replayed {
        Some(checksum) => receipt::of_replay(receipt, checksum),
        None => receipt,
    };
    if let Some(path) = &args.receipt {
        let text = serde_json::to_string_pretty(&receipt).context("write the receipt")?;
        output::write_whole(path, format!("{text}\n").as_bytes())?;
    }
    if args.json {
        terminal.print(&serde_json::to_string_pretty(&receipt).context("write the receipt")?)?;
    }
    if receipt.status == Status::Failed {
        terminal.error(&anyhow::Error::msg(describe(args, &receipt, &written)));
        return Ok(Ending::Failed);
    }
    terminal.note(&describe(args, &receipt, &written));
    Ok(Ending::Done)
}

/// What the engine is told: flags go before the recipe.
fn options(args: &Args, recipe: &Recipe) -> anyhow::Result<Options> {
    let cpus = || std::thread::available_parallelism().map_or(1, usize::from);
    let mut options = Options {
        output_compression: Some(compression(args, recipe)),
        threads: args.threads.map_or_else(cpus, usize::from),
        inflate: InflateLimits {
            max_text_bytes: args.max_decompressed,
            max_ratio: args.max_ratio,
            ..InflateLimits::default()
        },
        ..Options::default()
    };
    recipe.apply(&mut options);
    if args.output_compression.is_some() {
        if recipe.format == FormatWord::Parquet {
            let what = "--output-compression is of text: Parquet is compressed inside, as the recipe's `output` says";
            return Err(UsageError(what.into()).into());
        }
        options.output_compression = Some(compression(args, recipe));
    }
    if let Some(folder) = args.output.as_ref().filter(|_| recipe.is_partitioned()) {
        options.partitions.max_name_bytes = folder::MAX_NAME_BYTES;
        options.partitions.listed_bytes += folder.as_os_str().len();
    }
    options.told = args.dialect.over(options.told);
    options.header_delimiter = args.dialect.header_delimiter();
    options.policies = args.policy.over(options.policies);
    options.profile = args.profile || (options.profile && !args.no_profile);
    options.max_record_bytes = args.policy.max_record_bytes().unwrap_or(options.max_record_bytes);
    if recipe.needs_mask_key() {
        let key =
            environment("MASK_KEY").context("the recipe masks by `hash` or `tokenise`: set MASK_KEY")?;
        let key = MaskKey::new(key.as_bytes()).map_err(anyhow::Error::msg).context("use MASK_KEY")?;
        options.mask_key = Some(key);
    }
    Ok(options)
}

/// The output's compression: what was asked for, else by the file's suffix. Without an output there is nothing to
/// spend time on compressing.
fn compression(args: &Args, recipe: &Recipe) -> Compression {
    let file = args.output.as_ref().filter(|_| !recipe.is_partitioned());
    let suffix = file.and_then(|path| path.extension()?.to_str());
    match (args.output_compression, suffix.map(str::to_ascii_lowercase).as_deref()) {
        (Some(OutputCompression::Gzip), _) | (None, Some("gz")) => Compression::Gzip,
        (Some(OutputCompression::Zstd), _) | (None, Some("zst")) => Compression::Zstd,
        (Some(OutputCompression::None) | None, _) => Compression::None,
    }
}

fn processed(
    args: &Args,
    source: &Source,
    recipe: &Loaded,
    summary: &Summary,
    outputs: Vec<Output>,
    started_at: Timestamp,
) -> Receipt {
    let place = |path: &Path| ("local".to_owned(), path.display().to_string());
    let rejects = args.rejects.as_deref().map(place);
    let rejects =
        rejects.or_else(|| (summary.counts.rows_rejected > 0).then(|| ("local".into(), String::new())));
    let rejects = rejects.filter(|_| summary.counts.rows_rejected > 0);
    receipt::processed(source, &recipe.reference, summary, outputs, rejects, started_at)
}

/// What happened, for people.
fn describe(args: &Args, receipt: &Receipt, written: &Written) -> String {
    let name =
        if is_dash(Some(&args.input)) { "standard input".into() } else { args.input.display().to_string() };
    if let Some(Failure { code, message, line, byte_offset }) = &receipt.error {
        let line = line.map(|line| format!(", line {line}")).unwrap_or_default();
        let byte = byte_offset.map(|byte| format!(", byte {byte}")).unwrap_or_default();
        return format!("{name}{line}{byte}: {message} [{code}]");
    }
    let counts = receipt.counts;
    let many = |count: usize, what| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let places = written.partitioned.map(|(objects, partitions)| {
        format!(" in {} of {}", many(objects, "object"), many(partitions, "partition"))
    });
    let mut text = format!(
        "{name}: {} rows in, {} out{}, {} rejected",
        counts.rows_in,
        counts.rows_out,
        places.unwrap_or_default(),
        counts.rows_rejected
    );
    if counts.rows_filtered > 0 {
        text = format!("{text}, {} filtered", counts.rows_filtered);
    }
    // An empty file has neither header nor rows.
    if let Some(dialect) = receipt.dialect.as_ref().filter(|_| receipt.bytes.decompressed > 0) {
        let unusual = dialect::unusual(dialect).join(", ");
        if !unusual.is_empty() {
            text = format!("{text} [{unusual}]");
        }
    }
    if let Some(rejects) = &receipt.rejects {
        let reasons: Vec<String> =
            rejects.by_reason.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        text = format!("{text} ({})", reasons.join(", "));
        if args.rejects.is_none() {
            text.push_str("; --rejects FILE keeps them");
        }
    }
    if !receipt.warnings.is_empty() {
        let reasons: Vec<String> =
            receipt.warnings.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        text = format!("{text}; kept, but not as the schema says: {}", reasons.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &str) -> Args {
        Cli::parse_from(std::iter::once("process").chain(line.split(' '))).args
    }

    #[test]
    fn the_suffix_decides_the_compression_and_the_flag_overrides_it() {
        for (line, expected) in [
            ("a.csv.gz -o b.csv", Compression::None),
            ("a.csv -o b.csv.gz", Compression::Gzip),
            ("a.csv.gz -o -", Compression::None),
            ("a.csv -o - --output-compression gzip", Compression::Gzip),
            ("a.csv -o b.gz --output-compression none", Compression::None),
            ("a.csv.gz", Compression::None),
            ("a.csv -o b.csv.zst", Compression::Zstd),
            ("a.csv -o b.gz --output-compression zstd", Compression::Zstd),
        ] {
            assert_eq!(compression(&args(line), &Recipe::default()), expected, "{line}");
        }
    }

    #[test]
    fn flags_and_a_recipes_keys_say_the_same() {
        let flags = "a.csv --delimiter ; --quote none --escape backslash --encoding latin1 --terminator crlf \
                     --header-lines 0 --preamble-lines 2 --footnote-lines 1 --comment # --ragged pad,truncate-empty \
                     --invalid-bytes replace --nul-bytes remove --stray-quotes repair --on-runaway-quote fail \
                     --max-record-bytes 2MiB --max-rejects 5% --trim --neutralize-formulas --profile";
        let keys = serde_json::json!({
            "match": "**",
            "delimiter": ";",
            "quote": "none",
            "escape": "backslash",
            "encoding": "latin1",
            "terminator": "crlf",
            "header_lines": 0,
            "preamble_lines": 2,
            "footnote_lines": 1,
            "comment": "#",
            "ragged": ["pad", "truncate-empty"],
            "invalid_bytes": "replace",
            "nul_bytes": "remove",
            "stray_quotes": "repair",
            "on_runaway_quote": "fail",
            "max_record_bytes": "2MiB",
            "max_rejects": "5%",
            "trim": true,
            "neutralize_formulas": true,
            "profile": true,
        });
        let recipe = Recipe::new(&serde_json::from_value(keys).unwrap(), None).unwrap();
        let said = |line: &str, recipe: &Recipe| {
            let options = options(&args(line), recipe).unwrap();
            (options.told, options.policies, options.max_record_bytes, options.profile)
        };
        let by_flags = said(flags, &Recipe::default());
        assert_eq!(by_flags, said("a.csv", &recipe));
        assert_ne!(by_flags, said("a.csv", &Recipe::default()));
        assert!(!said("a.csv --no-profile", &recipe).3);
    }

    #[test]
    fn parquet_is_not_compressed_once_more() {
        let recipe =
            Recipe { format: FormatWord::Parquet, compression: Some(Compression::None), ..Recipe::default() };
        let refused = options(&args("a.csv -o b.parquet --output-compression gzip"), &recipe).unwrap_err();
        assert!(refused.is::<UsageError>(), "{refused}");
        let taken = options(&args("a.csv -o b.gz"), &recipe).unwrap();
        assert_eq!(taken.output_compression, Some(Compression::None));
    }

    #[test]
    fn a_preview_of_a_replay_is_refused() {
        let line = "process a.csv --limit 2 --replay bad.ndjson";
        assert!(Cli::try_parse_from(line.split(' ')).is_err());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in [
            "a.csv -o - --json",
            "a.csv -o a.csv",
            "a.csv -o ./a.csv",
            "a.csv -o b.csv --rejects b.csv",
            "a.csv --receipt -",
            "a.csv --rejects -",
            "a.csv --replay -",
            "a.csv --replay bad.ndjson --rejects bad.ndjson",
            "a.csv --delimiter \"",
            "a.csv --delimiter \\ --escape backslash",
            "a.csv --replay bad.ndjson --header-delimiter \"",
        ] {
            assert!(check(&args(line)).is_err(), "{line}");
        }
        for line in [
            "- -o -",
            "a.csv -o b.csv --rejects c --receipt d --json",
            "a.csv -o /dev/null --rejects /dev/null",
            "a.csv --delimiter \" --quote none",
            "a.csv --ragged pad,truncate-empty --max-rejects 1% --header-lines 0",
        ] {
            check(&args(line)).unwrap();
        }
    }
}
