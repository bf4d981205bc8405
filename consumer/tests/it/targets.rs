//! Who is told of what.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::contract::{CatalogStatus, ObjectRef, clean_key};
use common::store::Store;
use consumer::Invocation;
use consumer::dead_letter::REASON;
use consumer::notify::{
    Builder, Live, LoadError, Notice, NoticeKind, Notifications, Notifier, SendError, Target,
};

use jiff::Timestamp;

use crate::world::{OUT, World, batch, failures, record};

/// Keeps what it hears; refuses the first `refusals`.
#[derive(Default)]
struct Listener {
    heard: Mutex<Vec<Notice>>,
    refusals: Mutex<u32>,
    is_permanent: AtomicBool,
    hangs: AtomicBool,
}

#[async_trait]
impl Target for Listener {
    async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let refuses = {
            let mut refusals = self.refusals.lock().unwrap();
            let refuses = *refusals > 0;
            *refusals = refusals.saturating_sub(1);
            refuses
        };
        if refuses {
            return Err(if self.is_permanent.load(Ordering::SeqCst) {
                SendError::permanent("refused: injected")
            } else {
                SendError::transient("refused: injected")
            });
        }
        if self.hangs.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.heard.lock().unwrap().push(notice.clone());
        Ok(())
    }
}

impl Listener {
    fn heard(&self) -> Vec<(NoticeKind, String)> {
        let heard = self.heard.lock().unwrap();
        heard.iter().map(|notice| (notice.kind, notice.subject.clone())).collect()
    }
}

struct Audience {
    a: Arc<Listener>,
    b: Arc<Listener>,
}

/// Two listeners under these rules.
fn audience(world: &World, rules: &str) -> (Audience, Notifier) {
    let targets = "targets: {a: {eventbridge: a}, b: {eventbridge: b}}";
    let rules = Notifications::parse("rules", &format!("{{{targets}, rules: [{rules}]}}")).unwrap();
    let audience = Audience { a: Arc::default(), b: Arc::default() };
    let notifier = world.notifier().with_rules(rules);
    let notifier = notifier.with_target("a", audience.a.clone()).with_target("b", audience.b.clone());
    (audience, notifier)
}

#[tokio::test]
async fn each_hears_what_its_rules_say_and_the_alert_topic_of_failures() {
    let world = World::default();
    let rules = "{to: [a], types: [processed], key: 'orders/**'}, {to: [a, b], reject_ratio_over: 0.3}, \
                 {to: [b], types: [failed]}, {to: [alerts], rows_over: 2}";
    let (audience, notifier) = audience(&world, rules);
    let consumer = world.consumer_telling(notifier);
    let records = [
        record("m1", &world.processed("orders/1.csv", "v1").await),
        record("m2", &world.processed("other/2.csv", "v1").await),
        record("m3", &world.failed("orders/3.csv", "v1").await),
    ];
    let response = consumer.handle(batch(&records), &Invocation::default()).await.unwrap();
    assert!(failures(&response).is_empty());
    let mut a = audience.a.heard();
    a.sort_by(|one, other| one.1.cmp(&other.1));
    let processed = |key: &str| (NoticeKind::Processed, format!("Penstock processed {key}"));
    assert_eq!(a, [processed("orders/1.csv"), processed("other/2.csv")], "once each, though two rules match");
    let mut b = audience.b.heard();
    b.sort_by(|one, other| one.1.cmp(&other.1));
    let failed = (NoticeKind::Failed, "Penstock could not process orders/3.csv".to_owned());
    assert_eq!(b, [failed, processed("orders/1.csv"), processed("other/2.csv")]);
    let mut alerts: Vec<_> = world.topic.messages().into_iter().filter_map(|alert| alert.subject).collect();
    alerts.sort();
    assert_eq!(alerts.len(), 3, "failures whatever the rules say, and what they say: {alerts:?}");
}

#[tokio::test]
async fn who_has_been_told_is_not_told_again_because_another_could_not_be() {
    let world = World::default();
    let (audience, notifier) = audience(&world, "{to: [a, b]}");
    *audience.a.refusals.lock().unwrap() = 2;
    let consumer = world.consumer_telling(notifier);
    let event = world.failed("in/a.csv", "v1").await;
    for expected in [false, false, true, true] {
        let batch = batch(&[record("m1", &event)]);
        let done = failures(&consumer.handle(batch, &Invocation::default()).await.unwrap()).is_empty();
        assert_eq!(done, expected);
        assert_eq!((audience.b.heard().len(), world.topic.messages().len()), (1, 1));
    }
    assert_eq!(audience.a.heard().len(), 1);
}

#[tokio::test]
async fn who_can_never_be_told_keeps_no_file_out_of_the_catalogue() {
    let world = World::default();
    let (audience, notifier) = audience(&world, "{to: [a, b]}");
    *audience.a.refusals.lock().unwrap() = u32::MAX;
    audience.a.is_permanent.store(true, Ordering::SeqCst);
    *audience.b.refusals.lock().unwrap() = 1;
    let consumer = world.consumer_telling(notifier);
    let event = world.processed("in/a.csv", "v1").await;
    let deliver = async || {
        let batch = batch(&[record("m1", &event)]);
        failures(&consumer.handle(batch, &Invocation::default()).await.unwrap()).is_empty()
    };
    assert!(!deliver().await, "the other may be told yet");
    assert!(world.entries().is_empty() && world.queues.sent().is_empty());
    assert!(deliver().await && deliver().await);
    let [(_, letter)] = &world.queues.sent()[..] else { panic!("one letter") };
    assert_eq!(letter.attributes[REASON], "notify");
    let [entry] = &world.entries()[..] else { panic!("one entry") };
    assert_eq!((entry.status, &entry.error_code), (CatalogStatus::Processed, &None), "what it is");
    assert_eq!(audience.b.heard().len(), 1);
}

#[tokio::test]
async fn a_target_that_hangs_makes_nobody_forget_who_was_told() {
    let world = World::default();
    let (audience, notifier) = audience(&world, "{to: [a, b]}");
    audience.a.hangs.store(true, Ordering::SeqCst);
    let consumer = world.consumer_telling(notifier);
    let event = world.failed("in/a.csv", "v1").await;
    let deliver = async |deadline| {
        let invocation = Invocation { deadline, ..Invocation::default() };
        failures(&consumer.handle(batch(&[record("m1", &event)]), &invocation).await.unwrap()).is_empty()
    };
    assert!(!deliver(Some(Timestamp::now() + Duration::from_secs(1))).await);
    audience.a.hangs.store(false, Ordering::SeqCst);
    assert!(deliver(None).await, "the claim was given back");
    assert_eq!(
        (audience.a.heard().len(), audience.b.heard().len(), world.topic.messages().len()),
        (1, 1, 1),
        "each was told once"
    );
}

#[tokio::test]
async fn a_file_that_was_damaged_and_mended_is_two_things_to_tell() {
    let world = World::default();
    let (audience, notifier) = audience(&world, "{to: [a]}");
    let consumer = world.consumer_telling(notifier);
    let event = world.processed("in/a.csv", "v1").await;
    world.store.remove(OUT, &clean_key("in/a.csv").unwrap());
    let deliver = || async {
        let batch = batch(&[record("m1", &event)]);
        failures(&consumer.handle(batch, &Invocation::default()).await.unwrap()).is_empty()
    };
    assert!(!deliver().await && !deliver().await);
    world.processed("in/a.csv", "v1").await;
    assert!(deliver().await);
    let kinds: Vec<NoticeKind> = audience.a.heard().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [NoticeKind::Mismatch, NoticeKind::Processed]);
    assert_eq!(world.entries()[0].status, CatalogStatus::Processed);
}

#[tokio::test]
async fn what_is_superseded_is_told_to_nobody() {
    let world = World::default();
    let (audience, notifier) = audience(&world, "{to: [a, alerts]}");
    let consumer = world.consumer_telling(notifier);
    let earlier = world.processed("in/a.csv", "v1").await;
    world.processed("in/a.csv", "v2").await;
    consumer.handle(batch(&[record("m1", &earlier)]), &Invocation::default()).await.unwrap();
    assert!(audience.a.heard().is_empty() && world.topic.messages().is_empty());
    assert_eq!(world.entries()[0].status, CatalogStatus::Superseded);
}

fn builder() -> Builder {
    let sdk = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::from_static("us-east-1"))
        .build();
    Builder::new(&sdk, &crate::world::config())
}

/// What the function says when it is to follow what `place` names.
async fn refusal(world: &World, place: &str) -> LoadError {
    let store: Arc<dyn Store> = world.store.clone();
    Live::load(Some(place), store, builder()).await.err().unwrap()
}

#[tokio::test]
async fn rules_that_can_not_be_followed_keep_the_function_from_starting() {
    let world = World::default();
    let object = ObjectRef::new("config", "notifications.yml");
    assert!(matches!(refusal(&world, "s3://config").await, LoadError::Place));
    assert!(matches!(refusal(&world, "/nowhere/notifications.yml").await, LoadError::File { .. }));
    assert!(matches!(refusal(&world, "s3://config/notifications.yml").await, LoadError::Store(_)));
    world.write(&object, b"rules: [{to: [nobody]}]".to_vec(), BTreeMap::new()).await;
    let said = refusal(&world, "s3://config/notifications.yml").await.to_string();
    assert!(said.starts_with("s3://config/notifications.yml:1:15: there is no target `nobody`"), "{said}");
    world.write(&object, vec![b' '; 300_000], BTreeMap::new()).await;
    assert!(matches!(refusal(&world, "s3://config/notifications.yml").await, LoadError::NotText { .. }));
    world.write(&object, b"\xff".to_vec(), BTreeMap::new()).await;
    assert!(matches!(refusal(&world, "s3://config/notifications.yml").await, LoadError::NotText { .. }));
    world.write(&object, b"rules: []".to_vec(), BTreeMap::new()).await;
    let store: Arc<dyn Store> = world.store.clone();
    assert!(Live::load(Some("s3://config/notifications.yml"), store, builder()).await.is_ok());
}
