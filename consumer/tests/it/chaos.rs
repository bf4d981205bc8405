//! A store, a topic, another target and the queues, as one invocation meets them, that fail, lose answers, or die with it at a chosen step.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use common::contract::{ByteRange, Claim, FileEvent, ObjectRef};
use common::queue::{MemoryQueues, QueueError, QueueMessage, Queues};
use common::store::{
    Body, Condition, ErrorKind, Listed, MemoryStore, NewObject, ObjectMeta, Payload, Store, StoreError,
    Upload, UploadedPart, Written,
};
use common::topic::{MemoryTopic, Message, PublishError, Topic};
use consumer::Invocation;
use consumer::notify::{Notice, Notifications, Notifier, SendError, Target};
use serde_json::Value;
use tokio::sync::Notify;

use crate::world::{World, batch, consumer, failures, received};

/// What happens at a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It fails, and nothing was done.
    FailBefore,
    /// It was done, and the answer is lost.
    FailAfter,
    /// The invocation dies before it.
    CrashBefore,
    /// The invocation dies when it was done.
    CrashAfter,
}

pub(crate) struct Chaos {
    store: Arc<MemoryStore>,
    topic: Arc<MemoryTopic>,
    queues: Arc<MemoryQueues>,
    heard: Arc<Mutex<Vec<Notice>>>,
    /// How often each step lets others go first.
    yields: Vec<u8>,
    plan: Mutex<BTreeMap<usize, Blow>>,
    step: AtomicUsize,
    owners: Mutex<BTreeSet<String>>,
    died: Notify,
}

impl Chaos {
    pub(crate) fn new(world: &World, yields: &[u8]) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(&world.store),
            topic: Arc::clone(&world.topic),
            queues: Arc::clone(&world.queues),
            heard: Arc::clone(&world.heard),
            yields: yields.to_vec(),
            plan: Mutex::default(),
            step: AtomicUsize::new(0),
            owners: Mutex::default(),
            died: Notify::new(),
        })
    }

    pub(crate) fn plan(&self, step: usize, blow: Blow) {
        self.plan.lock().unwrap().insert(step, blow);
    }

    /// Steps taken so far.
    pub(crate) fn steps(&self) -> usize {
        self.step.load(Ordering::SeqCst)
    }

    /// Claims taken, as the store has seen them.
    pub(crate) fn claims(&self) -> usize {
        self.owners.lock().unwrap().len()
    }

    /// Delivers the event to an invocation of its own; whether it is done, or nothing if the invocation died.
    pub(crate) async fn deliver(self: &Arc<Self>, event: &FileEvent) -> Option<bool> {
        self.deliver_received(event, 1).await
    }

    /// The same, received so often.
    pub(crate) async fn deliver_received(self: &Arc<Self>, event: &FileEvent, receives: u32) -> Option<bool> {
        self.deliver_record(received("m1", event, receives)).await
    }

    /// The same of a message as it came.
    pub(crate) async fn deliver_record(self: &Arc<Self>, record: Value) -> Option<bool> {
        let consumer = consumer(Arc::clone(self) as _, Arc::clone(self) as _, self.notifier());
        let invocation = Invocation::default();
        tokio::select! {
            biased;
            () = self.died.notified() => None,
            response = consumer.handle(batch(&[record]), &invocation) => {
                Some(failures(&response.unwrap()).is_empty())
            }
        }
    }

    /// Tells the topic of failures, and the other target of everything.
    pub(crate) fn notifier(self: &Arc<Self>) -> Notifier {
        let text = "{targets: {other: {eventbridge: other}}, rules: [{to: [other]}]}";
        let rules = Notifications::parse("rules", text).unwrap();
        let notifier = Notifier::to_topic(Arc::clone(self) as _).with_rules(rules);
        notifier.with_target("other", Arc::clone(self) as _)
    }

    async fn step<T>(&self, call: impl Future<Output = T>, lost: impl Fn() -> T) -> T {
        let step = self.step.fetch_add(1, Ordering::SeqCst);
        for _ in 0..self.yields.get(step).copied().unwrap_or(0) {
            tokio::task::yield_now().await;
        }
        let blow = self.plan.lock().unwrap().get(&step).copied();
        match blow {
            None => call.await,
            Some(Blow::FailBefore) => lost(),
            Some(Blow::FailAfter) => {
                call.await;
                lost()
            }
            Some(Blow::CrashBefore) => self.die().await,
            Some(Blow::CrashAfter) => {
                call.await;
                self.die().await
            }
        }
    }

    async fn die<T>(&self) -> T {
        self.died.notify_one();
        std::future::pending().await
    }
}

fn lost<T>() -> Result<T, StoreError> {
    Err(StoreError::new(ErrorKind::Transient, "injected"))
}

#[async_trait]
impl Store for Chaos {
    async fn head(&self, object: &ObjectRef) -> Result<Option<ObjectMeta>, StoreError> {
        self.step(self.store.head(object), lost).await
    }

    async fn get(
        &self,
        object: &ObjectRef,
        range: Option<ByteRange>,
        if_match: Option<&str>,
    ) -> Result<Body, StoreError> {
        self.step(self.store.get(object, range, if_match), lost).await
    }

    async fn put(
        &self,
        new: &NewObject,
        payload: Payload,
        condition: &Condition,
    ) -> Result<Written, StoreError> {
        let claim = serde_json::from_slice::<Claim>(&payload.chunks[0]).ok();
        let call = async {
            let written = self.store.put(new, payload, condition).await?;
            self.owners.lock().unwrap().extend(claim.map(|claim| claim.owner));
            Ok(written)
        };
        self.step(call, lost).await
    }

    async fn create_upload(&self, _: &NewObject) -> Result<Upload, StoreError> {
        unreachable!("the consumer writes nothing that needs parts")
    }

    async fn upload_part(&self, _: &Upload, _: u32, _: Payload) -> Result<UploadedPart, StoreError> {
        unreachable!("the consumer writes nothing that needs parts")
    }

    async fn complete_upload(
        &self,
        _: &Upload,
        _: &[UploadedPart],
        _: u64,
        _: &Condition,
    ) -> Result<Written, StoreError> {
        unreachable!("the consumer writes nothing that needs parts")
    }

    async fn abort_upload(&self, _: &Upload) -> Result<(), StoreError> {
        unreachable!("the consumer writes nothing that needs parts")
    }

    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<Listed>, StoreError> {
        self.store.list(bucket, prefix, after).await
    }

    async fn delete(&self, _: &ObjectRef, _: &str) -> Result<(), StoreError> {
        unreachable!("the consumer removes nothing")
    }
}

#[async_trait]
impl Topic for Chaos {
    fn name(&self) -> &str {
        self.topic.name()
    }

    async fn publish(&self, message: Message) -> Result<String, PublishError> {
        // Only a topic can make this error.
        let refusing = MemoryTopic::default();
        refusing.refuse(u32::MAX);
        let error = Mutex::new(refusing.publish(Message::default()).await.err());
        self.step(self.topic.publish(message), || Err(error.lock().unwrap().take().unwrap())).await
    }
}

#[async_trait]
impl Target for Chaos {
    async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let call = async {
            self.heard.lock().unwrap().push(notice.clone());
            Ok(())
        };
        self.step(call, || Err(SendError::transient("injected"))).await
    }
}

#[async_trait]
impl Queues for Chaos {
    async fn send(&self, queue_url: &str, message: QueueMessage) -> Result<(), QueueError> {
        // Only queues can make this error.
        let refusing = MemoryQueues::default();
        refusing.refuse(1);
        let error = Mutex::new(refusing.send("", QueueMessage::default()).await.err());
        let lost = || Err(error.lock().unwrap().take().unwrap());
        self.step(self.queues.send(queue_url, message), lost).await
    }

    /// No step of the work: a message that is not put off comes back all the same.
    async fn put_off(&self, queue_url: &str, receipt: &str, pause: Duration) -> Result<(), QueueError> {
        self.queues.put_off(queue_url, receipt, pause).await
    }
}
