//! What the system gave up, as its two last queues tell it: the events that the processor failed on, and the
//! messages that the consumer failed on.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use common::contract::FileEvent;
use serde_json::Value;

use crate::stack::{Clients, Outputs};

/// How often to look. Whoever waits for a file gives up on it that much later.
const LOOK: Duration = Duration::from_millis(500);

/// Why the system gave up a file, by the version of the uploaded object.
#[derive(Debug, Default)]
pub struct GivenUp {
    by_version: Mutex<HashMap<String, String>>,
}

impl GivenUp {
    /// Why, if it did.
    pub fn why(&self, version_id: &str) -> Option<String> {
        let by_version = self.by_version.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        by_version.get(version_id).cloned()
    }

    fn add(&self, failure: Option<(String, String)>) {
        let mut by_version = self.by_version.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        by_version.extend(failure);
    }

    /// Keeps looking at both queues; never ends. The messages stay where they are, for whoever looks next.
    pub async fn watch(&self, clients: &Clients, outputs: &Outputs) {
        loop {
            for body in bodies(clients, &outputs.failures_queue_url).await {
                self.add(processor_failure(&body));
            }
            for body in bodies(clients, &outputs.dead_letter_queue_url).await {
                self.add(consumer_failure(&body));
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The bodies of what is in a queue. An error is none: those who wait see the server's end by themselves.
async fn bodies(clients: &Clients, queue_url: &str) -> Vec<String> {
    let receive = clients.sqs.receive_message().queue_url(queue_url);
    let received = receive.max_number_of_messages(10).visibility_timeout(0).send().await;
    let messages = received.ok().and_then(|received| received.messages).unwrap_or_default();
    messages.into_iter().filter_map(|message| message.body).collect()
}

/// The object's version and the error, from Lambda's record of a failed asynchronous invocation.
fn processor_failure(record: &str) -> Option<(String, String)> {
    let record: Value = serde_json::from_str(record).ok()?;
    let version = record.pointer("/requestPayload/Records/0/s3/object/versionId")?.as_str()?;
    let error = &record["responsePayload"];
    let message = error["errorMessage"].as_str().unwrap_or("no error message");
    let tries = record.pointer("/requestContext/approximateInvokeCount").and_then(Value::as_u64);
    let tries = tries.map(|tries| format!(" after {tries} tries")).unwrap_or_default();
    Some((version.to_owned(), format!("the processor gave up{tries}: {message}")))
}

/// The object's version, from a message that the consumer did not manage.
fn consumer_failure(body: &str) -> Option<(String, String)> {
    let event = FileEvent::parse(body).ok()?;
    let version = event.data.receipt.source.version_id?;
    Some((version, "the consumer gave up its message, which is in the dead-letter queue now".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lambdas_record_of_a_failure_is_read() {
        let record = serde_json::json!({
            "requestContext": { "approximateInvokeCount": 3, "condition": "RetriesExhausted" },
            "requestPayload": { "Records": [{ "s3": { "object": { "key": "a+b.csv", "versionId": "v1" } } }] },
            "responsePayload": { "errorMessage": "put the receipt", "errorType": "Error" },
        });
        let (version, why) = processor_failure(&record.to_string()).unwrap();
        assert_eq!(
            (version.as_str(), why.as_str()),
            ("v1", "the processor gave up after 3 tries: put the receipt")
        );
    }

    #[test]
    fn other_messages_are_passed_over() {
        assert_eq!(processor_failure("{}"), None);
        assert_eq!(processor_failure("poison"), None);
        assert_eq!(consumer_failure("poison"), None);
    }
}
