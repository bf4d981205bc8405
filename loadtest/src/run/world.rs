//! The system that files are sent to, whichever it is.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::contract::{ObjectRef, Source};
use common::receiver::SpanReceiver;
use common::store::{ErrorKind, Store};
use common::trace::TRACEPARENT;
use futures::TryStreamExt as _;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::chaos::{Chaos, Fault};
use super::deployed::Deployed;
use super::plan::Planned;
use super::processes::Family;
use super::sim::{self, Sim};
use crate::generate::{Spec, Text};

/// How often to look for an object: at first, and at last.
const LOOK: (Duration, Duration) = (Duration::from_millis(40), Duration::from_secs(1));

/// Which it is.
pub(crate) enum Target {
    Sim(Box<Sim>),
    Deployed(Box<Deployed>),
}

/// The system, and what is seen of it.
pub(crate) struct World {
    pub(crate) target: Target,
    pub(crate) chaos: Arc<Chaos>,
    /// Both buckets, without faults.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) output_bucket: String,
    pub(crate) spans: SpanReceiver,
}

/// A file that was sent.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) source: Source,
    pub(crate) trace_id: String,
    /// The context that its trace begins with, as the object carries it.
    pub(crate) traceparent: String,
    pub(crate) object_bytes: u64,
    /// What lay under its key before, whose event is to come again.
    pub(crate) stale: Option<Source>,
}

impl World {
    /// Around a target.
    pub(crate) fn new(target: Target, chaos: Arc<Chaos>, spans: SpanReceiver) -> Self {
        let (store, output_bucket) = match &target {
            Target::Sim(sim) => (sim.store(), sim::OUTPUT_BUCKET.to_owned()),
            Target::Deployed(deployed) => (deployed.store(), deployed.buckets().1.to_owned()),
        };
        Self { target, chaos, store, output_bucket, spans }
    }

    /// Sends a file; by chaos, behind another under the same key.
    pub(crate) async fn send(&self, file: &Planned, text: &Text) -> anyhow::Result<Sent> {
        let older = self.chaos.is_due(Fault::Disorder).then(|| older(file));
        let mut source = Source {
            bucket: sim::INPUT_BUCKET.into(),
            key: file.key.clone(),
            version_id: None,
            etag: String::new(),
            size: text.bytes(),
            sequencer: None,
        };
        match &self.target {
            Target::Sim(sim) => {
                let older = older.map(|older| anyhow::Ok(older.spec.metadata(&Text::new(&older.spec)?)));
                let (etag, trace_id) =
                    sim.send(&file.key, file.spec.metadata(text), older.transpose()?).await?;
                let size = self.store.head(&source.object()).await?.map_or(0, |meta| meta.size);
                (source.etag, source.size) = (etag, size);
                Ok(Sent { source, trace_id, traceparent: String::new(), object_bytes: size, stale: None })
            }
            Target::Deployed(deployed) => {
                let (put, stale) = deployed.send(file, older.as_ref()).await?;
                deployed.buckets().0.clone_into(&mut source.bucket);
                (source.version_id, source.etag) = (put.version_id, put.etag);
                let mut meta = self.store.head(&source.object()).await?.context("the file is gone")?;
                let traceparent = meta.metadata.remove(TRACEPARENT).unwrap_or_default();
                source.size = meta.size;
                // Said again without the order that only S3 knows as yet: no older event may come behind that.
                if stale.is_none() {
                    deployed.repeat(&source, None).await?;
                }
                Ok(Sent { source, trace_id: put.trace_id, traceparent, object_bytes: meta.size, stale })
            }
        }
    }

    /// Sends again what is to come again once a file's receipt is there, which knows the event's order.
    pub(crate) async fn repeat(
        &self,
        sent: &Sent,
        source: &Source,
        message: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        if let Target::Deployed(deployed) = &self.target {
            deployed.repeat(source, sent.stale.clone()).await?;
            deployed.repeat_message(message(), &sent.traceparent).await?;
        }
        Ok(())
    }

    /// Waits for an object of the output bucket that is as wanted; else says why it did not come.
    pub(crate) async fn wait_for<T: DeserializeOwned>(
        &self,
        key: &str,
        sent: &Sent,
        is_wanted: impl Fn(&T) -> bool,
        deadline: Instant,
    ) -> anyhow::Result<Result<T, String>> {
        let given_up = || match &self.target {
            Target::Sim(sim) => sim.given_up(&sent.source.key),
            Target::Deployed(deployed) => deployed.given_up(sent.source.version_id.as_deref()),
        };
        look_for(&*self.store, &self.output_bucket, key, is_wanted, deadline, given_up).await
    }

    /// Messages that wait or are at work.
    pub(crate) async fn queue_depth(&self) -> Option<u64> {
        match &self.target {
            Target::Sim(sim) => Some(sim.queue_depth()),
            Target::Deployed(deployed) => deployed.queue_depth().await,
        }
    }

    /// Bytes of inputs that were read, where that can be seen.
    pub(crate) fn bytes_read(&self) -> Option<u64> {
        match &self.target {
            Target::Sim(sim) => Some(sim.bytes_read()),
            Target::Deployed(_) => None,
        }
    }

    /// Resident memory of the largest processor, where processes can be seen.
    pub(crate) fn memory_bytes(&self) -> Option<u64> {
        let (family, function) = match &self.target {
            Target::Sim(_) => (Family::Children, "processor"),
            Target::Deployed(deployed) => deployed.family()?,
        };
        let processors = family.functions().into_iter().filter(|process| process.function == function);
        processors.filter_map(|process| process.memory_bytes()).max()
    }

    /// Whether nothing more is to be expected of events and messages that came again.
    pub(crate) async fn is_idle(&self) -> bool {
        match &self.target {
            Target::Sim(sim) => sim.is_idle(),
            Target::Deployed(deployed) => deployed.queue_depth().await == Some(0),
        }
    }

    /// What invocations were at that were killed.
    pub(crate) fn killed(&self) -> Vec<String> {
        match &self.target {
            Target::Sim(sim) => sim.killed(),
            Target::Deployed(deployed) => deployed.killed(),
        }
    }

    /// Keys of uploads that nobody completed or aborted.
    pub(crate) async fn open_uploads(&self, run: &str) -> anyhow::Result<Vec<String>> {
        match &self.target {
            Target::Sim(sim) => Ok(sim.open_uploads().await),
            Target::Deployed(deployed) => deployed.open_uploads(run).await,
        }
    }
}

/// What a file replaces: of the same kind, with other rows, and short.
fn older(file: &Planned) -> Planned {
    let spec = Spec {
        seed: file.spec.seed ^ (1 << 63),
        length: crate::generate::Length::Rows(100),
        dirt: None,
        ..file.spec.clone()
    };
    Planned { spec, ..file.clone() }
}

/// Looks for an object until it is there and as wanted, was given up, or the time is over: then says why.
pub(crate) async fn look_for<T: DeserializeOwned>(
    store: &dyn Store,
    bucket: &str,
    key: &str,
    is_wanted: impl Fn(&T) -> bool,
    deadline: Instant,
    given_up: impl Fn() -> Option<String>,
) -> anyhow::Result<Result<T, String>> {
    let mut pause = LOOK.0;
    loop {
        if let Some(found) = read::<T>(store, bucket, key).await?.filter(&is_wanted) {
            return Ok(Ok(found));
        }
        if let Some(why) = given_up() {
            return Ok(Err(why));
        }
        if Instant::now() >= deadline {
            return Ok(Err(format!("{key} did not come in time")));
        }
        tokio::time::sleep(pause).await;
        // Of a file that takes long, a little later is soon enough.
        pause = (pause * 21 / 20).min(LOOK.1);
    }
}

/// A JSON object, if it is there.
pub(crate) async fn read<T: DeserializeOwned>(
    store: &dyn Store,
    bucket: &str,
    key: &str,
) -> anyhow::Result<Option<T>> {
    let body = match store.get(&ObjectRef::new(bucket, key), None, None).await {
        Ok(body) => body,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let bytes: Vec<bytes::Bytes> = body.stream.try_collect().await?;
    serde_json::from_slice(&bytes.concat()).map(Some).with_context(|| format!("read {key}"))
}
