//! A function of the local stack, called with an event such as S3 would send: for events that come again.

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use common::contract::Source;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use local::s3_event::s3_event;

/// Hands a file's event to a function, as S3 does: whoever calls does not wait for the function, and Lambda tries again.
pub(crate) async fn hand_over(endpoint: &str, function: &str, source: &Source) -> anyhow::Result<()> {
    let now = jiff::Timestamp::now();
    let (date, time) = (now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ"));
    // The local stack wants to know who calls, and does not check the signature.
    let caller = format!("test/{date}/us-east-1/lambda/aws4_request");
    let signature = "0".repeat(64);
    let authorization =
        format!("AWS4-HMAC-SHA256 Credential={caller}, SignedHeaders=host;x-amz-date, Signature={signature}");
    let request = http::Request::post(format!("{endpoint}/2015-03-31/functions/{function}/invocations"))
        .header("authorization", authorization)
        .header("x-amz-date", time.to_string())
        .header("x-amz-invocation-type", "Event")
        .body(Full::new(Bytes::from(s3_event(source).to_string())))?;
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = client.request(request).await.with_context(|| format!("invoke {function}"))?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    ensure!(status.is_success(), "invoke {function}: {status} {}", String::from_utf8_lossy(&body));
    Ok(())
}
