//! How the process ends when it is told to.
//!
//! Lambda sends SIGTERM when it retires an environment, and kills half a second later; but only to a function with an
//! extension. So one is registered that listens to nothing: one request on loopback at the start (2 ms in a debug
//! build), and one connection that stays open. `lambda_runtime`'s own (`graceful-shutdown`) does the same, but panics
//! where there is no extensions API, as in emulators, and knows nothing of what is under way.

use std::io;
use std::time::Duration;

use common::config::environment;
use lambda_runtime_api_client::{BoxError, Client, body::Body, build_request};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Unlike any other extension's of the function, as Lambda demands.
const EXTENSION: &str = "penstock-shutdown";

/// How long the start waits for Lambda to take the extension: it does within a millisecond or two. An emulator that
/// says nothing costs this much, once.
const REGISTRATION: Duration = Duration::from_millis(200);

/// How long after SIGTERM the process waits for what is under way: the rest of Lambda's 500 ms is a reserve.
const GRACE: Duration = Duration::from_millis(300);

/// The process's end, from SIGTERM on.
pub struct Shutdown {
    terminated: CancellationToken,
    under_way: TaskTracker,
}

impl Shutdown {
    /// Listens for SIGTERM from now on, and asks Lambda to send it. To be called before the first event is asked for.
    ///
    /// # Errors
    ///
    /// When the signal can't be listened for. That Lambda can't be asked is no error.
    pub async fn listen() -> io::Result<Self> {
        let terminated = CancellationToken::new();
        let mut sigterm = signal(SignalKind::terminate())?;
        let heard = terminated.clone();
        tokio::spawn(async move {
            if sigterm.recv().await.is_some() {
                tracing::info!("SIGTERM: what is under way is given up");
                heard.cancel();
            }
        });
        let (registered, answer) = oneshot::channel();
        tokio::spawn(async move {
            if let Err(error) = extend(registered).await {
                tracing::debug!(error = %error, "no extensions API: SIGTERM is heard where it is sent all the same");
            }
        });
        // Whatever the outcome, and also if it takes too long.
        if tokio::time::timeout(REGISTRATION, answer).await.is_err() {
            tracing::debug!("the extensions API does not answer");
        }
        let under_way = TaskTracker::new();
        under_way.close();
        Ok(Self { terminated, under_way })
    }

    /// Cancelled when the process is to end.
    pub fn signal(&self) -> CancellationToken {
        self.terminated.clone()
    }

    /// Where invocations are counted, each as long as it is under way.
    pub fn under_way(&self) -> TaskTracker {
        self.under_way.clone()
    }

    /// Waits until the process has been told to end and nothing is under way any more, or Lambda's patience ends.
    pub async fn over(&self) {
        self.terminated.cancelled().await;
        if tokio::time::timeout(GRACE, self.under_way.wait()).await.is_err() {
            tracing::warn!("an invocation is still under way: what it leaves behind, its retry finds");
        }
    }
}

/// Registers the extension, and then, as Lambda's initialisation waits for that, asks for its events, of which there
/// are none.
async fn extend(registered: oneshot::Sender<()>) -> Result<(), BoxError> {
    let api = environment("AWS_LAMBDA_RUNTIME_API").ok_or("AWS_LAMBDA_RUNTIME_API is not set")?;
    let client = Client::builder().with_endpoint(api.parse()?).build()?;
    let request = build_request()
        .method("POST")
        .uri("/2020-01-01/extension/register")
        .header("Lambda-Extension-Name", EXTENSION)
        .body(Body::from(r#"{"events":[]}"#))?;
    let answer = client.call(request).await?;
    let id = answer.headers().get("lambda-extension-identifier").cloned();
    let id = id.ok_or_else(|| format!("it answers {}", answer.status()))?;
    // Nobody waits any more: all the same.
    registered.send(()).unwrap_or_default();
    let next = build_request()
        .method("GET")
        .uri("/2020-01-01/extension/event/next")
        .header("Lambda-Extension-Identifier", id)
        .body(Body::empty())?;
    client.call(next).await?;
    Ok(())
}
