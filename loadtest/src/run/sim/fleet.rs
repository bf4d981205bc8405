//! Lambda, as far as the system relies on it: events that wait, processes that handle one at a time, three tries.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use super::queue::Queue;
use super::worker::{Function, Job, Said};
use crate::run::processes::FUNCTION_VARIABLE;

/// Events that may wait; whoever has more waits with them.
const WAITING: usize = 1024;
/// Lambda tries an event once and then twice more.
const TRIES: u32 = 3;
/// Before the second try; twice as much before the third. Lambda waits minutes.
const PAUSE: Duration = Duration::from_millis(200);
/// Lambda's longest.
const PROCESSOR_WITHIN: Duration = Duration::from_mins(15);

/// How processes are started.
#[derive(Debug, Clone)]
pub(super) struct Launch {
    /// Which function.
    pub(super) function: Function,
    /// The S3 that it talks to.
    pub(super) endpoint: String,
    /// The processor's budget.
    pub(super) memory_mib: u64,
    /// Where it sends its spans.
    pub(super) spans_to: Option<String>,
}

/// The processors.
pub(super) struct Fleet {
    events: Sender<Value>,
    under_way: Arc<AtomicU64>,
    given_up: GivenUp,
    tasks: JoinSet<()>,
}

/// Events that were given up: the key, and why.
pub(super) type GivenUp = Arc<Mutex<Vec<(String, String)>>>;

impl Fleet {
    /// Starts as many processors; what they publish goes into `queue`.
    pub(super) fn start(launch: &Launch, processes: u64, queue: &Arc<Queue>) -> Self {
        let (events, waiting) = channel(WAITING);
        let waiting = Arc::new(tokio::sync::Mutex::new(waiting));
        let (under_way, given_up) = (Arc::<AtomicU64>::default(), GivenUp::default());
        let mut tasks = JoinSet::new();
        for _ in 0..processes {
            let (launch, waiting) = (launch.clone(), Arc::clone(&waiting));
            let (queue, given_up) = (Arc::clone(queue), Arc::clone(&given_up));
            let under_way = Arc::clone(&under_way);
            tasks.spawn(async move { work(launch, &waiting, &queue, &under_way, &given_up).await });
        }
        Self { events, under_way, given_up, tasks }
    }

    /// Hands an event over, as S3 does.
    pub(super) async fn send(&self, event: Value) -> anyhow::Result<()> {
        self.under_way.fetch_add(1, Ordering::Relaxed);
        self.events.send(event).await.context("no processor takes events any more")
    }

    /// Why the event of this file was given up, if it was.
    pub(super) fn given_up(&self, key: &str) -> Option<String> {
        let given_up = self.given_up.lock().unwrap_or_else(PoisonError::into_inner);
        given_up.iter().find(|(of, _)| of == key).map(|(_, why)| why.clone())
    }

    /// Events that wait or are at work.
    pub(super) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Ends all processes.
    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn work(
    launch: Launch,
    waiting: &tokio::sync::Mutex<Receiver<Value>>,
    queue: &Queue,
    under_way: &AtomicU64,
    given_up: &GivenUp,
) {
    let mut process = None;
    loop {
        let next = waiting.lock().await.recv().await;
        let Some(event) = next else { return };
        let mut last = String::new();
        for try_number in 1..=TRIES {
            match Process::invoke(&mut process, &launch, &event, PROCESSOR_WITHIN, queue).await {
                Ok(_) => {
                    last.clear();
                    break;
                }
                Err(error) => last = format!("{error:#}"),
            }
            tokio::time::sleep(PAUSE * try_number).await;
        }
        if !last.is_empty() {
            let key = event.pointer("/Records/0/s3/object/key").and_then(Value::as_str).unwrap_or_default();
            let mut given_up = given_up.lock().unwrap_or_else(PoisonError::into_inner);
            given_up.push((key.to_owned(), format!("given up after {TRIES} tries: {last}")));
        }
        under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A function's process, which ends when this is dropped.
pub(super) struct Process {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Process {
    fn start(launch: &Launch) -> anyhow::Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        let mut command = Command::new(program);
        command.arg("sim-worker").arg(launch.function.name()).args(["--endpoint", &launch.endpoint]);
        command.args(["--memory", &launch.memory_mib.to_string()]);
        command.env(FUNCTION_VARIABLE, launch.function.name());
        if let Some(endpoint) = &launch.spans_to {
            command.env("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint);
        }
        // A Ctrl-C is for the program that started it.
        command.process_group(0).kill_on_drop(true);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.with_context(|| format!("start a {}", launch.function.name()))?;
        let input = child.stdin.take().context("the process has no input")?;
        let output = child.stdout.take().context("the process has no output")?;
        Ok(Self { _child: child, input, output: BufReader::new(output).lines() })
    }

    /// Invokes the function, in a new process if there is none. One that failed to answer is not used again.
    pub(super) async fn invoke(
        process: &mut Option<Self>,
        launch: &Launch,
        event: &Value,
        within: Duration,
        queue: &Queue,
    ) -> anyhow::Result<Value> {
        let mut running = match process.take() {
            Some(running) => running,
            None => Self::start(launch)?,
        };
        let answer = tokio::time::timeout(within, running.ask(event, within, queue));
        let answer = answer.await.context("the invocation took too long")??;
        *process = Some(running);
        match answer {
            Said::Answer(answer) => Ok(answer),
            Said::Error(error) => bail!(error),
            Said::Message { .. } => bail!("the function answered with a message"),
        }
    }

    async fn ask(&mut self, event: &Value, within: Duration, queue: &Queue) -> anyhow::Result<Said> {
        let mut line = serde_json::to_string(&Job { event: event.clone(), within })?;
        line.push('\n');
        self.input.write_all(line.as_bytes()).await.context("the process is gone")?;
        loop {
            let line = self.output.next_line().await.context("hear from the process")?;
            let line = line.context("the process ended before it answered")?;
            match serde_json::from_str(&line).context("understand the process")? {
                Said::Message { body, attributes } => queue.publish(body, attributes).await,
                said => return Ok(said),
            }
        }
    }
}
