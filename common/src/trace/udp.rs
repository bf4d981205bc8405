//! The X-Ray daemon that Lambda runs beside a function: OTLP in datagrams, as AWS's own distributions for Python and
//! JavaScript send it.

use std::io;
use std::net::SocketAddr;

use base64::Engine as _;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prost::Message as _;
use tokio::net::UdpSocket;

/// What stands before every datagram's content.
const HEADER: &str = "{\"format\":\"json\",\"version\":1}\n";

/// What follows, of a trace that is sampled; and of one that is not.
const SAMPLED: &str = "T1S";
const UNSAMPLED: &str = "T1U";

/// The most that UDP over IPv4 takes.
const MAX_DATAGRAM: usize = 65_507;

/// Sends spans to the daemon.
#[derive(Debug)]
pub(super) struct Daemon {
    socket: UdpSocket,
    resource: ResourceAttributesWithSchema,
}

impl Daemon {
    pub(super) fn new(address: SocketAddr, resource: &Resource) -> io::Result<Self> {
        let any = if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" };
        let socket = std::net::UdpSocket::bind(any)?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, resource: resource.into() })
    }

    /// Sends all of them, in as many datagrams as it takes. The first error is returned; the others are sent all the
    /// same.
    pub(super) async fn send(&self, spans: Vec<SpanData>) -> io::Result<()> {
        let (sampled, unsampled): (Vec<_>, Vec<_>) =
            spans.into_iter().partition(|span| span.span_context.is_sampled());
        let mut left = vec![(UNSAMPLED, unsampled), (SAMPLED, sampled)];
        let mut sent = Ok(());
        while let Some((prefix, mut spans)) = left.pop() {
            if spans.is_empty() {
                continue;
            }
            let datagram = self.datagram(prefix, spans.clone());
            if datagram.len() > MAX_DATAGRAM && spans.len() > 1 {
                let second = spans.split_off(spans.len() / 2);
                left.extend([(prefix, second), (prefix, spans)]);
                continue;
            }
            sent = sent.and(self.send_one(datagram.as_bytes()).await);
        }
        sent
    }

    async fn send_one(&self, datagram: &[u8]) -> io::Result<()> {
        match self.socket.send(datagram).await {
            // The answer to an earlier datagram, which nobody received: this one was not sent.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                self.socket.send(datagram).await.map(|_| ())
            }
            sent => sent.map(|_| ()),
        }
    }

    fn datagram(&self, prefix: &str, spans: Vec<SpanData>) -> String {
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let content = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        let mut datagram = format!("{HEADER}{prefix}");
        base64::engine::general_purpose::STANDARD.encode_string(content, &mut datagram);
        datagram
    }
}
