//! Ctrl-C and its kin, as an error that unwinds: whatever was started is ended on the way out.

use std::future::Future;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

/// A signal asked this process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted by {name}")]
pub struct Interrupted {
    name: &'static str,
    number: u8,
}

impl Interrupted {
    /// What a shell expects of a process that a signal ended.
    pub fn exit_code(self) -> u8 {
        128 + self.number
    }
}

/// Waits for a signal that asks this process to end.
pub async fn received() -> anyhow::Result<Interrupted> {
    let listen = |kind| signal(kind).context("listen for signals");
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut terminate = listen(SignalKind::terminate())?;
    let mut hangup = listen(SignalKind::hangup())?;
    Ok(tokio::select! {
        _ = interrupt.recv() => Interrupted { name: "Ctrl-C", number: 2 },
        _ = terminate.recv() => Interrupted { name: "SIGTERM", number: 15 },
        _ = hangup.recv() => Interrupted { name: "SIGHUP", number: 1 },
    })
}

/// Does the work, unless a signal comes first: then the work is dropped, and [`Interrupted`] is the error.
pub async fn unless_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::select! {
        biased;
        interrupted = received() => Err(interrupted?.into()),
        done = work => done,
    }
}
