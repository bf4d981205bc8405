//! A proxy on loopback between the functions and their AWS, which makes requests go wrong.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use super::chaos::{Chaos, Fault};
use super::processes::Family;

type Error = Box<dyn std::error::Error + Send + Sync>;
type AnyBody = UnsyncBoxBody<Bytes, Error>;

/// As S3 says it, and near enough to SNS's.
const SLOW_DOWN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";

/// How late the latest answer is.
const LATEST: Duration = Duration::from_millis(1500);

/// A body that breaks off has at most this many bytes left of it.
const TORN_WITHIN: u64 = 64 * 1024;

/// Invocations of one file, or of one message, that are killed: Lambda tries an event three times.
const KILLS_OF_ONE: u32 = 1;

/// Processes of the consumer that are killed in a run. It may take a batch with it, whose messages stay claimed until the
/// invocation's end: that takes two of the five times that they are handed out. Taken again by a second one, they would have
/// none left for any other fault.
const KILLS_OF_CONSUMER: u32 = 1;

/// Runs as long as it is held.
pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

struct Shared {
    /// Where requests go; it may start later than the proxy.
    upstream: OnceLock<String>,
    family: OnceLock<Family>,
    chaos: Arc<Chaos>,
    client: Client<HttpConnector, AnyBody>,
    kills: Mutex<HashMap<String, u32>>,
}

impl Proxy {
    /// Listens on a free port.
    pub(crate) async fn start(chaos: Arc<Chaos>) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let shared = Shared {
            upstream: OnceLock::new(),
            family: OnceLock::new(),
            chaos,
            client,
            kills: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, _task: AbortOnDropHandle::new(task) })
    }

    /// `http://127.0.0.1:<port>`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What requests were about whose process was killed.
    pub(crate) fn killed(&self) -> Vec<String> {
        let kills = self.shared.kills.lock().unwrap_or_else(PoisonError::into_inner);
        kills.iter().filter(|(_, kills)| **kills > 0).map(|(subject, _)| subject.clone()).collect()
    }

    /// Stands before the server at this endpoint from now on, and before these processes.
    pub(crate) fn stand_before(&self, endpoint: &str, family: Family) {
        // Set once: the first stays.
        self.shared.upstream.get_or_init(|| endpoint.trim_end_matches('/').to_owned());
        self.shared.family.get_or_init(|| family);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, peer)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let answer = service_fn(|request| answer(request, peer.port(), Arc::clone(&shared)));
            let server = auto::Builder::new(TokioExecutor::new());
            // Either side may go away at any time: here that is the point.
            server.serve_connection(TokioIo::new(stream), answer).await.unwrap_or_default();
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: u16,
    shared: Arc<Shared>,
) -> Result<Response<AnyBody>, Error> {
    let chaos = &shared.chaos;
    let subject = subject(request.uri().path());
    if chaos.is_due(Fault::Unavailable) {
        // A client that is cut off while it sends sees another fault than this.
        request.into_body().collect().await?;
        chaos.count(Fault::Unavailable);
        return refused();
    }
    if chaos.is_due(Fault::Slow) {
        chaos.count(Fault::Slow);
        let latest = u64::try_from(LATEST.as_millis()).unwrap_or(u64::MAX);
        tokio::time::sleep(Duration::from_millis(chaos.below(latest))).await;
    }
    let killing = chaos.is_due(Fault::Kill);
    if killing && chaos.below(2) == 0 && shared.kill(&subject, peer) {
        return Err("killed before the request".into());
    }
    let losing = chaos.is_due(Fault::Lost);
    let reads = request.method() == http::Method::GET;
    let answer = shared.forward(request).await?;
    if killing && shared.kill(&subject, peer) {
        return Err("killed after the request".into());
    }
    if losing {
        // Carried out to its end, or else it might not have been at all.
        answer.into_body().collect().await?;
        chaos.count(Fault::Lost);
        return Err("the answer is lost".into());
    }
    if reads && answer.status().is_success() && chaos.is_due(Fault::Torn) {
        let length = answer.body().size_hint().exact().unwrap_or(TORN_WITHIN);
        let left = chaos.below(length.min(TORN_WITHIN));
        chaos.count(Fault::Torn);
        return Ok(answer.map(|body| Torn { body, left }.boxed_unsync()));
    }
    Ok(answer)
}

fn refused() -> Result<Response<AnyBody>, Error> {
    let body = Full::new(Bytes::from_static(SLOW_DOWN.as_bytes())).map_err(|never| match never {});
    let answer = Response::builder().status(StatusCode::SERVICE_UNAVAILABLE);
    Ok(answer.header(header::CONTENT_TYPE, "application/xml").body(body.boxed_unsync())?)
}

impl Shared {
    async fn forward(&self, request: Request<Incoming>) -> Result<Response<AnyBody>, Error> {
        let upstream = self.upstream.get().ok_or("the proxy has nothing behind it yet")?;
        let (mut head, body) = request.into_parts();
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        head.uri = format!("{upstream}{path}").parse()?;
        let host = upstream.trim_start_matches("http://");
        // Where the signature covers the host, it is the proxy's: so that one stays.
        head.headers.entry(header::HOST).or_insert(HeaderValue::from_str(host)?);
        let request = Request::from_parts(head, body.map_err(Into::into).boxed_unsync());
        let answer = self.client.request(request).await?;
        Ok(answer.map(|body| body.map_err(Into::into).boxed_unsync()))
    }

    /// Kills the process behind a connection, unless that would be more than AWS makes good.
    fn kill(&self, subject: &str, peer: u16) -> bool {
        let Some(process) = self.family.get().and_then(|family| family.at_port(peer)) else { return false };
        let consumer = process.function.contains("consumer");
        let (name, most) = if consumer { ("consumer", KILLS_OF_CONSUMER) } else { (subject, KILLS_OF_ONE) };
        let mut kills = self.kills.lock().unwrap_or_else(PoisonError::into_inner);
        let done = kills.entry(name.to_owned()).or_default();
        if *done >= most || !process.kill() {
            return false;
        }
        *done += 1;
        self.chaos.count(Fault::Kill);
        true
    }
}

/// What a request is about: the file's key as far as its first dot, so that input, output, rejects and receipt are one.
fn subject(path: &str) -> String {
    let name = path.rsplit_once(super::plan::PREFIX).map_or(path, |(_, name)| name);
    name.split('.').next().unwrap_or_default().to_owned()
}

/// A body that breaks off after `left` bytes.
struct Torn {
    body: AnyBody,
    left: u64,
}

impl Body for Torn {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.left == 0 {
            return Poll::Ready(Some(Err("the body breaks off".into())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| {
            let mut data = frame?.into_data().map_err(|_trailers| "what is no data")?;
            data.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
            self.left -= data.len() as u64;
            Ok(Frame::data(data))
        }))
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use common::contract::ObjectRef;
    use common::sim::SimServer;
    use common::store::{Condition, MemoryStore, NewObject, Payload, S3Store, Store as _};

    use super::*;

    /// A store behind a proxy with these rates, one attempt for each request, and an object in it.
    async fn world(rates: &str) -> (S3Store, Arc<Chaos>, SimServer, Proxy, ObjectRef) {
        let memory = Arc::new(MemoryStore::new());
        let object = ObjectRef::new("bucket", "loadtest/x.csv");
        let new = NewObject { object: object.clone(), content_type: "", metadata: [].into() };
        memory.put(&new, Payload::new(Bytes::from(vec![b'x'; 100_000])), &Condition::Always).await.unwrap();
        let server = SimServer::start(memory).await.unwrap();
        let chaos = Arc::new(Chaos::new(rates.parse().unwrap(), 1));
        let proxy = Proxy::start(Arc::clone(&chaos)).await.unwrap();
        proxy.stand_before(&server.endpoint(), Family::Children);
        let config = server.client(1).config().to_builder().endpoint_url(proxy.endpoint()).build();
        (S3Store::new(aws_sdk_s3::Client::from_conf(config)), chaos, server, proxy, object)
    }

    async fn read(store: &S3Store, object: &ObjectRef) -> Result<u64, common::store::StoreError> {
        use futures::TryStreamExt as _;
        let body = store.get(object, None, None).await?;
        body.stream.try_fold(0, |sum, chunk| std::future::ready(Ok(sum + chunk.len() as u64))).await
    }

    #[tokio::test]
    async fn without_faults_everything_passes() {
        let (store, chaos, _server, _proxy, object) = world("torn=0").await;
        assert_eq!(read(&store, &object).await.unwrap(), 100_000);
        assert!(chaos.injected().is_empty());
    }

    #[tokio::test]
    async fn every_fault_is_a_transient_error_for_the_client_and_is_counted() {
        for fault in ["unavailable", "lost", "torn"] {
            let (store, chaos, _server, _proxy, object) = world(&format!("{fault}=1")).await;
            let error = read(&store, &object).await.unwrap_err();
            assert!(error.is_transient(), "{fault}: {error:?}");
            assert!(chaos.injected()[fault] >= 1, "{fault}");
        }
    }

    #[tokio::test]
    async fn a_lost_answer_is_of_a_request_that_was_carried_out() {
        let (store, _chaos, server, _proxy, _) = world("lost=1").await;
        let object = ObjectRef::new("bucket", "loadtest/y.csv");
        let new = NewObject { object: object.clone(), content_type: "", metadata: [].into() };
        let payload = Payload::new(Bytes::from_static(b"y"));
        assert!(store.put(&new, payload, &Condition::Always).await.is_err());
        assert!(server.store(1).head(&object).await.unwrap().is_some());
    }

    #[test]
    fn a_files_objects_are_one_subject() {
        let paths =
            ["/in/loadtest/r/7.csv", "/out/clean/loadtest/r/7.csv", "/out/receipts/loadtest/r/7.csv.json"];
        assert!(paths.iter().all(|path| subject(path) == "r/7"));
        assert_ne!(subject("/out/claims/a.json"), subject("/out/claims/b.json"));
    }
}
