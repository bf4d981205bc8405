//! What must hold of what reads events, whatever they are: S3's, and ours.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use common::config::ProcessorConfig;
use common::contract::{FileEvent, ObjectRef};
use common::store::{Condition, MemoryStore, NewObject, Payload, Store as _};
use common::topic::MemoryTopic;
use common::trace;
use lambda_runtime::{Context, LambdaEvent};
use processor::Processor;
use processor::handler::handle;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

const IN: &str = "in-bucket";
const OUT: &str = "out-bucket";

/// Panics where something does not hold of the text that `data` is, but for its first byte, which says what of.
pub(crate) fn holds(data: &[u8]) {
    let Some((kind, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    match kind % 4 {
        0 => file_event(text),
        1 => contexts(text),
        _ => s3_event(text),
    }
}

/// An event that is read and written stays the same.
fn file_event(text: &str) {
    let Ok(event) = FileEvent::parse(text) else { return };
    let again = serde_json::to_string(&event).unwrap();
    assert_eq!(FileEvent::parse(&again).as_ref(), Ok(&event), "read from {again}");
}

/// A trace's context that is read and written stays the same.
fn contexts(text: &str) {
    let (parent, state) = text.split_once('\n').unwrap_or((text, ""));
    let attributes: BTreeMap<String, String> =
        [("traceparent".into(), parent.into()), ("tracestate".into(), state.into())].into();
    for span in [trace::extract(&attributes), trace::from_xray(text)].into_iter().flatten() {
        let mut written = BTreeMap::new();
        trace::inject(&span, &mut written);
        let again = trace::extract(&written).expect("what was written can't be read");
        assert_eq!((again.trace_id(), again.span_id()), (span.trace_id(), span.span_id()));
        let header = trace::xray_header(&span, None);
        let again = trace::from_xray(&header).expect("what was written can't be read");
        assert_eq!((again.trace_id(), again.span_id()), (span.trace_id(), span.span_id()));
    }
}

/// Whatever is asked for, nothing is written but where it may be, and no upload is left open.
fn s3_event(text: &str) {
    let Ok(payload) = serde_json::from_str::<Value>(text) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(MemoryStore::new());
        let new = NewObject {
            object: ObjectRef::new(IN, "in/orders.csv"),
            content_type: "text/csv",
            metadata: [].into(),
        };
        let object = Payload::new(b"id,name\n1,a\n2\n".to_vec().into());
        store.put(&new, object, &Condition::Always).await.unwrap();
        let config = ProcessorConfig::from_lookup(|name| match name {
            "OUTPUT_BUCKET" => Some(OUT.into()),
            "TOPIC_ARN" => Some("arn:aws:sns:us-east-1:123456789012:events".into()),
            "MEMORY_BUDGET_MIB" => Some("128".into()),
            _ => None,
        })
        .unwrap();
        let topic = Arc::new(MemoryTopic::default());
        let mut processor = Processor::new(&config, "processor".into(), store.clone(), topic.clone());
        processor.emit = |_| {};
        let mut context = Context::default();
        let soon = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap() + Duration::from_mins(1);
        context.deadline = u64::try_from(soon.as_millis()).unwrap();
        let outcome = handle(&processor, LambdaEvent::new(payload, context), &CancellationToken::new()).await;
        assert_eq!(store.open_uploads(), 0, "{outcome:?} leaves uploads open");
        for key in store.keys(OUT, "") {
            let is_ours = ["clean/", "rejects/", "receipts/"].iter().any(|folder| key.starts_with(folder));
            assert!(is_ours, "{key} was written");
        }
        assert_eq!(store.keys(IN, ""), ["in/orders.csv"], "the input bucket was written to");
        for message in topic.messages() {
            FileEvent::parse(&message.body).expect("a message that its consumer refuses");
        }
    });
}
