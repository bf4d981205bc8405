//! A piece of work as a span.
//!
//! A span is the current one of whatever runs in it, tasks included that [`spawn`] begins. Its attributes hold keys,
//! ids, sizes and counts, never what is in a row.

use std::borrow::Cow;
use std::error::Error;

use opentelemetry::trace::{FutureExt as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _};
use opentelemetry::{Array, Context, KeyValue, StringValue, Value};
use tokio::task::{JoinHandle, JoinSet};
use tracing::Instrument as _;

use super::export::{service, tracer};
use crate::telemetry::chain;

/// Begins a span under `parent`. It ends with [`opentelemetry::trace::SpanRef::end`], or with the last copy of the
/// context.
pub fn span(span: SpanBuilder, parent: &Context) -> Context {
    let context = parent.with_span(tracer().build_with_context(span, parent));
    if parent.span().span_context().is_remote() {
        context.span().set_attributes(first_of_service());
    }
    context
}

/// What makes X-Ray see a service where its first span of a trace is: without it, a span that is no server's becomes a
/// piece of its parent, which may never come to X-Ray.
fn first_of_service() -> [KeyValue; 2] {
    [KeyValue::new("aws.span.kind", "LOCAL_ROOT"), KeyValue::new("aws.local.service", service())]
}

/// Begins a trace.
pub fn root(name: &'static str) -> Context {
    span(SpanBuilder::from_name(name), &Context::new())
}

/// Does a piece of work in a span of its own; its error is the span's.
pub async fn in_span<T, E>(builder: SpanBuilder, work: impl Future<Output = Result<T, E>>) -> Result<T, E>
where
    E: Error + 'static,
{
    let context = span(builder, &Context::current());
    let done = Box::pin(work).with_context(context.clone()).await;
    if let Err(error) = &done {
        fail(&context, error);
    }
    context.span().end();
    done
}

/// Says that a span failed, and why.
pub fn fail<E: Error + 'static>(context: &Context, error: &E) {
    fail_as(context, short_name(std::any::type_name::<E>()), chain(error));
}

/// A type's name without the way through the modules, and without what it is generic over.
fn short_name(name: &'static str) -> &'static str {
    let name = name.split('<').next().unwrap_or(name);
    name.rsplit("::").next().unwrap_or(name)
}

/// The longest message, so that no span is too large to be sent.
const MAX_MESSAGE_BYTES: usize = 4096;

/// Says that a span failed: with a code of few values, and in words.
pub fn fail_as(context: &Context, code: impl Into<Cow<'static, str>>, mut message: String) {
    message.truncate(message.floor_char_boundary(MAX_MESSAGE_BYTES));
    let (span, code) = (context.span(), code.into());
    span.set_attribute(KeyValue::new("error.type", code.clone()));
    let exception =
        vec![KeyValue::new("exception.type", code), KeyValue::new("exception.message", message.clone())];
    span.add_event("exception", exception);
    span.set_status(Status::error(message));
}

/// Begins a task that belongs to the current span, and whose log lines do.
pub fn spawn<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    tokio::spawn(work.with_current_context().in_current_span())
}

/// As [`spawn`], into a set.
pub fn spawn_into<T: Send + 'static>(tasks: &mut JoinSet<T>, work: impl Future<Output = T> + Send + 'static) {
    tasks.spawn(work.with_current_context().in_current_span());
}

/// Which of a span's attributes X-Ray can search by: its annotations. Others have the attributes as they are.
pub fn searchable(names: &[&'static str]) -> KeyValue {
    let names = names.iter().map(|name| StringValue::from(*name)).collect();
    KeyValue::new("aws.xray.annotations", Value::Array(Array::String(names)))
}

/// A count as an attribute.
pub fn count_of(name: &'static str, count: u64) -> KeyValue {
    KeyValue::new(name, i64::try_from(count).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_name_is_its_types() {
        assert_eq!(short_name(std::any::type_name::<std::io::Error>()), "Error");
        assert_eq!(short_name("a::SdkError<b::PutObjectError, c::Response>"), "SdkError");
        assert_eq!(short_name("Plain"), "Plain");
    }
}
