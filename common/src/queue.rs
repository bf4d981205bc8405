//! Queues: SQS, and a stand-in.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_sqs::types::MessageAttributeValue;

/// SQS lets a message stay invisible for no longer than this, counted from its receive.
pub const MAX_VISIBILITY: Duration = Duration::from_hours(12);

/// A message to a queue.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueMessage {
    /// The body.
    pub body: String,
    /// String attributes; empty ones are left out.
    pub attributes: BTreeMap<String, String>,
}

/// A request that a queue did not take.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct QueueError {
    what: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

/// Queues, by their URLs.
#[async_trait]
pub trait Queues: Send + Sync + 'static {
    /// Sends a message; once it returns, the queue has it.
    async fn send(&self, queue_url: &str, message: QueueMessage) -> Result<(), QueueError>;

    /// Makes a message that was received visible again after `pause`, in whole seconds.
    async fn put_off(&self, queue_url: &str, receipt_handle: &str, pause: Duration)
    -> Result<(), QueueError>;
}

/// The queues of SQS.
pub struct SqsQueues {
    client: aws_sdk_sqs::Client,
}

impl SqsQueues {
    /// The queues that the client may reach.
    pub fn new(client: aws_sdk_sqs::Client) -> Self {
        Self { client }
    }
}

#[async_trait]
impl Queues for SqsQueues {
    async fn send(&self, queue_url: &str, message: QueueMessage) -> Result<(), QueueError> {
        let failed = |source| QueueError { what: format!("send to {queue_url}"), source };
        let mut request = self.client.send_message().queue_url(queue_url).message_body(message.body);
        for (name, value) in message.attributes.into_iter().filter(|(_, value)| !value.is_empty()) {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            request = request.message_attributes(name, value.map_err(|error| failed(error.into()))?);
        }
        request.send().await.map_err(|error| failed(error.into()))?;
        Ok(())
    }

    async fn put_off(
        &self,
        queue_url: &str,
        receipt_handle: &str,
        pause: Duration,
    ) -> Result<(), QueueError> {
        let seconds = i32::try_from(pause.min(MAX_VISIBILITY).as_secs()).unwrap_or(i32::MAX);
        let request = self.client.change_message_visibility().queue_url(queue_url);
        let request = request.receipt_handle(receipt_handle).visibility_timeout(seconds).send().await;
        request.map_err(|error| QueueError {
            what: format!("put a message of {queue_url} off"),
            source: error.into(),
        })?;
        Ok(())
    }
}

/// A message that was put off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PutOff {
    /// The queue.
    pub queue_url: String,
    /// Which message.
    pub receipt_handle: String,
    /// For how long.
    pub pause: Duration,
}

/// Queues that keep what they are told, for tests; they can be made to refuse some.
#[derive(Default)]
pub struct MemoryQueues {
    sent: Mutex<Vec<(String, QueueMessage)>>,
    put_off: Mutex<Vec<PutOff>>,
    refusals: Mutex<u32>,
}

impl MemoryQueues {
    /// What was sent, and where to, in order.
    pub fn sent(&self) -> Vec<(String, QueueMessage)> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was put off, in order.
    pub fn delayed(&self) -> Vec<PutOff> {
        self.put_off.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses the next `count` requests.
    pub fn refuse(&self, count: u32) {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner) = count;
    }

    fn accept(&self) -> Result<(), QueueError> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if *refusals > 0 {
            *refusals -= 1;
            return Err(QueueError { what: "memory queue".into(), source: "refused: injected".into() });
        }
        Ok(())
    }
}

#[async_trait]
impl Queues for MemoryQueues {
    async fn send(&self, queue_url: &str, message: QueueMessage) -> Result<(), QueueError> {
        self.accept()?;
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.push((queue_url.to_owned(), message));
        Ok(())
    }

    async fn put_off(
        &self,
        queue_url: &str,
        receipt_handle: &str,
        pause: Duration,
    ) -> Result<(), QueueError> {
        self.accept()?;
        let put_off =
            PutOff { queue_url: queue_url.to_owned(), receipt_handle: receipt_handle.to_owned(), pause };
        self.put_off.lock().unwrap_or_else(PoisonError::into_inner).push(put_off);
        Ok(())
    }
}
