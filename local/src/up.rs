//! The whole system, until Ctrl-C or for good.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::ending::Ending;
use crate::interrupt::{received, unless_interrupted};
use crate::stack::{ACCESS_KEY, REGION, SECRET_KEY, STACK_NAME, Stack, StackOptions};
use crate::terminal::Terminal;
use crate::trace;

const ABOUT: &str = "\
Starts MiniStack (a local AWS) on a free port of this machine, deploys the system's CloudFormation template to it \
with the real functions, and says how to talk to it.

The template is the packaged one, changed in three ways: the functions come as zips of the same binaries instead of \
images, messages that were not dealt with come back after seconds instead of minutes, and what MiniStack refuses is \
left out, each with its reason on standard error. The functions' roles are enforced: a function that reaches for \
what its role does not name is refused. Publishing to topics, and what Lambda and S3 do themselves (receiving from \
the queue, sending to the failures queue, invoking), is not checked by MiniStack.";

const EXAMPLES: &str = "\
Examples:
  penstock up                  until Ctrl-C
  # and in another terminal, as it will tell you:
  aws s3 cp orders.csv s3://penstock-dev-input-123456789012-us-east-1/

  penstock up --detach         leave it running; the last line says how to stop it

  # serverless.yml as it is now (`just deploy-local` does this)
  npx osls package --package packaged …
  penstock up --detach --template packaged/cloudformation-template-update-stack.json";

/// How to run the system.
#[derive(Debug, clap::Args)]
#[command(long_about = ABOUT, after_help = EXAMPLES)]
pub struct Args {
    /// Packaged template to deploy [default: the one that this command was built with]
    #[arg(long, value_name = "FILE")]
    template: Option<PathBuf>,
    /// Leave the system running, and say how to stop it
    #[arg(long)]
    detach: bool,
    /// Seconds after which a message that was not dealt with is received again
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=43_200))]
    visibility_timeout: u32,
}

/// Runs the system until a signal comes, or MiniStack ends by itself; or leaves it running.
pub async fn run(args: Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let mut options = StackOptions {
        visibility_seconds: args.visibility_timeout,
        detached: args.detach,
        ..StackOptions::default()
    };
    if let Some(path) = &args.template {
        let template = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        options.template = template.into();
    }
    let _receiver = trace::receive(&mut options).await?;
    let stack = unless_interrupted(Stack::start(&options, terminal)).await?;
    for line in directions(&stack) {
        terminal.print(&line)?;
    }
    if args.detach {
        return leave(stack, terminal);
    }
    terminal.print("\nCtrl-C stops it.")?;
    watch(stack).await
}

fn leave(stack: Stack, terminal: &Terminal) -> anyhow::Result<Ending> {
    let group = stack.detach()?.group;
    terminal.print(&format!("\n{}", stop_it(group)))?;
    Ok(Ending::Done)
}

/// How to end a stack that was left running.
pub(crate) fn stop_it(group: i32) -> String {
    format!("Stop it with:\n  kill -- -{group}")
}

async fn watch(mut stack: Stack) -> anyhow::Result<Ending> {
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
        format!("stack          {STACK_NAME}"),
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
