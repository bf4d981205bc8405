//! Without its environment the function does not start.

use std::process::Command;

const OUTPUT_BUCKET: (&str, &str) = ("OUTPUT_BUCKET", "out-bucket");
const DLQ_URL: (&str, &str) = ("DLQ_URL", "https://sqs.us-east-1.amazonaws.com/123456789012/dlq");

/// What the function logs when started so; nothing listens where Lambda would be.
fn refusal(environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_consumer"));
    let output = command.env_clear().envs(environment.iter().copied()).output().unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_missing_or_malformed_is_named() {
    let alert_topic = ("ALERT_TOPIC_ARN", "alerts");
    let cases = [
        (vec![], "DLQ_URL is not set"),
        (vec![DLQ_URL], "OUTPUT_BUCKET is not set"),
        (vec![OUTPUT_BUCKET, DLQ_URL, alert_topic], "ALERT_TOPIC_ARN is malformed"),
        (vec![("OUTPUT_BUCKET", "s3://out"), DLQ_URL], "OUTPUT_BUCKET is malformed"),
    ];
    for (environment, says) in cases {
        let log = refusal(&environment);
        let line: serde_json::Value = serde_json::from_str(log.trim()).unwrap();
        assert_eq!(line["level"], "ERROR", "{log}");
        assert!(line["error"].as_str().unwrap().starts_with(says), "{log}");
    }
}
