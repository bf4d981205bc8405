//! A record as it comes from the queue: raw, where its body is the event, or wrapped, where SNS put the event and
//! its attributes into a JSON object of its own.

use std::borrow::Cow;
use std::collections::BTreeMap;

use aws_lambda_events::event::sqs::SqsMessage;
use common::contract::FileEvent;
use common::trace;
use opentelemetry::trace::SpanContext;
use serde::Deserialize;

use crate::error::MessageError;

/// The system attribute in which SNS and SQS hand X-Ray's header on.
const AWS_TRACE_HEADER: &str = "AWSTraceHeader";

/// A record, whichever way it was delivered.
#[derive(Debug)]
pub(crate) struct Delivery<'a> {
    body: Option<Cow<'a, str>>,
    attributes: BTreeMap<String, String>,
    xray: Option<&'a str>,
}

/// What SNS makes of a message where raw delivery is off.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    r#type: String,
    message: String,
    #[serde(default)]
    message_attributes: BTreeMap<String, EnvelopeAttribute>,
}

#[derive(Deserialize)]
struct EnvelopeAttribute {
    #[serde(rename = "Value")]
    value: String,
}

impl<'a> Delivery<'a> {
    /// Unwraps a record where it is wrapped.
    pub(crate) fn new(record: &'a SqsMessage) -> Self {
        let xray = record.attributes.get(AWS_TRACE_HEADER).map(String::as_str);
        let mut attributes: BTreeMap<String, String> = BTreeMap::new();
        for (name, attribute) in &record.message_attributes {
            attributes.extend(attribute.string_value.iter().map(|value| (name.clone(), value.clone())));
        }
        let Some(body) = &record.body else { return Self { body: None, attributes, xray } };
        match serde_json::from_str::<Envelope>(body) {
            Ok(envelope) if envelope.r#type == "Notification" => {
                let inner = envelope.message_attributes.into_iter();
                attributes.extend(inner.map(|(name, attribute)| (name, attribute.value)));
                Self { body: Some(Cow::Owned(envelope.message)), attributes, xray }
            }
            _ => Self { body: Some(Cow::Borrowed(body)), attributes, xray },
        }
    }

    /// The span that published the message: by the message's own attributes, else by X-Ray's header.
    pub(crate) fn parent(&self) -> Option<SpanContext> {
        trace::extract(&self.attributes).or_else(|| self.xray.and_then(trace::from_xray))
    }

    /// The event.
    pub(crate) fn event(&self) -> Result<FileEvent, MessageError> {
        Ok(FileEvent::parse(self.body.as_ref().ok_or(MessageError::NoBody)?)?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    const OTHER: &str = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-00f067aa0ba902b7-01";
    const XRAY: &str = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";

    fn trace_id(record: Value) -> Option<String> {
        let record: SqsMessage = serde_json::from_value(record).unwrap();
        Delivery::new(&record).parent().map(|span| span.trace_id().to_string())
    }

    fn raw_attribute(value: &str) -> Value {
        json!({ "traceparent": { "stringValue": value, "dataType": "String" } })
    }

    fn wrapped(attributes: &Value) -> String {
        json!({ "Type": "Notification", "Message": "{}", "MessageAttributes": attributes }).to_string()
    }

    #[test]
    fn the_messages_own_context_comes_first() {
        let attributes = json!({ "AWSTraceHeader": XRAY });
        let own = json!({ "traceparent": { "Type": "String", "Value": PARENT } });
        let records = [
            json!({ "body": "{}", "messageAttributes": raw_attribute(PARENT), "attributes": attributes }),
            json!({ "body": wrapped(&own), "messageAttributes": raw_attribute(OTHER), "attributes": attributes }),
            json!({ "body": wrapped(&json!({})), "messageAttributes": raw_attribute(PARENT) }),
            json!({ "body": "not json", "messageAttributes": raw_attribute(PARENT) }),
        ];
        for record in records {
            assert_eq!(trace_id(record.clone()).unwrap(), "4bf92f3577b34da6a3ce929d0e0e4736", "{record}");
        }
    }

    #[test]
    fn xrays_header_is_the_second_choice_and_none_the_third() {
        let attributes = json!({ "AWSTraceHeader": XRAY });
        for message_attributes in [json!({}), raw_attribute("malformed")] {
            let record =
                json!({ "body": "{}", "messageAttributes": message_attributes, "attributes": attributes });
            assert_eq!(trace_id(record).unwrap(), "5759e988bd862e3fe1be46a994272793");
        }
        assert_eq!(trace_id(json!({ "body": "{}" })), None);
    }

    #[test]
    fn what_is_no_event_is_named_and_not_quoted() {
        for body in ["", "{", "\"Ada,1815\"", "[]", "{\"Type\":\"Notification\",\"Message\":\"Ada\"}"] {
            let record: SqsMessage = serde_json::from_value(json!({ "body": body })).unwrap();
            let error = Delivery::new(&record).event().unwrap_err();
            assert!(!error.is_transient());
            assert!(!error.to_string().contains("Ada"), "{error}");
        }
        let record: SqsMessage = serde_json::from_value(json!({})).unwrap();
        assert!(matches!(Delivery::new(&record).event(), Err(MessageError::NoBody)));
    }
}
