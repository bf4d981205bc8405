//! The event that S3 sends when an object was put.

use common::contract::Source;
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

/// Who sends it, where S3 names accounts.
const SENDER: &str = "penstock";

/// An S3 event of one object, with every field that its readers want.
pub fn s3_event(source: &Source) -> Value {
    json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "eventTime": Timestamp::now().to_string(),
        "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": SENDER },
        "requestParameters": {},
        "responseElements": {},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": SENDER,
            "bucket": {
                "name": source.bucket,
                "ownerIdentity": { "principalId": SENDER },
                "arn": format!("arn:aws:s3:::{}", source.bucket),
            },
            "object": {
                "key": encoded(&source.key),
                "size": source.size,
                "eTag": source.etag,
                "versionId": source.version_id,
                "sequencer": source.sequencer,
            },
        },
    }] })
}

/// S3 writes keys into events as forms do.
fn encoded(key: &str) -> String {
    const KEPT: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_').remove(b'*');
    utf8_percent_encode(key, &KEPT).to_string().replace("%20", "+")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_event_is_as_s3_would_send_it() {
        let source = Source {
            bucket: "in".into(),
            key: "a b+ä.csv".into(),
            version_id: Some("v1".into()),
            etag: "e".into(),
            size: 3,
            sequencer: None,
        };
        let event = s3_event(&source);
        let object = &event["Records"][0]["s3"]["object"];
        assert_eq!((&object["key"], &object["versionId"]), (&json!("a+b%2B%C3%A4.csv"), &json!("v1")));
        // The processor reads it as any event of S3.
        serde_json::from_value::<aws_lambda_events::s3::S3Event>(event).unwrap();
    }
}
