//! The command line.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;
use local::ending::exit_code;
use local::terminal::Terminal;

use crate::generate::command as generate;
use crate::report::compare;
use crate::report::document::Run;
use crate::run::Ended;
use crate::{report, rows, run, server, sim};

const EXAMPLES: &str = "\
Examples:
  loadtest run --report out.html           files through the whole system on this machine, and the page about it
  loadtest run --target sim --size 64GiB   one file of any size, in flat memory
  loadtest run --files 50 --chaos default  with faults: every row is accounted for all the same
  loadtest run --json run.json             the run as JSON, for the next two
  loadtest report run.json > out.html      its page
  loadtest compare before.json after.json  what changed between two, and what of it is noise
  loadtest generate --size 100MB -o trips.csv
                                           taxi trips as a file; generate --help tells of other kinds
  loadtest expect --size 100MB             what must become of them
  loadtest sim                             1 GiB of CSV through the processor, with its peak memory
  loadtest sim --size 64GiB                the same memory
  loadtest sim --shape wide --compression zstd
  loadtest sim --recipe trips.yml          by a recipe: rows out, rejected and filtered, in any format
  loadtest sim --copy                      what a bare copy takes, to compare with
  loadtest sim --json | jq .peak_memory_bytes

`loadtest COMMAND --help` tells of each command's options, with examples.

Exit codes: 0 every row accounted for, 1 not, or the command failed, 2 wrong usage, 128 + n ended by signal n.
NO_COLOR turns colours off.";

/// Makes files of any size and dirt, sends them to Penstock, and accounts for every row.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a file of any size and dirt, on disk, on standard output or in S3
    Generate(generate::GenerateArgs),
    /// Tell what Penstock must make of such a file, without the file
    Expect(generate::ExpectArgs),
    /// Send files to a system, account for every row, and report
    Run(Box<run::Args>),
    /// Print the page of a run that was kept as JSON
    Report {
        /// The run, from `loadtest run --json`
        run: PathBuf,
    },
    /// Compare two runs that were kept as JSON: what changed, and what of it is noise
    Compare {
        /// The run before
        before: PathBuf,
        /// The run after
        after: PathBuf,
    },
    /// Send one computed file through the processor, against an S3 on this machine that needs no disk
    Sim(sim::Args),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  loadtest completions bash > ~/.local/share/bash-completion/completions/loadtest"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write a file of the benchmarks' rows to standard output, as a single gzip member or zstd frame where compressed
    #[command(hide = true)]
    Rows(rows::Kind),
    /// The S3 that `sim` measures against, in a process of its own
    #[command(hide = true)]
    SimServer(server::Args),
    /// The S3 of `run --target sim`, in a process of its own
    #[command(hide = true)]
    SimS3,
    /// A function of `run --target sim`, in a process of its own
    #[command(hide = true)]
    SimWorker(run::WorkerArgs),
}

/// Does what the command line asks.
pub async fn run(cli: Cli) -> ExitCode {
    let terminal = Terminal::default();
    let done = match cli.command {
        Command::Generate(args) => quiet_pipe(Box::pin(generate::generate(&args)).await),
        Command::Expect(args) => quiet_pipe(Box::pin(generate::expect(&args)).await),
        Command::Run(args) => match Box::pin(run::run(&args, &terminal)).await {
            // That has been told.
            Ok(Ended::BrokenOff(interrupted)) => return interrupted.exit_code().into(),
            ended => ended.map(|ended| ended == Ended::Clean),
        },
        Command::Report { run } => print_page(&run, &terminal),
        Command::Compare { before, after } => print_comparison(&before, &after, &terminal),
        Command::Sim(args) => Box::pin(sim::run(&args)).await,
        Command::Completions { shell } => complete(shell, &terminal),
        Command::Rows(kind) => quiet_pipe(
            rows::write(&kind, std::io::stdout().lock()).context("write to standard output").map(|()| true),
        ),
        Command::SimServer(args) => server::serve(&args).await.map(|()| true),
        Command::SimS3 => run::serve_s3().await.map(|()| true),
        Command::SimWorker(args) => Box::pin(run::work(&args)).await.map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Who closes a pipe has seen enough and wants no words.
            if !error.is::<local::ending::ClosedPipe>() {
                terminal.error(&error);
            }
            exit_code(&error)
        }
    }
}

fn complete(shell: Shell, terminal: &Terminal) -> anyhow::Result<bool> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "loadtest", &mut script);
    terminal.print(String::from_utf8_lossy(&script).trim_end()).map(|()| true)
}

fn kept(path: &std::path::Path) -> anyhow::Result<Run> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{} is no run of `loadtest run --json`", path.display()))
}

fn print_page(path: &std::path::Path, terminal: &Terminal) -> anyhow::Result<bool> {
    terminal.print(report::page::page(&kept(path)?).trim_end()).map(|()| true)
}

fn print_comparison(
    before: &std::path::Path,
    after: &std::path::Path,
    terminal: &Terminal,
) -> anyhow::Result<bool> {
    terminal.print(compare::text(&kept(before)?, &kept(after)?).trim_end()).map(|()| true)
}

/// Who closes a pipe has seen enough and wants no words.
fn quiet_pipe(done: anyhow::Result<bool>) -> anyhow::Result<bool> {
    let is_closed = |error: &anyhow::Error| {
        error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    if done.as_ref().err().is_some_and(is_closed) { Ok(true) } else { done }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
