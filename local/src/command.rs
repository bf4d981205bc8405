//! The command line.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::ending::{ClosedPipe, Ending, exit_code};
use crate::terminal::Terminal;
use crate::{catalog, demo, dlq, process, recipe, replay, trace, up};

const EXAMPLES: &str = "\
Examples:
  penstock demo                       the samples through the whole system, on this machine
  penstock demo orders.csv.gz         a file of your own
  penstock demo --json | jq .files    the same, for programs
  penstock process orders.csv -o -    the engine alone: no AWS, not even a local one
  penstock recipe check recipes/      what is wrong with recipes, before they meet a file
  penstock up                         the system, for as long as you want to play with it
  penstock trace orders.csv           where the time went, of a file sent to it
  penstock catalog --failed           what failed in a deployed stage, and why
  penstock dlq list                   what it gave up

Exit codes: 0 done, 1 failed, 2 wrong usage, 128 + n ended by signal n.
NO_COLOR turns colours off.";

/// Cleans CSV files and proves that no row was lost.
#[derive(Debug, Parser)]
#[command(name = "penstock", version, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Clean one file with the engine alone
    Process(Box<process::Args>),
    /// Check recipes: what a clean file is
    Recipe(recipe::Args),
    /// Send files through the whole system on this machine, and account for every row
    Demo(demo::Args),
    /// Run the whole system on this machine until Ctrl-C
    Up(up::Args),
    /// Draw a file's trace: this machine's last, or a deployed stage's from X-Ray
    Trace(trace::Args),
    /// List what became of a deployed stage's files
    Catalog(catalog::Args),
    /// Look at what a deployed stage gave up, and put it back to work
    Dlq(dlq::Args),
    /// Send files of a deployed stage through its processor once more
    Replay(replay::Args),
    /// Print a completion script for a shell
    #[command(
        after_help = "Example:\n  penstock completions bash > ~/.local/share/bash-completion/completions/penstock"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Does what the command line asks.
pub async fn run(cli: Cli) -> ExitCode {
    let terminal = Terminal::default();
    let ending = match cli.command {
        Command::Process(args) => Box::pin(process::run(*args, &terminal)).await,
        Command::Recipe(args) => recipe::run(&args, &terminal).await,
        Command::Demo(args) => Box::pin(demo::run(args, &terminal)).await,
        Command::Up(args) => Box::pin(up::run(args, &terminal)).await,
        Command::Trace(args) => Box::pin(trace::run(&args, &terminal)).await,
        Command::Catalog(args) => Box::pin(catalog::run(args, &terminal)).await,
        Command::Dlq(args) => Box::pin(dlq::run(args, &terminal)).await,
        Command::Replay(args) => Box::pin(replay::run(args, &terminal)).await,
        Command::Completions { shell } => complete(shell, &terminal),
    };
    match ending {
        Ok(Ending::Done) => ExitCode::SUCCESS,
        Ok(Ending::Failed) => ExitCode::FAILURE,
        Err(error) => {
            // Who closes a pipe has seen enough and wants no words.
            if !error.is::<ClosedPipe>() {
                terminal.error(&error);
            }
            exit_code(&error)
        }
    }
}

fn complete(shell: Shell, terminal: &Terminal) -> anyhow::Result<Ending> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "penstock", &mut script);
    terminal.print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(Ending::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }
}
