//! A function called directly, with an event such as S3 would send.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};

use crate::system::System;

/// Calls a function and waits for its answer; an error of the function is one here.
pub(crate) async fn invoke(system: &System, function: &str, event: &Value) -> anyhow::Result<Value> {
    let request = request(system, http::Method::POST, &format!("{function}/invocations"))
        .header("x-amz-invocation-type", "RequestResponse")
        .body(Full::new(Bytes::from(event.to_string())))?;
    answer(request).await.with_context(|| format!("invoke {function}"))
}

/// The ARN of the role that a function has.
pub(crate) async fn role_of(system: &System, function: &str) -> anyhow::Result<String> {
    let request =
        request(system, http::Method::GET, &format!("{function}/configuration")).body(Full::default())?;
    let configuration = answer(request).await.with_context(|| format!("look at {function}"))?;
    let role = configuration["Role"].as_str().with_context(|| format!("{function} has no role"))?;
    Ok(role.to_owned())
}

/// Ends all that runs of a function, as a change of its configuration does: its next event finds a cold start.
pub(crate) async fn cool(system: &System, function: &str) -> anyhow::Result<()> {
    let path = format!("{function}/configuration");
    let get = request(system, http::Method::GET, &path).body(Full::default())?;
    let configuration = answer(get).await.with_context(|| format!("look at {function}"))?;
    let same = json!({ "MemorySize": configuration["MemorySize"] }).to_string();
    let put = request(system, http::Method::PUT, &path).body(Full::new(Bytes::from(same)))?;
    answer(put).await.with_context(|| format!("configure {function}"))?;
    Ok(())
}

/// A request to Lambda, without its SDK, which nothing else here needs.
fn request(system: &System, method: http::Method, path: &str) -> http::request::Builder {
    let now = jiff::Timestamp::now();
    let (date, time) = (now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ"));
    // MiniStack wants to know who calls, and does not check the signature.
    let caller = format!("test/{date}/us-east-1/lambda/aws4_request");
    let signature = "0".repeat(64);
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={caller}, SignedHeaders=host;x-amz-date, Signature={signature}");
    http::Request::builder()
        .method(method)
        .uri(format!("{}/2015-03-31/functions/{path}", system.stack.endpoint()))
        .header("authorization", authorization)
        .header("x-amz-date", time.to_string())
}

async fn answer(request: http::Request<Full<Bytes>>) -> anyhow::Result<Value> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let response = client.request(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let function_failed = head.headers.contains_key("x-amz-function-error");
    ensure!(head.status.is_success() && !function_failed, "the answer is {} {text}", head.status);
    serde_json::from_slice(&body).with_context(|| format!("the answer is {text}"))
}
