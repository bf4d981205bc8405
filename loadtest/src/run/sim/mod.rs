//! The whole flow on one machine, with files of any size: processes of the functions' own code, against an S3 whose
//! inputs are made as they are read.
//!
//! # Layout
//!
//! - [`Sim`]: all of it, started; files sent.
//! - `server`: the S3, in a process of its own; `store`: its objects; `inputs`: what they are made of.
//! - `fleet`: Lambda: events, processes, retries; `worker`: such a process.
//! - `queue`: SNS and SQS: messages, batches, redelivery.

mod fleet;
mod inputs;
mod queue;
pub(crate) mod server;
pub(crate) mod worker;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use bytes::Bytes;
use common::aws;
use common::contract::{ObjectRef, Sequencer, Source};
use common::store::{Condition, NewObject, Payload, S3Store, Store};
use local::s3_event::s3_event;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::chaos::{Chaos, Fault};
use super::processes::Family;
use super::proxy::Proxy;
use super::upload::Root;
use fleet::{Fleet, Launch};
use queue::Queue;
use server::Server;
use worker::Function;

/// What the S3 takes for the account's owner.
pub(crate) const ACCESS_KEY: &str = "test";
/// Its secret.
pub(crate) const SECRET_KEY: &str = "test-secret";
/// Where files are put.
pub(crate) const INPUT_BUCKET: &str = "sim-input";
/// Where they come out.
pub(crate) const OUTPUT_BUCKET: &str = "sim-output";

/// How the simulation is run.
pub(crate) struct Options {
    /// Processors at once.
    pub(crate) processors: u64,
    /// What each may count on.
    pub(crate) memory_mib: u64,
    /// Where spans go.
    pub(crate) spans_to: Option<String>,
}

/// The simulation. Dropping it ends everything that was started for it.
pub(crate) struct Sim {
    store: S3Store,
    fleet: Fleet,
    queue: Arc<Queue>,
    chaos: Arc<Chaos>,
    sequencer: AtomicU64,
    _delivering: AbortOnDropHandle<()>,
    proxy: Proxy,
    server: Server,
}

impl Sim {
    /// Starts S3, processors and consumer.
    pub(crate) async fn start(options: &Options, chaos: &Arc<Chaos>) -> anyhow::Result<Self> {
        let server = Server::start().await?;
        let proxy = Proxy::start(Arc::clone(chaos)).await.context("start the proxy")?;
        proxy.stand_before(&server.endpoint, Family::Children);
        // Without faults nothing stands between: the S3 is what is measured against.
        let endpoint = if chaos.is_asked_for() { proxy.endpoint() } else { server.endpoint.clone() };
        let launch = |function| Launch {
            function,
            endpoint: endpoint.clone(),
            memory_mib: options.memory_mib,
            spans_to: options.spans_to.clone(),
        };
        let queue = Arc::new(Queue::new(Arc::clone(chaos)));
        let fleet = Fleet::start(&launch(Function::Processor), options.processors, &queue);
        let delivering = queue.deliver(launch(Function::Consumer));
        let client = aws::s3_client_at(&server.endpoint, ACCESS_KEY, SECRET_KEY);
        Ok(Self {
            store: S3Store::new(client),
            fleet,
            queue,
            chaos: Arc::clone(chaos),
            sequencer: AtomicU64::new(1),
            _delivering: delivering,
            proxy,
            server,
        })
    }

    /// The S3, without faults.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::new(S3Store::new(aws::s3_client_at(&self.server.endpoint, ACCESS_KEY, SECRET_KEY)))
    }

    /// Puts a file that is described by its metadata, and hands its event over. What S3 said, and the trace's id.
    ///
    /// `older` is what lay under the key before, whose event then comes again, as late as can be.
    pub(crate) async fn send(
        &self,
        key: &str,
        metadata: BTreeMap<String, String>,
        older: Option<BTreeMap<String, String>>,
    ) -> anyhow::Result<(String, String)> {
        let mut stale = None;
        if let Some(metadata) = older {
            let (etag, _) = self.put(key, metadata).await?;
            stale = Some(self.event(key, &etag));
        }
        let (etag, trace_id) = self.put(key, metadata).await?;
        let event = self.event(key, &etag);
        self.fleet.send(event.clone()).await?;
        if self.chaos.is_due(Fault::Duplicate) {
            self.chaos.count(Fault::Duplicate);
            self.fleet.send(event).await?;
        }
        if let Some(stale) = stale {
            self.chaos.count(Fault::Disorder);
            self.fleet.send(stale).await?;
        }
        Ok((etag, trace_id))
    }

    async fn put(&self, key: &str, metadata: BTreeMap<String, String>) -> anyhow::Result<(String, String)> {
        let root = Root::begin(INPUT_BUCKET, key);
        let metadata = root.describe(metadata);
        let new = NewObject { object: ObjectRef::new(INPUT_BUCKET, key), content_type: "text/csv", metadata };
        let written = self.store.put(&new, Payload::new(Bytes::new()), &Condition::Always).await;
        let written = written.with_context(|| format!("put {key}"))?;
        Ok((written.etag, root.end()))
    }

    /// As S3 tells of a new object, but for its size, which the processor asks for.
    fn event(&self, key: &str, etag: &str) -> Value {
        let sequencer = self.sequencer.fetch_add(1, Ordering::Relaxed);
        s3_event(&Source {
            bucket: INPUT_BUCKET.into(),
            key: key.into(),
            version_id: None,
            etag: etag.into(),
            size: 0,
            sequencer: Some(Sequencer(format!("{sequencer:016X}"))),
        })
    }

    /// Why a file was given up, if it was.
    pub(crate) fn given_up(&self, key: &str) -> Option<String> {
        self.fleet.given_up(key).or_else(|| self.queue.given_up(key))
    }

    /// Bytes of inputs that were read.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.server.served()
    }

    /// Messages that wait or are at work.
    pub(crate) fn queue_depth(&self) -> u64 {
        self.queue.depth()
    }

    /// Whether no event and no message waits or is at work.
    pub(crate) fn is_idle(&self) -> bool {
        self.fleet.under_way() == 0 && self.queue.depth() == 0
    }

    /// Keys of uploads that were begun and neither completed nor aborted.
    pub(crate) async fn open_uploads(&self) -> Vec<String> {
        self.server.open_uploads().await
    }

    /// What invocations were at that were killed.
    pub(crate) fn killed(&self) -> Vec<String> {
        self.proxy.killed()
    }

    /// Ends all processes.
    pub(crate) async fn stop(self) {
        self.fleet.stop().await;
    }
}
