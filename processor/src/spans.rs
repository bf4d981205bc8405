//! A file as a span, in its uploader's trace where it has one.

use common::contract::{Receipt, Source};
use common::trace::{self, count_of as count};
use opentelemetry::trace::{Link, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};

use crate::file::{FileError, Outcome};

/// Begins a file's span: under the uploader's, with a link to the invocation, or else under the invocation's.
pub(crate) fn begin(source: &Source, event_id: &str, uploader: Option<SpanContext>) -> Context {
    let mut attributes = vec![
        KeyValue::new("aws.s3.bucket", source.bucket.clone()),
        KeyValue::new("aws.s3.key", source.key.clone()),
        KeyValue::new("penstock.event_id", event_id.to_owned()),
        count("penstock.bytes.source", source.size),
        trace::searchable(&["aws.s3.key", "penstock.event_id", "penstock.outcome"]),
    ];
    let version = source.version_id.as_ref();
    attributes.extend(version.map(|version| KeyValue::new("penstock.source.version", version.clone())));
    // An upload asks for it, and does not wait: that is what a consumer is.
    let builder = SpanBuilder::from_name("file").with_kind(SpanKind::Consumer);
    let mut builder = builder.with_attributes(attributes);
    let mut parent = Context::current();
    if let Some(uploader) = uploader {
        let invocation = parent.span().span_context().clone();
        if invocation.is_valid() {
            builder = builder.with_links(vec![Link::with_context(invocation)]);
        }
        parent = parent.with_remote_span_context(uploader);
    }
    trace::span(builder, &parent)
}

/// Ends it with what became of the file.
pub(crate) fn end(context: &Context, done: &Result<Outcome, FileError>) {
    let span = context.span();
    let outcome = |name: &'static str| span.set_attribute(KeyValue::new("penstock.outcome", name));
    match done {
        Ok(Outcome::Processed(receipt)) => {
            outcome("processed");
            span.set_attributes(sums(receipt));
        }
        Ok(Outcome::Failed(receipt)) => {
            outcome("failed");
            span.set_attribute(KeyValue::new("penstock.event_id", receipt.event_id.clone()));
            if let Some(error) = &receipt.error {
                trace::fail_as(context, error.code.clone(), error.message.clone());
            }
        }
        Ok(Outcome::Republished(receipt)) => {
            outcome("republished");
            span.set_attributes(sums(receipt));
            span.add_event("done before: published again from its receipt", Vec::new());
        }
        Ok(Outcome::Superseded(why)) => {
            outcome("superseded");
            span.add_event("superseded", vec![KeyValue::new("penstock.superseded.why", *why)]);
        }
        Err(error) => {
            outcome("retry");
            trace::fail(context, error);
        }
    }
    span.end();
}

/// What a receipt proves, and what the work took.
fn sums(receipt: &Receipt) -> Vec<KeyValue> {
    let (counts, bytes) = (&receipt.counts, &receipt.bytes);
    vec![
        count("penstock.rows.in", counts.rows_in),
        count("penstock.rows.out", counts.rows_out),
        count("penstock.rows.rejected", counts.rows_rejected),
        count("penstock.rows.filtered", counts.rows_filtered),
        count("penstock.bytes.decompressed", bytes.decompressed),
        count("penstock.bytes.kept", bytes.spans.kept),
        count("penstock.bytes.rejected", bytes.spans.rejected),
        count("penstock.bytes.filtered", bytes.spans.filtered),
        count("penstock.bytes.header", bytes.spans.header),
        count("penstock.bytes.skipped", bytes.spans.skipped),
        count("penstock.bytes.out", bytes.output),
        count("penstock.peak_memory_bytes", receipt.peak_memory_bytes),
    ]
}
