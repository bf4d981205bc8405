//! The simulated S3, in a process of its own, so that what it takes is not counted as the functions'.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use common::sim::{ComputedStore, SimServer};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio_util::task::AbortOnDropHandle;

use super::inputs::make;

/// How often it says how far it is.
const SAY_EVERY: Duration = Duration::from_millis(100);

/// A line of its output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Said {
    /// The first: where it is.
    Endpoint(String),
    /// Bytes of inputs that were handed out, and keys of uploads that are open.
    Served { bytes: u64, open_uploads: Vec<String> },
}

/// Serves until standard input closes.
pub(crate) async fn serve() -> anyhow::Result<()> {
    let store = Arc::new(ComputedStore::new(make));
    let server = SimServer::start(store.clone()).await.context("start the S3")?;
    let say = |said: &Said| {
        let line = serde_json::to_string(said).context("say how far the S3 is")?;
        writeln!(std::io::stdout(), "{line}").context("say how far the S3 is")
    };
    say(&Said::Endpoint(server.endpoint()))?;
    // The parent holds the other end for as long as it lives.
    let mut stdin = BufReader::new(tokio::io::stdin()).lines();
    let mut ticks = tokio::time::interval(SAY_EVERY);
    loop {
        tokio::select! {
            line = stdin.next_line() => {
                line.context("wait for the end")?;
                return Ok(());
            }
            _ = ticks.tick() => {
                say(&Said::Served { bytes: store.served(), open_uploads: store.open_uploads() })?;
            }
        }
    }
}

/// The server's process, which ends when this is dropped.
pub(super) struct Server {
    /// `http://127.0.0.1:<port>`.
    pub(super) endpoint: String,
    seen: Arc<Seen>,
    _child: Child,
    _listening: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct Seen {
    bytes: AtomicU64,
    open_uploads: Mutex<Vec<String>>,
    lines: AtomicU64,
}

impl Server {
    /// Starts a process of this program.
    pub(super) async fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.arg("sim-s3").process_group(0).kill_on_drop(true);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.context("start the S3's process")?;
        let stdout = child.stdout.take().context("the S3's process has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next_line().await.context("hear from the S3's process")?;
        let first = first.context("the S3's process did not start")?;
        let Said::Endpoint(endpoint) = serde_json::from_str(&first).context("understand the S3's process")?
        else {
            anyhow::bail!("the S3's process did not say where it is");
        };
        let seen = Arc::new(Seen::default());
        let heard = Arc::clone(&seen);
        let listening = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Ok(Said::Served { bytes, open_uploads }) = serde_json::from_str(&line) {
                    heard.bytes.store(bytes, Ordering::Relaxed);
                    *heard.open_uploads.lock().unwrap_or_else(PoisonError::into_inner) = open_uploads;
                    heard.lines.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        Ok(Self { endpoint, seen, _child: child, _listening: AbortOnDropHandle::new(listening) })
    }

    /// Bytes of inputs that were handed out.
    pub(super) fn served(&self) -> u64 {
        self.seen.bytes.load(Ordering::Relaxed)
    }

    /// Keys of uploads that are open now: as of a line that is said after this was asked.
    pub(super) async fn open_uploads(&self) -> Vec<String> {
        let asked_at = self.seen.lines.load(Ordering::Relaxed);
        // The next line may have been on its way already.
        for _ in 0..100 {
            if self.seen.lines.load(Ordering::Relaxed) >= asked_at + 2 {
                break;
            }
            tokio::time::sleep(SAY_EVERY / 2).await;
        }
        self.seen.open_uploads.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
