//! Spans on their way out.

use std::collections::BTreeMap;
use std::time::Duration;

use common::receiver::SpanReceiver;
use common::topic::{self, MAX_ATTRIBUTES, MemoryTopic, Message};
use common::trace::{self, Destination};
use opentelemetry::KeyValue;
use opentelemetry::trace::TraceContextExt as _;

/// The one test that sends: where spans go is decided once in a process.
#[tokio::test]
async fn spans_that_fit_no_datagram_together_are_sent_in_several() {
    let receiver = SpanReceiver::start().await.unwrap();
    trace::start("test", &Destination::Daemon(receiver.daemon()), None);
    let ids: Vec<String> = (0..50)
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

#[tokio::test]
async fn a_trace_takes_no_attributes_place() {
    for own in [0, MAX_ATTRIBUTES - 1, MAX_ATTRIBUTES] {
        let topic = MemoryTopic::default();
        let attributes: BTreeMap<String, String> =
            (0..own).map(|number| (format!("a{number}"), "v".into())).collect();
        let message = Message { attributes: attributes.clone(), ..Message::default() };
        topic::publish(&topic, message).await.unwrap();
        let [published] = &topic.messages()[..] else { panic!("one message") };
        assert_eq!(published.attributes.len(), (own + 1).min(MAX_ATTRIBUTES));
        assert_eq!(published.attributes.contains_key("traceparent"), own < MAX_ATTRIBUTES);
        assert!(attributes.iter().all(|own| published.attributes.get_key_value(own.0) == Some(own)));
    }
}
