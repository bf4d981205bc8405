//! The whole system, until Ctrl-C.

use std::time::Duration;

use anyhow::bail;

use crate::ending::Ending;
use crate::interrupt::{received, unless_interrupted};
use crate::stack::{ACCESS_KEY, REGION, SECRET_KEY, Stack, StackOptions};
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Example:
  penstock up
  # and in another terminal, as it will tell you:
  aws s3 cp orders.csv s3://penstock-dev-input-123456789012-us-east-1/";

/// How to run the system.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Seconds after which a message that was not dealt with is received again
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=43_200))]
    visibility_timeout: u32,
}

/// Runs the system until a signal comes, or MiniStack ends by itself.
pub async fn run(args: Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let options = StackOptions { visibility_seconds: args.visibility_timeout, ..StackOptions::default() };
    let mut stack = unless_interrupted(Stack::start(&options, terminal)).await?;
    for line in directions(&stack) {
        terminal.print(&line)?;
    }
    terminal.print("\nCtrl-C stops it.")?;
    let mut interrupted = std::pin::pin!(received());
    loop {
        tokio::select! {
            interrupted = &mut interrupted => {
                // What ends this command is no failure of it.
                interrupted?;
                stack.stop().await;
                return Ok(Ending::Done);
            }
            // MiniStack says nothing when it dies: look now and then.
            () = tokio::time::sleep(Duration::from_secs(1)) => {
                if !stack.is_running()? {
                    bail!("MiniStack has ended; its log is {}", stack.keep_log()?.display());
                }
            }
        }
    }
}

/// How to talk to a running stack, a line each.
pub(crate) fn directions(stack: &Stack) -> Vec<String> {
    let outputs = stack.outputs();
    let (input, output) = (&outputs.input_bucket, &outputs.output_bucket);
    vec![
        format!("endpoint       {}", stack.endpoint()),
        format!("input bucket   {input}"),
        format!("output bucket  {output}"),
        format!("log            {}", stack.log().display()),
        String::new(),
        "Talk to it with the AWS CLI:".into(),
        format!(
            "  export AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={SECRET_KEY} AWS_REGION={REGION}"
        ),
        format!("  aws --endpoint-url {} s3 cp some.csv s3://{input}/", stack.endpoint()),
        format!("  aws --endpoint-url {} s3 ls --recursive s3://{output}/", stack.endpoint()),
    ]
}
