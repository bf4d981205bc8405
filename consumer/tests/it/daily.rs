//! The digest.

use std::collections::BTreeMap;

use common::contract::ObjectRef;
use consumer::Invocation;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::world::{OUT, World};

const ASKED: &str = r#"{"penstock": "digest", "day": "2026-11-23"}"#;

async fn ask(world: &World, request: &str) -> Result<Value, String> {
    let request = serde_json::from_str(request).unwrap();
    let answer = world.consumer().invoke(request, &Invocation::default()).await;
    answer.map_err(|error| error.to_string())
}

/// Twelve files of one day, of which one failed, in the catalogue.
async fn world() -> World {
    let world = World::default();
    for number in 0..11 {
        assert!(world.deliver(&world.processed(&format!("in/{number}.csv"), "v1").await).await);
    }
    assert!(world.deliver(&world.failed("in/bad.csv", "v1").await).await);
    world
}

#[tokio::test]
async fn a_days_files_are_summed_up_once() {
    let world = world().await;
    assert_eq!(ask(&world, ASKED).await.unwrap(), json!({ "digest": "now" }));
    let digests = || {
        let messages = world.topic.messages().into_iter();
        messages.filter(|message| message.attributes["type"] == "penstock.digest").collect::<Vec<_>>()
    };
    let [digest] = &digests()[..] else { panic!("one digest") };
    assert_eq!(digest.subject.as_deref(), Some("Penstock on 2026-11-23: 12 files, 1 failed"));
    assert!(digest.body.contains("33 in, 22 out, 11 rejected (33.33 %)"), "{}", digest.body);
    assert!(
        digest.body.contains("11 field_count") && digest.body.contains("corrupt_gzip"),
        "{}",
        digest.body
    );
    assert_eq!(ask(&world, ASKED).await.unwrap(), json!({ "digest": "before" }));
    assert_eq!(digests().len(), 1, "the schedule may fire twice");
}

#[tokio::test]
async fn while_another_is_at_it_a_digest_is_not_taken_for_sent() {
    let world = world().await;
    let held =
        json!({ "event_id": "digest-2026-11-23", "owner": "another", "expires_at": "2099-01-01T00:00:00Z" });
    let object = ObjectRef::new(OUT, "claims/digest-2026-11-23.json");
    world.write(&object, held.to_string().into_bytes(), BTreeMap::new()).await;
    assert_eq!(ask(&world, ASKED).await.unwrap_err(), "send the digest", "Lambda tries again");
    world.expire_claims().await;
    assert_eq!(ask(&world, ASKED).await.unwrap(), json!({ "digest": "now" }), "the other died");
}

#[tokio::test]
async fn a_digest_that_could_not_be_sent_is_sent_by_the_retry() {
    let world = world().await;
    world.topic.refuse(1);
    assert_eq!(ask(&world, ASKED).await.unwrap_err(), "send the digest");
    assert_eq!(ask(&world, ASKED).await.unwrap(), json!({ "digest": "now" }));
}

#[tokio::test]
async fn yesterday_is_what_is_asked_for_where_nothing_else_is() {
    let world = world().await;
    let yesterday = || Timestamp::now().to_zoned_datetime(TimeZone::UTC).date().yesterday().unwrap();
    let before = yesterday();
    ask(&world, r#"{"penstock": "digest"}"#).await.unwrap();
    let last = world.topic.messages().pop().unwrap();
    // Midnight may pass meanwhile.
    let is_of = |day| last.subject.as_ref().unwrap().starts_with(&format!("Penstock on {day}:"));
    assert!(is_of(before) || is_of(yesterday()), "{:?}", last.subject);
}

#[tokio::test]
async fn an_entry_that_can_not_be_read_is_not_left_out_in_silence() {
    let world = world().await;
    let key = world.store.keys("out-bucket", "catalog/").remove(0);
    let object = common::contract::ObjectRef::new("out-bucket", key);
    world.write(&object, b"{".to_vec(), BTreeMap::new()).await;
    assert_eq!(ask(&world, ASKED).await.unwrap_err(), "send the digest");
    assert_eq!(world.topic.messages().len(), 1, "only the failure's alert");
}

#[tokio::test]
async fn what_is_no_event_is_refused() {
    for payload in ["{}", "[]", "\"x\"", r#"{"penstock": "other"}"#] {
        let said = ask(&World::default(), payload).await;
        assert!(
            said.as_ref().is_err_and(|said| said.starts_with("not an event for this function")),
            "{payload}: {said:?}"
        );
    }
}
