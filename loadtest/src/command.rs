//! The command line.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::sim;

const EXAMPLES: &str = "\
Examples:
  loadtest sim                          1 GiB of CSV through the processor, with its peak memory
  loadtest sim --size 64GiB             the same memory
  loadtest sim --gzip --json | jq .peak_memory_bytes

Exit codes: 0 every row accounted for, 1 not, 2 wrong usage.";

/// Measures Penstock with files of any size.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send one computed file through the processor, against an S3 on this machine that needs no disk
    Sim(sim::Args),
    /// The S3 that `sim` measures against, in a process of its own
    #[command(hide = true)]
    SimServer(sim::Args),
}

/// Does what the command line asks.
pub async fn run(cli: Cli) -> ExitCode {
    let done = match cli.command {
        Command::Sim(args) => Box::pin(sim::run(&args)).await,
        Command::SimServer(args) => sim::serve(&args).await.map(|()| true),
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
