//! The real binary: started cold, invoked, told to end, killed.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use common::contract::{FileEvent, Status};
use common::store::{Fault, Operation};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::runtime_api::{Extensions, Function, RuntimeApi, Said, until};
use crate::world::{CLEAN, CSV, KEY, OUT, World, large};

/// Longer than any test waits: what is late this much never comes.
const NEVER: Duration = Duration::from_hours(1);

fn processed() -> Said {
    Said::Response(json!({ "processed": 1, "failed": 0, "republished": 0, "superseded": 0, "ignored": 0 }))
}

#[tokio::test]
async fn a_cold_start_processes_a_file_whatever_becomes_of_its_extension() {
    for extensions in [Extensions::Answering, Extensions::Missing, Extensions::Silent] {
        let world = World::new().await;
        let api = RuntimeApi::start(extensions).await;
        let event = world.upload(KEY, CSV, "01").await;
        let function = api.function(&world.endpoint());
        api.invoke(&event);
        assert_eq!(api.said().await, processed(), "{extensions:?}");

        assert_eq!(world.read("clean/in/orders.csv").unwrap(), CLEAN);
        let receipt = world.receipt(KEY).unwrap();
        assert_eq!((receipt.status, receipt.counts.rows_in), (Status::Processed, 3));
        let [message] = &api.published()[..] else { panic!("{extensions:?}") };
        assert_eq!(FileEvent::parse(message).unwrap().id, receipt.event_id);
        world.assert_whole(KEY).await;
        let asked = api.asked();
        assert_eq!(asked[0], "/2020-01-01/extension/register", "before the first event, as Lambda demands");
        let waits = asked.iter().any(|path| path == "/2020-01-01/extension/event/next");
        assert_eq!(waits, extensions == Extensions::Answering);

        // It goes on with the next event; told to end while it waits, it does.
        api.invoke(&event);
        let Said::Response(again) = api.said().await else { panic!("{extensions:?}") };
        assert_eq!(again["republished"], 1);
        function.signal(Signal::TERM);
        assert_eq!(function.ended().await.code(), Some(0), "{extensions:?}");
    }
}

/// A function that has begun to write a file of three parts, the first of which never arrives.
async fn midway(world: &World, api: &RuntimeApi) -> (Function, Value, Vec<u8>) {
    let csv = large(11 * 1024 * 1024);
    let event = world.upload(KEY, &csv, "01").await;
    world.s3.plan(Operation::UploadPart, Fault::Late(NEVER));
    let function = api.function(&world.endpoint());
    api.invoke(&event);
    until("a part is under way", || world.s3.pending() == 0).await;
    assert_eq!(world.memory.open_uploads(), 1);
    (function, event, csv)
}

/// Nothing came of the invocation, and nothing but an error was said: if not that, Lambda sees the process end.
fn assert_nothing_visible(world: &World, api: &RuntimeApi) {
    for said in api.take_said() {
        let Said::Error(error) = said else { panic!("{said:?}") };
        assert_eq!(error["errorType"], "Penstock.Terminated");
    }
    assert!(world.memory.keys(OUT, "").is_empty());
    assert!(api.published().is_empty());
}

/// Lambda's retry: in a new process, the same event.
async fn retry(world: &World, api: &RuntimeApi, event: &Value, csv: &[u8]) {
    let function = api.function(&world.endpoint());
    api.invoke(event);
    assert_eq!(api.said().await, processed());
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), csv);
    let receipt = world.receipt(KEY).unwrap();
    assert_eq!((receipt.status, receipt.outputs[0].size), (Status::Processed, csv.len() as u64));
    assert_eq!(api.published().len(), 1);
    function.signal(Signal::TERM);
    assert_eq!(function.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_process_told_to_end_leaves_nothing_open_and_the_retry_succeeds() {
    let world = World::new().await;
    let api = RuntimeApi::start(Extensions::Answering).await;
    let (function, event, csv) = midway(&world, &api).await;
    function.signal(Signal::TERM);
    assert_eq!(function.ended().await.code(), Some(0));
    assert_eq!(world.memory.open_uploads(), 0);
    assert_nothing_visible(&world, &api);

    retry(&world, &api, &event, &csv).await;
    world.assert_whole(KEY).await;
}

#[tokio::test]
async fn a_process_told_to_end_does_not_wait_for_an_abort_that_never_answers() {
    let world = World::new().await;
    let api = RuntimeApi::start(Extensions::Missing).await;
    world.s3.always(Operation::AbortUpload, Fault::Late(NEVER));
    let csv = large(11 * 1024 * 1024);
    let event = world.upload(KEY, &csv, "01").await;
    world.s3.plan(Operation::UploadPart, Fault::Late(NEVER));
    let function = api.function(&world.endpoint());
    api.invoke(&event);
    until("a part is under way", || world.s3.pending() == 0).await;
    function.signal(Signal::TERM);
    assert_eq!(function.ended().await.code(), Some(0));
    assert_eq!(world.memory.open_uploads(), 1, "left to the lifecycle rule");
    assert_nothing_visible(&world, &api);
}

#[tokio::test]
async fn a_killed_process_is_made_up_for_by_the_retry() {
    let world = World::new().await;
    let api = RuntimeApi::start(Extensions::Answering).await;
    let (function, event, csv) = midway(&world, &api).await;
    function.signal(Signal::KILL);
    assert_eq!(function.ended().await.signal(), Some(9));
    assert_nothing_visible(&world, &api);

    retry(&world, &api, &event, &csv).await;
    assert!(world.memory.open_uploads() <= 1, "of the killed one, for the lifecycle rule");
    world.assert_receipt_is_exact(KEY).await;
}
