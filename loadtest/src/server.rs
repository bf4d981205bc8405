//! The S3 that is measured against, in a process of its own, so that what it takes is not counted.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::contract::ObjectRef;
use common::sim::{ComputedStore, Input as _, SimServer};
use common::store::NewObject;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, MissedTickBehavior};

use crate::rows::{Kind, Rows};

/// How often it says how much it has served.
const REPORT_EVERY: Duration = Duration::from_millis(250);

/// A run that takes no longer needs no progress bar.
const BAR_AFTER: Duration = Duration::from_secs(3);

/// What the server is to hold.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    kind: Kind,
    #[arg(long)]
    bucket: String,
    #[arg(long)]
    key: String,
    /// Say how much was served, again and again
    #[arg(long)]
    report: bool,
}

/// Its first line.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// `http://127.0.0.1:<port>`.
    pub(crate) endpoint: String,
    /// Rows of the object.
    pub(crate) rows: u64,
    /// Bytes of its text.
    pub(crate) text_bytes: u64,
    /// Bytes of the object.
    pub(crate) object_bytes: u64,
}

/// Serves the computed object until standard input closes.
pub(crate) async fn serve(args: &Args) -> anyhow::Result<()> {
    let Rows { count, text_bytes, object } = Rows::compute(&args.kind)?;
    let object_bytes = object.size();
    let store = Arc::new(ComputedStore::default());
    let new = NewObject {
        object: ObjectRef::new(&args.bucket, &args.key),
        content_type: "text/csv",
        metadata: BTreeMap::new(),
    };
    store.put_input(&new, Arc::new(object));
    let server = SimServer::start(store.clone()).await.context("start the S3")?;
    let offer = Offer { endpoint: server.endpoint(), rows: count, text_bytes, object_bytes };
    let say = |line: String| writeln!(std::io::stdout(), "{line}").context("say where the S3 is");
    say(serde_json::to_string(&offer).context("say where the S3 is")?)?;

    // The parent holds the other end for as long as it lives.
    let mut stdin = BufReader::new(tokio::io::stdin()).lines();
    let mut ticks = tokio::time::interval(REPORT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            line = stdin.next_line() => {
                line.context("wait for the end")?;
                return Ok(());
            }
            _ = ticks.tick(), if args.report => say(store.served().to_string())?,
        }
    }
}

/// The server's process, which ends when this is dropped.
pub(crate) struct Server {
    /// What it has to offer.
    pub(crate) offer: Offer,
    _child: Child,
    /// What it says after that.
    lines: Lines<BufReader<ChildStdout>>,
}

impl Server {
    /// Starts a process of this program.
    pub(crate) async fn start(kind: &Kind, object: &ObjectRef) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.arg("sim-server").args(kind.arguments());
        command.args(["--bucket", &object.bucket, "--key", &object.key]);
        // What nobody sees is not reported, so that it can't weigh on what is measured.
        if std::io::IsTerminal::is_terminal(&std::io::stderr()) {
            command.arg("--report");
        }
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn();
        let mut child = child.context("start the S3's process")?;
        let stdout = child.stdout.take().context("the S3's process has no output")?;
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next_line().await.context("hear from the S3's process")?;
        let first = first.context("the S3's process did not start")?;
        let offer = serde_json::from_str(&first).context("understand the S3's process")?;
        Ok(Self { offer, _child: child, lines })
    }

    /// Draws how much was served, until the server ends. Draws nothing where standard error is no terminal.
    pub(crate) async fn draw(&mut self) {
        let style = "{wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}";
        let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::with_draw_target(Some(self.offer.object_bytes), ProgressDrawTarget::hidden());
        let bar = bar.with_style(style);
        let begun = Instant::now();
        let cleared = Cleared(bar);
        while let Ok(Some(line)) = self.lines.next_line().await {
            if begun.elapsed() > BAR_AFTER && cleared.0.is_hidden() {
                cleared.0.set_draw_target(ProgressDrawTarget::stderr());
            }
            cleared.0.set_position(line.parse().unwrap_or_default());
        }
    }
}

/// A bar that does not outlive its run.
struct Cleared(ProgressBar);

impl Drop for Cleared {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
