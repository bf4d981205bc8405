//! Lambda's runtime API, its extensions API and SNS on one port of loopback, and the real binary that speaks to them.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use percent_encoding::percent_decode_str;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::sync::Notify;

use crate::world::OUT;

/// Far more than anything here takes, also on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the extensions API does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extensions {
    Answering,
    /// As in an emulator without one.
    Missing,
    /// Takes the request and never answers it.
    Silent,
}

/// What the topic was given.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Published {
    pub(crate) message: String,
    /// The message attribute, wherever it stands among the others.
    pub(crate) traceparent: Option<String>,
    pub(crate) xray_header: Option<String>,
}

/// What the function said of an invocation.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Response(Value),
    Error(Value),
}

struct Shared {
    extensions: Extensions,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// To be asked for, each once.
    events: Vec<Value>,
    said: Vec<Said>,
    published: Vec<Published>,
    /// How often an event was asked for.
    nexts: usize,
    /// Paths in the order in which they were asked for.
    asked: Vec<String>,
}

/// The APIs, as long as this is held.
pub(crate) struct RuntimeApi {
    address: String,
    shared: Arc<Shared>,
    _server: tokio_util::task::AbortOnDropHandle<()>,
}

impl RuntimeApi {
    pub(crate) async fn start(extensions: Extensions) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared { extensions, state: Mutex::default(), changed: Notify::new() });
        let apis = shared.clone();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = apis.clone();
                tokio::spawn(async move {
                    let answer = service_fn(move |request| answer(shared.clone(), request));
                    let server = auto::Builder::new(TokioExecutor::new());
                    // A process that is killed is what some tests are about.
                    server.serve_connection(TokioIo::new(stream), answer).await.unwrap_or_default();
                });
            }
        });
        Self { address, shared, _server: tokio_util::task::AbortOnDropHandle::new(server) }
    }

    /// Starts the function, cold, with its S3 at `s3`.
    pub(crate) fn function(&self, s3: &str) -> Function {
        self.function_with(s3, &[])
    }

    /// And with more in its environment.
    pub(crate) fn function_with(&self, s3: &str, environment: &[(&str, &str)]) -> Function {
        let child = self.command(s3).envs(environment.iter().copied()).spawn().unwrap();
        Function { child }
    }

    /// With its log to be read by [`Function::log`]; no more of it than a pipe holds.
    pub(crate) fn function_with_log(&self, s3: &str) -> Function {
        Function { child: self.command(s3).stdout(Stdio::piped()).spawn().unwrap() }
    }

    fn command(&self, s3: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_processor"));
        command.env_clear().envs([
            ("AWS_LAMBDA_RUNTIME_API", self.address.as_str()),
            ("AWS_LAMBDA_FUNCTION_NAME", "processor"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
            ("AWS_REGION", "us-east-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test-secret"),
            ("AWS_ENDPOINT_URL", s3),
            ("AWS_ENDPOINT_URL_SNS", &format!("http://{}", self.address)),
            ("OUTPUT_BUCKET", OUT),
            ("TOPIC_ARN", "arn:aws:sns:us-east-1:123456789012:events"),
        ]);
        command.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Hands the function an event.
    pub(crate) fn invoke(&self, event: &Value) {
        self.shared.state.lock().unwrap().events.push(event.clone());
        self.shared.changed.notify_waiters();
    }

    /// Waits for what the function says, and takes it.
    pub(crate) async fn said(&self) -> Said {
        self.wait("the function to answer", |state| state.said.pop()).await
    }

    /// What the function has said, and nobody has taken yet.
    pub(crate) fn take_said(&self) -> Vec<Said> {
        std::mem::take(&mut self.shared.state.lock().unwrap().said)
    }

    /// What the topic was given.
    pub(crate) fn published(&self) -> Vec<String> {
        self.publications().into_iter().map(|published| published.message).collect()
    }

    /// What the topic was given, and how.
    pub(crate) fn publications(&self) -> Vec<Published> {
        self.shared.state.lock().unwrap().published.clone()
    }

    /// Waits until the function has asked for an event so often.
    pub(crate) async fn asked_for(&self, nexts: usize) {
        self.wait("the function to ask for an event", |state| (state.nexts >= nexts).then_some(())).await;
    }

    /// What was asked for so far, in order.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().asked.clone()
    }

    async fn wait<T>(&self, what: &str, take: impl Fn(&mut State) -> Option<T>) -> T {
        tokio::time::timeout(PATIENCE, self.shared.when(take))
            .await
            .unwrap_or_else(|_| panic!("waited for {what}"))
    }
}

impl Shared {
    async fn when<T>(&self, take: impl Fn(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            if let Some(taken) = take(&mut self.state.lock().unwrap()) {
                return taken;
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap());
        self.changed.notify_waiters();
    }
}

const NEXT: &str = "/2018-06-01/runtime/invocation/next";

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    shared.change(|state| {
        state.nexts += usize::from(path == NEXT);
        state.asked.push(path.clone());
    });
    let header = request.headers().get("x-amzn-trace-id").map(|value| value.to_str().unwrap().to_owned());
    let body =
        request.into_body().collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let json = || serde_json::from_slice(&body).unwrap_or(Value::Null);
    let answer = Response::builder();
    let answer = match (method, path.as_str()) {
        (Method::GET, NEXT) => {
            let event = shared.when(|state| (!state.events.is_empty()).then(|| state.events.remove(0))).await;
            let deadline = jiff::Timestamp::now().as_millisecond() + 900_000;
            answer
                .header("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
                .header("Lambda-Runtime-Deadline-Ms", deadline)
                .header(
                    "Lambda-Runtime-Invoked-Function-Arn",
                    "arn:aws:lambda:us-east-1:1:function:processor",
                )
                .header(
                    "Lambda-Runtime-Trace-Id",
                    "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=0;Lineage=1:a87bd80c:0",
                )
                .body(event.to_string().into())
        }
        (Method::POST, path) if path.ends_with("/response") => {
            shared.change(|state| state.said.push(Said::Response(json())));
            answer.status(202).body(Full::default())
        }
        (Method::POST, path) if path.ends_with("/error") => {
            shared.change(|state| state.said.push(Said::Error(json())));
            answer.status(202).body(Full::default())
        }
        (_, path) if path.starts_with("/2020-01-01/extension/") => match shared.extensions {
            Extensions::Missing => answer.status(404).body(Full::default()),
            Extensions::Answering if path.ends_with("/register") => {
                answer.header("Lambda-Extension-Identifier", "ext").body("{}".into())
            }
            // No event ever comes for an extension that wants none.
            _ => std::future::pending().await,
        },
        (Method::POST, "/") => {
            let mut form = form(&body);
            let entry = form.iter().find(|(_, value)| *value == "traceparent");
            let value = entry.map(|(name, _)| name.replace(".Name", ".Value.StringValue"));
            let published = Published {
                traceparent: value.and_then(|name| form.remove(&name)),
                message: form.remove("Message").unwrap_or_default(),
                xray_header: header,
            };
            shared.change(|state| state.published.push(published));
            answer.header("Content-Type", "text/xml").body(PUBLISHED.into())
        }
        _ => answer.status(404).body(Full::default()),
    };
    Ok(answer.unwrap())
}

const PUBLISHED: &str = "<PublishResponse xmlns=\"http://sns.amazonaws.com/doc/2010-03-31/\"><PublishResult>\
    <MessageId>1</MessageId></PublishResult><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata>\
    </PublishResponse>";

/// An HTML form's fields, as SNS takes its requests.
fn form(body: &[u8]) -> BTreeMap<String, String> {
    let text = std::str::from_utf8(body).unwrap().replace('+', " ");
    let decode = |text: &str| percent_decode_str(text).decode_utf8().unwrap().into_owned();
    text.split('&').filter_map(|field| field.split_once('=')).map(|(n, v)| (decode(n), decode(v))).collect()
}

/// The function's process.
pub(crate) struct Function {
    child: Child,
}

impl Function {
    pub(crate) fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("it runs");
        kill_process(Pid::from_raw(id.cast_signed()).unwrap(), signal).unwrap();
    }

    /// Ends the process, and gives the lines of its log.
    pub(crate) async fn log(self) -> Vec<Value> {
        self.signal(Signal::TERM);
        let ended =
            tokio::time::timeout(PATIENCE, self.child.wait_with_output()).await.expect("it ends").unwrap();
        let text = String::from_utf8(ended.stdout).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Waits for the process's end.
    pub(crate) async fn ended(mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap()
    }
}

/// Looks again and again, until it is so.
pub(crate) async fn until(what: &str, so: impl Fn() -> bool) {
    let looked = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("waited until {what}"));
}
