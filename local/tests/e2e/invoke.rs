//! A function called directly, with an event such as S3 would send.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use common::contract::Source;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::system::System;

/// The event that S3 sends when an object was put.
pub(crate) fn s3_event(source: &Source) -> Value {
    json!({ "Records": [{
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-east-1",
        "eventTime": "2026-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": { "principalId": "e2e" },
        "requestParameters": { "sourceIPAddress": "127.0.0.1" },
        "responseElements": { "x-amz-request-id": "e2e", "x-amz-id-2": "e2e" },
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "e2e",
            "bucket": {
                "name": source.bucket,
                "ownerIdentity": { "principalId": "e2e" },
                "arn": format!("arn:aws:s3:::{}", source.bucket),
            },
            "object": {
                "key": form_encoded(&source.key),
                "size": source.size,
                "eTag": source.etag,
                "versionId": source.version_id,
                "sequencer": source.sequencer,
            },
        },
    }] })
}

/// S3 writes keys into events as forms do.
fn form_encoded(key: &str) -> String {
    let encode = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' | b'/' => {
            char::from(byte).to_string()
        }
        b' ' => "+".to_owned(),
        _ => format!("%{byte:02X}"),
    };
    key.bytes().map(encode).collect()
}

/// Calls a function and waits for its answer; an error of the function is one here.
pub(crate) async fn invoke(system: &System, function: &str, event: &Value) -> anyhow::Result<Value> {
    let now = jiff::Timestamp::now();
    let (date, time) = (now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ"));
    // MiniStack wants to know who calls, and does not check the signature.
    let caller = format!("test/{date}/us-east-1/lambda/aws4_request");
    let signature = "0".repeat(64);
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={caller}, SignedHeaders=host;x-amz-date, Signature={signature}");
    let request = http::Request::post(format!(
        "{}/2015-03-31/functions/{function}/invocations",
        system.stack.endpoint()
    ))
    .header("authorization", authorization)
    .header("x-amz-date", time.to_string())
    .header("x-amz-invocation-type", "RequestResponse")
    .body(Full::new(Bytes::from(event.to_string())))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.request(request).await.with_context(|| format!("invoke {function}"))?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let function_failed = head.headers.contains_key("x-amz-function-error");
    ensure!(head.status.is_success() && !function_failed, "{function} answered {} {text}", head.status);
    serde_json::from_slice(&body).with_context(|| format!("{function} answered {text}"))
}
