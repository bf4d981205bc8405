//! A message of either queue, and what it is about.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use common::contract::FileEvent;
use consumer::dead_letter::{REASON, REASON_TEXT};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::Value;

use super::Which;
use crate::table::printable;

/// The consumer's reasons with which nothing is wrong with the file.
const NOTIFY: &str = "notify";
const CONTRADICTION: &str = "contradiction";

/// A message, and what can be said of it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Letter {
    pub(super) id: String,
    /// `dead-letters` or `failures`.
    queue: &'static str,
    pub(super) sent_at: Option<Timestamp>,
    receives: Option<u64>,
    /// `s3://bucket/key`, where it is about one.
    pub(super) file: Option<String>,
    event_id: Option<String>,
    /// Why it was set aside, as a code, where it was set aside at once.
    reason: Option<String>,
    pub(super) why: String,
    attributes: BTreeMap<String, String>,
    body: Value,
    #[serde(skip)]
    pub(super) raw_body: String,
    #[serde(skip)]
    pub(super) receipt_handle: String,
}

impl Letter {
    /// What a message of this queue says.
    pub(super) fn new(which: Which, message: Message) -> Self {
        let system = |name| message.attributes().and_then(|all| all.get(&name)).cloned();
        let sent = system(MessageSystemAttributeName::SentTimestamp).and_then(|at| at.parse().ok());
        let receives = system(MessageSystemAttributeName::ApproximateReceiveCount);
        let attributes = message.message_attributes().into_iter().flatten();
        let attributes: BTreeMap<String, String> = attributes
            .filter_map(|(name, value)| Some((name.clone(), value.string_value()?.to_owned())))
            .collect();
        let raw_body = message.body.unwrap_or_default();
        let mut letter = Self {
            id: message.message_id.unwrap_or_default(),
            queue: if which == Which::Failures { "failures" } else { "dead-letters" },
            sent_at: sent.and_then(|at| Timestamp::from_millisecond(at).ok()),
            receives: receives.and_then(|count| count.parse().ok()),
            file: None,
            event_id: None,
            reason: attributes.get(REASON).cloned(),
            why: String::new(),
            attributes,
            body: serde_json::from_str(&raw_body).unwrap_or_else(|_text| Value::String(raw_body.clone())),
            raw_body,
            receipt_handle: message.receipt_handle.unwrap_or_default(),
        };
        if which == Which::Failures {
            letter.read_failure();
        } else {
            letter.read_dead_letter();
        }
        letter
    }

    /// The consumer says why, where it set a message aside itself.
    fn read_dead_letter(&mut self) {
        // Where SNS has wrapped it, the event is within.
        let wrapped = self.body.get("Message").and_then(Value::as_str).map(str::to_owned);
        let event = FileEvent::parse(wrapped.as_deref().unwrap_or(&self.raw_body)).ok();
        self.why = match (self.attributes.get(REASON_TEXT), &event) {
            (Some(text), _) => text.clone(),
            (None, Some(_)) => "it failed at every receive: the consumer's log says why".into(),
            (None, None) => "it is no event of Penstock's".into(),
        };
        self.event_id = event.as_ref().map(|event| event.id.clone());
        self.file = event.map(|event| {
            let source = event.data.receipt.source;
            format!("s3://{}/{}", source.bucket, source.key)
        });
    }

    /// Lambda's record of a failed asynchronous invocation.
    fn read_failure(&mut self) {
        let object = self.body.pointer("/requestPayload/Records/0/s3");
        self.file = object.and_then(|s3| {
            let key = s3.pointer("/object/key")?.as_str()?.replace('+', " ");
            let key = percent_decode_str(&key).decode_utf8_lossy();
            Some(format!("s3://{}/{key}", s3.pointer("/bucket/name")?.as_str()?))
        });
        let condition = self.body.pointer("/requestContext/condition").and_then(Value::as_str);
        let message = self.body.pointer("/responsePayload/errorMessage").and_then(Value::as_str);
        self.why = match (condition, message) {
            (Some(condition), Some(message)) => format!("{condition}: {message}"),
            (Some(condition), None) => condition.into(),
            _ => "it is no record of Lambda's".into(),
        };
    }

    pub(super) fn queue_name(&self) -> &'static str {
        self.queue
    }

    /// The event that the processor failed on.
    pub(super) fn request(&self) -> Option<&Value> {
        self.body.get("requestPayload").filter(|request| request.is_object())
    }

    /// Whether its event is done, so that to put it back has no effect but that it is lost.
    pub(super) fn is_final(&self) -> bool {
        self.reason.is_some()
    }

    /// Why it is not put back to work, unless somebody insists.
    pub(super) fn kept_because(&self) -> Option<&'static str> {
        match (self.queue, self.file.is_some(), self.is_final()) {
            ("failures", ..) if self.request().is_none() => Some("it is no record of Lambda's"),
            ("dead-letters", false, _) => Some("it is no event of Penstock's"),
            ("dead-letters", true, true) => Some("its event is done, so to put it back has no effect"),
            _ => None,
        }
    }

    /// What helps.
    pub(super) fn advice(&self) -> &'static str {
        match (self.file.is_some(), self.reason.as_deref()) {
            (false, _) => "look into it, then delete it",
            (true, Some(NOTIFY)) => "mend the target, then delete it",
            (true, Some(CONTRADICTION)) => "report it, then delete it",
            (true, Some(_)) => "mend, then replay --again the file",
            (true, None) => "mend the cause, then redrive",
        }
    }

    /// Its message attributes, without the reason: what it is sent back with.
    pub(super) fn own_attributes(&self) -> impl Iterator<Item = (&String, &String)> {
        self.attributes.iter().filter(|(name, _)| !name.starts_with("penstock-"))
    }

    /// The whole of it, for people.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut lines = vec![
            format!("message     {} ({})", self.id, self.queue),
            format!("file        {}", printable(self.file.as_deref().unwrap_or("none that it names"))),
            format!("why         {}", printable(&self.why)),
            format!("what to do  {}", self.advice()),
        ];
        lines.extend(self.sent_at.map(|at| format!("sent        {at}")));
        lines.extend(self.receives.map(|receives| format!("receives    {receives}")));
        lines.extend(self.event_id.iter().map(|id| format!("event       {id}")));
        let attributes = self.attributes.iter();
        lines.extend(attributes.map(|(name, value)| format!("{name}  {}", printable(value))));
        let body =
            serde_json::to_string_pretty(&self.body).unwrap_or_else(|_unwritten| self.raw_body.clone());
        lines.extend(body.lines().map(str::to_owned));
        lines
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sqs::types::MessageAttributeValue;
    use serde_json::json;

    use super::*;

    const EVENT: &str = include_str!("../../../common/tests/fixtures/event-processed.json");

    fn message(body: &str) -> Message {
        Message::builder().message_id("059f36b4-1").body(body).receipt_handle("r").build()
    }

    #[test]
    fn lambdas_record_of_a_failure_is_read() {
        let record = json!({
            "requestContext": { "condition": "RetriesExhausted" },
            "requestPayload": { "Records": [{ "s3": {
                "bucket": { "name": "in" }, "object": { "key": "a+b%2Bc.csv" }
            } }] },
            "responsePayload": { "errorMessage": "put the receipt" },
        });
        let letter = Letter::new(Which::Failures, message(&record.to_string()));
        assert_eq!(letter.file.as_deref(), Some("s3://in/a b+c.csv"));
        assert_eq!(letter.why, "RetriesExhausted: put the receipt");
        assert_eq!(letter.request(), Some(&record["requestPayload"]));
        assert_eq!(letter.advice(), "mend the cause, then redrive");
    }

    #[test]
    fn a_dead_letter_says_why_where_the_consumer_said_it() {
        let letter = Letter::new(Which::DeadLetters, message(EVENT));
        assert_eq!(letter.file.as_deref(), Some("s3://acme-in/in/orders.csv.gz"));
        assert!(!letter.is_final() && letter.why.contains("every receive"), "{}", letter.why);
        assert_eq!(letter.kept_because(), None);
        let attribute = |text: &str| {
            MessageAttributeValue::builder().data_type("String").string_value(text).build().unwrap()
        };
        let told = Message::builder().body(EVENT).message_attributes(REASON, attribute("mismatch"));
        let told = told.message_attributes(REASON_TEXT, attribute("it is\ngone"));
        let told = told.message_attributes("type", attribute("t")).build();
        let letter = Letter::new(Which::DeadLetters, told);
        assert!(letter.is_final() && letter.kept_because().is_some_and(|why| why.contains("done")));
        assert_eq!(letter.own_attributes().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["type"]);
        assert!(letter.lines().contains(&"why         it is?gone".to_owned()));
    }

    #[test]
    fn what_is_none_of_ours_is_said_to_be() {
        for body in ["poison", "{}", "[1]", ""] {
            let letter = Letter::new(Which::DeadLetters, message(body));
            assert_eq!((letter.file.clone(), letter.why.as_str()), (None, "it is no event of Penstock's"));
            let failure = Letter::new(Which::Failures, message(body));
            assert_eq!((failure.request(), failure.why.as_str()), (None, "it is no record of Lambda's"));
            assert_eq!(failure.advice(), "look into it, then delete it");
            assert!(letter.kept_because().is_some() && failure.kept_because().is_some(), "neither is moved");
        }
    }
}
