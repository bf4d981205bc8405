//! Spans on their way out.

use std::time::Duration;

use common::receiver::SpanReceiver;
use common::trace::{self, Destination};
use opentelemetry::KeyValue;
use opentelemetry::trace::TraceContextExt as _;

/// Where spans go is decided once in a process, by whoever makes the first: nothing else here makes any.
#[tokio::test]
async fn spans_that_fit_no_datagram_together_are_sent_in_several() {
    let receiver = SpanReceiver::start().await.unwrap();
    trace::start("test", &Destination::Daemon(receiver.daemon()), None);
    let ids: Vec<String> = (0..8)
        .map(|_| {
            let context = trace::root("large");
            context.span().set_attribute(KeyValue::new("filler", "x".repeat(10_000)));
            context.span().end();
            context.span().span_context().span_id().to_string()
        })
        .collect();
    trace::flush(Duration::from_secs(5)).await;
    let arrived = async {
        while !ids.iter().all(|id| receiver.count(|span| span.span_id == *id) == 1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), arrived).await.expect("all of them arrive, each once");
}
