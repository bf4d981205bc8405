//! A proxy on loopback between the real client and the S3 of these tests, for what happens on the wire.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

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
}

type Tricks = Arc<Mutex<VecDeque<Trick>>>;

/// Runs as long as it is held.
pub(crate) struct Proxy {
    address: SocketAddr,
    tricks: Tricks,
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
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                // Either side may go away at any time.
                let tricks = Arc::clone(&planned);
                connections.spawn(async move { relay(client, upstream, tricks).await.unwrap_or_default() });
            }
        });
        Self { address, tricks, server, _task: AbortOnDropHandle::new(task) }
    }

    /// The product's store, through this proxy.
    pub(crate) fn store(&self, attempts: u32) -> S3Store {
        let config = self.server.client(attempts).config().to_builder();
        let config = config.endpoint_url(format!("http://{}", self.address)).build();
        S3Store::new(aws_sdk_s3::Client::from_conf(config))
    }

    /// Tricks not played yet.
    pub(crate) fn pending(&self) -> usize {
        self.tricks.lock().unwrap().len()
    }
}

async fn relay(mut client: TcpStream, upstream: SocketAddr, tricks: Tricks) -> io::Result<()> {
    let mut server = TcpStream::connect(upstream).await?;
    let trick = tricks.lock().unwrap().pop_front();
    let mut left = match trick {
        Some(Trick::ResetAfter(bytes)) => bytes,
        None => usize::MAX,
    };
    let (mut asked, mut answered) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            read = client.read(&mut asked) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                server.write_all(&asked[..read]).await?;
            }
            read = server.read(&mut answered) => {
                let read = read?;
                client.write_all(&answered[..read.min(left)]).await?;
                if read >= left {
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
