//! A proxy on loopback between the real client and the S3 of these tests, for what happens on the wire.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::sim::SimServer;
use common::store::S3Store;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

/// What it does to a connection.
#[derive(Debug, Clone)]
pub(crate) enum Trick {
    /// Resets it after this many bytes of answers.
    ResetAfter(usize),
    /// Says this in the place of the answer to a completion, byte for byte, and closes.
    AnswerCompletion {
        /// What is said.
        answer: String,
        /// Whether the completion takes place.
        pass_on: bool,
        /// How long nothing comes between its head and its body.
        pause: Duration,
    },
}

#[derive(Default)]
struct Counts {
    connections: AtomicUsize,
    resets: AtomicUsize,
}

type Tricks = Arc<Mutex<VecDeque<Trick>>>;

/// Runs as long as it is held.
pub(crate) struct Proxy {
    address: SocketAddr,
    tricks: Tricks,
    counts: Arc<Counts>,
    server: SimServer,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    /// Stands before `server`, and plays each trick once, in their order.
    pub(crate) async fn before(server: SimServer, tricks: impl IntoIterator<Item = Trick>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let upstream: SocketAddr = server.endpoint().trim_start_matches("http://").parse().unwrap();
        let tricks: Tricks = Arc::new(Mutex::new(tricks.into_iter().collect()));
        let planned = Arc::clone(&tricks);
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // Either side may go away at any time.
                let (tricks, counts) = (Arc::clone(&planned), Arc::clone(&counted));
                counts.connections.fetch_add(1, Ordering::SeqCst);
                connections
                    .spawn(async move { relay(client, upstream, tricks, &counts).await.unwrap_or_default() });
            }
        });
        Self { address, tricks, counts, server, _task: AbortOnDropHandle::new(task) }
    }

    /// The product's store, through this proxy.
    pub(crate) fn store(&self, attempts: u32) -> S3Store {
        let config = self.server.client(attempts).config().to_builder();
        let config = config.endpoint_url(format!("http://{}", self.address)).build();
        S3Store::new(aws_sdk_s3::Client::from_conf(config))
    }

    /// Connections that clients have opened.
    pub(crate) fn connections(&self) -> usize {
        self.counts.connections.load(Ordering::SeqCst)
    }

    /// Connections that were reset.
    pub(crate) fn resets(&self) -> usize {
        self.counts.resets.load(Ordering::SeqCst)
    }

    /// Tricks not played yet.
    pub(crate) fn pending(&self) -> usize {
        self.tricks.lock().unwrap().len()
    }
}

/// The next trick, if it is of the kind that is asked for.
fn next(tricks: &Tricks, wanted: impl Fn(&Trick) -> bool) -> Option<Trick> {
    tricks.lock().unwrap().pop_front_if(|trick| wanted(trick))
}

async fn relay(
    mut client: TcpStream,
    upstream: SocketAddr,
    tricks: Tricks,
    counts: &Counts,
) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    let mut left = match next(&tricks, |trick| matches!(trick, Trick::ResetAfter(_))) {
        Some(Trick::ResetAfter(bytes)) => bytes,
        _ => usize::MAX,
    };
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                let trick = is_completion(&asked[..read]).then(|| next(&tricks, is_answer)).flatten();
                if let Some(Trick::AnswerCompletion { answer, pass_on, pause }) = trick {
                    let request = whole_request(&mut client, &asked[..read]).await?;
                    if pass_on {
                        carry_out(&mut server, &request).await?;
                    }
                    let (head, body) = answer.split_at(answer.find("\r\n\r\n").map_or(0, |end| end + 4));
                    client.write_all(head.as_bytes()).await?;
                    tokio::time::sleep(pause).await;
                    client.write_all(body.as_bytes()).await?;
                    return client.shutdown().await;
                }
                server.write_all(&asked[..read]).await?;
            }
            read = server.read(&mut answered) => {
                let read = read?;
                client.write_all(&answered[..read.min(left)]).await?;
                if read >= left {
                    counts.resets.fetch_add(1, Ordering::SeqCst);
                    return client.set_zero_linger();
                }
                if read == 0 {
                    return Ok(());
                }
                left -= read;
            }
        }
    }
}

fn is_answer(trick: &Trick) -> bool {
    matches!(trick, Trick::AnswerCompletion { .. })
}

/// The client sends no request before the last one was answered, so one begins where something is read.
fn is_completion(request: &[u8]) -> bool {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    line.starts_with(b"POST ") && String::from_utf8_lossy(line).contains("uploadId=")
}

/// A request that begins with `begin`, to the end of its body.
async fn whole_request(client: &mut TcpStream, begin: &[u8]) -> io::Result<Vec<u8>> {
    let mut request = begin.to_vec();
    loop {
        let text = String::from_utf8_lossy(&request).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return Ok(request);
            }
        }
        let mut more = [0; 4096];
        let read = client.read(&mut more).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        request.extend_from_slice(&more[..read]);
    }
}

/// Sends a completion and waits until it has taken place.
async fn carry_out(server: &mut TcpStream, request: &[u8]) -> io::Result<()> {
    server.write_all(request).await?;
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("</CompleteMultipartUploadResult>") {
        let mut more = [0; 4096];
        let read = server.read(&mut more).await?;
        assert!(read > 0, "no completion: {}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&more[..read]);
    }
    Ok(())
}
