//! One request, one answer, on a connection of its own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, Uri, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::resolve::{Allowed, Resolve, SystemResolver, addresses};

/// How long an address may take to be reached.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long a request may take, all of it.
const ANSWER_WITHIN: Duration = Duration::from_secs(8);

/// Why there is no answer. No URL is named: it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Not a URL that may be called.
    #[error("the URL is malformed: {0}")]
    Url(&'static str),
    /// The host has no address.
    #[error("resolve {host}")]
    Resolve {
        /// The host.
        host: String,
        /// What the name server said.
        source: io::Error,
    },
    /// The host is not on the public internet.
    #[error("{host} has a private, local or reserved address: allow it by name if it is meant")]
    Inside {
        /// The host.
        host: String,
    },
    /// No connection.
    #[error("connect to {host}")]
    Connect {
        /// The host.
        host: String,
        /// Why not.
        source: io::Error,
    },
    /// This machine's root certificates can't be used.
    #[error("set up TLS")]
    Tls(#[source] rustls::Error),
    /// The connection broke.
    #[error("exchange with {host}")]
    Exchange {
        /// The host.
        host: String,
        /// Why.
        source: hyper::Error,
    },
    /// It took too long.
    #[error("{host} did not answer within {} s", ANSWER_WITHIN.as_secs())]
    TimedOut {
        /// The host.
        host: String,
    },
}

impl HttpError {
    /// Whether the same request may be answered when it is made again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Url(_) | Self::Inside { .. } | Self::Tls(_) => false,
            Self::Resolve { .. } | Self::Connect { .. } | Self::Exchange { .. } | Self::TimedOut { .. } => {
                true
            }
        }
    }
}

/// A POST.
#[derive(Debug, Clone)]
pub struct Request {
    /// Where to.
    pub url: String,
    /// Beside what HTTP itself needs.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// What.
    pub body: Bytes,
}

/// Calls whom others name.
pub struct HttpClient {
    resolver: Arc<dyn Resolve>,
    allowed: Allowed,
    /// Root certificates are read when they are needed first: that takes milliseconds.
    tls: OnceLock<Arc<ClientConfig>>,
}

/// A URL, taken apart.
struct Place {
    host: String,
    port: u16,
    is_secure: bool,
    authority: HeaderValue,
    path: String,
}

impl HttpClient {
    /// Calls hosts on the public internet, and those that are allowed by name.
    pub fn new(allowed: impl IntoIterator<Item = String>) -> Self {
        Self { resolver: Arc::new(SystemResolver), allowed: Allowed::new(allowed), tls: OnceLock::new() }
    }

    /// Asks another name server.
    #[must_use]
    pub fn resolving_through(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// Trusts these certificates instead of the system's.
    #[must_use]
    pub fn trusting(mut self, tls: ClientConfig) -> Self {
        self.tls = OnceLock::from(Arc::new(tls));
        self
    }

    /// Posts, and gives the answer's status. Its body is not read, and what it points to is not followed.
    pub async fn post(&self, request: Request) -> Result<StatusCode, HttpError> {
        let place = self.place(&request.url)?;
        let host = place.host.clone();
        let exchange = Box::pin(self.exchange(place, request));
        tokio::time::timeout(ANSWER_WITHIN, exchange).await.unwrap_or(Err(HttpError::TimedOut { host }))
    }

    /// Whether a URL may be called, as far as that can be told without its host's addresses.
    pub(crate) fn check(&self, url: &str) -> Result<(), HttpError> {
        self.place(url).map(drop)
    }

    /// Plain HTTP is for hosts that are allowed by name: it is no way through the internet.
    fn place(&self, url: &str) -> Result<Place, HttpError> {
        let uri: Uri = url.parse().map_err(|_unquoted| HttpError::Url("it is no URL"))?;
        let authority = uri.authority().ok_or(HttpError::Url("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(HttpError::Url("it has a user's name"));
        }
        let host = authority.host().to_owned();
        if host.is_empty() {
            return Err(HttpError::Url("it has no host"));
        }
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if self.allowed.has(&host) => false,
            _ => return Err(HttpError::Url("it has to begin with https://")),
        };
        let usual = if is_secure { 443 } else { 80 };
        let port = match authority.as_str().strip_prefix(&host).unwrap_or_default() {
            "" => usual,
            _ => authority.port_u16().ok_or(HttpError::Url("its port is no port"))?,
        };
        let authority = HeaderValue::from_str(authority.as_str());
        let authority = authority.map_err(|_unquoted| HttpError::Url("its host is no header"))?;
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        Ok(Place { host, port, is_secure, authority, path })
    }

    async fn exchange(&self, place: Place, request: Request) -> Result<StatusCode, HttpError> {
        let stream = self.connect(&place).await?;
        if !place.is_secure {
            return send(TokioIo::new(stream), place, request).await;
        }
        let failed = |source| HttpError::Connect { host: place.host.clone(), source };
        let bare = place.host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare);
        let name =
            name.map_err(|_unquoted| HttpError::Url("its host is no name that a certificate can have"))?;
        let stream = TlsConnector::from(self.tls()?).connect(name, stream).await.map_err(failed)?;
        send(TokioIo::new(stream), place, request).await
    }

    /// Connects to an address that was looked at: the name is not resolved once more.
    async fn connect(&self, place: &Place) -> Result<TcpStream, HttpError> {
        let addresses = addresses(&*self.resolver, &self.allowed, &place.host, place.port).await?;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses {
            match reach(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(HttpError::Connect { host: place.host.clone(), source: last })
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, HttpError> {
        if let Some(tls) = self.tls.get() {
            return Ok(Arc::clone(tls));
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let tls = tls.map_err(HttpError::Tls)?.with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::clone(self.tls.get_or_init(|| Arc::new(tls))))
    }
}

async fn reach(address: SocketAddr) -> io::Result<TcpStream> {
    let connect = tokio::time::timeout(CONNECT_WITHIN, TcpStream::connect(address));
    connect.await.unwrap_or_else(|_late| Err(io::ErrorKind::TimedOut.into()))
}

async fn send<Io>(io: TokioIo<Io>, place: Place, request: Request) -> Result<StatusCode, HttpError>
where
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let failed = |source| HttpError::Exchange { host: place.host.clone(), source };
    let (mut sender, connection) = http1::handshake(io).await.map_err(failed)?;
    // It ends with this request, whatever the other side does.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let mut message = http::Request::new(Full::new(request.body));
    *message.method_mut() = http::Method::POST;
    *message.uri_mut() = place.path.parse().map_err(|_unquoted| HttpError::Url("its path is malformed"))?;
    message.headers_mut().insert(header::HOST, place.authority.clone());
    message.headers_mut().insert(
        header::USER_AGENT,
        HeaderValue::from_static(concat!("penstock/", env!("CARGO_PKG_VERSION"))),
    );
    message.headers_mut().extend(request.headers);
    let answer = sender.send_request(message).await.map_err(failed)?;
    Ok(answer.status())
}
