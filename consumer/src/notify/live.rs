//! `notifications.yml` as it is now: read at the start, and again when it has changed.

use std::io::Read as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::contract::ObjectRef;
use common::store::{ErrorKind, Store, StoreError};
use common::telemetry::chain;
use common::yaml::Faults;
use futures::StreamExt as _;
use tokio::time::Instant;

use super::{Builder, Notifications, Notifier};

/// How often an object is looked at, at most. A change reaches every function within it, and a message's time.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// How long a look may take.
const LOOK_WITHIN: Duration = Duration::from_secs(2);

/// The largest file that is read: hundreds of times what anyone writes.
const MAX_BYTES: u64 = 256 * 1024;

/// Why there are no rules.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Nothing like a place.
    #[error("NOTIFICATIONS is malformed: expected a file, or s3://bucket/key")]
    Place,
    /// The file can't be read.
    #[error("read {path}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// The object can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is too large, or no text.
    #[error("{place} is no text of at most {MAX_BYTES} bytes")]
    NotText {
        /// Which.
        place: String,
    },
    /// What it says can't be followed.
    #[error("{0}")]
    Faults(#[from] Faults),
}

/// Who is to hear of what, now.
pub struct Live {
    current: Mutex<Arc<Notifier>>,
    source: Option<Source>,
}

/// An object that may change.
struct Source {
    store: Arc<dyn Store>,
    object: ObjectRef,
    builder: Builder,
    /// When it was looked at last, and what was seen.
    seen: Mutex<(Instant, String)>,
}

impl From<Notifier> for Live {
    fn from(notifier: Notifier) -> Self {
        Self { current: Mutex::new(Arc::new(notifier)), source: None }
    }
}

impl Live {
    /// Reads what `place` names, if anything: a file, or `s3://bucket/key`.
    ///
    /// # Errors
    ///
    /// It can't be read, or is wrong: a function that would tell nobody must not start.
    pub async fn load(
        place: Option<&str>,
        store: Arc<dyn Store>,
        builder: Builder,
    ) -> Result<Self, LoadError> {
        let Some(place) = place else { return Ok(builder.build(Notifications::default()).into()) };
        let Some(object) = place.strip_prefix("s3://") else {
            let text = of_file(place)?;
            return Ok(builder.build(Notifications::parse(place, &text)?).into());
        };
        let (bucket, key) = object.split_once('/').ok_or(LoadError::Place)?;
        let object = ObjectRef::new(bucket, key);
        let (text, etag) = of_object(&*store, &object).await?;
        let notifier = builder.build(Notifications::parse(place, &text)?);
        let source = Source { store, object, builder, seen: Mutex::new((Instant::now(), etag)) };
        Ok(Self { current: Mutex::new(Arc::new(notifier)), source: Some(source) })
    }

    /// Who is to hear of what, now.
    pub(crate) fn current(&self) -> Arc<Notifier> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks whether the object has changed, once in a while. What can't be read or followed changes nothing: the rules of
    /// before hold, and the log says why.
    pub(crate) async fn refresh(&self) {
        let Some(source) = &self.source else { return };
        // A batch waits for this, so not for long.
        match tokio::time::timeout(LOOK_WITHIN, source.changed()).await {
            Err(_late) => tracing::warn!("the notifications can't be read in time: those of before hold"),
            Ok(Ok(None)) => {}
            Ok(Ok(Some(notifier))) => {
                tracing::info!(object = %source.object, "the notifications have changed");
                *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(notifier);
            }
            Ok(Err(error)) => {
                tracing::error!(
                    error = chain(&error),
                    "the notifications can't be read anew: those of before hold"
                );
            }
        }
    }
}

impl Source {
    async fn changed(&self) -> Result<Option<Notifier>, LoadError> {
        let known = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.0.elapsed() < LOOK_EVERY {
                return Ok(None);
            }
            seen.0 = Instant::now();
            seen.1.clone()
        };
        let found = self.store.head(&self.object).await?;
        if found.is_some_and(|found| found.etag == known) {
            return Ok(None);
        }
        let (text, etag) = of_object(&*self.store, &self.object).await?;
        let notifications = Notifications::parse(&self.object.to_string(), &text)?;
        // Only what can be followed is known: what can't is an error at every look, until it is mended.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).1 = etag;
        Ok(Some(self.builder.build(notifications)))
    }
}

fn of_file(path: &str) -> Result<String, LoadError> {
    let failed = |source| LoadError::File { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut text = String::new();
    file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(failed)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(LoadError::NotText { place: path.to_owned() });
    }
    Ok(text)
}

async fn of_object(store: &dyn Store, object: &ObjectRef) -> Result<(String, String), LoadError> {
    let mut body = store.get(object, None, None).await?;
    let not_text = || LoadError::NotText { place: object.to_string() };
    let mut bytes = Vec::new();
    while let Some(chunk) = body.stream.next().await {
        bytes.extend_from_slice(&chunk?);
        if bytes.len() as u64 > MAX_BYTES {
            return Err(not_text());
        }
    }
    if bytes.len() as u64 != body.meta.size {
        let what = format!("get {object}: {} of {} bytes came", bytes.len(), body.meta.size);
        return Err(StoreError::new(ErrorKind::Transient, what).into());
    }
    let text = String::from_utf8(bytes).map_err(|_unquoted| not_text())?;
    Ok((text, body.meta.etag))
}
