//! One file, one trace: what the real binary sends, and when.

use std::collections::BTreeSet;

use common::receiver::{ReceivedSpan, SpanReceiver};
use common::store::{ErrorKind, Fault, Operation};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rustix::process::Signal;
use serde_json::Value;

use crate::runtime_api::{Extensions, Function, RuntimeApi, Said, until};
use crate::world::{CSV, KEY, World, large};

/// As `World::upload` attaches it, and as the runtime API tells it.
const UPLOADER: (&str, &str) = ("6923f0000123456789abcdef01234567", "00f067aa0ba902b7");
const LAMBDA: (&str, &str) = ("5bef4de7ad49b0e87f6ef6c87fc2e700", "9a9197af755a6419");

struct Traced {
    world: World,
    api: RuntimeApi,
    receiver: SpanReceiver,
}

impl Traced {
    async fn new() -> Self {
        let (world, api) = (World::new().await, RuntimeApi::start(Extensions::Answering).await);
        Self { world, api, receiver: SpanReceiver::start().await.unwrap() }
    }

    fn function(&self, environment: &[(&str, &str)]) -> Function {
        self.api.function_with(&self.world.endpoint(), environment)
    }

    fn by_otlp(&self) -> Function {
        self.function(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &self.receiver.endpoint())])
    }

    /// Waits for the span of that name, with an attribute of that value if one is given.
    async fn span(&self, name: &str, attribute: Option<(&str, &str)>) -> ReceivedSpan {
        let is_it = |span: &&ReceivedSpan| {
            span.name == name && attribute.is_none_or(|(name, value)| span.attribute(name) == value)
        };
        let find = || self.receiver.spans().iter().find(is_it).cloned();
        until(name, || find().is_some()).await;
        find().unwrap()
    }
}

/// Every span's parent is there, or is the uploader's or Lambda's own.
fn assert_whole(spans: &[ReceivedSpan]) {
    let ids: BTreeSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    assert_eq!(ids.len(), spans.len(), "no span comes twice");
    for span in spans {
        let parent = span.parent.as_deref().unwrap_or_else(|| panic!("{} has no parent", span.name));
        assert!(ids.contains(parent) || [UPLOADER.1, LAMBDA.1].contains(&parent), "{span:?}");
    }
}

#[tokio::test]
async fn a_files_spans_arrive_by_otlp_and_through_the_daemon() {
    for by_daemon in [false, true] {
        let traced = Traced::new().await;
        // Long enough to break off in the middle.
        let csv = format!("id,name\n{}2,sesame,sesame\n", "1,sesame\n".repeat(200_000)).into_bytes();
        let event = traced.world.upload(KEY, &csv, "01").await;
        // The first is for the receipt, which is not there.
        traced.world.s3.plan_after(Operation::Get, 1, Fault::TornAt(1_500_000));
        let daemon = traced.receiver.daemon().to_string();
        // An OTLP endpoint comes first.
        let _function = if by_daemon {
            traced.function(&[("AWS_XRAY_DAEMON_ADDRESS", &daemon)])
        } else {
            traced.function(&[
                ("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:1"),
                ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &traced.receiver.endpoint()),
            ])
        };
        traced.api.invoke(&event);
        assert!(matches!(traced.api.said().await, Said::Response(_)));

        let invocation = traced.span("processor", None).await;
        assert_eq!(invocation.kind, SpanKind::Server);
        assert_eq!((invocation.trace_id.as_str(), invocation.parent.as_deref()), (LAMBDA.0, Some(LAMBDA.1)));
        assert_eq!(invocation.attribute("faas.coldstart"), "true");
        assert_eq!(invocation.service, "processor");

        let file = traced.span("file", None).await;
        assert_eq!((file.trace_id.as_str(), file.parent.as_deref()), (UPLOADER.0, Some(UPLOADER.1)));
        assert_eq!(file.links, [(invocation.trace_id.clone(), invocation.span_id.clone())]);
        assert_eq!((file.attribute("aws.s3.key"), file.attribute("penstock.outcome")), (KEY, "processed"));
        assert_eq!(file.error, None);

        let transfer = traced.span("transfer", None).await;
        let counted = ["penstock.rows.in", "penstock.ranges", "penstock.parts", "penstock.retries"];
        assert_eq!(counted.map(|name| transfer.attribute(name)), ["200001", "2", "0", "1"], "{transfer:?}");
        assert_eq!(transfer.attribute("penstock.bytes.in"), csv.len().to_string());

        let publish = traced.span("publish events", None).await;
        assert_eq!(publish.kind, SpanKind::Producer);
        let [published] = &traced.api.publications()[..] else { panic!("one message") };
        let traceparent = format!("00-{}-{}-01", UPLOADER.0, publish.span_id);
        assert_eq!(published.traceparent.as_deref(), Some(traceparent.as_str()));
        let (seconds, unique) = UPLOADER.0.split_at(8);
        let header =
            format!("Root=1-{seconds}-{unique};Parent={};Sampled=1;Lineage=1:a87bd80c:0", publish.span_id);
        assert_eq!(published.xray_header.as_deref(), Some(header.as_str()), "with the lineage as it came");

        let spans = traced.receiver.spans();
        assert_whole(&spans);
        let failed: Vec<_> = spans.iter().filter(|span| span.error.is_some()).collect();
        assert!(failed.is_empty(), "an absent receipt is no error: {failed:?}");
        let stages: Vec<&str> = spans
            .iter()
            .filter(|span| span.parent.as_ref() == Some(&file.span_id))
            .map(|span| span.name.as_str())
            .collect();
        // In the order in which they end. S3.PutObject writes the receipt.
        assert_eq!(stages, ["detect", "transfer", "commit", "S3.PutObject", "publish events"]);
        assert!(!format!("{spans:?}").contains("sesame"), "a field's value is nobody's business");
    }
}

#[tokio::test]
async fn a_retry_a_duplicate_and_a_bad_file_are_visible_in_the_files_trace() {
    let traced = Traced::new().await;
    let event = traced.world.upload(KEY, CSV, "01").await;
    traced.world.s3.plan(Operation::Put, Fault::Before(ErrorKind::Forbidden));
    let _function = traced.by_otlp();
    traced.api.invoke(&event);
    assert!(matches!(traced.api.said().await, Said::Error(_)));
    for expected in ["processed", "republished"] {
        traced.api.invoke(&event);
        let Said::Response(answer) = traced.api.said().await else { panic!("{expected}") };
        assert_eq!(answer[expected], 1);
    }
    let bad = traced.world.upload("in/bad.csv.gz", b"\x1f\x8b\x08\x00broken", "02").await;
    traced.api.invoke(&bad);
    assert!(matches!(traced.api.said().await, Said::Response(_)));

    let failed = traced.span("file", Some(("penstock.outcome", "failed"))).await;
    let receipt = traced.world.receipt("in/bad.csv.gz").unwrap();
    let error = receipt.error.unwrap();
    assert_eq!(failed.attribute("error.type"), error.code);
    assert_eq!(failed.error.as_ref(), Some(&error.message));
    let retried = traced.span("file", Some(("penstock.outcome", "retry"))).await;
    assert!(retried.error.is_some());
    let exceptions: Vec<_> = retried.events.iter().filter(|(name, _)| name == "exception").collect();
    assert_eq!(exceptions.len(), 1, "{retried:?}");
    for outcome in ["processed", "republished"] {
        let span = traced.span("file", Some(("penstock.outcome", outcome))).await;
        assert_eq!(span.error, None);
        assert_eq!(span.trace_id, retried.trace_id);
    }
    let invocation = traced.span("processor", Some(("error.type", "Penstock.File"))).await;
    assert!(invocation.error.is_some());
    assert_whole(&traced.receiver.spans());
}

#[tokio::test]
async fn lambdas_decision_and_silence_are_the_users_to_choose() {
    let quiet: [&[(&str, &str)]; 3] = [
        &[("OTEL_TRACES_SAMPLER", "always_off")],
        &[("OTEL_TRACES_EXPORTER", "none")],
        &[("OTEL_SDK_DISABLED", "true")],
    ];
    for environment in quiet {
        let traced = Traced::new().await;
        let event = traced.world.upload(KEY, CSV, "01").await;
        let endpoint = traced.receiver.endpoint();
        let environment =
            [environment, &[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str())]].concat();
        let _function = traced.function(&environment);
        traced.api.invoke(&event);
        assert!(matches!(traced.api.said().await, Said::Response(_)));
        // By then they would have been sent.
        traced.api.asked_for(2).await;
        assert_eq!(traced.receiver.spans(), [], "{environment:?}");
        let [published] = &traced.api.publications()[..] else { panic!("one message") };
        assert!(published.traceparent.as_ref().unwrap().contains(UPLOADER.0), "the trace goes on");
    }
    // Of the uploader's trace, which is sampled, all is sent; Lambda's invocation is not sampled.
    let traced = Traced::new().await;
    let event = traced.world.upload(KEY, CSV, "01").await;
    let endpoint = traced.receiver.endpoint();
    let sampler = ("OTEL_TRACES_SAMPLER", "parentbased_always_on");
    let _function = traced.function(&[sampler, ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", &endpoint)]);
    traced.api.invoke(&event);
    assert!(matches!(traced.api.said().await, Said::Response(_)));
    traced.api.asked_for(2).await;
    let ids: BTreeSet<String> = traced.receiver.spans().into_iter().map(|span| span.trace_id).collect();
    assert_eq!(ids, [UPLOADER.0.to_owned()].into());
}

#[tokio::test]
async fn a_receiver_that_is_silent_gone_or_unheard_of_costs_no_file() {
    let silent = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let silent = format!("http://{}", silent.local_addr().unwrap());
    let receivers = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", silent.as_str()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "not an address"),
        ("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:1"),
        ("AWS_XRAY_DAEMON_ADDRESS", "nowhere"),
    ];
    for receiver in receivers {
        let traced = Traced::new().await;
        let function = traced.function(&[receiver]);
        let event = traced.world.upload(KEY, CSV, "01").await;
        for outcome in ["processed", "republished", "republished"] {
            traced.api.invoke(&event);
            let Said::Response(answer) = traced.api.said().await else { panic!("{receiver:?}") };
            assert_eq!(answer[outcome], 1, "{receiver:?}");
        }
        function.signal(Signal::TERM);
        assert_eq!(function.ended().await.code(), Some(0), "{receiver:?}");
    }
}

#[tokio::test]
async fn every_line_of_the_log_and_the_metrics_name_the_trace() {
    let (world, api) = (World::new().await, RuntimeApi::start(Extensions::Missing).await);
    let event = world.upload(KEY, &large(2_000_000), "01").await;
    world.s3.plan_after(Operation::Get, 1, Fault::TornAt(1_500_000));
    let function = api.function_with_log(&world.endpoint());
    api.invoke(&event);
    assert!(matches!(api.said().await, Said::Response(_)));
    api.invoke(&serde_json::json!({ "Event": "s3:TestEvent" }));
    assert!(matches!(api.said().await, Said::Response(_)));
    let event_id = world.receipt(KEY).unwrap().event_id;

    let lines = function.log().await;
    let named = |place: &Value, trace_id: &str| {
        let (seconds, unique) = trace_id.split_at(8);
        place["trace_id"] == trace_id && place["xray_trace_id"] == format!("1-{seconds}-{unique}")
    };
    let of_file = |place: &Value| {
        named(place, UPLOADER.0) && place["key"] == KEY && place["event_id"] == event_id.as_str()
    };
    let said = |message: &str| {
        let line = lines.iter().find(|line| line["message"].as_str().is_some_and(|m| m.contains(message)));
        line.unwrap_or_else(|| panic!("{message} in {lines:?}"))
    };
    // One of the file's own task, and one of a task that it began.
    for message in ["processed", "taking up a range"] {
        let line = said(message);
        assert!(of_file(&line["span"]), "{line}");
    }
    let line = said("test event");
    assert!(named(&line["span"], LAMBDA.0), "{line}");
    let metrics = lines.iter().find(|line| line.get("_aws").is_some()).expect("metrics");
    assert!(of_file(metrics), "{metrics}");
}

/// How often a process is frozen and thawed.
const FREEZES: usize = 1000;

#[tokio::test]
async fn a_thousand_invocations_with_the_process_frozen_in_between_lose_no_span() {
    tokio::join!(
        Box::pin(frozen_in_between("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")),
        Box::pin(frozen_in_between("AWS_XRAY_DAEMON_ADDRESS"))
    );
}

async fn frozen_in_between(variable: &str) {
    let traced = Traced::new().await;
    let event: Value = traced.world.upload(KEY, CSV, "01").await;
    let address = if variable.starts_with("OTEL") {
        traced.receiver.endpoint()
    } else {
        traced.receiver.daemon().to_string()
    };
    let function = traced.function(&[(variable, &address)]);
    let invocations =
        || (traced.receiver.count(|span| span.name == "processor"), traced.receiver.count(|_| true));
    let (mut first, mut each) = (0, 0);
    for number in 1..=FREEZES {
        traced.api.invoke(&event);
        assert!(matches!(traced.api.said().await, Said::Response(_)));
        // Asked for the next event, Lambda freezes the process.
        traced.api.asked_for(number + 1).await;
        function.signal(Signal::STOP);
        // Nothing can be sent any more: what a datagram holds is already in this machine.
        until("the spans of this invocation", || invocations().0 == number).await;
        let (_, all) = invocations();
        match number {
            1 => first = all,
            2 => each = all - first,
            _ => assert_eq!(all, first + (number - 1) * each, "after invocation {number}"),
        }
        function.signal(Signal::CONT);
    }
    assert_whole(&traced.receiver.spans());
}
