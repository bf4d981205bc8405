//! The connections that objects are fetched through: the SDK's own, but for the size of their read buffers.
//!
//! hyper's read buffer grows with what arrives at once, to 408 KiB, and stays so for as long as its connection lives. With
//! the SDK's client, whose buffers can't be bounded, a long run costs some megabytes more than a short one.

use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connect, HttpConnector as TcpConnector};
use hyper_util::client::legacy::{Builder, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;

/// What a connection reads at most at once. More was not faster: a TLS record has 16 KiB, a piece of a range 64 KiB.
const READ_BUFFER_BYTES: usize = 64 * 1024;

/// The SDK's way to connections with small read buffers.
#[derive(Debug, Default)]
pub(crate) struct NarrowClient {
    connector: OnceLock<SharedHttpConnector>,
}

impl HttpClient for NarrowClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        // Every client has one for its own settings: they are the same each time.
        self.connector.get_or_init(|| SharedHttpConnector::new(NarrowConnector::new(settings))).clone()
    }
}

/// Requests by plain HTTP or TLS, as their address says. Root certificates are read for the first that needs them.
#[derive(Debug)]
struct NarrowConnector {
    connect_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
    plain: Client<TcpConnector, SdkBody>,
    secure: OnceLock<Client<HttpsConnector<TcpConnector>, SdkBody>>,
}

impl NarrowConnector {
    fn new(settings: &HttpConnectorSettings) -> Self {
        let connect_timeout = settings.connect_timeout();
        Self {
            connect_timeout,
            read_timeout: settings.read_timeout(),
            plain: client(tcp(connect_timeout)),
            secure: OnceLock::new(),
        }
    }

    fn secure(&self) -> Result<&Client<HttpsConnector<TcpConnector>, SdkBody>, ConnectorError> {
        if let Some(client) = self.secure.get() {
            return Ok(client);
        }
        let mut tcp = tcp(self.connect_timeout);
        tcp.enforce_http(false);
        let provider = rustls::crypto::ring::default_provider();
        let tls = HttpsConnectorBuilder::new()
            .with_provider_and_native_roots(provider)
            .map_err(|error| ConnectorError::other(error.into(), None))?;
        Ok(self.secure.get_or_init(|| client(tls.https_only().enable_http1().wrap_connector(tcp))))
    }
}

impl HttpConnector for NarrowConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request = match request.try_into_http1x() {
            Ok(request) => request,
            Err(error) => return HttpConnectorFuture::ready(Err(ConnectorError::user(error.into()))),
        };
        if request.uri().scheme() == Some(&http::uri::Scheme::HTTP) {
            return HttpConnectorFuture::new(answer(self.plain.request(request), self.read_timeout));
        }
        match self.secure() {
            Ok(secure) => HttpConnectorFuture::new(answer(secure.request(request), self.read_timeout)),
            Err(error) => HttpConnectorFuture::ready(Err(error)),
        }
    }
}

/// The head of an answer, in time, with its body still to come.
async fn answer(
    request: hyper_util::client::legacy::ResponseFuture,
    read_timeout: Option<Duration>,
) -> Result<HttpResponse, ConnectorError> {
    let answered = match read_timeout {
        Some(limit) => {
            timeout(limit, request).await.map_err(|elapsed| ConnectorError::timeout(elapsed.into()))?
        }
        None => request.await,
    };
    // What fails before the head has come is the connection, and may be tried again.
    let response = answered.map_err(|error| ConnectorError::io(error.into()))?;
    HttpResponse::try_from(response.map(SdkBody::from_body_1_x))
        .map_err(|error| ConnectorError::other(BoxError::from(error), None))
}

fn client<C: Connect + Clone>(connector: C) -> Client<C, SdkBody> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).http1_max_buf_size(READ_BUFFER_BYTES).build(connector)
}

fn tcp(connect_timeout: Option<Duration>) -> TcpConnector {
    let mut tcp = TcpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(connect_timeout);
    tcp
}
