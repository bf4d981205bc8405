//! The consumer against what others wrote: Standard Webhooks' own library verifies its signatures, DuckDB reads its
//! catalogue. `just reference` installs both and runs this.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests, their helpers too"
)]
#![allow(dead_code, reason = "the world is the other tests', too")]

use std::io::{BufRead as _, BufReader, Lines};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;

use common::secrets::MemorySecrets;
use consumer::Invocation;
use consumer::notify::{Builder, Console, Notifications};
use serde_json::Value;

#[path = "../it/world.rs"]
mod world;

use world::{OUT, World, batch, failures, record};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// The Python that has both libraries.
fn python() -> Command {
    Command::new(
        common::config::environment("REFERENCE_PYTHON").expect("REFERENCE_PYTHON: run `just reference`"),
    )
}

struct Receiver {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: String,
}

impl Receiver {
    fn start(secret: &str) -> Self {
        let mut process = python();
        let process = process.args(["tests/reference/receiver.py", secret]).stdout(Stdio::piped());
        let mut process = process.spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let port = lines.next().unwrap().unwrap();
        Self { process, lines, port }
    }

    fn heard(&mut self) -> Value {
        serde_json::from_str(&self.lines.next().unwrap().unwrap()).unwrap()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.process.kill().unwrap_or_default();
        self.process.wait().map(drop).unwrap_or_default();
    }
}

/// A failed file, delivered to a function that signs with these secrets; whether the receiver took it.
async fn told(world: &World, port: &str, secrets: &str) -> bool {
    let text = format!(
        "{{targets: {{hook: {{webhook: 'http://127.0.0.1:{port}/', secret: hook}}}}, rules: [{{to: [hook]}}], \
         allow_private_hosts: [127.0.0.1]}}"
    );
    let sdk = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::from_static("us-east-1"))
        .build();
    let builder = Builder {
        secrets: Arc::new(MemorySecrets([("hook".to_owned(), secrets.to_owned())].into())),
        console: Console::default(),
        ..Builder::new(&sdk, &world::config())
    };
    let consumer = world.consumer_telling(builder.build(Notifications::parse("rules", &text).unwrap()));
    let event = world.failed("in/größe.csv", "v1").await;
    let batch = batch(&[record("m1", &event)]);
    failures(&consumer.handle(batch, &Invocation::default()).await.unwrap()).is_empty()
}

#[tokio::test]
async fn signatures_are_verified_by_the_reference_library() {
    let mut receiver = Receiver::start(SECRET);
    for secrets in [SECRET.to_owned(), format!("{OTHER} {SECRET}")] {
        let world = World::default();
        assert!(told(&world, &receiver.port, &secrets).await);
        let heard = receiver.heard();
        assert_eq!(heard["id"], world.entries()[0].event_id.as_str());
        assert_eq!(heard["type"], "penstock.file.failed");
    }
    let world = World::default();
    told(&world, &receiver.port, OTHER).await;
    assert_eq!(world.queues.sent().len(), 1, "signed with another's secret, it is refused for good");
    assert!(receiver.heard()["refused"].is_string());
}

#[tokio::test]
async fn duckdb_reads_the_catalogue_as_the_docs_say() {
    let world = World::default();
    for number in 0..12 {
        world.deliver(&world.processed(&format!("in/{number}.csv"), "v1").await).await;
    }
    world.deliver(&world.failed("in/bad.csv", "v1").await).await;
    let folder = std::env::temp_dir().join(format!("penstock-reference-{}", std::process::id()));
    for key in world.store.keys(OUT, "catalog/") {
        let path = folder.join(&key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, world.store.content(OUT, &key).unwrap()).unwrap();
    }
    let ran =
        python().args(["tests/reference/duck.py", "../docs/catalogue.md"]).arg(&folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let answers = String::from_utf8(ran.stdout).unwrap();
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [days, failed, reasons] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(days[0]["day"], "2026-11-23");
    assert_eq!(
        (&days[0]["files"], &days[0]["rows_in"], &days[0]["rows_rejected"]),
        (&13.into(), &36.into(), &12.into())
    );
    assert_eq!(
        (&failed[0]["source_key"], &failed[0]["error_code"]),
        (&"in/bad.csv".into(), &"corrupt_gzip".into())
    );
    assert_eq!((&reasons[0]["reason"], &reasons[0]["rows"]), (&"field_count".into(), &12.into()));
}
