//! Too little of Lambda's time, and an end of the process, with time paused; and once through S3's protocol.

use std::time::Duration;

use common::contract::{Receipt, Status};
use common::store::{ErrorKind, Fault, Operation};
use common::telemetry::chain;
use processor::file::FileError;
use processor::give_up::Reason;
use processor::handler::{Answer, HandlerError};
use serde_json::Value;

use crate::world::{CLEAN, CSV, KEY, OUT, World, gzip, large};

const LAMBDA_MS: u64 = 900_000;
const HOUR: Duration = Duration::from_hours(1);

/// A file of three parts.
fn csv() -> Vec<u8> {
    large(11 * 1024 * 1024)
}

/// A CSV of about this many bytes that gzip makes a quarter smaller.
fn noise(bytes: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(1);
    let rows = bytes / 64;
    let mut row = || (0..63).map(|_| random.alphanumeric()).chain(['\n']).collect::<String>();
    (0..rows).map(|_| row()).collect::<String>().into_bytes()
}

fn failed() -> Answer {
    Answer { failed: 1, ..Answer::default() }
}

/// Nothing is open, nothing is visible but a receipt that says why, and a message that says the same.
async fn assert_out_of_time(world: &World, size: u64) -> Receipt {
    let receipt = world.receipt(KEY).unwrap();
    let error = receipt.error.as_ref().unwrap();
    assert_eq!((receipt.status, error.code.as_str()), (Status::Failed, "out_of_time"));
    let read = error.byte_offset.unwrap();
    assert!(0 < read && read <= size, "{read} of {size}");
    assert!(receipt.outputs.is_empty());
    assert!(world.memory.keys(OUT, "clean/").is_empty());
    let event = world.events().pop().unwrap();
    assert_eq!((event.event_type.as_str(), &event.id), ("penstock.file.failed", &receipt.event_id));
    assert_eq!(event.data.receipt.error.as_ref(), Some(error));
    world.assert_whole(KEY).await;
    receipt
}

fn reason(error: &HandlerError) -> Option<Reason> {
    match error {
        HandlerError::GivenUp(reason) | HandlerError::File(FileError::GivenUp(reason)) => Some(*reason),
        _ => None,
    }
}

#[tokio::test]
async fn a_file_out_of_time_is_given_up_with_nothing_left_open() {
    let world = World::new().await;
    let csv = csv();
    let event = world.upload(KEY, &csv, "01").await;
    world.s3.plan_after(Operation::UploadPart, 1, Fault::Late(Duration::from_mins(10)));
    assert_eq!(world.handle_within(&event, 5000).await.unwrap(), failed());
    let receipt = assert_out_of_time(&world, csv.len() as u64).await;
    assert!(receipt.error.unwrap().message.contains(" s were not enough: "));

    // As soon as there is more time, the same file succeeds, and its failure is history.
    assert_eq!(world.handle(&event).await.unwrap().processed, 1);
    assert_eq!(world.receipt(KEY).unwrap().status, Status::Processed);
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), csv);
    world.assert_whole(KEY).await;
}

#[tokio::test(start_paused = true)]
async fn the_receipt_says_how_far_it_came_and_what_to_do() {
    let world = World::direct();
    let csv = csv();
    let event = world.upload(KEY, &csv, "01").await;
    world.s3.plan_after(Operation::UploadPart, 1, Fault::Late(HOUR));
    assert_eq!(world.handle_within(&event, LAMBDA_MS).await.unwrap(), failed());
    let error = assert_out_of_time(&world, csv.len() as u64).await.error.unwrap();
    let read = error.byte_offset.unwrap() as f64;
    let expected = format!(
        "14 min 55 s were not enough: {:.1} of 11.0 MiB of the input were read, {:.1} kB/s: give the function a \
         longer time-out or more memory, or split the file",
        read / f64::from(1 << 20),
        read / 1e3 / 895.0
    );
    assert_eq!(error.message, expected);
}

#[tokio::test(start_paused = true)]
async fn out_of_time_told_again_is_the_same_until_more_is_known() {
    let world = World::direct();
    let whole = gzip(&noise(16 * 1024 * 1024));
    let cut = &whole[..whole.len() - 9];
    let event = world.upload(KEY, cut, "01").await;
    world.s3.plan(Operation::UploadPart, Fault::Late(HOUR));
    assert_eq!(world.handle_within(&event, LAMBDA_MS).await.unwrap(), failed());
    let told = assert_out_of_time(&world, cut.len() as u64).await;
    world.s3.plan(Operation::UploadPart, Fault::Late(HOUR));
    assert_eq!(world.handle_within(&event, LAMBDA_MS).await.unwrap().republished, 1);
    assert_eq!(assert_out_of_time(&world, cut.len() as u64).await, told);
    assert_eq!(world.s3.pending(), 0);

    assert_eq!(world.handle_within(&event, LAMBDA_MS).await.unwrap(), failed());
    let receipt = world.receipt(KEY).unwrap();
    assert_eq!((&receipt.event_id, receipt.timing), (&told.event_id, told.timing), "an event has one time");
    assert_eq!(receipt.error.unwrap().code, "truncated_gzip");
    assert_eq!(world.events().last().unwrap().data.receipt.error.as_ref().unwrap().code, "truncated_gzip");
    // What is wrong with the file is never forgotten for want of time.
    world.s3.plan(Operation::UploadPart, Fault::Late(HOUR));
    assert_eq!(world.handle_within(&event, LAMBDA_MS).await.unwrap().republished, 1);
    assert_eq!(world.receipt(KEY).unwrap().error.unwrap().code, "truncated_gzip");
    world.assert_whole(KEY).await;
}

#[tokio::test(start_paused = true)]
async fn an_abort_without_an_answer_does_not_keep_the_receipt_from_being_written() {
    let world = World::direct();
    let event = world.upload(KEY, &csv(), "01").await;
    world.s3.plan(Operation::UploadPart, Fault::Late(HOUR));
    world.s3.plan(Operation::AbortUpload, Fault::Late(HOUR));
    assert_eq!(world.handle_within(&event, LAMBDA_MS).await.unwrap(), failed());
    assert_eq!(world.receipt(KEY).unwrap().error.unwrap().code, "out_of_time");
    assert_eq!(world.memory.open_uploads(), 1, "left to the lifecycle rule");
}

/// Whatever does not answer, Lambda gets an answer in time, and the retry mends it.
#[tokio::test(start_paused = true)]
async fn a_store_that_says_nothing_is_not_the_files_fault() {
    for (case, operation, skip) in [
        ("the source", Operation::Head, 0),
        ("the clean file", Operation::Head, 1),
        ("the receipt", Operation::Get, 0),
        ("the body", Operation::Get, 1),
        ("the upload's completion", Operation::CompleteUpload, 0),
        ("the receipt's writing", Operation::Put, 0),
    ] {
        let world = World::direct();
        let csv = csv();
        let event = world.upload(KEY, &csv, "01").await;
        world.s3.plan_after(operation, skip, Fault::Late(HOUR));
        if case == "the body" {
            // It is asked for anew every 20 s.
            (0..60).for_each(|_| world.s3.plan(operation, Fault::Late(HOUR)));
        }
        let before = tokio::time::Instant::now();
        let error = world.handle_within(&event, LAMBDA_MS).await.unwrap_err();
        assert!(before.elapsed() < Duration::from_millis(LAMBDA_MS), "{case}");
        match case {
            // Tried until the reader had enough of it, which is before the time is up.
            "the body" => assert!(chain(&error).contains("get bytes=0-"), "{}", chain(&error)),
            _ => assert_eq!(reason(&error), Some(Reason::OutOfTime), "{case}: {error}"),
        }
        assert!(world.receipt(KEY).is_none(), "{case}");
        assert!(world.events().is_empty(), "{case}");
        world.assert_whole(KEY).await;

        while world.s3.pending() > 0 {
            world.handle_within(&event, LAMBDA_MS).await.unwrap_err();
        }
        assert_eq!(world.handle_within(&event, LAMBDA_MS).await.unwrap().processed, 1, "{case}");
        assert_eq!(world.read("clean/in/orders.csv").unwrap(), csv, "{case}");
        world.assert_whole(KEY).await;
    }
}

/// One event of two records.
async fn two(world: &World, first: &[u8], second: &[u8]) -> Value {
    let mut event = world.upload("first.csv", first, "01").await;
    let record = world.upload(KEY, second, "01").await["Records"][0].clone();
    event["Records"].as_array_mut().unwrap().push(record);
    event
}

#[tokio::test(start_paused = true)]
async fn a_file_that_had_only_what_others_left_gets_the_whole_time_by_the_retry() {
    let world = World::direct();
    let csv = csv();
    let event = two(&world, &csv, &csv).await;
    world.s3.plan(Operation::UploadPart, Fault::Late(Duration::from_mins(10)));
    // The first has two parts more.
    world.s3.plan_after(Operation::UploadPart, 2, Fault::Late(Duration::from_mins(10)));
    let error = world.handle_within(&event, LAMBDA_MS).await.unwrap_err();
    assert_eq!(reason(&error), Some(Reason::OutOfTime));
    assert_eq!(world.receipt("first.csv").unwrap().status, Status::Processed);
    assert!(world.receipt(KEY).is_none());
    world.assert_whole(KEY).await;

    world.s3.plan(Operation::UploadPart, Fault::Late(Duration::from_mins(10)));
    let answer = world.handle_within(&event, LAMBDA_MS).await.unwrap();
    assert_eq!(answer, Answer { processed: 1, republished: 1, ..Answer::default() });
    assert_eq!(world.receipt(KEY).unwrap().status, Status::Processed);
    world.assert_whole(KEY).await;
}

#[tokio::test(start_paused = true)]
async fn a_file_is_not_begun_without_time() {
    let world = World::direct();
    let csv = csv();
    let event = two(&world, &csv, CSV).await;
    world.s3.plan(Operation::UploadPart, Fault::Late(HOUR));
    let error = world.handle_within(&event, LAMBDA_MS).await.unwrap_err();
    assert_eq!(reason(&error), Some(Reason::OutOfTime));
    assert_eq!(world.receipt("first.csv").unwrap().error.unwrap().code, "out_of_time");
    assert!(world.receipt(KEY).is_none());
    world.assert_whole("first.csv").await;
}

#[tokio::test(start_paused = true)]
async fn a_twin_that_was_quicker_is_told_instead_of_the_failure() {
    let world = World::direct();
    let csv = csv();
    let event = world.upload(KEY, &csv, "01").await;
    world.s3.plan(Operation::UploadPart, Fault::Late(HOUR));
    let (slow, quick) = tokio::join!(world.handle_within(&event, LAMBDA_MS), async {
        tokio::time::sleep(Duration::from_mins(1)).await;
        world.handle_within(&event, LAMBDA_MS).await
    });
    assert_eq!(quick.unwrap().processed, 1);
    assert_eq!(slow.unwrap().republished, 1);
    assert_eq!(world.receipt(KEY).unwrap().status, Status::Processed);
    let [first, second] = &world.events()[..] else { panic!() };
    assert_eq!(first, second);
    world.assert_whole(KEY).await;
}

#[tokio::test(start_paused = true)]
async fn an_output_that_lacks_only_its_receipt_is_not_denied() {
    let world = World::direct();
    let csv = csv();
    let event = world.upload(KEY, &csv, "01").await;
    world.s3.plan(Operation::Put, Fault::Before(ErrorKind::Transient));
    world.handle_within(&event, LAMBDA_MS).await.unwrap_err();
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), csv);
    world.s3.plan(Operation::UploadPart, Fault::Late(HOUR));
    let error = world.handle_within(&event, LAMBDA_MS).await.unwrap_err();
    assert_eq!(reason(&error), Some(Reason::OutOfTime));
    assert!(world.receipt(KEY).is_none());
    assert_eq!(world.handle_within(&event, LAMBDA_MS).await.unwrap().processed, 1);
    world.assert_whole(KEY).await;
}

#[tokio::test(start_paused = true)]
async fn a_process_that_is_to_end_gives_up_what_is_under_way_and_begins_nothing() {
    for operation in [Operation::UploadPart, Operation::CompleteUpload] {
        let world = World::direct();
        let event = two(&world, &csv(), CSV).await;
        world.s3.plan(operation, Fault::Late(HOUR));
        let (handled, ()) = tokio::join!(world.handle_within(&event, LAMBDA_MS), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(world.memory.open_uploads(), 1);
            world.terminated.cancel();
        });
        let error = handled.unwrap_err();
        assert_eq!(reason(&error), Some(Reason::Terminated), "{operation:?}: {error}");
        assert!(world.memory.keys(OUT, "").is_empty());
        assert!(world.events().is_empty());
        world.assert_whole(KEY).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_time_out_nothing_is_given_up() {
    let world = World::direct();
    let mut context = lambda_runtime::Context::default();
    context.deadline = 0;
    let event = world.upload(KEY, CSV, "01").await;
    world.s3.plan(Operation::Put, Fault::Late(HOUR));
    let event = lambda_runtime::LambdaEvent::new(event, context);
    let answer = processor::handler::handle(&world.processor, event, &world.terminated).await.unwrap();
    assert_eq!(answer.processed, 1);
    assert_eq!(world.read("clean/in/orders.csv").unwrap(), CLEAN);
}
