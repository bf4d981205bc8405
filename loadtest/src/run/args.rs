//! What was asked for, and whether it makes sense.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use local::ending::UsageError;
use local::terminal::Terminal;

use super::chaos::Rates;
use super::drive::Pace;
use super::plan::Plan;
use crate::generate::{Compression, DEFAULT_BYTES, Profile, Spec, SpecArgs};
use crate::report::document::Run;
use crate::report::{page, summary, table};

/// The memory that the deployed processor has by default.
const STAGE_MEMORY_MIB: u64 = 1769;
/// What a simulated processor gets: what a large plain file needs least money with.
const SIM_MEMORY_MIB: u64 = 512;

/// What is sent where nothing is said of it: enough to see latencies and a curve, and little enough for MiniStack's memory
/// and for a stage's bill. Of a file that `sim` makes, more is better to see.
const FILES: u64 = 20;
const FILE_BYTES: u64 = 4 << 20;

const ABOUT: &str = "\
Makes files, sends them, follows each through processor and consumer, and holds what comes out against what was \
generated: rows, rejects with their places, and the clean output's checksum. What is lost, doubled, late or otherwise \
wrong is listed by file and offset, and makes the exit code 1.

Targets:
  local  the whole system on this machine, deployed to MiniStack as `penstock demo` does. Objects lie in memory: \
good for many files of some MiB
  sim    the functions' own code in processes of its own, against an S3 whose inputs are made as they are read and \
whose outputs are checked and counted, not kept: files of any size, no disk
  stage  the stack in AWS that --stack names, with the credentials of the environment. It asks before it spends money";

const EXAMPLES: &str = "\
Examples:
  loadtest run --report out.html
                           20 files of 4 MiB through the whole system on this machine, and the page about it
  loadtest run --target sim --size 64GiB --report out.html
                           one file of any size, in flat memory
  loadtest run --target sim --files 200 --size 256MiB --concurrency 8 --dirty 0.001
  loadtest run --files 50 --chaos default
                           with faults: whatever goes wrong, every row is accounted for
  loadtest run --rate 2 --duration 1m --size 1MiB
  loadtest run --files 100 --mix mix.csv
                           kinds of files by weight: weight,profile,size,compression,dirty
  loadtest run --target stage --stack penstock-dev --region eu-central-1 --size 1GiB
  loadtest run --json run.json --csv files.csv
                           the same for programs; loadtest report makes the page of it, loadtest compare compares two

Exit codes: 0 every row accounted for, 1 not, 2 wrong usage, 128 + n ended by signal n. Ctrl-C stops, and reports of the \
files that are through; a second one ends at once.";

const SIZE: &str = "\
Bytes of text of each file, at least: a number with KiB, MiB, GiB, TiB or KB, MB, GB, TB [default: sim 1GiB, else 4MiB]";

/// What to send where, and what to tell.
#[derive(Debug, Clone, clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLES, mut_arg("size", |size| size.help(SIZE)))]
pub struct Args {
    /// Where to
    #[arg(long, value_enum, default_value = "local")]
    target: TargetName,
    /// The stack's name, for the target `stage`
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// The stack's region; by default the environment's
    #[arg(long, requires = "stack")]
    region: Option<String>,
    #[command(flatten)]
    spec: SpecArgs,
    /// How many files [default: 20; without --mix 1 if a size is given or the target is sim; with --duration, as many as
    /// fit into it]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    files: Option<u64>,
    /// Files under way at once; for `sim`, as many processes
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=1000))]
    concurrency: u64,
    /// Begin so many files a second, at most
    #[arg(long, value_name = "FILES", value_parser = rate)]
    rate: Option<f64>,
    /// Begin files for so long: a number with s, m or h
    #[arg(long, value_name = "TIME", value_parser = time)]
    duration: Option<Duration>,
    /// Kinds of files by weight: a CSV with the columns weight, profile, size, compression, dirty. What a line leaves
    /// empty is as the options say
    #[arg(long, value_name = "FILE")]
    mix: Option<PathBuf>,
    /// How long a file may take from its upload to the catalogue before it counts as late
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = time)]
    deadline: Duration,
    /// Memory of a processor, in MiB: what `sim` gives it, and what a cost is computed for [default: sim 512, else 1769]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(128..=10_240))]
    memory: Option<u64>,
    /// Faults to inject: `default`, or names with rates: unavailable, lost, torn, slow, kill (of requests), duplicate,
    /// disorder (of files), as in default,kill=0.1
    #[arg(long, value_name = "FAULTS")]
    chaos: Option<Rates>,
    /// Write the report: one self-contained page
    #[arg(long, value_name = "FILE.html")]
    report: Option<PathBuf>,
    /// Write the run as one JSON document; `-` is standard output
    #[arg(long, value_name = "FILE.json", num_args = 0..=1, default_missing_value = "-")]
    json: Option<PathBuf>,
    /// Write a line a file as CSV
    #[arg(long, value_name = "FILE.csv")]
    csv: Option<PathBuf>,
    /// Don't ask before money is spent, and begin even if this machine's memory may not hold the files
    #[arg(long)]
    pub(super) yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TargetName {
    /// The whole system on this machine
    Local,
    /// Simulated: files of any size
    Sim,
    /// A deployed stack
    Stage,
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Local,
    Sim,
    Stage { stack: String, region: Option<String> },
}

/// What was asked for, and makes sense.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) target: Target,
    pub(crate) pace: Pace,
    pub(crate) memory_mib: u64,
    pub(crate) chaos: Rates,
    pub(crate) seed: u64,
    pub(crate) outputs: Outputs,
    spec: Spec,
    mix: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1000.0).contains(rate));
    rate.ok_or_else(|| "expected files a second, from 0.001 to 1000".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time such as 90s, 15m or 2h");
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).ok_or_else(wrong)?);
    let scale = match unit {
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong()),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * scale);
    let seconds = seconds.filter(|seconds| (1.0..=7.0 * 24.0 * 3600.0).contains(seconds));
    Ok(Duration::from_secs_f64(seconds.ok_or_else(wrong)?))
}

impl Args {
    /// Holds the options against each other.
    pub(crate) fn check(&self) -> anyhow::Result<Asked> {
        let wrong = |text: &str| Err(UsageError(text.into()).into());
        let target = match (self.target, &self.stack) {
            (TargetName::Local, None) => Target::Local,
            (TargetName::Sim, None) => Target::Sim,
            (TargetName::Stage, Some(stack)) => {
                Target::Stage { stack: stack.clone(), region: self.region.clone() }
            }
            (TargetName::Stage, None) => return wrong("--target stage needs --stack NAME"),
            (_, Some(_)) => return wrong("--stack is for --target stage"),
        };
        let is_stage = matches!(target, Target::Stage { .. });
        if is_stage && self.chaos.is_some() {
            return wrong("--chaos is for local and sim: a stage's faults are its own");
        }
        let is_sim = target == Target::Sim;
        let spec = self.spec.spec(if is_sim { DEFAULT_BYTES } else { FILE_BYTES })?;
        let one = self.mix.is_none() && (is_sim || self.spec.are_sized());
        let files = self.files.or(self.duration.is_none().then_some(if one { 1 } else { FILES }));
        let default = if is_sim { SIM_MEMORY_MIB } else { STAGE_MEMORY_MIB };
        Ok(Asked {
            pace: Pace {
                files,
                most: None,
                concurrency: usize::try_from(self.concurrency)?,
                rate: self.rate,
                duration: self.duration,
                deadline: self.deadline,
            },
            target,
            memory_mib: self.memory.unwrap_or(default),
            chaos: self.chaos.clone().unwrap_or_default(),
            seed: spec.seed,
            outputs: Outputs { page: self.report.clone(), json: self.json.clone(), csv: self.csv.clone() },
            spec,
            mix: self.mix.clone(),
        })
    }
}

impl Asked {
    /// The files that follow from it.
    pub(crate) fn plan(&self, run: String) -> anyhow::Result<Plan> {
        let plan = match &self.mix {
            Some(mix) => {
                Plan::mixed(run, &self.spec, mix).map_err(|error| UsageError(format!("{error:#}")))?
            }
            None => Plan::of(run, self.spec.clone()),
        };
        if self.target == Target::Sim && plan.has(|spec| spec.compression != Compression::None) {
            let text = "sim makes files where they are read, which plain text alone can be: leave --compression out, or \
                        take --target local";
            return Err(UsageError(text.into()).into());
        }
        if self.target == Target::Sim && plan.has(|spec| matches!(spec.profile, Profile::Sample(_))) {
            let text = "sim knows the named profiles alone: leave --from out, or take --target local";
            return Err(UsageError(text.into()).into());
        }
        Ok(plan)
    }
}

/// Where a run is told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Outputs {
    page: Option<PathBuf>,
    json: Option<PathBuf>,
    csv: Option<PathBuf>,
}

impl Outputs {
    /// Creates the files now: after an hour is late for a wrong folder.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for path in self.files() {
            create(path)?;
        }
        Ok(())
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let all = [&self.page, &self.json, &self.csv].into_iter().flatten();
        all.map(PathBuf::as_path).filter(|path| *path != Path::new("-"))
    }

    /// Writes them, and the summary.
    pub(crate) fn write(&self, run: &Run, terminal: &Terminal) -> anyhow::Result<()> {
        let write = |path: &Path, text: &str| {
            create(path)?.write_all(text.as_bytes()).with_context(|| format!("write {}", path.display()))
        };
        if let Some(path) = &self.page {
            write(path, &page::page(run))?;
        }
        if let Some(path) = &self.csv {
            table::write(run, create(path)?).with_context(|| format!("write {}", path.display()))?;
        }
        let to_stdout = self.json.as_deref() == Some(Path::new("-"));
        if let Some(path) = &self.json {
            let text = serde_json::to_string_pretty(run).context("write the document")?;
            if to_stdout {
                return terminal.print(&text);
            }
            write(path, &text)?;
        }
        for line in summary::lines(run) {
            terminal.print(&line)?;
        }
        for path in self.files() {
            terminal.step(&format!("written: {}", path.display()));
        }
        Ok(())
    }
}

fn create(path: &Path) -> anyhow::Result<File> {
    File::create(path).with_context(|| format!("create {}", path.display()))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::generate::Length;

    #[derive(Debug, clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn asked(line: &str) -> anyhow::Result<Asked> {
        let words = std::iter::once("run").chain(line.split_whitespace());
        Cli::try_parse_from(words).unwrap().args.check()
    }

    #[test]
    fn what_is_sent_where_nothing_is_said_suits_the_target() {
        let sent = |line: &str| {
            let asked = asked(line).unwrap();
            (asked.pace.files, asked.spec.length)
        };
        let (small, large) = (Length::Bytes(4 << 20), Length::Bytes(1 << 30));
        assert_eq!(sent(""), (Some(20), small));
        assert_eq!(sent("--target stage --stack s"), (Some(20), small));
        assert_eq!(sent("--files 3"), (Some(3), small));
        assert_eq!(sent("--size 1MiB"), (Some(1), Length::Bytes(1 << 20)));
        assert_eq!(sent("--rows 5"), (Some(1), Length::Rows(5)));
        assert_eq!(sent("--target sim"), (Some(1), large));
        assert_eq!(sent("--target sim --mix m.csv --size 1MiB"), (Some(20), Length::Bytes(1 << 20)));
        assert_eq!(asked("--duration 2m").unwrap().pace.files, None);
        assert_eq!(asked("--duration 2m --files 7").unwrap().pace.files, Some(7));
        assert_eq!(asked("--target sim").unwrap().memory_mib, 512);
        assert_eq!(asked("").unwrap().memory_mib, 1769);
    }

    #[test]
    fn what_makes_no_sense_is_wrong_usage() {
        for line in [
            "--target stage",
            "--stack x",
            "--target sim --stack x",
            "--target stage --stack x --chaos default",
        ] {
            assert!(asked(line).unwrap_err().is::<UsageError>(), "{line}");
        }
        for line in ["--target sim --compression gzip", "--mix absent.csv"] {
            assert!(asked(line).unwrap().plan("r".into()).unwrap_err().is::<UsageError>(), "{line}");
        }
        for line in ["--rate 0", "--duration 5", "--chaos torn", "--concurrency 0", "--region x"] {
            let words = std::iter::once("run").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(time("1.5m"), Ok(Duration::from_secs(90)));
        assert_eq!(time("2h"), Ok(Duration::from_hours(2)));
        assert!(["", "5", "s", "0s", "1d", "-1s"].into_iter().all(|text| time(text).is_err()));
    }
}
