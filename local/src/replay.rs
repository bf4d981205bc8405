//! Files through a deployed processor once more.

use anyhow::{Context as _, bail};
use common::contract::{
    ObjectRef, Receipt, Source, Status, claim_key, event_id, failure_receipt_key, receipt_key,
};
use common::document;
use common::store::Store;
use serde::Serialize;
use serde_json::json;

use crate::confirm::confirm;
use crate::deployed::{Deployed, StageArgs};
use crate::ending::{Ending, UsageError};
use crate::interrupt::unless_interrupted;
use crate::s3_event::s3_event;
use crate::table::printable;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  penstock replay s3://penstock-dev-input-…/orders.csv            send its event once more
  penstock replay --again s3://penstock-dev-input-…/orders.csv    process it again, whatever was done
  penstock catalog --failed --json | jq -r '\"s3://\\(.source_bucket)/\\(.source_key)\"' \\
    | tr '\\n' '\\0' | xargs -0 penstock replay --yes

A file that was processed is not processed twice: without --again its message is only published once more, and the \
consumer finds it done. With --again it is processed as a new attempt, which has an event and a catalogue entry of its \
own. What is replayed is the object's newest version, or the one that ?versionId=… names; an older version takes the \
newest one's place, so it needs --again.";

/// Which files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    stage: StageArgs,
    /// Files of the stage's input bucket: `s3://bucket/key`
    #[arg(required = true, value_name = "S3-URL")]
    files: Vec<String>,
    /// Process them again, even if they were processed
    #[arg(long)]
    again: bool,
    /// Don't ask
    #[arg(long)]
    yes: bool,
    /// For programs
    #[arg(long)]
    json: bool,
}

/// What became of a file's replay.
#[derive(Debug, Serialize)]
struct Replayed {
    file: String,
    version_id: Option<String>,
    /// 0, and one more with each replay that was asked for with --again.
    attempt: u32,
    /// `sent`, or why it was not.
    outcome: String,
}

/// Replays the files.
pub async fn run(args: Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let files: Vec<ObjectRef> = args.files.iter().map(|url| object(url)).collect::<Result<_, _>>()?;
    Box::pin(unless_interrupted(replay(&args, &files, terminal))).await
}

async fn replay(args: &Args, files: &[ObjectRef], terminal: &Terminal) -> anyhow::Result<Ending> {
    let deployed = Deployed::find(&args.stage).await?;
    let input = &deployed.outputs.input_bucket;
    if let Some(file) = files.iter().find(|file| file.bucket != *input) {
        return Err(UsageError(format!("{file} is not in the stage's input bucket, {input}")).into());
    }
    let question = match (files.len(), args.again) {
        (count, true) => {
            format!("Process {count} files of {input} again? Their outputs and receipts are replaced.")
        }
        (count, false) => format!("Send the events of {count} files of {input} once more?"),
    };
    if !confirm(&question, args.yes, terminal).await? {
        return Ok(Ending::Failed);
    }
    let mut all_sent = true;
    let mut done = Vec::new();
    for file in files {
        let replayed = match one(&deployed, file, args.again).await {
            Ok(replayed) => replayed,
            Err(error) => {
                all_sent = false;
                let (file, outcome) = (file.to_string(), format!("not sent: {error:#}"));
                Replayed { file, version_id: None, attempt: 0, outcome }
            }
        };
        if !args.json {
            let Replayed { file, outcome, attempt, .. } = &replayed;
            terminal.print(&printable(&format!("{outcome} {file} (attempt {attempt})")))?;
        }
        done.push(replayed);
    }
    if args.json {
        terminal.print(&json!({ "files": done }).to_string())?;
    } else if all_sent {
        terminal.note("what becomes of them: penstock catalog");
    }
    Ok(if all_sent { Ending::Done } else { Ending::Failed })
}

async fn one(deployed: &Deployed, file: &ObjectRef, again: bool) -> anyhow::Result<Replayed> {
    let found = deployed.store.head(file).await?;
    let found = found.with_context(|| format!("{file} does not exist"))?;
    let version_id = file.version_id.clone().or(found.version_id).filter(|id| id != "null");
    let source = Source {
        bucket: file.bucket.clone(),
        key: file.key.clone(),
        version_id: version_id.clone(),
        etag: found.etag.clone(),
        size: found.size,
        sequencer: None,
    };
    let is_newest = file.version_id.is_none() || {
        let newest = deployed.store.head(&ObjectRef::new(&file.bucket, &file.key)).await?;
        newest.is_some_and(|newest| newest.version_id == version_id)
    };
    let receipt = receipt(deployed, file).await?;
    let claims = (&*deployed.store as &dyn Store, deployed.outputs.output_bucket.as_str());
    let attempt = attempt(claims, &source, receipt.as_ref(), is_newest, again).await?;
    // The place in the key's history that S3 gave this version: without it, an older event that comes late could not be
    // told to be older.
    let same = receipt.filter(|receipt| receipt.source.is_same(&source) && version_id.is_some());
    let sequencer = same.and_then(|receipt| receipt.source.sequencer);
    let mut event = s3_event(&Source { sequencer, ..source });
    event["penstock"] = json!({ "attempt": attempt });
    deployed.invoke_processor(&event).await?;
    Ok(Replayed { file: file.to_string(), version_id, attempt, outcome: "sent".into() })
}

/// The attempt that this replay is. Every attempt has an event of its own, and no event may be told twice; so where the
/// receipt is another version's, which says nothing of this one's attempts, the claims do, in their bucket.
async fn attempt(
    (store, bucket): (&dyn Store, &str),
    source: &Source,
    receipt: Option<&Receipt>,
    is_newest: bool,
    again: bool,
) -> anyhow::Result<u32> {
    let Some(receipt) = receipt else { return Ok(0) };
    let is_same = receipt.source.is_same(source);
    if !again && is_same {
        return Ok(receipt.attempt);
    }
    if !again && !is_newest {
        bail!("it is not the newest version: --again processes it in that one's place");
    }
    let mut attempt = if is_same { receipt.attempt + 1 } else { 0 };
    while is_claimed(store, bucket, source, &receipt.recipe.sha256, attempt).await? {
        if !again {
            bail!(
                "it was processed before, and another version after it: --again processes it in that one's place"
            );
        }
        attempt += 1;
    }
    Ok(attempt)
}

/// Whether the consumer has heard of an attempt.
async fn is_claimed(
    store: &dyn Store,
    bucket: &str,
    source: &Source,
    recipe_sha256: &str,
    attempt: u32,
) -> anyhow::Result<bool> {
    for status in [Status::Processed, Status::Failed] {
        let key = claim_key(&event_id(source, recipe_sha256, attempt, status));
        if store.head(&ObjectRef::new(bucket, key)).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the output bucket says of a file.
async fn receipt(deployed: &Deployed, file: &ObjectRef) -> anyhow::Result<Option<Receipt>> {
    let key = receipt_key(&file.key).unwrap_or_else(|_too_long| failure_receipt_key(&file.key));
    let object = ObjectRef::new(&deployed.outputs.output_bucket, key);
    let found = document::read::<Receipt>(&*deployed.store, &object).await;
    Ok(found.with_context(|| format!("read {object}"))?.map(|found| found.value))
}

/// `s3://bucket/key`, or `s3://bucket/key?versionId=…`.
fn object(url: &str) -> anyhow::Result<ObjectRef> {
    let parts = url.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
    let Some((bucket, key)) = parts.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) else {
        return Err(UsageError(format!("{url} is not of the form s3://bucket/key")).into());
    };
    let (key, version_id) = match key.rsplit_once("?versionId=") {
        Some((key, version)) => (key, Some(version.to_owned())),
        None => (key, None),
    };
    if key.ends_with('/') {
        bail!(UsageError(format!("{url} is a folder: name its files")));
    }
    Ok(ObjectRef { bucket: bucket.into(), key: key.into(), version_id })
}

#[cfg(test)]
mod tests {
    use common::contract::{Claim, FileEvent};
    use common::store::{Condition, MemoryStore};

    use super::*;

    const EVENT: &str = include_str!("../../common/tests/fixtures/event-processed.json");

    async fn claim(store: &MemoryStore, source: &Source, attempt: u32, status: Status, recipe: &str) {
        let event_id = event_id(source, recipe, attempt, status);
        let object = ObjectRef::new("out", claim_key(&event_id));
        let claim = Claim { event_id, owner: "somebody".into(), expires_at: jiff::Timestamp::now() };
        document::write(store, &object, &claim, &Condition::Always).await.unwrap();
    }

    #[tokio::test]
    async fn no_replay_has_an_event_that_was_told_before() {
        let store = MemoryStore::new();
        let receipt = FileEvent::parse(EVENT).unwrap().data.receipt;
        let (current, recipe) = (receipt.source.clone(), receipt.recipe.sha256.clone());
        let older = Source { version_id: Some("older".into()), ..current.clone() };
        let attempt = async |source: &Source, is_newest, again| {
            attempt((&store, "out"), source, Some(&receipt), is_newest, again).await
        };
        assert_eq!(attempt(&current, true, false).await.unwrap(), receipt.attempt, "published again");
        assert_eq!(attempt(&current, true, true).await.unwrap(), receipt.attempt + 1);
        assert!(attempt(&older, false, false).await.unwrap_err().to_string().contains("newest"));
        assert_eq!(attempt(&older, false, true).await.unwrap(), 0, "it was never processed");
        claim(&store, &older, 0, Status::Processed, &recipe).await;
        claim(&store, &older, 1, Status::Failed, &recipe).await;
        assert_eq!(attempt(&older, false, true).await.unwrap(), 2);
        assert!(attempt(&older, true, false).await.unwrap_err().to_string().contains("another version"));
        claim(&store, &current, receipt.attempt + 1, Status::Processed, &recipe).await;
        assert_eq!(attempt(&current, true, true).await.unwrap(), receipt.attempt + 2);
    }

    #[test]
    fn urls_are_taken_apart() {
        let plain = object("s3://in/a b/c?d.csv").unwrap();
        assert_eq!(
            (plain.bucket.as_str(), plain.key.as_str(), plain.version_id),
            ("in", "a b/c?d.csv", None)
        );
        let version = object("s3://in/a.csv?versionId=v1").unwrap();
        assert_eq!((version.key.as_str(), version.version_id.as_deref()), ("a.csv", Some("v1")));
        for wrong in ["in/a.csv", "s3://in", "s3://in/", "s3:///a", "s3://in/a/", "https://in/a"] {
            assert!(object(wrong).unwrap_err().is::<UsageError>(), "{wrong}");
        }
    }
}
