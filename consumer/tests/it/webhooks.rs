//! Webhooks over real connections: what is sent, what counts as taken, and where no request ever goes.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use common::secrets::MemorySecrets;
use consumer::dead_letter::REASON;
use consumer::http::{HttpClient, HttpError, Request, Resolve};
use consumer::notify::{Builder, Console, Notifications};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::world::World;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A request's headers and body.
type Received = (BTreeMap<String, String>, String);

/// Somebody's server: it keeps what it is sent and gives the answers that it was told, the last one again and again.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    requests: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub(crate) async fn start(answers: &[&str]) -> Self {
        Self::serve(answers, None).await
    }

    async fn serve(answers: &[&str], tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, answers) =
            (Arc::clone(&requests), answers.iter().map(|a| (*a).to_owned()).collect::<Vec<_>>());
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let answer = &answers[number.min(answers.len() - 1)];
                // A client that does not trust the certificate hangs up.
                let request = match &tls {
                    Some(tls) => match tls.accept(stream).await {
                        Ok(stream) => exchange(stream, answer).await,
                        Err(_) => continue,
                    },
                    None => exchange(stream, answer).await,
                };
                kept.lock().unwrap().push(request);
            }
        });
        Self { address, requests }
    }

    pub(crate) fn requests(&self) -> Vec<(BTreeMap<String, String>, String)> {
        self.requests.lock().unwrap().clone()
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &str,
) -> (BTreeMap<String, String>, String) {
    let mut bytes = Vec::new();
    loop {
        let mut chunk = [0; 4096];
        let read = stream.read(&mut chunk).await.unwrap();
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<String, String> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        if body.len() >= headers["content-length"].parse::<usize>().unwrap() {
            let answer = format!("HTTP/1.1 {answer}\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            stream.shutdown().await.unwrap_or_default();
            return (headers, body.to_owned());
        }
    }
}

pub(crate) fn builder(secrets: &[(&str, &str)]) -> Builder {
    let sdk = aws_config::SdkConfig::builder()
        .behavior_version(aws_config::BehaviorVersion::latest())
        .region(aws_config::Region::from_static("us-east-1"))
        .build();
    let secrets = secrets.iter().map(|(name, secret)| ((*name).to_owned(), (*secret).to_owned()));
    Builder {
        sns: aws_sdk_sns::Client::new(&sdk),
        eventbridge: aws_sdk_eventbridge::Client::new(&sdk),
        secrets: Arc::new(MemorySecrets(secrets.collect())),
        alert_topic_arn: None,
        console: Console::new(Some("us-east-1".into())),
    }
}

/// A file that failed, delivered to a function with one target; whether the message is done.
async fn told(world: &World, target: &str) -> bool {
    let text =
        format!("{{targets: {{t: {{{target}}}}}, rules: [{{to: [t]}}], allow_private_hosts: [127.0.0.1]}}");
    let rules = Notifications::parse("rules", &text).unwrap();
    let secrets = [("hook", SECRET), ("bad", "whsec_"), ("url", "http://127.0.0.1:1/")];
    let consumer = world.consumer_telling(builder(&secrets).build(rules));
    let event = world.failed("in/a.csv", "v1").await;
    let batch = crate::world::batch(&[crate::world::record("m1", &event)]);
    crate::world::failures(&consumer.handle(batch, &consumer::Invocation::default()).await.unwrap())
        .is_empty()
}

#[tokio::test]
async fn a_webhook_is_sent_as_standard_webhooks_has_it() {
    let (world, receiver) = (World::default(), Receiver::start(&["204 No Content"]).await);
    let url = format!("webhook: 'http://{}/hook?a=b', secret: hook", receiver.address);
    assert!(told(&world, &url).await);
    let [(headers, body)] = &receiver.requests()[..] else { panic!("one request") };
    let event_id = &world.entries()[0].event_id;
    assert_eq!(&headers["webhook-id"], event_id);
    assert!(headers["webhook-timestamp"].parse::<u64>().is_ok());
    assert!(headers["webhook-signature"].starts_with("v1,"));
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["host"], receiver.address.to_string());
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["type"], "penstock.file.failed");
    assert_eq!(body["timestamp"], "2026-11-23T12:00:01.5Z");
    assert_eq!(body["data"]["error"]["code"], "corrupt_gzip");
    assert!(body["text"].as_str().unwrap().contains("the gzip stream ends in the middle of a member"));
}

#[tokio::test]
async fn slack_gets_a_text_without_markup_of_others() {
    let (world, receiver) = (World::default(), Receiver::start(&["200 OK"]).await);
    assert!(told(&world, &format!("slack: 'http://{}/T/B/x'", receiver.address)).await);
    let [(headers, body)] = &receiver.requests()[..] else { panic!("one request") };
    assert!(!headers.contains_key("webhook-signature"));
    let body: Value = serde_json::from_str(body).unwrap();
    let text = body["text"].as_str().unwrap();
    assert!(text.starts_with("*Penstock could not process in/a.csv*\n```"), "{text}");
}

#[tokio::test]
async fn what_fails_for_the_moment_is_tried_three_times_with_one_id() {
    let answers = ["503 Busy", "429 Slow", "200 OK"];
    let (world, receiver) = (World::default(), Receiver::start(&answers).await);
    assert!(told(&world, &format!("webhook: 'http://{}/', secret: hook", receiver.address)).await);
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests.iter().all(|(headers, _)| headers["webhook-id"] == requests[0].0["webhook-id"]));

    let (world, receiver) = (World::default(), Receiver::start(&["500 No"]).await);
    assert!(!told(&world, &format!("webhook: 'http://{}/', secret: hook", receiver.address)).await);
    assert_eq!(receiver.requests().len(), 3);
    assert!(world.entries().is_empty(), "nobody has been told yet");
}

/// Nobody can be told, however often: the message is set aside, and the file catalogued as what it is.
fn is_refused_for_good(world: &World) -> bool {
    let (letters, entries) = (world.queues.sent(), world.entries());
    let codes: Vec<_> = entries.iter().map(|entry| entry.error_code.as_deref()).collect();
    letters.len() == 1 && letters[0].1.attributes[REASON] == "notify" && codes == [Some("corrupt_gzip")]
}

#[tokio::test]
async fn only_2xx_is_taken_and_nothing_is_followed() {
    let elsewhere = Receiver::start(&["200 OK"]).await;
    let to = |status: &str| format!("{status}\r\nlocation: http://{}/", elsewhere.address);
    for status in ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"] {
        let (world, receiver) = (World::default(), Receiver::start(&[&to(status)]).await);
        assert!(told(&world, &format!("webhook: 'http://{}/', secret: hook", receiver.address)).await);
        assert_eq!(receiver.requests().len(), 1, "{status} is not tried again");
        assert!(is_refused_for_good(&world), "{status}");
    }
    for answer in ["400 Bad", "404 None", "410 Gone"] {
        let (world, receiver) = (World::default(), Receiver::start(&[answer]).await);
        assert!(told(&world, &format!("slack: 'http://{}/'", receiver.address)).await);
        assert_eq!(receiver.requests().len(), 1, "{answer}");
        assert!(is_refused_for_good(&world), "{answer}");
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn without_a_secret_nothing_is_sent() {
    let (world, receiver) = (World::default(), Receiver::start(&["200 OK"]).await);
    assert!(!told(&world, &format!("webhook: 'http://{}/', secret: unknown", receiver.address)).await);
    assert!(world.entries().is_empty(), "it may be there when the message comes again");
    assert!(told(&world, &format!("webhook: 'http://{}/', secret: bad", receiver.address)).await);
    assert!(is_refused_for_good(&world) && receiver.requests().is_empty());
}

/// A name server that says what it is told, and counts.
struct Says(Vec<SocketAddr>, AtomicUsize);

#[async_trait]
impl Resolve for Says {
    async fn resolve(&self, _: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.clone())
    }
}

fn says(addresses: &[&str]) -> Arc<Says> {
    Arc::new(Says(addresses.iter().map(|address| address.parse().unwrap()).collect(), AtomicUsize::new(0)))
}

fn to(url: &str) -> Request {
    Request { url: url.to_owned(), headers: Vec::new(), body: Bytes::from_static(b"{}") }
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    for addresses in [
        &["169.254.169.254:443"][..],
        &["10.1.2.3:443"],
        &["[fd00:ec2::254]:443"],
        &["[::ffff:169.254.169.254]:443"],
        &["93.184.216.34:443", "127.0.0.1:443"],
    ] {
        let client = HttpClient::new([]).resolving_through(says(addresses));
        let error = client.post(to("https://metadata.example.com/")).await.unwrap_err();
        assert!(matches!(&error, HttpError::Inside { host } if host == "metadata.example.com"), "{error}");
        assert!(!error.is_transient());
    }
}

#[tokio::test]
async fn an_address_that_leads_inside_is_refused_however_it_is_spelt() {
    for host in [
        "169.254.169.254",
        "2852039166",
        "0xa9fea9fe",
        "0251.0376.0251.0376",
        "0xa9.0xfe.0xa9.0xfe",
        "169.254.43518",
        "127.0.0.1",
        "2130706433",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a9fe:a9fe]",
        "[0:0:0:0:0:ffff:169.254.169.254]",
        "[64:ff9b::169.254.169.254]",
        "[2002:a9fe:a9fe::]",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[::127.0.0.1]",
    ] {
        for url in [format!("https://{host}/"), format!("https://{host}:8443/latest/meta-data/")] {
            let error = HttpClient::new([]).post(to(&url)).await.unwrap_err();
            assert!(matches!(error, HttpError::Inside { .. }), "{url}: {error}");
        }
    }
}

#[tokio::test]
async fn a_url_that_is_no_plain_https_is_refused() {
    for url in [
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "example.com",
        "",
        "https://",
        "https:///x",
        "https://user@example.com/",
        "https://example.com@169.254.169.254/",
        "https://exa mple/",
        "https://[::1/",
        "https://example.com:99999/",
    ] {
        // Whatever were not refused by its look would be by its address.
        let error = HttpClient::new([]).resolving_through(says(&["10.0.0.1:443"])).post(to(url)).await;
        assert!(matches!(error, Err(HttpError::Url(_))), "{url}: {error:?}");
    }
}

#[tokio::test]
async fn what_is_allowed_by_name_is_reached_at_the_address_that_was_looked_at() {
    let receiver = Receiver::start(&["200 OK"]).await;
    let resolver = says(&[&receiver.address.to_string()]);
    let allowed = ["127.0.0.1".to_owned(), "Hooks.Internal".to_owned()];
    let client = HttpClient::new(allowed).resolving_through(resolver.clone());
    // The name server's port, which is not the URL's, shows whose address it was.
    assert_eq!(client.post(to("http://127.0.0.1/")).await.unwrap(), 200);
    assert_eq!(resolver.1.load(Ordering::SeqCst), 1, "a name is resolved once for each request");
    for url in ["http://other.internal/", "http://hooks.internal.evil.example/"] {
        assert!(matches!(client.post(to(url)).await, Err(HttpError::Url(_))), "{url}");
    }
    let error = client.post(to("https://other.internal/")).await.unwrap_err();
    assert!(matches!(error, HttpError::Inside { .. }), "{error}");
    // A name that is allowed may lead to a network, and not to the machine that the function runs on.
    for url in ["http://hooks.internal/", "http://HOOKS.internal./"] {
        let error = client.post(to(url)).await.unwrap_err();
        assert!(matches!(error, HttpError::Inside { .. }), "{url}: {error}");
    }
}

/// A server's certificate for `name`, and a client that trusts it.
fn certificate(name: &str) -> (TlsAcceptor, rustls::ClientConfig) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let der: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = || Arc::new(rustls::crypto::ring::default_provider());
    let server =
        rustls::ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let server = server.unwrap().with_no_client_auth().with_single_cert(vec![der.clone()], key).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(der).unwrap();
    let client =
        rustls::ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
    (TlsAcceptor::from(Arc::new(server)), client)
}

#[tokio::test]
async fn the_certificate_has_to_be_the_names() {
    let (server, trusting) = certificate("127.0.0.1");
    let receiver = Receiver::serve(&["200 OK"], Some(server)).await;
    let client = HttpClient::new(["127.0.0.1".to_owned(), "127.0.0.2".to_owned()]);
    let client = client.resolving_through(says(&[&receiver.address.to_string()])).trusting(trusting);
    assert_eq!(client.post(to("https://127.0.0.1/")).await.unwrap(), 200);
    let error = client.post(to("https://127.0.0.2/")).await.unwrap_err();
    assert!(matches!(error, HttpError::Connect { .. }), "{error}");
    assert_eq!(receiver.requests().len(), 1, "nothing was sent to who could not prove his name");
}
