//! A receiver of spans on loopback: for tests, and for `penstock`, which draws them. It takes OTLP over HTTP and what
//! is sent to X-Ray's daemon.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::fs::File;
use std::io::{self, Seek as _, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode as Status};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

/// More than any datagram.
const MAX_DATAGRAM: usize = 1 << 16;

/// What is remembered, so that a system that is left running does not grow: the oldest are forgotten.
const MAX_SPANS: usize = 100_000;

/// The same, where they are kept in a file: a span takes some 3 KB.
const MAX_SPANS_BESIDE_FILE: usize = 10_000;

/// Of a file that is longer, only what is remembered is kept.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;

/// A client sends its spans in portions far smaller than this.
const MAX_EXPORT_BYTES: usize = 64 * 1024 * 1024;

/// A span as it arrived. Ids are hexadecimal, times nanoseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReceivedSpan {
    /// The resource's `service.name`.
    pub service: String,
    /// The trace's id.
    pub trace_id: String,
    /// The span's id.
    pub span_id: String,
    /// The parent's id, if there is one.
    pub parent: Option<String>,
    /// Its name.
    pub name: String,
    /// Its kind.
    #[serde(skip)]
    pub kind: SpanKind,
    /// When it began.
    pub start: u64,
    /// When it ended.
    pub end: u64,
    /// Its attributes, as text.
    pub attributes: BTreeMap<String, String>,
    /// Its events' names and attributes.
    pub events: Vec<(String, BTreeMap<String, String>)>,
    /// Traces and spans that it is linked to.
    pub links: Vec<(String, String)>,
    /// What went wrong, if anything.
    pub error: Option<String>,
}

impl ReceivedSpan {
    fn new(service: &str, span: Span) -> Self {
        let parent = Some(hex(&span.parent_span_id)).filter(|id| !id.is_empty());
        let status = span.status.clone().unwrap_or_default();
        Self {
            service: service.to_owned(),
            trace_id: hex(&span.trace_id),
            span_id: hex(&span.span_id),
            parent,
            kind: span.kind(),
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
            attributes: texts(&span.attributes),
            events: span.events.into_iter().map(|event| (event.name, texts(&event.attributes))).collect(),
            links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
            error: (status.code() == Status::Error).then_some(status.message),
            name: span.name,
        }
    }

    /// An attribute, or nothing.
    pub fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }
}

/// What has arrived.
#[derive(Default)]
struct Spans {
    all: VecDeque<ReceivedSpan>,
    /// Where they are kept, a line each.
    file: Option<Kept>,
}

struct Kept {
    file: File,
    bytes: u64,
    max_bytes: u64,
}

impl Kept {
    fn add(&mut self, span: &ReceivedSpan) -> io::Result<()> {
        let mut line = serde_json::to_vec(span)?;
        line.push(b'\n');
        // At once: somebody may be reading.
        self.file.write_all(&line)?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    fn begin_anew<'a>(&mut self, mut with: impl Iterator<Item = &'a ReceivedSpan>) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        self.bytes = 0;
        with.try_for_each(|span| self.add(span))
    }
}

type Received = Arc<Mutex<Spans>>;

impl Spans {
    fn keep(&mut self, span: ReceivedSpan) {
        let most = if self.file.is_some() { MAX_SPANS_BESIDE_FILE } else { MAX_SPANS };
        if self.all.len() == most {
            self.all.pop_front();
        }
        if let Some(kept) = &mut self.file {
            let is_full = kept.bytes >= kept.max_bytes;
            let room = if is_full { kept.begin_anew(self.all.iter()) } else { Ok(()) };
            if let Err(error) = room.and_then(|()| kept.add(&span)) {
                tracing::warn!(error = %error, "a span is not kept");
            }
        }
        self.all.push_back(span);
    }
}

/// A receiver that runs as long as this is held.
pub struct SpanReceiver {
    http: SocketAddr,
    udp: SocketAddr,
    received: Received,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl SpanReceiver {
    /// Receives on free ports.
    pub async fn start() -> io::Result<Self> {
        Self::receive(Spans::default()).await
    }

    /// And writes each span into `file`, a JSON object a line: the last 256 MiB, or somewhat less.
    pub async fn keeping(file: File) -> io::Result<Self> {
        let file = Some(Kept { file, bytes: 0, max_bytes: MAX_FILE_BYTES });
        Self::receive(Spans { file, ..Spans::default() }).await
    }

    async fn receive(spans: Spans) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let (http, udp) = (listener.local_addr()?, socket.local_addr()?);
        let received = Arc::new(Mutex::new(spans));
        let tasks = [
            tokio::spawn(serve(listener, Arc::clone(&received))),
            tokio::spawn(listen(socket, Arc::clone(&received))),
        ];
        Ok(Self { http, udp, received, _tasks: tasks.map(AbortOnDropHandle::new) })
    }

    /// Where it takes OTLP: for `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`.
    pub fn endpoint(&self) -> String {
        format!("http://{}/v1/traces", self.http)
    }

    /// Where it takes what is meant for X-Ray's daemon: for `AWS_XRAY_DAEMON_ADDRESS`.
    pub fn daemon(&self) -> SocketAddr {
        self.udp
    }

    /// What has arrived so far: the last 100,000, or 10,000 where they are kept in a file.
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.all.iter().cloned().collect()
    }

    /// How many of a kind have arrived so far.
    pub fn count(&self, is_counted: impl Fn(&ReceivedSpan) -> bool) -> usize {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.all.iter().filter(|span| is_counted(span)).count()
    }

    /// What has arrived so far of one trace.
    pub fn of_trace(&self, trace_id: &str) -> Vec<ReceivedSpan> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
        received.all.iter().filter(|span| span.trace_id == trace_id).cloned().collect()
    }
}

async fn serve(listener: TcpListener, received: Received) {
    while let Ok((stream, _)) = listener.accept().await {
        let received = Arc::clone(&received);
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(request, Arc::clone(&received)));
            let server = auto::Builder::new(TokioExecutor::new());
            // A client that goes away is its own affair.
            server.serve_connection(TokioIo::new(stream), answer).await.unwrap_or_default();
        });
    }
}

async fn answer(request: Request<Incoming>, received: Received) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_export = request.method() == Method::POST && request.uri().path() == "/v1/traces";
    let body = Limited::new(request.into_body(), MAX_EXPORT_BYTES).collect().await;
    let body = body.map(http_body_util::Collected::to_bytes);
    let taken = is_export && body.is_ok_and(|body| take(&body, &received));
    let mut response = Response::new(Full::default());
    *response.status_mut() = if taken { StatusCode::OK } else { StatusCode::BAD_REQUEST };
    Ok(response)
}

async fn listen(socket: UdpSocket, received: Received) {
    let mut datagram = vec![0; MAX_DATAGRAM];
    while let Ok(length) = socket.recv(&mut datagram).await {
        let text = std::str::from_utf8(&datagram[..length]).unwrap_or_default();
        if let Some(content) = content(text) {
            take(&content, &received);
        }
    }
}

/// What a datagram holds: a header of one line, then `T1S` or `T1U`, then base64.
fn content(datagram: &str) -> Option<Vec<u8>> {
    let (header, body) = datagram.split_once('\n')?;
    let header: serde_json::Value = serde_json::from_str(header).ok()?;
    let body = body.strip_prefix("T1S").or_else(|| body.strip_prefix("T1U"))?;
    let is_ours = header["format"] == "json" && header["version"] == 1;
    is_ours.then(|| base64::engine::general_purpose::STANDARD.decode(body).ok())?
}

fn take(content: &[u8], received: &Received) -> bool {
    let Ok(request) = ExportTraceServiceRequest::decode(content) else { return false };
    let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
    for resource in request.resource_spans {
        let attributes = texts(&resource.resource.unwrap_or_default().attributes);
        let service = attributes.get("service.name").map_or("", String::as_str);
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        for span in spans.map(|span| ReceivedSpan::new(service, span)) {
            received.keep(span);
        }
    }
    true
}

fn hex(bytes: &[u8]) -> String {
    crate::contract::hex(bytes)
}

fn texts(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    attributes.iter().map(|attribute| (attribute.key.clone(), text(attribute.value.as_ref()))).collect()
}

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(any_value::Value::StringValue(text)) => text.clone(),
        Some(any_value::Value::IntValue(number)) => number.to_string(),
        Some(any_value::Value::DoubleValue(number)) => number.to_string(),
        Some(any_value::Value::BoolValue(truth)) => truth.to_string(),
        Some(any_value::Value::ArrayValue(array)) => {
            array.values.iter().map(|value| text(Some(value))).collect::<Vec<_>>().join(", ")
        }
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_full_keeps_what_is_remembered() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let max_bytes = 20_000;
        let kept = Kept { file: file.reopen().unwrap(), bytes: 0, max_bytes };
        let mut spans = Spans { file: Some(kept), ..Spans::default() };
        let mut names = Vec::new();
        for number in 0..200 {
            let span = ReceivedSpan { name: format!("{number}"), ..ReceivedSpan::default() };
            spans.keep(span);
            names.push(format!("{number}"));
            // Small enough to begin anew with.
            if spans.all.len() > 20 {
                spans.all.pop_front();
            }
            let text = std::fs::read_to_string(file.path()).unwrap();
            assert!(text.len() as u64 <= max_bytes + 1000, "{} bytes", text.len());
            let read: Vec<String> =
                text.lines().map(|line| serde_json::from_str::<ReceivedSpan>(line).unwrap().name).collect();
            assert!(names.ends_with(&read) && read.len() >= names.len().min(20), "{read:?}");
        }
    }
}
