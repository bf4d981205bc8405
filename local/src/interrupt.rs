//! Ctrl-C and its kin, as an error that unwinds: whatever was started is ended on the way out.

use std::future::Future;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// The signals that ask this process to end, from now on: none is missed between two waits.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Begins to listen.
    pub fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("listen for signals");
        Ok(Self {
            interrupt: listen(SignalKind::interrupt())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }

    /// Waits for the next.
    pub async fn next(&mut self) -> Interrupted {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupted { name: "Ctrl-C", number: 2 },
            _ = self.terminate.recv() => Interrupted { name: "SIGTERM", number: 15 },
            _ = self.hangup.recv() => Interrupted { name: "SIGHUP", number: 1 },
        }
    }

    /// Does the work, unless a signal comes first: then the work is dropped, and [`Interrupted`] is the error.
    pub async fn unless<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            interrupted = self.next() => Err(interrupted.into()),
            done = work => done,
        }
    }
}

/// Waits for a signal that asks this process to end.
pub async fn received() -> anyhow::Result<Interrupted> {
    Ok(Signals::listen()?.next().await)
}

/// Does the work, unless a signal comes first: then the work is dropped, and [`Interrupted`] is the error.
pub async fn unless_interrupted<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    Signals::listen()?.unless(work).await
}
