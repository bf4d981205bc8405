//! The `penstock` command.

use std::process::ExitCode;

use clap::Parser as _;
use local::command;

#[tokio::main]
async fn main() -> ExitCode {
    command::run(command::Cli::parse()).await
}
