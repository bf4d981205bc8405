//! Messages out: SNS, and a stand-in.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_sns::types::MessageAttributeValue;

/// SQS takes no more attributes than this from a raw delivery.
pub const MAX_ATTRIBUTES: usize = 10;

/// A message to a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// What e-mail readers see; none for machines.
    pub subject: Option<String>,
    /// The body.
    pub body: String,
    /// String attributes, for filter policies and tracing. At most [`MAX_ATTRIBUTES`]; empty ones are left out.
    pub attributes: BTreeMap<String, String>,
}

/// A message that was not taken.
#[derive(Debug, thiserror::Error)]
#[error("publish to {topic}")]
pub struct PublishError {
    topic: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

/// Where messages go.
#[async_trait]
pub trait Topic: Send + Sync + 'static {
    /// Publishes one message; once it returns, the topic has it.
    async fn publish(&self, message: Message) -> Result<(), PublishError>;
}

/// A topic of SNS.
pub struct SnsTopic {
    client: aws_sdk_sns::Client,
    arn: String,
}

impl SnsTopic {
    /// The topic with this ARN.
    pub fn new(client: aws_sdk_sns::Client, arn: impl Into<String>) -> Self {
        Self { client, arn: arn.into() }
    }

    fn error(&self, source: impl Into<Box<dyn Error + Send + Sync>>) -> PublishError {
        PublishError { topic: self.arn.clone(), source: source.into() }
    }
}

#[async_trait]
impl Topic for SnsTopic {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        if message.attributes.len() > MAX_ATTRIBUTES {
            return Err(self.error(format!("more than {MAX_ATTRIBUTES} attributes")));
        }
        let mut request = self.client.publish().topic_arn(&self.arn).message(message.body);
        request = request.set_subject(message.subject);
        // SNS refuses a publish with an empty value.
        for (name, value) in message.attributes.into_iter().filter(|(_, value)| !value.is_empty()) {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            request = request.message_attributes(name, value.map_err(|error| self.error(error))?);
        }
        request.send().await.map_err(|error| self.error(error))?;
        Ok(())
    }
}

/// A topic that keeps its messages, for tests; it can be made to refuse some.
#[derive(Default)]
pub struct MemoryTopic {
    messages: Mutex<Vec<Message>>,
    refusals: Mutex<u32>,
}

impl MemoryTopic {
    /// What was published, in order.
    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses the next `count` messages.
    pub fn refuse(&self, count: u32) {
        *self.refusals.lock().unwrap_or_else(PoisonError::into_inner) = count;
    }
}

#[async_trait]
impl Topic for MemoryTopic {
    async fn publish(&self, message: Message) -> Result<(), PublishError> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if *refusals > 0 {
            *refusals -= 1;
            return Err(PublishError { topic: "memory".into(), source: "refused: injected".into() });
        }
        self.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        Ok(())
    }
}
