//! `notifications.yml` that changes while the function runs.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::contract::ObjectRef;
use common::store::{ErrorKind, Fault, FaultyStore, Operation};
use consumer::Consumer;
use consumer::Invocation;
use consumer::notify::Live;
use serde_json::Value;

use crate::webhooks::{Receiver, SECRET, builder};
use crate::world::{World, batch, failures, record};

const PLACE: &str = "s3://config/notifications.yml";

/// What is logged, a line each.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    /// The errors since the last look.
    fn errors(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        let errors = lines.filter(|line| line["level"] == "ERROR");
        errors.map(|line| format!("{}: {}", line["fields"]["message"], line["fields"]["error"])).collect()
    }
}

/// A function that lives on, the file it follows, and two servers that it may name.
struct Warm {
    world: World,
    config: Arc<FaultyStore>,
    consumer: Consumer,
    log: Log,
    one: Receiver,
    two: Receiver,
    files: u32,
}

impl Warm {
    async fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Log::default();
        let writer = log.clone();
        let logging = tracing_subscriber::fmt().json().with_writer(move || writer.clone()).finish();
        let logging = tracing::subscriber::set_default(logging);
        let (one, two) =
            (Receiver::start(&["204 No Content"]).await, Receiver::start(&["204 No Content"]).await);
        let world = World::default();
        let config = Arc::new(FaultyStore::new(world.store.clone()));
        put(&world, &telling(&one)).await;
        let live = Live::load(Some(PLACE), config.clone(), builder(&[("hook", SECRET)])).await.unwrap();
        let consumer = world.consumer_telling(live);
        (Self { world, config, consumer, log, one, two, files: 0 }, logging)
    }

    /// Has a file processed; how many each server has heard of by now.
    async fn told(&mut self) -> (usize, usize) {
        self.files += 1;
        let event = self.world.processed(&format!("in/{}.csv", self.files), "v1").await;
        let batch = batch(&[record("m1", &event)]);
        let response = self.consumer.handle(batch, &Invocation::default()).await.unwrap();
        assert!(failures(&response).is_empty());
        (self.one.requests().len(), self.two.requests().len())
    }
}

fn telling(receiver: &Receiver) -> String {
    format!(
        "{{targets: {{hook: {{webhook: 'http://{}/', secret: hook}}}}, rules: [{{to: [hook]}}], \
         allow_private_hosts: [127.0.0.1]}}",
        receiver.address
    )
}

async fn put(world: &World, text: &str) {
    let object = ObjectRef::new("config", "notifications.yml");
    world.write(&object, text.as_bytes().to_vec(), BTreeMap::new()).await;
}

/// Lets a minute pass for the function, at once.
async fn a_minute() {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    tokio::time::resume();
}

#[tokio::test]
async fn changed_rules_hold_within_a_minute() {
    let (mut warm, _logging) = Warm::start().await;
    assert_eq!(warm.told().await, (1, 0));
    put(&warm.world, &telling(&warm.two)).await;
    assert_eq!(warm.told().await, (2, 0), "it does not look before each message");
    a_minute().await;
    assert_eq!(warm.told().await, (2, 1));
    assert_eq!(warm.log.errors(), [""; 0]);
    // What has not changed is not read again.
    warm.config.plan(Operation::Get, Fault::Before(ErrorKind::Transient));
    a_minute().await;
    assert_eq!(warm.told().await, (2, 2));
    assert_eq!((warm.config.pending(), warm.log.errors().len()), (1, 0));
}

#[tokio::test]
async fn what_can_not_be_followed_or_read_never_becomes_current() {
    let (mut warm, _logging) = Warm::start().await;
    let broken = [
        ("rules: [{to: [nobody]}]", "s3://config/notifications.yml:1:15: there is no target `nobody`"),
        ("rules: [{to: [alerts], when: 'rows >'}]", "s3://config/notifications.yml:1:30: "),
        ("targets: {t: {webhook: 'https://example.com/'}}", ": a webhook needs a `secret`"),
        ("{", "s3://config/notifications.yml:1:"),
        ("\u{0}", "s3://config/notifications.yml:1:"),
    ];
    let mut heard = 0;
    for (text, says) in broken {
        put(&warm.world, text).await;
        // An error at each look, until it is mended.
        for _ in 0..2 {
            a_minute().await;
            heard += 1;
            assert_eq!(warm.told().await, (heard, 0), "{text}");
            let [error] = &warm.log.errors()[..] else { panic!("one error: {text}") };
            assert!(error.contains("those of before hold") && error.contains(says), "{error}");
        }
    }
    warm.world.store.remove("config", "notifications.yml");
    a_minute().await;
    assert_eq!(warm.told().await, (heard + 1, 0), "a file that is gone is no file without rules");
    assert_eq!(warm.log.errors().len(), 1);

    put(&warm.world, &telling(&warm.two)).await;
    warm.config.plan(Operation::Get, Fault::Before(ErrorKind::Transient));
    a_minute().await;
    assert_eq!(warm.told().await, (heard + 2, 0));
    assert_eq!((warm.config.pending(), warm.log.errors().len()), (0, 1));
    a_minute().await;
    assert_eq!(warm.told().await, (heard + 2, 1), "mended");
    assert_eq!(warm.log.errors(), [""; 0]);
}
