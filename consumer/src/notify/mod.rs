//! Telling people and programs.
//!
//! # Layout
//!
//! - [`Notifier`]: who is to hear of what, and telling them.
//! - `rules`: `notifications.yml`.
//! - `notice`: what there is to tell; `links`: where it links to.
//! - `sns`, `webhook` (Slack's too), `bus`: the ways of telling; `signature`: how a webhook is signed.
//! - `build`: targets, as `notifications.yml` names them; `live`: where it is read from, and when.

mod build;
mod bus;
mod links;
mod live;
mod notice;
mod rules;
mod signature;
mod sns;
mod webhook;

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use async_trait::async_trait;
use common::contract::FileEvent;
use common::topic::Topic;
use tokio::time::Instant;

pub use build::Builder;
pub use links::Console;
pub use live::{Live, LoadError};
pub use notice::{Notice, NoticeKind};
pub(crate) use notice::{of_event, printable, subject};
pub use rules::{Notifications, schema};
pub use sns::SnsTarget;

/// What a target answered, or why it did not, and whether it may be told yet.
#[derive(Debug)]
pub struct SendError {
    source: Box<dyn Error + Send + Sync>,
    is_transient: bool,
}

impl SendError {
    /// The same notice may be taken when it is sent again.
    pub fn transient(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into(), is_transient: true }
    }

    /// The target will not take this notice, however often it is sent.
    pub fn permanent(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into(), is_transient: false }
    }
}

/// Somebody who can be told.
#[async_trait]
pub trait Target: Send + Sync + 'static {
    /// Tells it; once this returns, it has been told.
    async fn send(&self, notice: &Notice) -> Result<(), SendError>;
}

/// Somebody could not be told.
#[derive(Debug, thiserror::Error)]
#[error("tell {target}")]
pub struct NotifyError {
    target: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
    is_transient: bool,
}

impl NotifyError {
    /// Whether the target may be told yet.
    pub(crate) fn is_transient(&self) -> bool {
        self.is_transient
    }
}

/// The target that hears of every failure, whatever the rules say.
pub const ALERTS: &str = "alerts";

/// Who is to hear of what.
#[derive(Default)]
pub struct Notifier {
    targets: BTreeMap<String, Arc<dyn Target>>,
    rules: Notifications,
    console: Console,
}

impl Notifier {
    /// Tells nobody of anything.
    pub fn silent() -> Self {
        Self::default()
    }

    /// Tells `alerts` of every file that failed or is not what its receipt says.
    pub fn to_topic(alerts: Arc<dyn Topic>) -> Self {
        Self::silent().with_target(ALERTS, Arc::new(SnsTarget::new(alerts)))
    }

    /// Knows one target more.
    #[must_use]
    pub fn with_target(mut self, name: impl Into<String>, target: Arc<dyn Target>) -> Self {
        self.targets.insert(name.into(), target);
        self
    }

    /// Follows these rules, whose targets it has to know.
    #[must_use]
    pub fn with_rules(mut self, rules: Notifications) -> Self {
        self.rules = rules;
        self
    }

    /// Links to this console.
    #[must_use]
    pub fn with_console(mut self, console: Console) -> Self {
        self.console = console;
        self
    }

    pub(crate) fn console(&self) -> &Console {
        &self.console
    }

    /// The names of those who are to hear of an event, each once, in order.
    pub(crate) fn wanted(&self, event: &FileEvent, kind: NoticeKind) -> Vec<&str> {
        let mut names = self.rules.matching(event, kind);
        if matches!(kind, NoticeKind::Failed | NoticeKind::Mismatch) {
            names.insert(ALERTS);
        }
        self.known(names.into_iter())
    }

    /// The names of those who are to get the digest.
    pub(crate) fn digest_readers(&self) -> Vec<&str> {
        let told = self.rules.digest_targets();
        self.known(if told.is_empty() { vec![ALERTS] } else { told }.into_iter())
    }

    /// Without an alert topic there is no target of that name, and nobody to tell.
    fn known<'a>(&'a self, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        names.filter(|name| self.targets.contains_key(*name)).collect()
    }

    /// Tells one target, unless `end` comes first.
    pub(crate) async fn tell_before(
        &self,
        end: Option<Instant>,
        name: &str,
        notice: &Notice,
    ) -> Result<(), NotifyError> {
        let Some(target) = self.targets.get(name) else { return Ok(()) };
        let told = match end {
            Some(end) => tokio::time::timeout_at(end, target.send(notice)).await,
            None => Ok(target.send(notice).await),
        };
        let told = told.unwrap_or_else(|_late| Err(SendError::transient("it did not answer in time")));
        told.map_err(|SendError { source, is_transient }| NotifyError {
            target: name.to_owned(),
            source,
            is_transient,
        })
    }
}
