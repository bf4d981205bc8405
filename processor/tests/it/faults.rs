//! Everything fails: a fault at each step, then the retry that Lambda makes.

use common::store::{ErrorKind, Fault, Operation};

use crate::world::{CLEAN, CSV, KEY, World, large};

const WRITES: [Operation; 4] =
    [Operation::Put, Operation::CreateUpload, Operation::UploadPart, Operation::CompleteUpload];

/// Handles the event as Lambda does: up to three times.
async fn with_retries(world: &World, event: &serde_json::Value) {
    for _ in 0..3 {
        if world.handle(event).await.is_ok() {
            return;
        }
        assert!(world.receipt(KEY).is_none_or(|receipt| receipt.outputs.len() == 1));
    }
    panic!("not done after three tries");
}

#[tokio::test]
async fn any_fault_at_any_step_is_healed_by_the_retry() {
    let small = CSV.to_vec();
    let large = large(11 * 1024 * 1024);
    for (csv, clean) in [(&small, CLEAN.to_vec()), (&large, large.clone())] {
        for operation in [Operation::Head, Operation::Get].into_iter().chain(WRITES) {
            for fault in [
                Fault::Before(ErrorKind::Transient),
                Fault::After(ErrorKind::Transient),
                Fault::Before(ErrorKind::Forbidden),
            ] {
                if (operation, fault) == (Operation::CreateUpload, Fault::After(ErrorKind::Transient)) {
                    // Nobody knows the id of an upload whose answer was lost: the lifecycle rule ends it.
                    continue;
                }
                for skip in 0..3 {
                    let world = World::new().await;
                    let event = world.upload(KEY, csv, "01").await;
                    world.s3.plan_after(operation, skip, fault);
                    with_retries(&world, &event).await;
                    let case = format!("{operation:?} {fault:?} at call {skip}");
                    assert_eq!(world.read("clean/in/orders.csv").unwrap(), clean, "{case}");
                    assert!(!world.events().is_empty(), "{case}");
                    world.assert_whole(KEY).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_torn_anywhere_gives_the_same_file() {
    let world = World::new().await;
    for at in 0..CSV.len() as u64 {
        let sequencer = format!("{:04}", at + 1);
        let event = world.upload(KEY, CSV, &sequencer).await;
        world.s3.plan_after(Operation::Get, u32::from(at > 0), Fault::TornAt(at));
        world.memory.remove(crate::world::OUT, &format!("receipts/{KEY}.json"));
        with_retries(&world, &event).await;
        assert_eq!(world.read("clean/in/orders.csv").unwrap(), CLEAN);
        world.assert_whole(KEY).await;
    }
}

#[tokio::test]
async fn a_message_that_was_not_taken_is_published_by_the_retry() {
    let world = World::new().await;
    let event = world.upload(KEY, CSV, "01").await;
    world.topic.refuse(1);
    assert!(world.handle(&event).await.is_err());
    assert!(world.receipt(KEY).is_some());
    assert!(world.events().is_empty());
    assert_eq!(world.handle(&event).await.unwrap().republished, 1);
    assert_eq!(world.events().len(), 1);
}

#[tokio::test]
async fn an_abort_that_fails_hides_nothing() {
    let world = World::new().await;
    let event = world.upload(KEY, &large(11 * 1024 * 1024), "01").await;
    world.s3.plan(Operation::UploadPart, Fault::Before(ErrorKind::Forbidden));
    world.s3.always(Operation::AbortUpload, Fault::Before(ErrorKind::Transient));
    let error = common::telemetry::chain(&world.handle(&event).await.unwrap_err());
    assert!(error.contains("put part 1 of s3://out-bucket/clean/in/orders.csv"), "{error}");
    assert!(world.receipt(KEY).is_none());
    assert_eq!(world.memory.open_uploads(), 1, "left to the lifecycle rule");
}

#[tokio::test]
async fn an_invocation_dropped_at_any_await_is_healed_by_the_retry() {
    use std::future::Future as _;
    let csv = large(6 * 1024 * 1024);
    for polls in (0..200).step_by(7) {
        let world = World::new().await;
        let event = world.upload(KEY, &csv, "01").await;
        {
            let mut handling = Box::pin(world.handle(&event));
            let mut left = polls;
            std::future::poll_fn(|cx| {
                let polled = handling.as_mut().poll(cx).map(|_| ());
                left -= 1;
                if left < 0 { std::task::Poll::Ready(()) } else { polled }
            })
            .await;
        }
        // Whatever the dropped one left running ends first, as it does before Lambda's retry a minute later.
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        with_retries(&world, &event).await;
        assert_eq!(world.read("clean/in/orders.csv").unwrap(), csv);
        world.assert_whole(KEY).await;
    }
}
