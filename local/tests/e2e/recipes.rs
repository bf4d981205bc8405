//! Recipes under a prefix: pushed by the command itself, with the rights that docs/recipes.md names and no other; and what
//! somebody else wrote there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_sdk_cloudformation::types::Capability;
use aws_sdk_s3::config::Credentials;
use aws_sdk_s3::primitives::ByteStream;
use common::contract::{CatalogEntry, CatalogStatus, Receipt, Status, hex};
use local::stack::{Ground, REGION, Stack};
use processor::recipes::{POINTER, Pointer, PublishedFile, object_name};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::{Instant, sleep_until};

use crate::given_up::set_aside;
use crate::invoke::{cool, invoke};
use crate::sdk;
use crate::system::{Listed, System};
use crate::traces;

/// Where the processor's role may read recipes, and what lies beside that.
pub(crate) const BUCKET: &str = "penstock-e2e-recipes";
pub(crate) const PREFIX: &str = "conf/live";
pub(crate) const OUTSIDE: &str = "conf/other/current.json";
/// The secret that recipes mask by.
pub(crate) const SECRET_NAME: &str = "penstock-e2e/mask";

/// RFC 4231's first test case: under twenty bytes 0x0b, this text has that HMAC-SHA-256.
const KEY: [u8; 20] = [0x0b; 20];
const TEXT: &str = "Hi There";
const HMAC: &str = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";

const FILE: &str = "feed.yml";
/// Of whose files they are; no other scenario's.
const FIRST: &str = "match: recipes/**\nheader_lines: 1\nmask: { said: hash }\n";
const SECOND: &str = "match: recipes/**\nheader_lines: 1\nselect: [said]\nmask: { said: { truncate: 2 } }\n";
const BROKEN: &str = "match: recipes/**\nheader_lines: 1\nselct: [said]\n";
/// Beside each of them, and always the same.
const PARTITIONED: &str = "match: partitions/**\nheader_lines: 1\noutput: { partition_by: [country] }\n";
/// What is wrong with it, where, and what to do.
const FAULT: &str = "feed.yml:3:1: unknown key `selct`: did you mean `select`?";

/// How often a function looks at the pointer, at most.
const LOOKS_EVERY: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);

/// The pointer's key.
pub(crate) fn pointer() -> String {
    format!("{PREFIX}/{POINTER}")
}

/// Makes the mask key; the template's parameters that let the processor have it, and read recipes.
pub(crate) async fn parameters(ground: &Ground) -> anyhow::Result<BTreeMap<String, String>> {
    let secrets = aws_sdk_secretsmanager::Client::new(&sdk::config(ground.clients(), ground.endpoint()));
    let key = std::str::from_utf8(&KEY)?;
    let created = secrets.create_secret().name(SECRET_NAME).secret_string(key).send().await;
    let arn = created.with_context(|| format!("create the secret {SECRET_NAME}"))?.arn;
    let arn = arn.with_context(|| format!("{SECRET_NAME} has no ARN"))?;
    let given = [("Recipes", format!("{BUCKET}/{PREFIX}")), ("MaskKeyArn", arn)];
    Ok(given.map(|(name, value)| (name.to_owned(), value)).into())
}

/// Somebody with the right to change recipes, and no other.
pub(crate) struct Pusher {
    credentials: Credentials,
    endpoint: String,
}

impl Pusher {
    /// Makes the bucket and the role, and brings the first recipe into force.
    pub(crate) async fn of(stack: &Stack) -> anyhow::Result<Self> {
        let s3 = &stack.clients().s3;
        s3.create_bucket().bucket(BUCKET).send().await.context("create a bucket")?;
        let outside = s3.put_object().bucket(BUCKET).key(OUTSIDE).body(ByteStream::from_static(b"{}"));
        outside.send().await.with_context(|| format!("put {OUTSIDE}"))?;
        let role = role(stack).await?;
        let sdk = sdk::config(stack.clients(), stack.endpoint());
        let credentials = sdk::assume(&sdk, &role).await?;
        let pusher = Self { credentials, endpoint: stack.endpoint().to_owned() };
        ensure!(pusher.pushes(FIRST).await?, "the first recipe is not new");
        Ok(pusher)
    }

    /// Pushes a recipe that is right; whether another one was in force.
    async fn pushes(&self, text: &str) -> anyhow::Result<bool> {
        let done = self.push(folder(text)?.path(), PREFIX).await?;
        let said = String::from_utf8(done.stdout.clone())?;
        let said = said.lines().find(|line| line.contains(FILE)).context("the command says nothing of it")?;
        let (in_force, new) = said.strip_suffix("  new").map_or((said, false), |rest| (rest, true));
        ensure!(done.status.success() && in_force == format!("{}  {FILE}", hash(text)), "{done:?}");
        Ok(new)
    }

    /// `penstock recipe push`, as it is built, with nothing of this process's environment.
    async fn push(&self, folder: &Path, prefix: &str) -> anyhow::Result<Output> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
        command.args(["recipe", "push", ".", "--to", &format!("s3://{BUCKET}/{prefix}")]);
        command.current_dir(folder).env_clear().stdin(Stdio::null());
        command.env("AWS_ENDPOINT_URL", &self.endpoint).env("AWS_REGION", REGION);
        command.env("AWS_ACCESS_KEY_ID", self.credentials.access_key_id());
        command.env("AWS_SECRET_ACCESS_KEY", self.credentials.secret_access_key());
        command.env("AWS_SESSION_TOKEN", self.credentials.session_token().unwrap_or_default());
        command.output().await.context("run penstock recipe push")
    }
}

/// A role that may do what whoever pushes needs.
async fn role(stack: &Stack) -> anyhow::Result<String> {
    const NAME: &str = "penstock-e2e-pusher";
    let statement = json!([
        {
            "Effect": "Allow",
            "Action": ["s3:GetObject", "s3:PutObject"],
            "Resource": format!("arn:aws:s3:::{BUCKET}/{PREFIX}/*"),
        },
        { "Effect": "Allow", "Action": "s3:ListBucket", "Resource": format!("arn:aws:s3:::{BUCKET}") },
    ]);
    let nobody = json!([{ "Effect": "Allow", "Principal": { "AWS": "*" }, "Action": "sts:AssumeRole" }]);
    let template = json!({
        "Resources": { "Role": { "Type": "AWS::IAM::Role", "Properties": {
            "RoleName": NAME,
            "AssumeRolePolicyDocument": { "Version": "2012-10-17", "Statement": nobody },
            "Policies": [{
                "PolicyName": "push",
                "PolicyDocument": { "Version": "2012-10-17", "Statement": statement },
            }],
        } } },
        "Outputs": { "Arn": { "Value": { "Fn::GetAtt": ["Role", "Arn"] } } },
    });
    let cloudformation = &stack.clients().cloudformation;
    let create = cloudformation.create_stack().stack_name(NAME).template_body(template.to_string());
    create.capabilities(Capability::CapabilityNamedIam).send().await.context("create a role")?;
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        let described = cloudformation.describe_stacks().stack_name(NAME).send().await?;
        let mut outputs = described
            .stacks
            .unwrap_or_default()
            .into_iter()
            .flat_map(|stack| stack.outputs.unwrap_or_default());
        if let Some(arn) = outputs.find_map(|output| output.output_value) {
            return Ok(arn);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bail!("there is no role {NAME}")
}

fn folder(text: &str) -> anyhow::Result<TempDir> {
    let folder = tempfile::Builder::new().prefix("penstock-e2e-").tempdir().context("create a folder")?;
    std::fs::write(folder.path().join(FILE), text).context("write a recipe")?;
    std::fs::write(folder.path().join("parts.yml"), PARTITIONED).context("write a recipe")?;
    Ok(folder)
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

/// A recipe that was pushed works on files, with the deployed key; another one that is pushed reaches functions that run;
/// a broken one is refused with its place, and changes nothing.
pub(crate) async fn pushed(system: Arc<System>) -> anyhow::Result<()> {
    let (receipt, clean) = file(&system, "recipes/first.csv").await?;
    ensure!(receipt.recipe.name == "feed" && receipt.recipe.sha256 == hash(FIRST), "{:?}", receipt.recipe);
    ensure!(clean == format!("id,said\n1,{HMAC}\n"), "masked, it is {clean}");

    ensure!(system.pusher.pushes(SECOND).await?, "the second recipe is not new");
    let pushed = Instant::now();
    let before = listed(&system).await?;
    let refused = system.pusher.push(folder(BROKEN)?.path(), PREFIX).await?;
    ensure!(refused.status.code() == Some(1), "{refused:?}");
    let (said, noted) = (String::from_utf8(refused.stdout)?, String::from_utf8(refused.stderr)?);
    ensure!(said.lines().eq([format!("./{FAULT}")]), "the command says {said}");
    ensure!(noted.contains("nothing was pushed: the recipes in force stay"), "the command notes {noted}");
    ensure!(listed(&system).await? == before, "a push that was refused changed the prefix");

    // A right one, where its role may not.
    let elsewhere = system.pusher.push(folder(SECOND)?.path(), "conf/other").await?;
    ensure!(elsewhere.status.code() == Some(1), "{elsewhere:?}");

    // Whatever runs has looked at the pointer before it handles an event that comes later than this.
    sleep_until(pushed + LOOKS_EVERY).await;
    let mut number = 0;
    while number == 0 || !system.stack.log_text().contains("other recipes are in force") {
        ensure!(pushed.elapsed() < LOOKS_EVERY + PATIENCE, "no function that ran took other recipes");
        number += 1;
        let (receipt, clean) = file(&system, &format!("recipes/second-{number}.csv")).await?;
        ensure!(receipt.recipe.sha256 == hash(SECOND), "{:?}", receipt.recipe);
        ensure!(clean == "said\nHi\n", "by the second recipe it is {clean}");
    }
    Ok(())
}

/// A partitioned file: its objects are what the receipt names, each where it belongs, and nothing else is there; also when
/// another version, with other partitions, has taken its place.
pub(crate) async fn partitioned(system: Arc<System>) -> anyhow::Result<()> {
    let key = "partitions/orders.csv";
    let versions = [
        ("id,country\n1,DE\n2,FR\n3,DE\n", [("country=DE", "id\n1\n3\n"), ("country=FR", "id\n2\n")]),
        ("id,country\n4,FR\n5,a/b c\n", [("country=FR", "id\n4\n"), ("country=a%2Fb c", "id\n5\n")]),
    ];
    for (text, expected) in versions {
        let (receipt, entry) = system.send(key, text.as_bytes()).await?;
        ensure!(receipt.adds_up() && entry.status == CatalogStatus::Processed, "{receipt:?}, {entry:?}");
        let mut found = Vec::new();
        for output in &receipt.outputs {
            let clean = system.read(&output.key).await?;
            let clean = clean.with_context(|| format!("{} is not there", output.key))?;
            let folder = output.key.rsplit('/').nth(1).context("no partition")?;
            found.push((folder, String::from_utf8(clean)?));
        }
        ensure!(found.iter().map(|(path, text)| (*path, text.as_str())).eq(expected), "{found:?}");
        let listed = system.listed(key).await?.into_keys();
        let there: BTreeSet<String> = listed.filter(|key| key.starts_with("clean/")).collect();
        let named: BTreeSet<String> = receipt.outputs.iter().map(|output| output.key.clone()).collect();
        ensure!(there == named, "{there:?} lie there, and the receipt names {named:?}");
    }
    Ok(())
}

/// A broken recipe that somebody made current without the command: functions that run go on with what they had; one that
/// starts refuses to, and says what is wrong. The file waits in the failures queue until the command has put it right.
pub(crate) async fn broken_by_hand(system: Arc<System>) -> anyhow::Result<()> {
    // In force already, unless this scenario runs alone.
    system.pusher.pushes(SECOND).await?;
    // One of the functions runs.
    let (mut last, _) = file(&system, "recipes/before.csv").await?;
    put_by_hand(&system).await?;
    let begun = Instant::now();
    let refused = "the published recipes can't be taken: those from before stay in force";
    let mut number = 0;
    while !system.stack.log_text().contains(refused) {
        ensure!(
            begun.elapsed() < LOOKS_EVERY + PATIENCE,
            "no function that runs looked at the broken recipe"
        );
        tokio::time::sleep(PAUSE).await;
        number += 1;
        (last, _) = file(&system, &format!("recipes/warm-{number}.csv")).await?;
        // The first one's where it has had no event since.
        let right = [hash(FIRST), hash(SECOND)];
        ensure!(right.contains(&last.recipe.sha256), "{:?}", last.recipe);
    }

    // What it sends after its answer is not to be cut off.
    traces::shows(&system, &system.trace_of(&last.source)?, "file", "processed", 1).await?;
    cool(&system, &system.stack.outputs().processor_function).await?;
    let key = "recipes/cold.csv";
    let source = system.put(key, said().as_bytes()).await?;
    let (message, record) = set_aside(&system, key).await?;
    let context = &record["requestContext"];
    ensure!(context["condition"] == "RetriesExhausted", "{context}");
    ensure!(context["approximateInvokeCount"] == 3, "{context}");
    let log = system.stack.log_text();
    for part in ["the processor does not start", FAULT] {
        ensure!(log.contains(part), "the log does not say: {part}");
    }
    ensure!(system.listed(key).await?.is_empty(), "a broken recipe left something of {key}");

    ensure!(system.pusher.pushes(SECOND).await?, "the broken recipe is still in force");
    let processor = &system.stack.outputs().processor_function;
    let answer = invoke(&system, processor, &record["requestPayload"]).await?;
    ensure!(answer["processed"] == 1, "the processor answered {answer}");
    let receipt = system.receipt_of(&source).await?;
    let clean = cleaned(&system, &receipt, &system.entry_of(&receipt).await?).await?;
    ensure!(receipt.recipe.sha256 == hash(SECOND) && clean == "said\nHi\n", "{:?}, {clean}", receipt.recipe);
    system.forget(&system.stack.outputs().failures_queue_url, &message).await
}

/// A pointer to a broken recipe, each under its own hash, as the command would never write them.
async fn put_by_hand(system: &System) -> anyhow::Result<()> {
    let file = PublishedFile { name: FILE.into(), sha256: hash(BROKEN) };
    let name = object_name(&file);
    let pointer = serde_json::to_string(&Pointer { files: vec![file] })?;
    for (name, text) in [(name.as_str(), BROKEN), (POINTER, &pointer)] {
        let put = system.stack.clients().s3.put_object().bucket(BUCKET).key(format!("{PREFIX}/{name}"));
        let body = ByteStream::from(text.as_bytes().to_vec());
        put.body(body).send().await.with_context(|| format!("put {name}"))?;
    }
    Ok(())
}

fn said() -> String {
    format!("id,said\n1,{TEXT}\n")
}

/// Sends a file: its receipt, and the clean text.
async fn file(system: &System, key: &str) -> anyhow::Result<(Receipt, String)> {
    let (receipt, entry) = system.send(key, said().as_bytes()).await?;
    let clean = cleaned(system, &receipt, &entry).await?;
    Ok((receipt, clean))
}

async fn cleaned(system: &System, receipt: &Receipt, entry: &CatalogEntry) -> anyhow::Result<String> {
    let key = &receipt.source.key;
    ensure!(receipt.status == Status::Processed && receipt.adds_up(), "{key}: {receipt:?}");
    ensure!(entry.status == CatalogStatus::Processed, "{key} is catalogued as {:?}", entry.status);
    let output = receipt.outputs.first().with_context(|| format!("{key} has no output"))?;
    let clean = system.read(&output.key).await?.with_context(|| format!("{} is not there", output.key))?;
    Ok(String::from_utf8(clean)?)
}

/// What lies under the prefix.
async fn listed(system: &System) -> anyhow::Result<BTreeMap<String, Listed>> {
    let list = system.stack.clients().s3.list_objects_v2().bucket(BUCKET).prefix(PREFIX).send().await?;
    let objects = list.contents.unwrap_or_default().into_iter();
    let shown = objects.map(|object| {
        let etag = object.e_tag.unwrap_or_default();
        let modified = object.last_modified.map(|time| time.to_string()).unwrap_or_default();
        (object.key.unwrap_or_default(), Listed { etag, modified })
    });
    Ok(shown.collect())
}
