//! X-Ray's segment documents as spans.
//!
//! X-Ray keeps attributes as metadata and annotations, a request to AWS under the service's name, and may put a piece
//! into the document of what it is a piece of.

use std::collections::BTreeMap;

use common::receiver::ReceivedSpan;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::waterfall::nanoseconds;

/// What we use of a [document](https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html).
#[derive(Default, Deserialize)]
#[serde(default)]
struct Segment {
    id: String,
    trace_id: Option<String>,
    parent_id: Option<String>,
    name: String,
    start_time: f64,
    end_time: Option<f64>,
    fault: bool,
    error: bool,
    throttle: bool,
    cause: Value,
    aws: Map<String, Value>,
    annotations: Map<String, Value>,
    metadata: Map<String, Value>,
    links: Vec<Link>,
    subsegments: Vec<Segment>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Link {
    trace_id: String,
    id: String,
}

/// What a segment hands on to those within it.
struct Outer<'a> {
    trace_id: &'a str,
    parent: Option<&'a str>,
    service: &'a str,
}

/// The spans that a document tells of: the segment, then those within it.
pub(super) fn spans(document: &str) -> serde_json::Result<Vec<ReceivedSpan>> {
    let mut spans = Vec::new();
    let segment: Segment = serde_json::from_str(document)?;
    add(segment, &Outer { trace_id: "", parent: None, service: "" }, &mut spans);
    Ok(spans)
}

fn add(segment: Segment, outer: &Outer<'_>, spans: &mut Vec<ReceivedSpan>) {
    let mut attributes = attributes(&segment);
    let trace_id = segment.trace_id.as_deref().map_or_else(|| outer.trace_id.to_owned(), plain);
    let service =
        ["otel.resource.service.name", "aws.local.service"].iter().find_map(|name| attributes.get(*name));
    let service = service.map_or(outer.service, String::as_str).to_owned();
    // Of the process, not of the span.
    attributes.retain(|name, _| !name.starts_with("otel.resource."));
    let start = time(segment.start_time);
    if segment.end_time.is_none() {
        attributes.insert("in_progress".into(), "true".into());
    }
    let (error, events) = failure(&segment);
    let span = ReceivedSpan {
        service,
        trace_id,
        span_id: segment.id.clone(),
        parent: segment.parent_id.clone().or_else(|| outer.parent.map(str::to_owned)),
        name: name(&segment, &attributes),
        start,
        end: segment.end_time.map_or(start, time),
        attributes,
        events,
        links: segment.links.iter().map(|link| (plain(&link.trace_id), link.id.clone())).collect(),
        error,
        ..ReceivedSpan::default()
    };
    let (trace_id, service) = (span.trace_id.clone(), span.service.clone());
    spans.push(span);
    let inner = Outer { trace_id: &trace_id, parent: Some(&segment.id), service: &service };
    for within in segment.subsegments {
        add(within, &inner, spans);
    }
}

/// `1-5759e988-bd862e3fe1be46a994272793` without what X-Ray adds.
fn plain(trace_id: &str) -> String {
    trace_id.strip_prefix("1-").unwrap_or(trace_id).replace('-', "")
}

/// To the microsecond: more of a time since 1970 is not in a number.
fn time(seconds: f64) -> u64 {
    (nanoseconds(seconds) + 500) / 1000 * 1000
}

fn name(segment: &Segment, attributes: &BTreeMap<String, String>) -> String {
    let method = segment.aws.get("operation").and_then(Value::as_str);
    let method = method.or_else(|| attributes.get("rpc.method").map(String::as_str));
    match method {
        Some(method) if segment.name == "S3" => format!("S3.{method}"),
        _ => segment.name.clone(),
    }
}

fn attributes(segment: &Segment) -> BTreeMap<String, String> {
    let mut attributes = BTreeMap::new();
    for (space, values) in &segment.metadata {
        for (name, value) in values.as_object().into_iter().flatten() {
            let name = if space == "default" { name.clone() } else { format!("{space}.{name}") };
            attributes.insert(name, text(value));
        }
    }
    // Some collectors put here what begins with `aws.`.
    let plain = segment.aws.iter().filter(|(_, value)| !value.is_object() && !value.is_array());
    attributes.extend(plain.map(|(name, value)| (format!("aws.{name}"), text(value))));
    for (name, value) in &segment.annotations {
        // Where annotations may have no dots.
        let ours = ["aws.s3.key", "penstock.event_id", "penstock.outcome"];
        let name = ours.into_iter().find(|ours| ours.replace('.', "_") == *name).unwrap_or(name);
        attributes.insert(name.to_owned(), text(value));
    }
    attributes
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

type Event = (String, BTreeMap<String, String>);

/// What went wrong, if anything did, and its exceptions.
fn failure(segment: &Segment) -> (Option<String>, Vec<Event>) {
    let exceptions = segment.cause["exceptions"].as_array().into_iter().flatten();
    let part = |exception: &Value, name: &str| {
        exception[name].as_str().map(|text| (format!("exception.{name}"), text.to_owned()))
    };
    let event = |exception: &Value| {
        let parts = ["type", "message"].into_iter().filter_map(|name| part(exception, name));
        ("exception".to_owned(), parts.collect::<BTreeMap<_, _>>())
    };
    let events: Vec<Event> = exceptions.map(event).collect();
    let failed = segment.fault || segment.error || segment.throttle;
    let message = events.iter().find_map(|(_, parts)| parts.get("exception.message").cloned());
    (failed.then(|| message.unwrap_or_else(|| "without a reason".into())), events)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_document_says_what_the_span_said() {
        let document = json!({
            "id": "b1", "trace_id": "1-5759e988-bd862e3fe1be46a994272793", "parent_id": "a1", "type": "subsegment",
            "name": "file", "start_time": 1_465_510_280.123_456, "end_time": 1_465_510_281.0, "fault": true,
            "cause": { "exceptions": [{ "type": "bad_gzip", "message": "member 1 is broken" }] },
            "annotations": { "aws_s3_key": "in/a.csv", "penstock.outcome": "failed" },
            "metadata": { "default": {
                "penstock.rows.in": 3, "otel.resource.service.name": "processor", "aws.xray.annotations": ["a", "b"],
            } },
            "links": [{ "trace_id": "1-5bef4de7-ad49b0e87f6ef6c87fc2e700", "id": "c1" }],
            "subsegments": [{ "id": "d1", "name": "S3", "namespace": "aws",
                "aws": { "operation": "PutObject", "s3.key": "clean/a.csv", "xray": { "sdk": "x" } },
                "start_time": 1_465_510_280.5, "in_progress": true }],
        });
        let [file, put] = &spans(&document.to_string()).unwrap()[..] else { unreachable!("two spans") };
        assert_eq!(
            (file.service.as_str(), file.name.as_str(), file.parent.as_deref()),
            ("processor", "file", Some("a1"))
        );
        assert_eq!(file.trace_id, "5759e988bd862e3fe1be46a994272793");
        assert_eq!((file.start, file.end), (1_465_510_280_123_456_000, 1_465_510_281_000_000_000));
        assert_eq!(file.attribute("aws.s3.key"), "in/a.csv");
        assert_eq!(file.attribute("penstock.outcome"), "failed");
        assert_eq!(
            (file.attribute("penstock.rows.in"), file.attribute("aws.xray.annotations")),
            ("3", "a, b")
        );
        assert_eq!(file.error.as_deref(), Some("member 1 is broken"));
        assert_eq!(file.events[0].1["exception.type"], "bad_gzip");
        assert_eq!(file.links, [("5bef4de7ad49b0e87f6ef6c87fc2e700".to_owned(), "c1".to_owned())]);
        assert_eq!((put.name.as_str(), put.parent.as_deref()), ("S3.PutObject", Some("b1")));
        assert_eq!((put.attribute("aws.s3.key"), put.attributes.len()), ("clean/a.csv", 3));
        assert_eq!((&put.trace_id, put.service.as_str()), (&file.trace_id, "processor"));
        assert_eq!((put.start, put.attribute("in_progress")), (put.end, "true"));
        assert!(put.error.is_none() && spans("[").is_err());
    }
}
