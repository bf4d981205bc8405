//! Exactly one effect: repeats, races, crashes and faults after and before each step.

use std::sync::Arc;

use common::contract::{CatalogStatus, FileEvent, clean_key};
use consumer::Invocation;
use consumer::dead_letter::REASON;
use futures::future::join_all;
use jiff::{Timestamp, ToSpan as _};
use proptest::prelude::*;

use crate::chaos::{Blow, Chaos};
use crate::set_aside::impossible;
use crate::world::{DLQ, OUT, World, batch, consumer, failures, record};

#[tokio::test]
async fn a_repeat_has_no_effect() {
    let world = World::default();
    let (good, bad) = (world.processed("in/a.csv", "v1").await, world.failed("in/b.csv", "v1").await);
    for _ in 0..3 {
        assert!(world.deliver(&good).await && world.deliver(&bad).await);
        assert_eq!((world.entries().len(), world.topic.messages().len()), (2, 1));
    }
    // Nor when the claims have long been removed.
    world.store.keys("out-bucket", "claims/").iter().for_each(|key| world.store.remove("out-bucket", key));
    assert!(world.deliver(&bad).await);
    assert_eq!((world.entries().len(), world.topic.messages().len()), (2, 1));
}

#[tokio::test]
async fn a_repeat_is_counted() {
    let world = World::default();
    let event = world.processed("in/a.csv", "v1").await;
    let (lines, seen) = std::sync::mpsc::sync_channel(8);
    let consumer = world.consumer().emitting(move |line| lines.send(line.to_owned()).unwrap());
    let batch = || batch(&[record("m1", &event)]);
    consumer.handle(batch(), &Invocation::default()).await.unwrap();
    assert!(seen.try_recv().is_err());
    consumer.handle(batch(), &Invocation::default()).await.unwrap();
    let line: serde_json::Value = serde_json::from_str(&seen.recv().unwrap()).unwrap();
    assert_eq!((&line["Duplicates"], &line["key"]), (&1.into(), &"in/a.csv".into()));
}

#[tokio::test]
async fn of_two_at_once_one_claims_and_the_other_comes_back() {
    let world = World::default();
    let event = world.failed("in/a.csv", "v1").await;
    // Both look at the catalogue before either claims.
    let copies = [Chaos::new(&world, &[1; 8]), Chaos::new(&world, &[1; 8])];
    let answers = join_all(copies.iter().map(|copy| copy.deliver(&event))).await;
    assert_eq!(answers.iter().filter(|done| **done == Some(true)).count(), 1, "{answers:?}");
    assert_eq!((world.entries().len(), world.topic.messages().len()), (1, 1));
    assert!(world.deliver(&event).await, "the other, when it comes back, finds it done");
    assert_eq!((world.entries().len(), world.topic.messages().len()), (1, 1));
}

#[tokio::test]
async fn twice_in_one_batch_is_no_different() {
    let world = World::default();
    let event = world.failed("in/a.csv", "v1").await;
    let chaos = Chaos::new(&world, &[1; 16]);
    let consumer = consumer(chaos.clone(), world.queues.clone(), chaos.notifier());
    // The very same message, twice.
    let records = [record("m1", &event), record("m1", &event)];
    let response = consumer.handle(batch(&records), &Invocation::default()).await.unwrap();
    assert_eq!(failures(&response), ["m1"]);
    assert_eq!((world.entries().len(), world.topic.messages().len()), (1, 1));
}

#[tokio::test]
async fn a_claim_is_respected_until_it_expires() {
    let world = World::default();
    let event = world.failed("in/a.csv", "v1").await;
    world.claim(&event, Timestamp::now() + 1.minute()).await;
    assert!(!world.deliver(&event).await);
    assert!(world.entries().is_empty() && world.topic.messages().is_empty());
    world.claim(&event, Timestamp::now() - 1.second()).await;
    assert!(world.deliver(&event).await);
    assert_eq!((world.entries().len(), world.topic.messages().len()), (1, 1));
}

#[tokio::test]
async fn an_alert_refused_is_tried_again_and_one_sent_is_not() {
    let world = World::default();
    let event = world.failed("in/a.csv", "v1").await;
    world.topic.refuse(2);
    assert!(!world.deliver(&event).await && !world.deliver(&event).await);
    assert!(world.entries().is_empty(), "nobody has been told yet");
    // The entry's write fails when the alert is out. The way there: the entry is looked for, the claim refused, read,
    // and taken over, the entry looked for again, the receipt read, the alert sent.
    let chaos = Chaos::new(&world, &[]);
    chaos.plan(7, Blow::FailBefore);
    assert_eq!(chaos.deliver(&event).await, Some(false));
    assert_eq!((world.entries().len(), world.topic.messages().len()), (0, 1));
    assert!(world.deliver(&event).await);
    assert_eq!((world.entries().len(), world.topic.messages().len()), (1, 1), "not told twice");
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Processed,
    Failed,
    /// An event that can never have been right.
    Impossible,
    /// A file that is not what its receipt says, at the last receive but one.
    Mismatch,
}

const KINDS: [Kind; 4] = [Kind::Processed, Kind::Failed, Kind::Impossible, Kind::Mismatch];

impl Kind {
    async fn event(self, world: &World) -> FileEvent {
        match self {
            Self::Failed => world.failed("k", "v1").await,
            Self::Processed => world.processed("k", "v1").await,
            Self::Impossible => impossible(world, "k").await,
            Self::Mismatch => {
                let event = world.processed("k", "v1").await;
                world.store.remove(OUT, &clean_key("k").unwrap());
                event
            }
        }
    }

    /// How often its message has been received.
    fn receives(self) -> u32 {
        if self == Self::Mismatch { 4 } else { 1 }
    }
}

/// Every step of a message's way: fails, loses its answer, dies before, dies after.
#[tokio::test]
async fn a_fault_or_crash_at_any_step_leaves_one_effect() {
    for kind in KINDS {
        for blow in [Blow::FailBefore, Blow::FailAfter, Blow::CrashBefore, Blow::CrashAfter] {
            for step in 0.. {
                let world = World::default();
                let event = kind.event(&world).await;
                let chaos = Chaos::new(&world, &[]);
                chaos.plan(step, blow);
                let first = chaos.deliver_received(&event, kind.receives()).await;
                if chaos.steps() <= step {
                    assert!(first == Some(true) && step >= 4, "beyond the last step");
                    break;
                }
                let came_back = Chaos::new(&world, &[]);
                if first.is_none() {
                    world.expire_claims().await;
                }
                let done = came_back.deliver_received(&event, kind.receives()).await;
                assert_eq!(done, Some(true), "{kind:?} step {step} {blow:?}");
                let claims = chaos.claims() + came_back.claims();
                check(&world, kind, &event, claims, &format!("{kind:?} step {step} {blow:?}"));
            }
        }
    }
}

/// One entry, and of each kind of notice neither none nor more than claims, all with the event's id.
fn check(world: &World, kind: Kind, event: &FileEvent, claims: usize, what: &str) {
    let entries = world.entries();
    let entries: Vec<_> = entries.iter().filter(|entry| entry.event_id == event.id).collect();
    let [entry] = &entries[..] else { panic!("{} entries: {what}", entries.len()) };
    let (status, code) = match kind {
        Kind::Processed => (CatalogStatus::Processed, None),
        Kind::Failed => (CatalogStatus::Failed, Some("corrupt_gzip")),
        Kind::Impossible => (CatalogStatus::Failed, Some("contradiction")),
        Kind::Mismatch => (CatalogStatus::Failed, Some("mismatch")),
    };
    assert_eq!((entry.status, entry.error_code.as_deref()), (status, code), "{what}");
    let told = |wanted: bool, count: usize, whom: &str| {
        let expected = if wanted { 1..=claims } else { 0..=0 };
        assert!(expected.contains(&count), "{count} times {whom} for {claims} claims: {what}");
    };
    let alerts = world.topic.messages();
    assert!(alerts.iter().all(|alert| alert.attributes["event_id"] == event.id), "{what}");
    told(matches!(kind, Kind::Failed | Kind::Mismatch), alerts.len(), "the topic");
    let heard = world.heard.lock().unwrap();
    assert!(heard.iter().all(|notice| notice.event_id.as_ref() == Some(&event.id)), "{what}");
    told(kind != Kind::Impossible, heard.len(), "the other target");
    let letters = world.queues.sent();
    assert!(letters.iter().all(|(url, letter)| url == DLQ && Some(&*letter.attributes[REASON]) == code));
    told(matches!(kind, Kind::Impossible | Kind::Mismatch), letters.len(), "the dead-letter queue");
}

/// A copy of a message: whether it is one of an earlier version of the file, how often it lets the others go first, and
/// what hits it where.
type Copy = (bool, Vec<u8>, Vec<(usize, Blow)>);
/// Copies that arrive together.
type Arrival = Vec<Copy>;

fn arrivals() -> impl Strategy<Value = Vec<Arrival>> {
    let blow = prop_oneof![
        Just(Blow::FailBefore),
        Just(Blow::FailAfter),
        Just(Blow::CrashBefore),
        Just(Blow::CrashAfter)
    ];
    let yields = prop::collection::vec(0..3u8, 0..12);
    let copy = (any::<bool>(), yields, prop::collection::vec((0..12usize, blow), 0..4));
    prop::collection::vec(prop::collection::vec(copy, 1..4), 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_interleaving_of_copies_faults_and_crashes_leaves_one_effect(
        arrivals in arrivals(),
        kind in prop::sample::select(&KINDS[..]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let world = World::default();
            let earlier = world.failed("k", "v0").await;
            let event = kind.event(&world).await;
            let mut claims = 0;
            for arrival in arrivals {
                let copies = arrival.iter().map(|(is_earlier, yields, blows)| {
                    let chaos = Chaos::new(&world, yields);
                    for (step, blow) in blows {
                        chaos.plan(*step, *blow);
                    }
                    (if *is_earlier { &earlier } else { &event }, chaos)
                });
                let copies: Vec<(&FileEvent, Arc<Chaos>)> = copies.collect();
                join_all(copies.iter().map(|(event, copy)| copy.deliver_received(event, kind.receives()))).await;
                let ours = copies.iter().filter(|(of, _)| of.id == event.id);
                claims += ours.map(|(_, copy)| copy.claims()).sum::<usize>();
                world.expire_claims().await;
            }
            let last = Chaos::new(&world, &[]);
            assert_eq!(last.deliver_received(&event, kind.receives()).await, Some(true));
            assert!(world.deliver(&earlier).await);
            check(&world, kind, &event, claims + last.claims(), "");
            let entries = world.entries();
            assert_eq!(entries.len(), 2, "one for each event");
            let earlier = entries.iter().find(|entry| entry.event_id == earlier.id).unwrap();
            assert_eq!(earlier.status, CatalogStatus::Superseded);
        });
    }
}
