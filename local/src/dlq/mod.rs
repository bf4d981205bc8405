//! What the system gave up: the consumer's dead letters, and the events that the processor failed on.
//!
//! - `letter`: a message of either queue, and what it is about; pure.
//! - `queue`: looking without taking away, and taking.
//! - `redrive`: back to work.

mod letter;
mod queue;
mod redrive;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use serde_json::json;

use crate::deployed::{Deployed, StageArgs};
use crate::ending::Ending;
use crate::interrupt::unless_interrupted;
use crate::table;
use crate::terminal::Terminal;
use letter::Letter;

const EXAMPLES: &str = "\
Examples:
  penstock dlq list                   what was given up, and why
  penstock dlq show 059f36b4          one message, whole; the first letters of its id will do
  penstock dlq redrive --dry-run      what would be done
  penstock dlq redrive --yes          all of it back to work, without a question

Two queues: the dead letters (messages that the consumer gave up), which go back to the event queue; and the failures \
(events that the processor gave up), with which it is invoked again. Neither has an effect twice. A dead letter with a \
reason was catalogued, which is final: it is kept, as is what is no event; once its cause is mended, \
`penstock replay --again` the file.";

/// Messages and events that were given up
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List what lies in the queues; it stays there
    List(ListArgs),
    /// Show one message, whole
    Show(ShowArgs),
    /// Put messages back to work
    Redrive(redrive::Args),
}

/// Which of the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Which {
    /// Messages that the consumer gave up
    DeadLetters,
    /// Events that the processor gave up
    Failures,
    /// Both
    Both,
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    #[command(flatten)]
    stage: StageArgs,
    /// Only this queue
    #[arg(long, value_enum, default_value = "both")]
    queue: Which,
    /// For programs
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    #[command(flatten)]
    stage: StageArgs,
    /// The message's id, or how it begins
    id: String,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// Does what the command line asks.
pub async fn run(args: Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    match args.command {
        Command::List(args) => Box::pin(unless_interrupted(list(&args, terminal))).await?,
        Command::Show(args) => Box::pin(unless_interrupted(show(&args, terminal))).await?,
        Command::Redrive(args) => return Box::pin(redrive::run(args, terminal)).await,
    }
    Ok(Ending::Done)
}

/// What lies in the queues, oldest first, and whether that is all.
async fn letters(
    deployed: &Deployed,
    which: Which,
    terminal: &Terminal,
) -> anyhow::Result<(Vec<Letter>, bool)> {
    let (mut letters, mut is_whole) = (Vec::new(), true);
    for queue in [Which::DeadLetters, Which::Failures] {
        if which == queue || which == Which::Both {
            let peek = queue::peek(deployed, queue).await?;
            if !peek.is_whole {
                let (count, url) = (peek.letters.len(), queue::url(deployed, queue));
                terminal.note(&format!("these are the first {count} messages of {url}: there are more"));
            }
            if peek.held > 0 {
                let seconds = queue::TO_LOOK;
                terminal.note(&format!("{} messages are hidden for {seconds} s more", peek.held));
            }
            letters.extend(peek.letters);
            is_whole &= peek.is_whole;
        }
    }
    letters.sort_by(|one, other| (&one.sent_at, &one.id).cmp(&(&other.sent_at, &other.id)));
    Ok((letters, is_whole))
}

async fn list(args: &ListArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let deployed = Deployed::find(&args.stage).await?;
    let (letters, _) = letters(&deployed, args.queue, terminal).await?;
    if args.json {
        return terminal.print(&json!({ "messages": letters }).to_string());
    }
    if letters.is_empty() {
        terminal.note("nothing was given up");
        return Ok(());
    }
    for line in table::lines(&HEADER, &letters.iter().map(row).collect::<Vec<_>>()) {
        terminal.print(&line)?;
    }
    Ok(())
}

const HEADER: [&str; 6] = ["ID", "QUEUE", "SENT", "FILE", "WHY", "WHAT TO DO"];

fn row(letter: &Letter) -> Vec<String> {
    vec![
        letter.id.chars().take(8).collect(),
        letter.queue_name().into(),
        letter.sent_at.map(|at| at.strftime("%Y-%m-%d %H:%M:%S").to_string()).unwrap_or_default(),
        table::printable(letter.file.as_deref().unwrap_or("?")),
        table::printable(&letter.why),
        letter.advice().into(),
    ]
}

async fn show(args: &ShowArgs, terminal: &Terminal) -> anyhow::Result<()> {
    let deployed = Deployed::find(&args.stage).await?;
    let (letters, _) = letters(&deployed, Which::Both, terminal).await?;
    let found: Vec<&Letter> = letters.iter().filter(|letter| letter.id.starts_with(&args.id)).collect();
    let letter = match found[..] {
        [letter] => letter,
        [] => bail!("no message with the id {} lies in either queue", args.id),
        _ => bail!("{} messages' ids begin with {}", found.len(), args.id),
    };
    if args.json {
        return terminal.print(&json!(letter).to_string());
    }
    for line in letter.lines() {
        terminal.print(&line)?;
    }
    Ok(())
}
