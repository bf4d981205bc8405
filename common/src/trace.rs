//! The context that makes one file one trace: through object metadata, message attributes and X-Ray's header.

use std::collections::BTreeMap;

use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState};
use opentelemetry::{Context, propagation::TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator as _, RandomIdGenerator};

/// The attribute, and the object's metadata, that holds the W3C context.
pub const TRACEPARENT: &str = "traceparent";
/// The attribute that holds the W3C state, when there is any.
pub const TRACESTATE: &str = "tracestate";

/// A new span's identity: in `parent`'s trace if there is one, else in a trace of its own.
///
/// Trace ids begin with the time in seconds, as X-Ray demands.
pub fn new_span(parent: Option<&SpanContext>) -> SpanContext {
    let ids = RandomIdGenerator::default();
    let (trace_id, flags, state) = match parent {
        Some(parent) => (parent.trace_id(), parent.trace_flags(), parent.trace_state().clone()),
        None => (xray_compatible(ids.new_trace_id()), TraceFlags::SAMPLED, TraceState::NONE),
    };
    SpanContext::new(trace_id, ids.new_span_id(), flags, false, state)
}

fn xray_compatible(id: TraceId) -> TraceId {
    let mut bytes = id.to_bytes();
    let seconds = u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&seconds.to_be_bytes());
    TraceId::from_bytes(bytes)
}

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

/// Reads X-Ray's header: `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`.
///
/// Other fields, such as `Lineage`, are passed over. Without a parent there is no span to be a child of.
pub fn from_xray(header: &str) -> Option<SpanContext> {
    let field =
        |name: &str| header.split(';').find_map(|part| part.trim().strip_prefix(name)?.strip_prefix('='));
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

    #[test]
    fn a_context_survives_the_attributes() {
        let span = new_span(None);
        let mut attributes = BTreeMap::new();
        inject(&span, &mut attributes);
        assert_eq!(attributes.len(), 1, "no empty tracestate: {attributes:?}");
        let back = extract(&attributes).unwrap();
        assert_eq!((back.trace_id(), back.span_id()), (span.trace_id(), span.span_id()));
        assert_eq!(new_span(Some(&back)).trace_id(), span.trace_id());
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
    fn new_traces_begin_with_the_time() {
        let id = new_span(None).trace_id().to_string();
        let seconds = i64::from_str_radix(&id[..8], 16).unwrap();
        assert!((jiff::Timestamp::now().as_second() - seconds).abs() < 5);
    }
}
