//! The command line.

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::generate::command as generate;
use crate::{rows, server, sim};

const EXAMPLES: &str = "\
Examples:
  loadtest generate --size 100MB -o trips.csv         taxi trips as a file; generate --help tells of other kinds
  loadtest expect --size 100MB                        what must become of them
  loadtest sim                             1 GiB of CSV through the processor, with its peak memory
  loadtest sim --size 64GiB                the same memory
  loadtest sim --shape wide --compression zstd
  loadtest sim --copy                      what a bare copy takes, to compare with
  loadtest sim --json | jq .peak_memory_bytes

Exit codes: 0 every row accounted for, 1 not, 2 wrong usage.
NO_COLOR turns colours off.";

/// Makes files of any size, and measures Penstock with them.
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
    /// Send one computed file through the processor, against an S3 on this machine that needs no disk
    Sim(sim::Args),
    /// Write a file of the benchmarks' rows to standard output, as a single gzip member or zstd frame where compressed
    #[command(hide = true)]
    Rows(rows::Kind),
    /// The S3 that `sim` measures against, in a process of its own
    #[command(hide = true)]
    SimServer(server::Args),
}

/// Does what the command line asks.
pub async fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Generate(args) => quiet_pipe(Box::pin(generate::generate(&args)).await),
        Command::Expect(args) => quiet_pipe(Box::pin(generate::expect(&args)).await),
        Command::Sim(args) => Box::pin(sim::run(&args)).await,
        Command::Rows(kind) => quiet_pipe(
            rows::write(&kind, std::io::stdout().lock()).context("write to standard output").map(|()| true),
        ),
        Command::SimServer(args) => server::serve(&args).await.map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nothing can be said on an output that is gone.
            writeln!(std::io::stderr(), "error: {error:#}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
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
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
