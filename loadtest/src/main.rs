//! The `loadtest` command.

use std::process::ExitCode;

use clap::Parser as _;

#[tokio::main]
async fn main() -> ExitCode {
    loadtest::command::run(loadtest::command::Cli::parse()).await
}
