//! The `loadtest` command.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> std::io::Result<ExitCode> {
    let cli = loadtest::command::Cli::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let code = runtime.block_on(loadtest::command::run(cli));
    // A thread may still compute what nobody waits for any more, after a second Ctrl-C: it does not hold up the end.
    runtime.shutdown_background();
    Ok(code)
}
