//! One file, one trace: spans, how they travel, and where they go.
//!
//! # Layout
//!
//! - This file: a span's context in object metadata, message attributes and X-Ray's header.
//! - `span`: a piece of work as a span.
//! - `tally`, `progress`: what is too much for a span each: counts, waits, and bytes over time.
//! - `export`: where spans go, as the environment says, and when.
//! - `otlp`: OTLP over HTTP, signed where X-Ray itself is the receiver.
//! - `udp`: the X-Ray daemon that Lambda runs.
//! - `invocation`: an invocation as a span, and the flush behind it.

mod export;
mod invocation;
mod otlp;
mod progress;
mod span;
mod tally;
mod udp;

use std::collections::BTreeMap;

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, propagation::TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;

pub use export::{Destination, flush, start};
pub use invocation::InvocationLayer;
use invocation::Lineage;
pub use progress::{SAMPLES, STEPS, Sample, Step, read_samples};
pub use span::{count_of, fail, fail_as, in_span, root, searchable, span, spawn, spawn_into};
pub use tally::{Tally, Waited, tallied};

/// The attribute, and the object's metadata, that holds the W3C context.
pub const TRACEPARENT: &str = "traceparent";
/// The attribute that holds the W3C state, when there is any.
pub const TRACESTATE: &str = "tracestate";

/// Writes a span's context as attributes: `traceparent`, and `tracestate` if there is any.
pub fn inject(span: &SpanContext, attributes: &mut BTreeMap<String, String>) {
    let mut carrier = std::collections::HashMap::new();
    let context = Context::new().with_remote_span_context(span.clone());
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    // The propagator writes an empty `tracestate`, which SNS refuses.
    attributes.extend(carrier.into_iter().filter(|(_, value)| !value.is_empty()));
}

/// Reads a context from attributes or metadata.
pub fn extract(attributes: &BTreeMap<String, String>) -> Option<SpanContext> {
    let carrier: std::collections::HashMap<String, String> =
        attributes.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    let span = context.span().span_context().clone();
    span.is_valid().then_some(span)
}

/// A trace's id as X-Ray writes it: `1-5759e988-bd862e3fe1be46a994272793`.
pub fn xray_id(trace_id: TraceId) -> String {
    let id = trace_id.to_string();
    let (seconds, unique) = id.split_at(8);
    format!("1-{seconds}-{unique}")
}

/// The name of X-Ray's header.
pub const XRAY_HEADER: &str = "x-amzn-trace-id";

/// Writes X-Ray's header. `lineage` is what Lambda's detection of loops counts by: to be handed on as it came.
pub fn xray_header(span: &SpanContext, lineage: Option<&str>) -> String {
    let sampled = u8::from(span.is_sampled());
    let root = xray_id(span.trace_id());
    let lineage = lineage.map(|lineage| format!(";Lineage={lineage}")).unwrap_or_default();
    format!("Root={root};Parent={};Sampled={sampled}{lineage}", span.span_id())
}

/// X-Ray's header for a request that the current span makes.
pub(crate) fn current_xray_header() -> Option<String> {
    Context::map_current(|context| {
        let span = context.span().span_context().clone();
        let lineage = context.get::<Lineage>().map(|lineage| lineage.0.as_str());
        span.is_valid().then(|| xray_header(&span, lineage))
    })
}

/// A field of X-Ray's header.
fn xray_field<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='))
}

/// Reads X-Ray's header: `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`.
///
/// Other fields, such as `Lineage`, are passed over. Without a parent there is no span to be a child of.
pub fn from_xray(header: &str) -> Option<SpanContext> {
    let field = |name| xray_field(header, name);
    let root = field("Root")?.strip_prefix("1-")?;
    let (time, unique) = root.split_once('-')?;
    if time.len() != 8 || unique.len() != 24 {
        return None;
    }
    let trace_id = TraceId::from_hex(&format!("{time}{unique}")).ok()?;
    let span_id = SpanId::from_hex(field("Parent")?).ok()?;
    let flags = if field("Sampled") == Some("1") { TraceFlags::SAMPLED } else { TraceFlags::default() };
    let span = SpanContext::new(trace_id, span_id, flags, true, TraceState::NONE);
    span.is_valid().then_some(span)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new_span() -> SpanContext {
        root("test").span().span_context().clone()
    }

    #[test]
    fn a_context_survives_the_attributes() {
        let span = new_span();
        let mut attributes = BTreeMap::new();
        inject(&span, &mut attributes);
        assert_eq!(attributes.len(), 1, "no empty tracestate: {attributes:?}");
        let back = extract(&attributes).unwrap();
        assert_eq!((back.trace_id(), back.span_id()), (span.trace_id(), span.span_id()));
    }

    #[test]
    fn state_is_carried_when_there_is_any() {
        let attributes = BTreeMap::from([
            ("traceparent".to_owned(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned()),
            ("tracestate".to_owned(), "vendor=x".to_owned()),
        ]);
        let mut out = BTreeMap::new();
        inject(&extract(&attributes).unwrap(), &mut out);
        assert_eq!(out, attributes);
    }

    #[test]
    fn malformed_contexts_are_none() {
        for bad in ["", "00-0-0-01", "00-00000000000000000000000000000000-00f067aa0ba902b7-01"] {
            assert_eq!(extract(&BTreeMap::from([("traceparent".to_owned(), bad.to_owned())])), None);
        }
        for bad in
            ["", "Root=1-5759e988-bd862e3fe1be46a994272793", "Root=1-x-y;Parent=53995c3f42cd8ad8", "Root=ä"]
        {
            assert_eq!(from_xray(bad), None);
        }
    }

    #[test]
    fn xrays_header_is_read() {
        let span = from_xray(
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=1:a87bd80c:0",
        );
        let span = span.unwrap();
        assert_eq!(span.trace_id().to_string(), "5759e988bd862e3fe1be46a994272793");
        assert!(span.is_sampled());
    }

    #[test]
    fn xrays_header_is_written_as_it_is_read() {
        let span = new_span();
        let header = xray_header(&span, Some("1:a87bd80c:0"));
        let back = from_xray(&header).unwrap();
        assert_eq!((back.trace_id(), back.span_id()), (span.trace_id(), span.span_id()));
        assert!(back.is_sampled() && header.ends_with(";Sampled=1;Lineage=1:a87bd80c:0"), "{header}");
        let unsampled = from_xray(&header.replace("Sampled=1", "Sampled=0")).unwrap();
        assert!(xray_header(&unsampled, None).ends_with(";Sampled=0"));
    }

    #[test]
    fn new_traces_begin_with_the_time() {
        let id = new_span().trace_id().to_string();
        let seconds = i64::from_str_radix(&id[..8], 16).unwrap();
        assert!((jiff::Timestamp::now().as_second() - seconds).abs() < 5);
    }
}
