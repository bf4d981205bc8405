//! An invocation as a span, and the flush behind it.
//!
//! `lambda_runtime`'s own layer for OpenTelemetry takes no parent from X-Ray's header, sets no kind, and blocks the
//! thread to flush.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, SystemTime};

use lambda_runtime::tower::{Layer, Service};
use lambda_runtime::{Context as LambdaContext, Error, LambdaInvocation};
use opentelemetry::trace::{FutureExt as _, SpanBuilder, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::{flush, from_xray, span, xray_field, xray_id};

/// How long a flush may take, at most: a receiver that is slower has lost the spans.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// What is kept of an invocation's time, so that a slow receiver never makes it one that timed out.
const RESERVE: Duration = Duration::from_millis(200);

/// The `Lineage` field of the invocation's X-Ray header, in the context of all that it does.
pub(crate) struct Lineage(pub(crate) String);

/// Makes a span of each invocation, and sends what it made after its answer is out and before the next one is asked for:
/// Lambda does not freeze the process in between.
#[derive(Debug, Clone)]
pub struct InvocationLayer {
    trigger: &'static str,
    under_way: TaskTracker,
}

impl InvocationLayer {
    /// With OpenTelemetry's `faas.trigger`.
    pub fn new(trigger: &'static str) -> Self {
        Self { trigger, under_way: TaskTracker::new() }
    }

    /// Counts invocations there, each until its answer is out and its spans are.
    #[must_use]
    pub fn counted_by(self, under_way: TaskTracker) -> Self {
        Self { under_way, ..self }
    }
}

impl<S> Layer<S> for InvocationLayer {
    type Service = Invocations<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Invocations { inner, layer: self.clone(), is_first: true }
    }
}

/// Made by [`InvocationLayer`].
pub struct Invocations<S> {
    inner: S,
    layer: InvocationLayer,
    is_first: bool,
}

impl<S> Service<LambdaInvocation> for Invocations<S>
where
    S: Service<LambdaInvocation, Response = (), Error = Error>,
    S::Future: 'static,
{
    type Response = ();
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<(), Error>>>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let lambda = &invocation.context;
        let context = begin(lambda, self.layer.trigger, std::mem::take(&mut self.is_first));
        let trace_id = context.span().span_context().trace_id();
        // Of the highest level, so that `RUST_LOG=warn` keeps it.
        let log = tracing::error_span!(
            "invocation",
            request_id = lambda.request_id,
            trace_id = %trace_id,
            xray_trace_id = xray_id(trace_id)
        );
        let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(lambda.deadline);
        let work = {
            let _current = context.clone().attach();
            let _log = log.enter();
            self.inner.call(invocation)
        };
        let work = work.with_context(context.clone()).instrument(log);
        let under_way = self.layer.under_way.token();
        Box::pin(async move {
            let _under_way = under_way;
            let answered = work.await;
            context.span().end();
            flush(time_to_flush(deadline)).await;
            answered
        })
    }
}

fn begin(lambda: &LambdaContext, trigger: &'static str, is_first: bool) -> Context {
    let header = lambda.xray_trace_id.as_deref().unwrap_or_default();
    let mut parent = Context::new();
    if let Some(caller) = from_xray(header) {
        parent = parent.with_remote_span_context(caller);
    }
    if let Some(lineage) = xray_field(header, "Lineage") {
        parent = parent.with_value(Lineage(lineage.to_owned()));
    }
    let builder = SpanBuilder::from_name(lambda.env_config.function_name.clone());
    let attributes = vec![
        KeyValue::new("faas.invocation_id", lambda.request_id.clone()),
        KeyValue::new("faas.trigger", trigger),
        KeyValue::new("faas.coldstart", is_first),
        KeyValue::new("cloud.resource_id", lambda.invoked_function_arn.clone()),
    ];
    span(builder.with_kind(SpanKind::Server).with_attributes(attributes), &parent)
}

/// What is left of the invocation's time, within reason. Where there is no deadline, all of it.
fn time_to_flush(deadline: SystemTime) -> Duration {
    if deadline == SystemTime::UNIX_EPOCH {
        return FLUSH_WITHIN;
    }
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
    FLUSH_WITHIN.min(left.saturating_sub(RESERVE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_takes_no_time_that_is_not_there() {
        let within = |left| time_to_flush(SystemTime::now() + left);
        assert_eq!(within(Duration::from_mins(1)), FLUSH_WITHIN);
        assert!(within(Duration::from_secs(1)) <= Duration::from_millis(800));
        assert_eq!(within(Duration::from_millis(100)), Duration::ZERO);
        assert_eq!(time_to_flush(SystemTime::UNIX_EPOCH), FLUSH_WITHIN);
    }
}
