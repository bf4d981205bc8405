//! What happens on the wire, seen through the real client.

use std::sync::Arc;
use std::time::Duration;

use common::sim::SimServer;
use common::store::{
    Condition, ErrorKind, Fault, FaultyStore, MemoryStore, Operation, Store as _, StoreError,
};
use common::write::{Finished, ObjectWriter};

use crate::objects::{BUCKET, bytes, new, object, put};
use crate::proxy::{Proxy, Trick};
use crate::read::{plan, read_all};
use crate::write;

const KIB: usize = 1024;

#[tokio::test]
async fn connections_reset_in_the_middle_of_an_answer_are_survived() {
    let content = bytes(1000 * KIB);
    let memory = Arc::new(MemoryStore::new());
    let etag = put(&*memory, "in", content.clone()).await;
    // Before the answer, in its head, in its body, and in a later answer on the same connection.
    for after in [0, 1, 100, 500, 1000, 30 * KIB, 200 * KIB, 256 * KIB, 300 * KIB, 600 * KIB] {
        let server = SimServer::start(memory.clone()).await.unwrap();
        let proxy = Proxy::before(server, vec![Trick::ResetAfter(after); 4]).await;
        let store = Arc::new(proxy.store(1));
        // One range at a time, so that a connection carries more than it lives for.
        let read = read_all(store, &etag, content.len(), plan(256 * KIB as u64, 1)).await.unwrap();
        assert!(read == content, "reset after {after} bytes");
        assert!(proxy.resets() > 0, "reset after {after} bytes");
    }
}

#[tokio::test]
async fn a_connection_carries_range_after_range() {
    let content = bytes(1000 * KIB);
    let memory = Arc::new(MemoryStore::new());
    let etag = put(&*memory, "in", content.clone()).await;
    let proxy = Proxy::before(SimServer::start(memory).await.unwrap(), []).await;
    let read = read_all(Arc::new(proxy.store(1)), &etag, content.len(), plan(50 * KIB as u64, 3)).await;
    assert!(read.unwrap() == content);
    assert!(proxy.connections() <= 10, "{} connections for 20 ranges, three at once", proxy.connections());
}

#[tokio::test]
async fn connections_that_are_reset_for_ever_end_in_an_error() {
    let memory = Arc::new(MemoryStore::new());
    let etag = put(&*memory, "in", bytes(1000)).await;
    let server = SimServer::start(memory).await.unwrap();
    let proxy = Proxy::before(server, vec![Trick::ResetAfter(100); 50]).await;
    let error = read_all(Arc::new(proxy.store(1)), &etag, 1000, plan(1000, 1)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    let chain = common::telemetry::chain(&error);
    assert!(chain.contains("reset by peer"), "{chain}");
}

#[tokio::test]
async fn s3_asking_to_slow_down_is_obeyed_for_a_while_and_told_if_it_never_ends() {
    let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let etag = put(&*faulty, "in", bytes(300)).await;
    let server = SimServer::start(faulty.clone()).await.unwrap();
    for _ in 0..5 {
        faulty.plan(Operation::Get, Fault::Before(ErrorKind::Transient));
    }
    let store = Arc::new(server.store(1));
    assert_eq!(read_all(store.clone(), &etag, 300, plan(300, 1)).await.unwrap(), bytes(300));
    assert_eq!(faulty.pending(), 0);
    faulty.always(Operation::Get, Fault::Before(ErrorKind::Transient));
    let error = read_all(store, &etag, 300, plan(100, 2)).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Transient);
    assert!(common::telemetry::chain(&error).contains("SlowDown"), "{}", common::telemetry::chain(&error));
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

/// What S3 may answer to a completion that it will have carried out, or not.
fn broken_answers() -> Vec<String> {
    let with = |status: &str, length: usize, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/xml\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let error = |code: &str| {
        let body = format!("{XML}<Error><Code>{code}</Code><Message>Try again.</Message></Error>");
        with("200 OK", body.len(), &body)
    };
    let codes = ["InternalError", "RequestTimeout", "SlowDown", "ServiceUnavailable"];
    let mut answers: Vec<String> = codes.into_iter().map(error).collect();
    // Blanks, which S3 sends until it knows, and then nothing; no answer at all; a gateway's.
    answers.push(with("200 OK", 3, "   "));
    answers.push(with("200 OK", 300, "   "));
    answers.push(with("200 OK", 300, &format!("{XML}<CompleteMultipartUploadResult><Key>")));
    answers.push(String::new());
    answers.push(with("502 Bad Gateway", 0, ""));
    answers
}

/// Writes 6 MiB through a proxy that plays `trick`.
async fn write_through(
    faulty: &Arc<FaultyStore>,
    trick: Trick,
    attempts: u32,
) -> Result<Finished, StoreError> {
    let server = SimServer::start(faulty.clone()).await.unwrap();
    let proxy = Proxy::before(server, [trick]).await;
    let mut writer = ObjectWriter::new(Arc::new(proxy.store(attempts)), new("out"), write::plan());
    writer.write(bytes(6 * KIB * KIB)).await?;
    let finished = writer.finish(&Condition::IfAbsent).await;
    assert_eq!(proxy.pending(), 0);
    if finished.is_err() {
        writer.abort().await?;
    }
    finished
}

#[tokio::test]
async fn a_completion_answered_by_200_with_an_error_or_by_less_is_recognised() {
    let content = bytes(6 * KIB * KIB);
    for answer in broken_answers() {
        // Carried out or not; and where it was, the repeat finds the upload or finds it gone.
        for (pass_on, gone) in [(false, false), (true, false), (true, true)] {
            let memory = Arc::new(MemoryStore::new());
            let faulty = Arc::new(FaultyStore::new(memory.clone()));
            if gone {
                faulty.plan_after(Operation::CompleteUpload, 1, Fault::Before(ErrorKind::NotFound));
            }
            let trick = Trick::AnswerCompletion { answer: answer.clone(), pass_on, pause: Duration::ZERO };
            let case = format!("{answer:?}, carried out: {pass_on}");
            let finished = write_through(&faulty, trick, 1).await.expect(&case);
            let meta = memory.head(&object("out")).await.unwrap().unwrap();
            assert_eq!((finished.etag, finished.parts), (meta.etag, 2), "{case}");
            assert!(memory.content(BUCKET, "out").unwrap() == content, "{case}");
            assert_eq!((memory.open_uploads(), faulty.pending()), (0, 0), "{case}");
        }
    }
}

#[tokio::test]
async fn a_completion_that_the_client_repeats_by_itself_is_recognised() {
    let memory = Arc::new(MemoryStore::new());
    let faulty = Arc::new(FaultyStore::new(memory.clone()));
    faulty.plan_after(Operation::CompleteUpload, 1, Fault::Before(ErrorKind::NotFound));
    let trick =
        Trick::AnswerCompletion { answer: broken_answers()[0].clone(), pass_on: true, pause: Duration::ZERO };
    let finished = write_through(&faulty, trick, 3).await.unwrap();
    assert_eq!(finished.etag, memory.head(&object("out")).await.unwrap().unwrap().etag);
    assert_eq!(faulty.pending(), 0);
}

#[tokio::test]
async fn an_error_for_good_in_a_200_is_one() {
    let body = format!("{XML}<Error><Code>InvalidPart</Code><Message>None.</Message></Error>");
    let length = body.len();
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
    let memory = Arc::new(MemoryStore::new());
    let faulty = Arc::new(FaultyStore::new(memory.clone()));
    let trick = Trick::AnswerCompletion { answer, pass_on: false, pause: Duration::ZERO };
    let error = write_through(&faulty, trick, 1).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Permanent);
    assert!(common::telemetry::chain(&error).contains("InvalidPart"));
    assert_eq!(memory.open_uploads(), 0);
    assert!(memory.keys(BUCKET, "").is_empty());
}

#[tokio::test]
async fn connections_reset_while_parts_are_sent_are_survived() {
    let memory = Arc::new(MemoryStore::new());
    let server = SimServer::start(memory.clone()).await.unwrap();
    // Every request of these was taken, and its answer lost.
    let proxy = Proxy::before(server, vec![Trick::ResetAfter(0); 5]).await;
    let mut writer = ObjectWriter::new(Arc::new(proxy.store(1)), new("out"), write::plan());
    writer.write(bytes(6 * KIB * KIB)).await.unwrap();
    writer.finish(&Condition::IfAbsent).await.unwrap();
    assert_eq!(proxy.resets(), 5);
    assert!(memory.content(BUCKET, "out").unwrap() == bytes(6 * KIB * KIB));
}

#[tokio::test]
async fn a_completion_that_s3_takes_its_time_for_is_waited_for() {
    // Longer than the client lets other bodies rest.
    let pause = Duration::from_secs(8);
    let body = format!(
        "{XML}<CompleteMultipartUploadResult><ETag>&quot;slow&quot;</ETag></CompleteMultipartUploadResult>"
    );
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let finished = write_through(&faulty, Trick::AnswerCompletion { answer, pass_on: false, pause }, 1).await;
    assert_eq!(finished.unwrap().etag, "slow");
}
