//! Messages and events back to work. Whatever ends this half-way leaves a message where it was, or in both places, which
//! has no effect twice.

use anyhow::Context as _;
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use serde::Serialize;
use serde_json::json;

use super::letter::Letter;
use super::{Which, held, let_go, queue};
use crate::confirm::confirm;
use crate::deployed::{Deployed, StageArgs};
use crate::ending::Ending;
use crate::interrupt::unless_interrupted;
use crate::table::printable;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  penstock dlq redrive --dry-run               what would be done
  penstock dlq redrive                         all of it, after a question
  penstock dlq redrive 059f36b4 --yes          one message
  penstock dlq redrive --queue failures        only the events that the processor gave up";

/// Which messages.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    stage: StageArgs,
    /// Only messages whose ids begin so [default: all]
    ids: Vec<String>,
    /// Only this queue
    #[arg(long, value_enum, default_value = "both")]
    queue: Which,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What became of a message.
#[derive(Debug, Serialize)]
struct Redriven {
    id: String,
    queue: &'static str,
    file: Option<String>,
    /// `redriven`, `kept`, or `failed`; without `would be` only if it was done.
    outcome: &'static str,
    why: Option<String>,
}

pub(super) async fn run(args: Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    unless_interrupted(Box::pin(redrive(&args, terminal))).await
}

async fn redrive(args: &Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let deployed = Deployed::find(&args.stage).await?;
    let all = held(&deployed, args.queue).await?;
    let wanted =
        |letter: &&Letter| args.ids.is_empty() || args.ids.iter().any(|id| letter.id.starts_with(id));
    let (found, others): (Vec<&Letter>, Vec<&Letter>) = all.iter().partition(wanted);
    let_go(&deployed, &others).await?;
    if found.is_empty() {
        terminal.note("there is nothing to redrive");
        return report(args, &[], terminal);
    }
    let (dead, failures) = count(&found);
    let finals = found.iter().filter(|letter| letter.is_final()).count();
    if finals > 0 {
        terminal.note(&format!(
            "{finals} of them are catalogued as failed: to put those back has no effect; replay --again their files \
             instead"
        ));
    }
    if args.dry_run {
        let_go(&deployed, &found).await?;
        let would: Vec<Redriven> =
            found.iter().map(|letter| redriven(letter, "would be redriven", None)).collect();
        return report(args, &would, terminal);
    }
    let question = format!(
        "Put {dead} messages back into the event queue, and invoke the processor with {failures} events?"
    );
    match confirm(&question, args.yes, terminal) {
        Ok(true) => {}
        refused => {
            let_go(&deployed, &found).await?;
            return refused.map(|_agreed| Ending::Failed);
        }
    }
    let done = all_of(&deployed, args, &found, dead > 0).await?;
    report(args, &done, terminal)
}

/// Redrives what was found, and lets go of what was not.
async fn all_of(
    deployed: &Deployed,
    args: &Args,
    found: &[&Letter],
    any_dead: bool,
) -> anyhow::Result<Vec<Redriven>> {
    // All of the dead letters at once, where SQS can: it does not lose one even if this machine does.
    let all_dead = args.ids.is_empty() && args.queue != Which::Failures && any_dead;
    if all_dead {
        let dead: Vec<&Letter> =
            found.iter().filter(|letter| letter.which() == Which::DeadLetters).copied().collect();
        // What is hidden would not be moved.
        let_go(deployed, &dead).await?;
    }
    let moved = all_dead && move_all(deployed).await?;
    // A receipt of before they were let go need not hold any more.
    let again = if all_dead && !moved { held(deployed, Which::DeadLetters).await? } else { Vec::new() };
    let (mut done, mut kept) = (Vec::new(), Vec::new());
    for letter in found {
        let letter = &again.iter().find(|again| again.id == letter.id).unwrap_or(letter);
        let is_moved = moved && letter.which() == Which::DeadLetters;
        let outcome = if is_moved { Ok(true) } else { one(deployed, letter).await };
        if !matches!(outcome, Ok(true)) {
            kept.push(*letter);
        }
        done.push(match outcome {
            Ok(true) => redriven(letter, "redriven", None),
            Ok(false) => redriven(letter, "kept", Some("it is no record of Lambda's".into())),
            Err(error) => redriven(letter, "failed", Some(format!("{error:#}"))),
        });
    }
    let_go(deployed, &kept).await?;
    Ok(done)
}

fn count(letters: &[&Letter]) -> (usize, usize) {
    let dead = letters.iter().filter(|letter| letter.which() == Which::DeadLetters).count();
    (dead, letters.len() - dead)
}

fn redriven(letter: &Letter, outcome: &'static str, why: Option<String>) -> Redriven {
    let (id, file) = (letter.id.clone(), letter.file.clone());
    Redriven { id, queue: letter.queue_name(), file, outcome, why }
}

fn report(args: &Args, done: &[Redriven], terminal: &Terminal) -> anyhow::Result<Ending> {
    if args.json {
        terminal.print(&json!({ "messages": done }).to_string())?;
    } else {
        for Redriven { id, file, outcome, why, .. } in done {
            let file = printable(file.as_deref().unwrap_or("no file"));
            let why = why.as_ref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
            terminal.print(&format!("{outcome} {id} ({file}){why}"))?;
        }
    }
    let failed = done.iter().any(|message| matches!(message.outcome, "failed" | "kept"));
    Ok(if failed { Ending::Failed } else { Ending::Done })
}

/// Moves all dead letters by SQS's own task. Not every server has it: then nothing was done.
async fn move_all(deployed: &Deployed) -> anyhow::Result<bool> {
    let from = arn(deployed, &deployed.outputs.dead_letter_queue_url).await?;
    // Named, as SQS can't tell where those came from that the consumer sent itself.
    let to = arn(deployed, &deployed.outputs.event_queue_url).await?;
    let task = deployed.sqs.start_message_move_task().source_arn(from).destination_arn(to).send().await;
    match task {
        Ok(_) => Ok(true),
        Err(error) if is_unknown(error.code()) => Ok(false),
        Err(error) => Err(error).context("move the dead letters"),
    }
}

/// Whether a server does not know the request.
fn is_unknown(code: Option<&str>) -> bool {
    let last = code.unwrap_or_default().rsplit(['.', '#']).next().unwrap_or_default();
    matches!(last, "InvalidAction" | "UnsupportedOperation" | "UnknownOperationException" | "NotImplemented")
}

async fn arn(deployed: &Deployed, url: &str) -> anyhow::Result<String> {
    let ask = deployed.sqs.get_queue_attributes().queue_url(url);
    let answer = ask.attribute_names(QueueAttributeName::QueueArn).send().await;
    let answer = answer.with_context(|| format!("ask {url} for its name"))?;
    let arn = answer.attributes.and_then(|mut all| all.remove(&QueueAttributeName::QueueArn));
    arn.with_context(|| format!("{url} has no ARN"))
}

/// Redrives one: handed on first, deleted then. One that can't be handed on stays.
async fn one(deployed: &Deployed, letter: &Letter) -> anyhow::Result<bool> {
    let which = letter.which();
    if which == Which::Failures {
        let Some(request) = letter.request() else { return Ok(false) };
        deployed.invoke_processor(request).await?;
    } else {
        let send = deployed.sqs.send_message().queue_url(&deployed.outputs.event_queue_url);
        let mut send = send.message_body(&letter.raw_body);
        for (name, value) in letter.own_attributes() {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            send = send.message_attributes(name, value.context("spell an attribute")?);
        }
        send.send().await.context("send the message to the event queue")?;
    }
    let delete = deployed.sqs.delete_message().queue_url(queue::url(deployed, which));
    delete.receipt_handle(&letter.receipt_handle).send().await.context("delete the message")?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_the_task_is_told_from_one_that_refuses() {
        for code in [
            "InvalidAction",
            "AWS.SimpleQueueService.UnsupportedOperation",
            "com.amazonaws.sqs#UnsupportedOperation",
        ] {
            assert!(is_unknown(Some(code)), "{code}");
        }
        for code in [None, Some("AccessDenied"), Some("ResourceNotFoundException")] {
            assert!(!is_unknown(code), "{code:?}");
        }
    }
}
