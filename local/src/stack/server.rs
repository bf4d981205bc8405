//! MiniStack, running: one process group on a free loopback port, with nothing of this process's environment.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::config::environment;
use common::trace::Destination;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

use super::group::Group;

/// What Python runs, by file name; the first is the one to start.
const SCRIPTS: [(&str, &str); 2] =
    [("launch.py", include_str!("launch.py")), ("mend.py", include_str!("mend.py"))];
/// The account that the stack believes to be in.
pub const ACCOUNT: &str = "123456789012";
/// The region that the stack believes to be in.
pub const REGION: &str = "us-east-1";
/// How long the server may take to answer: a second as a rule, longer where Python's files are not yet cached.
const READY_WITHIN: Duration = Duration::from_mins(1);
/// Another process may take the port that was free a moment ago.
const TRIES: u32 = 3;

/// How the server is run.
#[derive(Debug, Clone)]
pub(super) struct ServerOptions {
    /// Whether the functions' roles are enforced for S3.
    pub enforce_roles: bool,
    /// Whether it outlives this process.
    pub detached: bool,
    /// Where the functions find AWS, if not here.
    pub functions_through: Option<String>,
    /// Where the functions send their spans.
    pub spans_to: Destination,
}

/// A running MiniStack. Dropping it ends it, with every function that it started.
#[derive(Debug)]
pub(super) struct Server {
    // Before the folder: it must have ended before its folder is removed.
    group: Group,
    folder: TempDir,
    endpoint: String,
}

/// What is left behind when the server is let go.
#[derive(Debug, Clone)]
pub struct Detached {
    /// Its process group, to be stopped by `kill -- -<id>`.
    pub group: i32,
    /// Its log.
    pub log: PathBuf,
}

impl Server {
    /// Starts it and waits until it answers.
    pub(super) async fn start(python: &Path, options: &ServerOptions) -> anyhow::Result<Self> {
        let mut tried = 1;
        loop {
            let mut server = Self::spawn(python, options)?;
            match server.ready().await {
                Ok(()) => return Ok(server),
                Err(_) if tried < TRIES && server.port_was_taken() => tried += 1,
                Err(error) => return Err(error),
            }
        }
    }

    fn spawn(python: &Path, options: &ServerOptions) -> anyhow::Result<Self> {
        let folder =
            tempfile::Builder::new().prefix("penstock-").tempdir().context("create a temporary folder")?;
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary).with_context(|| format!("create {}", temporary.display()))?;
        for (name, script) in SCRIPTS {
            let path = folder.path().join(name);
            std::fs::write(&path, script).with_context(|| format!("write {}", path.display()))?;
        }
        let log = File::create(log_in(folder.path())).context("create MiniStack's log")?;
        let port = free_port().context("find a free port")?;
        let endpoint = format!("http://127.0.0.1:{port}");

        let mut command = Command::new(python);
        command.arg("-I").arg(folder.path().join(SCRIPTS[0].0)).arg(if options.detached {
            "detached"
        } else {
            "attached"
        });
        command.arg(folder.path()).current_dir(folder.path());
        // The functions inherit the server's environment: only what is named here may reach them.
        command.env_clear();
        command.env("PATH", environment("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        command.env("HOME", folder.path()).env("TMPDIR", &temporary).env("LANG", "C.UTF-8");
        command.env("BIND_HOST", "127.0.0.1").env("MINISTACK_HOST", "127.0.0.1");
        command
            .env("GATEWAY_PORT", port.to_string())
            .env("AWS_ENDPOINT_URL", options.functions_through.as_ref().unwrap_or(&endpoint));
        command.env("MINISTACK_REGION", REGION).env("MINISTACK_ACCOUNT_ID", ACCOUNT);
        // Without these two it listens on every address.
        command.env("IOT_MTLS_ENABLED", "0").env("SFTP_ENABLED", "0");
        // A failing function's retries take seconds instead of minutes.
        command.env("LAMBDA_ASYNC_RETRY_BASE_SECONDS", "0.2");
        match &options.spans_to {
            Destination::Otlp(endpoint) => {
                command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint);
            }
            Destination::Daemon(address) => {
                command.env("AWS_XRAY_DAEMON_ADDRESS", address.to_string());
            }
            Destination::None => {}
        }
        if options.enforce_roles {
            command.env("AUTH", "true");
        }
        command.stdin(if options.detached { Stdio::null() } else { Stdio::piped() });
        command.stdout(log.try_clone().context("open MiniStack's log")?).stderr(log);
        let group = Group::spawn(&mut command).with_context(|| format!("start {}", python.display()))?;
        Ok(Self { group, folder, endpoint })
    }

    /// Waits until it answers; fails when it ends instead, or takes too long.
    async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = self.group.status()? {
                bail!("MiniStack ended with {status} instead of starting:\n{}", self.log_tail(12));
            }
            if self.is_healthy().await.unwrap_or(false) {
                return Ok(());
            }
            if Instant::now() > deadline {
                let seconds = READY_WITHIN.as_secs();
                bail!("MiniStack did not answer within {seconds} seconds:\n{}", self.log_tail(12));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn is_healthy(&self) -> std::io::Result<bool> {
        let address = self.endpoint.trim_start_matches("http://");
        let ask = async {
            let mut stream = TcpStream::connect(address).await?;
            stream.write_all(b"GET /_ministack/health HTTP/1.0\r\nHost: localhost\r\n\r\n").await?;
            let mut status = [0; 12];
            stream.read_exact(&mut status).await?;
            Ok(status.ends_with(b" 200"))
        };
        tokio::time::timeout(Duration::from_secs(2), ask).await.unwrap_or(Ok(false))
    }

    fn port_was_taken(&self) -> bool {
        let log = self.log_text();
        log.contains("already in use") || log.contains("Address already in use")
    }

    /// Whether it has not ended by itself.
    pub(super) fn is_running(&mut self) -> anyhow::Result<bool> {
        Ok(self.group.status().context("look after MiniStack")?.is_none())
    }

    /// Its process group, which the functions are in.
    pub(super) fn process_group(&self) -> Option<i32> {
        self.group.id()
    }

    /// `http://127.0.0.1:<port>`.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Where the log is while the server runs.
    pub(super) fn log(&self) -> PathBuf {
        log_in(self.folder.path())
    }

    /// What the server and the functions have said.
    pub(super) fn log_text(&self) -> String {
        std::fs::read(self.log())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn log_tail(&self, lines: usize) -> String {
        let text = self.log_text();
        let all: Vec<&str> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Copies the log to where it stays after the server's end.
    pub(super) fn keep_log(&self) -> anyhow::Result<PathBuf> {
        let name = format!("penstock-ministack-{}.log", std::process::id());
        let kept = std::env::temp_dir().join(name);
        std::fs::copy(self.log(), &kept)
            .with_context(|| format!("copy MiniStack's log to {}", kept.display()))?;
        Ok(kept)
    }

    /// Ends the server and its functions, and removes its folder.
    pub(super) async fn stop(self) {
        self.group.stop().await;
    }

    /// Leaves it running; it must have been started detached.
    pub(super) fn detach(self) -> anyhow::Result<Detached> {
        let group = self.group.id().context("MiniStack has ended")?;
        let log = log_in(&self.folder.keep());
        self.group.release();
        Ok(Detached { group, log })
    }
}

fn log_in(folder: &Path) -> PathBuf {
    folder.join("ministack.log")
}

fn free_port() -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}
