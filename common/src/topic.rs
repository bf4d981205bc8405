//! Messages out: SNS, and a stand-in.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use aws_sdk_sns::error::ProvideErrorMetadata as _;
use aws_sdk_sns::types::MessageAttributeValue;
use opentelemetry::trace::{SpanBuilder, SpanKind, TraceContextExt as _};
use opentelemetry::{Context, KeyValue};

use crate::trace;

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
    is_refusal: bool,
}

/// Whether an error's code says that a service will not take a message, however often it is sent: until somebody mends
/// a policy, a key, or a name.
pub fn is_refusal(code: Option<&str>) -> bool {
    let refusals = [
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "InvalidParameter",
        "InvalidParameterException",
        "KMSAccessDenied",
        "KMSAccessDeniedException",
        "KMSNotFound",
        "KMSNotFoundException",
        "NotFound",
        "NotFoundException",
        "ResourceNotFoundException",
        "ValidationException",
    ];
    code.is_some_and(|code| refusals.contains(&code))
}

impl PublishError {
    /// The topic's name, and why it did not take the message.
    pub fn new(topic: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { topic: topic.into(), source: source.into(), is_refusal: false }
    }

    /// Whether the same message may be taken when it is published again.
    pub fn is_transient(&self) -> bool {
        !self.is_refusal
    }
}

/// Where messages go.
#[async_trait]
pub trait Topic: Send + Sync + 'static {
    /// Publishes one message; once it returns, the topic has it and has given it the id that is returned.
    async fn publish(&self, message: Message) -> Result<String, PublishError>;

    /// What the topic is called.
    fn name(&self) -> &str;
}

/// Publishes a message in a span of its own, whose context travels in the message's attributes.
pub async fn publish(topic: &dyn Topic, mut message: Message) -> Result<(), PublishError> {
    let name = topic.name().to_owned();
    let attributes = vec![
        KeyValue::new("messaging.system", "aws.sns"),
        KeyValue::new("messaging.operation.name", "publish"),
        KeyValue::new("messaging.operation.type", "send"),
        KeyValue::new("messaging.destination.name", name.clone()),
        trace::count_of("messaging.message.body.size", message.body.len() as u64),
    ];
    let builder = SpanBuilder::from_name(format!("publish {name}"));
    let builder = builder.with_kind(SpanKind::Producer).with_attributes(attributes);
    trace::in_span(builder, async {
        let context = Context::current();
        let mut carrier = BTreeMap::new();
        trace::inject(context.span().span_context(), &mut carrier);
        // What subscribers filter by comes first.
        let room = MAX_ATTRIBUTES.saturating_sub(message.attributes.len());
        message.attributes.extend(carrier.into_iter().take(room));
        let id = topic.publish(message).await?;
        context.span().set_attribute(KeyValue::new("messaging.message.id", id));
        Ok(())
    })
    .await
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
        PublishError::new(&self.arn, source)
    }
}

#[async_trait]
impl Topic for SnsTopic {
    fn name(&self) -> &str {
        self.arn.rsplit(':').next().unwrap_or_default()
    }

    async fn publish(&self, message: Message) -> Result<String, PublishError> {
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
        // The client's own would be the invocation's, and the file may belong to another trace.
        let header = trace::current_xray_header();
        let request = request.customize().mutate_request(move |request| {
            if let Some(header) = &header {
                request.headers_mut().insert(trace::XRAY_HEADER, header.clone());
            }
        });
        let published = request.send().await;
        let published = published.map_err(|error| {
            let is_refusal = is_refusal(error.code());
            PublishError { is_refusal, ..self.error(error) }
        })?;
        Ok(published.message_id.unwrap_or_default())
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
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn publish(&self, message: Message) -> Result<String, PublishError> {
        let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
        if *refusals > 0 {
            *refusals -= 1;
            return Err(PublishError::new("memory", "refused: injected"));
        }
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        messages.push(message);
        Ok(messages.len().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_trace_takes_no_attributes_place() {
        for own in [0, MAX_ATTRIBUTES - 1, MAX_ATTRIBUTES] {
            let topic = MemoryTopic::default();
            let attributes: BTreeMap<String, String> =
                (0..own).map(|number| (format!("a{number}"), "v".into())).collect();
            let message = Message { attributes: attributes.clone(), ..Message::default() };
            publish(&topic, message).await.unwrap();
            let [published] = &topic.messages()[..] else { unreachable!("one message") };
            assert_eq!(published.attributes.len(), (own + 1).min(MAX_ATTRIBUTES));
            assert_eq!(published.attributes.contains_key("traceparent"), own < MAX_ATTRIBUTES);
            assert!(attributes.iter().all(|own| published.attributes.get_key_value(own.0) == Some(own)));
        }
    }
}
