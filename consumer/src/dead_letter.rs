//! Messages that no further receive can help: set aside at once, with the reason.

use std::collections::BTreeMap;

use aws_lambda_events::event::sqs::SqsMessage;
use common::queue::QueueMessage;
use common::telemetry::chain;

use crate::error::MessageError;

/// Attribute of a dead letter: why it is one, as a code.
pub const REASON: &str = "penstock-reason";
/// Attribute of a dead letter: why it is one, in words.
pub const REASON_TEXT: &str = "penstock-reason-text";
/// Attribute of a dead letter: the id that the message had in the event queue.
pub const ORIGINAL_ID: &str = "penstock-message-id";

/// SQS takes no more attributes than this.
const MAX_ATTRIBUTES: usize = 10;
/// Enough for a sentence and two keys; attributes count towards a message's size.
const MAX_TEXT: usize = 2048;

/// The message as it came, so that it can be put back into the event queue, and why it was set aside.
pub(crate) fn letter(record: &SqsMessage, error: &MessageError) -> QueueMessage {
    let mut attributes = BTreeMap::from([
        (REASON.to_owned(), error.code().to_owned()),
        (REASON_TEXT.to_owned(), text(&chain(error))),
        (ORIGINAL_ID.to_owned(), record.message_id.clone().unwrap_or_default()),
    ]);
    let own = record.message_attributes.iter();
    let own = own.filter_map(|(name, value)| Some((name.clone(), value.string_value.clone()?)));
    // In their order, and not in a map's, which differs from one run to the next.
    for (name, value) in own.collect::<BTreeMap<_, _>>() {
        if attributes.len() < MAX_ATTRIBUTES {
            attributes.entry(name).or_insert(value);
        }
    }
    QueueMessage { body: record.body.clone().unwrap_or_default(), attributes }
}

/// SQS refuses most control characters.
fn text(text: &str) -> String {
    text.chars().take(MAX_TEXT).map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_letter_is_the_message_with_its_reason() {
        let attribute = |value: &str| json!({ "stringValue": value, "dataType": "String" });
        let mut attributes = serde_json::Map::new();
        attributes.insert("traceparent".into(), attribute("00-1-2-01"));
        attributes.insert(REASON.into(), attribute("of an earlier time"));
        for number in 0..10 {
            attributes.insert(format!("z{number}"), attribute("v"));
        }
        let record: SqsMessage = serde_json::from_value(json!({
            "messageId": "m1", "body": "body", "messageAttributes": attributes,
        }))
        .unwrap();
        let letter = letter(&record, &MessageError::Contradiction("a\nb"));
        assert_eq!((letter.body.as_str(), letter.attributes.len()), ("body", 10));
        assert_eq!(letter.attributes[REASON], "contradiction");
        assert_eq!(letter.attributes[REASON_TEXT], "the event contradicts itself: a?b");
        assert_eq!(letter.attributes[ORIGINAL_ID], "m1");
        assert_eq!(letter.attributes["traceparent"], "00-1-2-01");
    }
}
