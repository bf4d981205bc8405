//! Messages and events back to work. Whatever ends this half-way leaves a message where it was, or in both places, which
//! has no effect twice.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, bail};
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::types::{MessageAttributeValue, QueueAttributeName};
use serde::Serialize;
use serde_json::json;

use super::letter::Letter;
use super::{Which, letters, queue};
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
  penstock dlq redrive 059f36b4 --force        one that would be kept, whatever comes of it
  penstock dlq redrive --queue failures        only the events that the processor gave up";

/// Which messages.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[allow(clippy::struct_excessive_bools, reason = "switches of a command line")]
pub(super) struct Args {
    #[command(flatten)]
    stage: StageArgs,
    /// Only messages whose ids begin so [default: all]
    ids: Vec<String>,
    /// Only this queue
    #[arg(long, value_enum, default_value = "both")]
    queue: Which,
    /// Also what would be kept, as its event is done or it is none: the consumer then takes it for done, or gives it up again
    #[arg(long, requires = "ids")]
    force: bool,
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
    /// `redriven`, `moving` where SQS does it by itself, `kept`, or `failed`; without `would be` only if it was done.
    outcome: &'static str,
    why: Option<String>,
}

pub(super) async fn run(args: Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    Box::pin(unless_interrupted(redrive(&args, terminal))).await
}

async fn redrive(args: &Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let deployed = Deployed::find(&args.stage).await?;
    let (found, is_whole) = letters(&deployed, args.queue, terminal).await?;
    if let Some(id) = args.ids.iter().find(|id| !found.iter().any(|letter| letter.id.starts_with(*id))) {
        bail!("no message with the id {id} was seen");
    }
    let wanted = |letter: &Letter| args.ids.is_empty() || args.ids.iter().any(|id| letter.id.starts_with(id));
    let (kept, wanted) = sort(found.into_iter().filter(wanted), args.force);
    if kept.is_empty() && wanted.is_empty() {
        terminal.note("there is nothing to redrive");
    }
    let mut report = Report::new(args, terminal);
    if args.dry_run {
        for letter in &wanted {
            report.add(letter, "would be redriven", None)?;
        }
    }
    for (letter, why) in &kept {
        let outcome = if args.dry_run { "would be kept" } else { "kept" };
        report.add(letter, outcome, Some(format!("{why}; {}", letter.advice())))?;
    }
    if args.dry_run || wanted.is_empty() {
        return report.end();
    }
    if !confirm(&question(&deployed, &wanted), args.yes, terminal).await? {
        return Ok(Ending::Failed);
    }
    let (dead, failures): (Vec<&Letter>, Vec<&Letter>) =
        wanted.iter().partition(|letter| letter.queue_name() == DEAD_LETTERS);
    // SQS's own task does not lose one even if this machine does; but it moves all that lies there, seen or not.
    let is_all =
        args.ids.is_empty() && is_whole && kept.iter().all(|(letter, _)| letter.queue_name() != DEAD_LETTERS);
    if is_all && !dead.is_empty() && move_all(&deployed).await? {
        for letter in &dead {
            report.add(letter, "moving", None)?;
        }
    } else {
        hand_on(&deployed, Which::DeadLetters, &dead, &mut report).await?;
    }
    hand_on(&deployed, Which::Failures, &failures, &mut report).await?;
    report.end()
}

const DEAD_LETTERS: &str = "dead-letters";

/// What stays, and why; and what does not. Nothing but a record of Lambda's can be told to Lambda, whoever insists.
fn sort(letters: impl Iterator<Item = Letter>, force: bool) -> (Vec<(Letter, &'static str)>, Vec<Letter>) {
    let (mut kept, mut wanted) = (Vec::new(), Vec::new());
    for letter in letters {
        let may_be_forced = letter.queue_name() == DEAD_LETTERS || letter.request().is_some();
        match letter.kept_because() {
            Some(why) if !(force && may_be_forced) => kept.push((letter, why)),
            _ => wanted.push(letter),
        }
    }
    (kept, wanted)
}

fn question(deployed: &Deployed, wanted: &[Letter]) -> String {
    let dead = wanted.iter().filter(|letter| letter.queue_name() == DEAD_LETTERS).count();
    let (queue, function) = (&deployed.outputs.event_queue_url, &deployed.outputs.processor_function);
    let failures = wanted.len() - dead;
    match (dead, failures) {
        (_, 0) => format!("Put {dead} messages back into {queue}?"),
        (0, _) => format!("Invoke {function} with {failures} events?"),
        _ => format!("Put {dead} messages back into {queue}, and invoke {function} with {failures} events?"),
    }
}

/// What became of the messages: told to people as it happens, to programs at the end.
struct Report<'a> {
    args: &'a Args,
    terminal: &'a Terminal,
    messages: Vec<Redriven>,
}

impl<'a> Report<'a> {
    fn new(args: &'a Args, terminal: &'a Terminal) -> Self {
        Self { args, terminal, messages: Vec::new() }
    }

    fn add(&mut self, letter: &Letter, outcome: &'static str, why: Option<String>) -> anyhow::Result<()> {
        if !self.args.json {
            let file = printable(letter.file.as_deref().unwrap_or("no file"));
            let why = why.as_ref().map(|why| format!(": {}", printable(why))).unwrap_or_default();
            self.terminal.print(&format!("{outcome} {} ({file}){why}", letter.id))?;
        }
        let (id, file) = (letter.id.clone(), letter.file.clone());
        self.messages.push(Redriven { id, queue: letter.queue_name(), file, outcome, why });
        Ok(())
    }

    /// What is kept is a failure only where somebody asked for it by name.
    fn end(self) -> anyhow::Result<Ending> {
        if self.args.json {
            self.terminal.print(&json!({ "messages": self.messages }).to_string())?;
        }
        let is_bad = |message: &Redriven| match message.outcome {
            "failed" => true,
            "kept" => !self.args.ids.is_empty(),
            _ => false,
        };
        Ok(if self.messages.iter().any(is_bad) { Ending::Failed } else { Ending::Done })
    }
}

/// Redrives messages one by one. They are received anew: while somebody was asked, others may have had them, and the
/// handles of the look are worth nothing.
async fn hand_on(
    deployed: &Deployed,
    which: Which,
    wanted: &[&Letter],
    report: &mut Report<'_>,
) -> anyhow::Result<()> {
    let mut missing: BTreeMap<&str, &Letter> =
        wanted.iter().map(|letter| (letter.id.as_str(), *letter)).collect();
    let (mut seen, mut others) = (BTreeSet::new(), Vec::new());
    while !missing.is_empty() {
        let received = queue::take(deployed, which, queue::TO_HAND_ON).await?;
        let fresh: Vec<Letter> =
            received.into_iter().filter(|letter| seen.insert(letter.id.clone())).collect();
        if fresh.is_empty() {
            break;
        }
        for letter in fresh {
            if missing.remove(letter.id.as_str()).is_none() {
                others.push(letter);
                continue;
            }
            match one(deployed, which, &letter).await {
                Ok(()) => report.add(&letter, "redriven", None)?,
                Err(error) => report.add(&letter, "failed", Some(format!("{error:#}")))?,
            }
        }
    }
    let held = queue::let_go(deployed, which, &others).await?;
    if held > 0 {
        let seconds = queue::TO_HAND_ON;
        report.terminal.note(&format!("{held} messages that stay are hidden for {seconds} s more"));
    }
    for letter in missing.into_values() {
        report.add(
            letter,
            "failed",
            Some("it is not in the queue any more, or somebody else has it".into()),
        )?;
    }
    Ok(())
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
async fn one(deployed: &Deployed, which: Which, letter: &Letter) -> anyhow::Result<()> {
    if which == Which::Failures {
        let request = letter.request().context("it is no record of Lambda's")?;
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
    let deleted = delete.receipt_handle(&letter.receipt_handle).send().await;
    deleted.context("it was handed on, but could not be deleted")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::Message;
    use consumer::dead_letter::REASON;

    use super::*;

    const EVENT: &str = include_str!("../../../common/tests/fixtures/event-processed.json");

    fn letter(which: Which, body: &str, reason: Option<&str>) -> Letter {
        let mut message = Message::builder().message_id(format!("{body:.9}/{reason:?}")).body(body);
        if let Some(reason) = reason {
            let reason = MessageAttributeValue::builder().data_type("String").string_value(reason).build();
            message = message.message_attributes(REASON, reason.unwrap());
        }
        Letter::new(which, message.build())
    }

    #[test]
    fn what_would_be_lost_or_do_nothing_is_kept_unless_somebody_insists() {
        let letters = || {
            [
                letter(Which::DeadLetters, EVENT, None),
                letter(Which::DeadLetters, EVENT, Some("mismatch")),
                letter(Which::DeadLetters, EVENT, Some("notify")),
                letter(Which::DeadLetters, "poison", None),
                letter(Which::Failures, r#"{"requestPayload": {"Records": []}}"#, None),
                letter(Which::Failures, "poison", None),
            ]
        };
        let (kept, wanted) = sort(letters().into_iter(), false);
        assert_eq!((kept.len(), wanted.len()), (4, 2));
        assert!(wanted.iter().all(|letter| letter.kept_because().is_none()));
        let (kept, wanted) = sort(letters().into_iter(), true);
        assert_eq!((kept.len(), wanted.len()), (1, 5));
        assert_eq!(kept[0].1, "it is no record of Lambda's", "there is nothing to invoke with");
    }

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
