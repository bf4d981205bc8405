//! Where spans go, as the environment says, and when.
//!
//! Spans that have ended are kept until [`flush`], without a thread or a timer: Lambda freezes the process between two
//! invocations, and what would then be under way would be late by minutes, or lost.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_config::SdkConfig;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{Context, Key, KeyValue, SpanId, TraceId};
use opentelemetry_otlp::SpanExporter as OtlpExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    IdGenerator, RandomIdGenerator, Sampler, SdkTracer, SdkTracerProvider, Span, SpanData, SpanExporter as _,
    SpanProcessor,
};

use super::{otlp, udp};
use crate::telemetry::chain;

/// Where spans go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// OTLP over HTTP, to this address.
    Otlp(String),
    /// The X-Ray daemon at this address.
    Daemon(SocketAddr),
    /// Nowhere. They have ids all the same, and their contexts travel.
    None,
}

impl Destination {
    /// As the variables say that `lookup` gives: an OTLP endpoint, else the daemon that Lambda names, else none.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Self {
        let given = |name: &str| lookup(name).filter(|value| !value.trim().is_empty());
        let is_off = given("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || given("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        if is_off {
            return Self::None;
        }
        if let Some(endpoint) = given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
            return Self::Otlp(endpoint);
        }
        if let Some(endpoint) = given("OTEL_EXPORTER_OTLP_ENDPOINT") {
            return Self::Otlp(format!("{}/v1/traces", endpoint.trim_end_matches('/')));
        }
        // `127.0.0.1:2000`, or the older form for each protocol: `tcp:127.0.0.1:2000 udp:127.0.0.1:2000`.
        let daemon = given("AWS_XRAY_DAEMON_ADDRESS").and_then(|addresses| {
            let udp = addresses.split_whitespace().find_map(|address| address.strip_prefix("udp:"));
            udp.unwrap_or(addresses.trim()).to_socket_addrs().ok()?.next()
        });
        daemon.map_or(Self::None, Self::Daemon)
    }
}

/// What makes spans, and what sends them.
struct Tracing {
    service: String,
    tracer: SdkTracer,
    exporter: Option<Exporter>,
}

enum Exporter {
    Otlp(Box<OtlpExporter>),
    Daemon(udp::Daemon),
}

static TRACING: OnceLock<Tracing> = OnceLock::new();

/// Spans that have ended and were not sent yet.
static ENDED: Mutex<Ended> = Mutex::new(Ended { spans: Vec::new(), lost: 0 });

#[derive(Default)]
struct Ended {
    spans: Vec<SpanData>,
    /// For which there was no room.
    lost: usize,
}

/// As OpenTelemetry's `OTEL_BSP_MAX_QUEUE_SIZE`: far more than an invocation makes.
const MAX_ENDED: usize = 2048;

/// Held while spans are on their way, so that whoever ends the process can wait for them.
static SENDING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Sends spans of the service `name` to `destination` from now on; later calls have no effect. With `sdk`, X-Ray's own
/// OTLP endpoint is signed for.
pub fn start(name: &str, destination: &Destination, sdk: Option<&SdkConfig>) {
    TRACING.get_or_init(|| {
        let resource = resource(name);
        let exporter = exporter(destination, &resource, sdk);
        let service = resource.get(&Key::from_static_str("service.name"));
        let service = service.map_or_else(|| name.to_owned(), |name| name.to_string());
        Tracing { service, tracer: tracer_of(exporter.is_some(), resource), exporter }
    });
}

/// What this process calls itself.
pub(super) fn service() -> &'static str {
    TRACING.get().map_or("", |tracing| &tracing.service)
}

/// Makes spans; without [`start`], such as go nowhere.
pub(super) fn tracer() -> &'static SdkTracer {
    let tracing = TRACING.get_or_init(|| Tracing {
        service: String::new(),
        tracer: tracer_of(false, Resource::builder_empty().build()),
        exporter: None,
    });
    &tracing.tracer
}

fn tracer_of(is_sent: bool, resource: Resource) -> SdkTracer {
    let mut provider =
        SdkTracerProvider::builder().with_id_generator(XrayIds::default()).with_resource(resource);
    if is_sent {
        provider = provider.with_span_processor(Keeper);
    }
    // Every file has its trace, whatever Lambda sampled; who wants it otherwise says so by the standard variable, which
    // the builder reads.
    if crate::config::environment("OTEL_TRACES_SAMPLER").is_none() {
        provider = provider.with_sampler(Sampler::AlwaysOn);
    }
    provider.build().tracer("penstock")
}

fn exporter(destination: &Destination, resource: &Resource, sdk: Option<&SdkConfig>) -> Option<Exporter> {
    let exporter = match destination {
        Destination::None => return None,
        Destination::Otlp(endpoint) => otlp::exporter(endpoint, sdk)
            .map(|mut exporter| {
                exporter.set_resource(resource);
                Exporter::Otlp(Box::new(exporter))
            })
            .map_err(|error| chain(&error)),
        Destination::Daemon(address) => {
            udp::Daemon::new(*address, resource).map(Exporter::Daemon).map_err(|error| chain(&error))
        }
    };
    // A function without traces is better than none.
    exporter.inspect_err(|error| tracing::error!(error, "spans can't be sent")).ok()
}

/// Sends the spans that have ended, and waits for those that are on their way already. Gives up after `limit`: spans are
/// never worth a file.
pub async fn flush(limit: Duration) {
    let Some(exporter) = TRACING.get().and_then(|tracing| tracing.exporter.as_ref()) else { return };
    if tokio::time::timeout(limit, send(exporter)).await.is_err() {
        tracing::warn!("spans were lost: no answer within {limit:?}");
    }
}

async fn send(exporter: &Exporter) {
    let _sending = SENDING.lock().await;
    let Ended { spans, lost } = std::mem::take(&mut *ENDED.lock().unwrap_or_else(PoisonError::into_inner));
    if lost > 0 {
        tracing::warn!(
            spans = lost,
            "spans were lost: more than {MAX_ENDED} ended before they could be sent"
        );
    }
    if spans.is_empty() {
        return;
    }
    let count = spans.len();
    let sent = match exporter {
        Exporter::Daemon(daemon) => daemon.send(spans).await.map_err(|error| chain(&error)),
        Exporter::Otlp(exporter) => exporter.export(spans).await.map_err(|error| chain(&error)),
    };
    if let Err(error) = sent {
        tracing::warn!(error, spans = count, "spans were lost");
    }
}

/// Keeps spans until [`flush`].
#[derive(Debug)]
struct Keeper;

impl SpanProcessor for Keeper {
    fn on_start(&self, _: &mut Span, _: &Context) {}

    fn on_end(&self, span: SpanData) {
        let mut ended = ENDED.lock().unwrap_or_else(PoisonError::into_inner);
        if ended.spans.len() < MAX_ENDED {
            ended.spans.push(span);
        } else {
            ended.lost += 1;
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        Ok(())
    }

    fn shutdown_with_timeout(&self, _: Duration) -> OTelSdkResult {
        Ok(())
    }
}

/// Trace ids that begin with the time in seconds, as X-Ray demands.
#[derive(Debug, Default)]
struct XrayIds(RandomIdGenerator);

impl IdGenerator for XrayIds {
    fn new_trace_id(&self) -> TraceId {
        let mut bytes = self.0.new_trace_id().to_bytes();
        let seconds = u32::try_from(jiff::Timestamp::now().as_second()).unwrap_or(u32::MAX);
        bytes[..4].copy_from_slice(&seconds.to_be_bytes());
        TraceId::from_bytes(bytes)
    }

    fn new_span_id(&self) -> SpanId {
        self.0.new_span_id()
    }
}

/// What all spans of this process have in common. `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES` are heeded.
fn resource(name: &str) -> Resource {
    let environment = crate::config::environment;
    let mut attributes = vec![KeyValue::new("service.version", crate::VERSION)];
    if environment("OTEL_SERVICE_NAME").is_none() {
        attributes.push(KeyValue::new("service.name", name.to_owned()));
    }
    let given = [
        ("faas.name", "AWS_LAMBDA_FUNCTION_NAME"),
        ("faas.version", "AWS_LAMBDA_FUNCTION_VERSION"),
        ("faas.instance", "AWS_LAMBDA_LOG_STREAM_NAME"),
        ("cloud.region", "AWS_REGION"),
    ];
    for (attribute, variable) in given {
        attributes.extend(environment(variable).map(|value| KeyValue::new(attribute, value)));
    }
    if environment("AWS_LAMBDA_FUNCTION_NAME").is_some() {
        attributes.push(KeyValue::new("cloud.provider", "aws"));
        attributes.push(KeyValue::new("cloud.platform", "aws_lambda"));
    }
    let memory = environment("AWS_LAMBDA_FUNCTION_MEMORY_SIZE").and_then(|mib| mib.parse::<i64>().ok());
    attributes.extend(memory.map(|mib| KeyValue::new("faas.max_memory", mib * 1024 * 1024)));
    if let Some(group) = environment("AWS_LAMBDA_LOG_GROUP_NAME") {
        let groups = opentelemetry::Array::String(vec![group.into()]);
        attributes.push(KeyValue::new("aws.log.group.names", opentelemetry::Value::Array(groups)));
    }
    Resource::builder().with_attributes(attributes).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)]) -> Destination {
        Destination::from_lookup(|name| {
            variables.iter().find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn otlp_comes_before_the_daemon_and_off_before_both() {
        let otlp = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");
        let daemon = ("AWS_XRAY_DAEMON_ADDRESS", "169.254.79.129:2000");
        let whole = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/spans");
        let to = |address: &str| Destination::Otlp(address.into());
        assert_eq!(chosen(&[]), Destination::None);
        assert_eq!(chosen(&[daemon]), Destination::Daemon("169.254.79.129:2000".parse().unwrap()));
        assert_eq!(chosen(&[daemon, otlp]), to("http://127.0.0.1:4318/v1/traces"));
        assert_eq!(chosen(&[daemon, otlp, whole]), to("http://127.0.0.1:4318/spans"));
        for off in [("OTEL_SDK_DISABLED", "TRUE"), ("OTEL_TRACES_EXPORTER", "none")] {
            assert_eq!(chosen(&[daemon, otlp, off]), Destination::None);
        }
        let empty = ("OTEL_EXPORTER_OTLP_ENDPOINT", " ");
        assert_eq!(chosen(&[daemon, empty]), chosen(&[daemon]));
    }

    #[test]
    fn the_daemons_address_is_read_in_both_its_forms() {
        let chosen = |address| chosen(&[("AWS_XRAY_DAEMON_ADDRESS", address)]);
        assert_eq!(
            chosen("tcp:127.0.0.1:2000 udp:127.0.0.2:2001"),
            Destination::Daemon("127.0.0.2:2001".parse().unwrap())
        );
        for bad in ["nowhere", "127.0.0.1", ""] {
            assert_eq!(chosen(bad), Destination::None, "{bad}");
        }
    }
}
