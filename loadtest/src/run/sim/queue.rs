//! SNS, SQS and its event source, as far as the system relies on them: messages that wait, batches, redelivery, dead
//! letters.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lambda_events::sqs::SqsBatchResponse;
use common::contract::FileEvent;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::fleet::{Launch, Process};
use crate::run::chaos::{Chaos, Fault};

/// As the template has it.
const BATCH: usize = 10;
/// After how many receives a message is set aside.
const MAX_RECEIVES: u32 = 5;
/// The consumer's time-out: claims outlast it by half a minute.
const CONSUMER_WITHIN: Duration = Duration::from_secs(30);
/// After what time a message that was not dealt with comes again: so that five receives outlast a claim, even where two
/// invocations were killed. Without faults nobody holds a claim for long.
const VISIBLE_AFTER: Duration = Duration::from_secs(35);
/// Messages that may wait; whoever has more waits with them.
const WAITING: usize = 10_000;
/// How late a message may come by chaos.
const LATEST: Duration = Duration::from_secs(2);

/// The messages.
pub(super) struct Queue {
    messages: Mutex<VecDeque<Waiting>>,
    dead: Mutex<Vec<String>>,
    changed: Notify,
    chaos: Arc<Chaos>,
}

#[derive(Debug, Clone)]
struct Waiting {
    id: u64,
    body: String,
    attributes: BTreeMap<String, String>,
    sent: Timestamp,
    receives: u32,
    visible_at: Instant,
}

impl Queue {
    /// An empty queue.
    pub(super) fn new(chaos: Arc<Chaos>) -> Self {
        Self { messages: Mutex::default(), dead: Mutex::default(), changed: Notify::new(), chaos }
    }

    fn messages(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Messages that wait or are at work.
    pub(super) fn depth(&self) -> u64 {
        self.messages().len() as u64
    }

    /// Takes a message; by chaos twice, or late, so that others overtake it.
    pub(super) async fn publish(&self, body: String, attributes: BTreeMap<String, String>) {
        let copies = if self.chaos.is_due(Fault::Duplicate) { 2 } else { 1 };
        if copies > 1 {
            self.chaos.count(Fault::Duplicate);
        }
        for _ in 0..copies {
            let late = self.chaos.is_due(Fault::Disorder);
            let latest = u64::try_from(LATEST.as_millis()).unwrap_or(u64::MAX);
            let delay = if late { Duration::from_millis(self.chaos.below(latest)) } else { Duration::ZERO };
            if late {
                self.chaos.count(Fault::Disorder);
            }
            while self.messages().len() >= WAITING {
                self.changed.notified().await;
            }
            let mut messages = self.messages();
            let id = fastrand::u64(..);
            let visible_at = Instant::now() + delay;
            let (body, attributes) = (body.clone(), attributes.clone());
            messages.push_back(Waiting {
                id,
                body,
                attributes,
                sent: Timestamp::now(),
                receives: 0,
                visible_at,
            });
        }
        self.changed.notify_waiters();
    }

    /// Why the message of this file was given up, if it was.
    pub(super) fn given_up(&self, key: &str) -> Option<String> {
        let dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        let ours = |body: &String| FileEvent::parse(body).is_ok_and(|event| event.subject == key);
        dead.iter().any(ours).then(|| format!("its message was received {MAX_RECEIVES} times and set aside"))
    }

    /// Hands messages to the consumer until this is dropped.
    pub(super) fn deliver(self: &Arc<Self>, launch: Launch) -> AbortOnDropHandle<()> {
        let queue = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move {
            let mut process = None;
            loop {
                let batch = queue.receive();
                if batch.is_empty() {
                    let look_again = Duration::from_millis(50);
                    tokio::time::timeout(look_again, queue.changed.notified()).await.unwrap_or_default();
                    continue;
                }
                let event = sqs_event(&batch);
                let invoked = Process::invoke(&mut process, &launch, &event, CONSUMER_WITHIN, &queue).await;
                queue.settle(&batch, invoked.ok());
            }
        }))
    }

    /// Up to ten visible messages, which are not visible again for a while.
    fn receive(&self) -> Vec<Waiting> {
        let now = Instant::now();
        let mut messages = self.messages();
        let visible = messages.iter_mut().filter(|message| message.visible_at <= now).take(BATCH);
        let batch = visible.map(|message| {
            message.receives += 1;
            message.visible_at = now + VISIBLE_AFTER;
            message.clone()
        });
        batch.collect()
    }

    /// Forgets what was done; sets aside what was received too often.
    fn settle(&self, batch: &[Waiting], answer: Option<Value>) {
        let failed: Option<SqsBatchResponse> = answer.and_then(|answer| serde_json::from_value(answer).ok());
        let is_done = |id: u64| {
            failed.as_ref().is_some_and(|failed| {
                !failed.batch_item_failures.iter().any(|failure| failure.item_identifier == id.to_string())
            })
        };
        let mut dead = self.dead.lock().unwrap_or_else(PoisonError::into_inner);
        self.messages().retain(|message| {
            let Some(ours) = batch.iter().find(|ours| ours.id == message.id) else { return true };
            if !is_done(ours.id) && ours.receives >= MAX_RECEIVES {
                dead.push(ours.body.clone());
                return false;
            }
            !is_done(ours.id)
        });
        self.changed.notify_waiters();
    }
}

/// The batch as Lambda's event source hands it over.
fn sqs_event(batch: &[Waiting]) -> Value {
    let records = batch.iter().map(|message| {
        let attributes = message
            .attributes
            .iter()
            .map(|(name, value)| (name.clone(), json!({ "dataType": "String", "stringValue": value })));
        json!({
            "messageId": message.id.to_string(),
            "receiptHandle": message.id.to_string(),
            "body": message.body,
            "attributes": {
                "ApproximateReceiveCount": message.receives.to_string(),
                "SentTimestamp": message.sent.as_millisecond().to_string(),
            },
            "messageAttributes": attributes.collect::<serde_json::Map<_, _>>(),
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:sim",
            "awsRegion": "us-east-1",
        })
    });
    json!({ "Records": records.collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(rates: &str) -> Queue {
        Queue::new(Arc::new(Chaos::new(rates.parse().unwrap(), 1)))
    }

    fn failing(batch: &[Waiting]) -> Value {
        json!({ "batchItemFailures": batch.iter().map(|m| json!({ "itemIdentifier": m.id.to_string() })).collect::<Vec<_>>() })
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_done_is_gone_and_what_failed_comes_again_until_it_is_set_aside() {
        let queue = queue("torn=0");
        queue.publish("done".into(), BTreeMap::new()).await;
        queue.publish("fails".into(), BTreeMap::new()).await;
        let batch = queue.receive();
        assert_eq!(batch.len(), 2);
        assert!(queue.receive().is_empty(), "what is at work is not visible");
        queue.settle(&batch, Some(failing(&batch[1..])));
        assert_eq!(queue.depth(), 1);
        for receives in 2..=MAX_RECEIVES {
            tokio::time::sleep(VISIBLE_AFTER).await;
            let batch = queue.receive();
            assert_eq!((batch[0].body.as_str(), batch[0].receives), ("fails", receives));
            // An invocation that was killed answers nothing.
            queue.settle(&batch, None);
        }
        assert_eq!(queue.depth(), 0);
        assert_eq!(*queue.dead.lock().unwrap(), ["fails"]);
    }

    #[tokio::test(start_paused = true)]
    async fn chaos_sends_messages_twice_and_late() {
        let queue = queue("duplicate=1,disorder=1");
        queue.publish("x".into(), BTreeMap::new()).await;
        assert_eq!(queue.depth(), 2);
        assert!(queue.receive().is_empty());
        tokio::time::sleep(LATEST).await;
        assert_eq!(queue.receive().len(), 2);
    }

    #[test]
    fn a_batch_is_as_the_consumer_reads_it() {
        let message = Waiting {
            id: 7,
            body: "b".into(),
            attributes: [("traceparent".to_owned(), "t".to_owned())].into(),
            sent: Timestamp::UNIX_EPOCH,
            receives: 2,
            visible_at: Instant::now(),
        };
        let event: aws_lambda_events::sqs::SqsEvent = serde_json::from_value(sqs_event(&[message])).unwrap();
        let record = &event.records[0];
        assert_eq!(record.attributes["ApproximateReceiveCount"], "2");
        assert_eq!(record.message_attributes["traceparent"].string_value.as_deref(), Some("t"));
    }
}
