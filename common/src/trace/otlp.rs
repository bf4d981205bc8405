//! OTLP over HTTP, by the SDK's own connector: one TLS stack in the program, and none where the endpoint is plain.

use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{
    ExporterBuildError, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};

use crate::config::environment;

/// An answer is a few bytes, or an error in words.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

/// An exporter to `endpoint`, which is the whole address, path included.
///
/// `OTEL_EXPORTER_OTLP_HEADERS` and the like are heeded. Where `sdk` is given and the endpoint is X-Ray's, requests are
/// signed.
pub(super) fn exporter(endpoint: &str, sdk: Option<&SdkConfig>) -> Result<SpanExporter, ExporterBuildError> {
    let connector = if endpoint.starts_with("http://") {
        Connector::builder().build_http()
    } else {
        let tls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        Connector::builder().tls_provider(tls).build()
    };
    let signer = sdk.and_then(|sdk| Signer::new(endpoint, sdk.credentials_provider()?));
    SpanExporter::builder()
        .with_http()
        .with_http_client(Client { connector, signer, timeout: timeout(environment) })
        .with_endpoint(endpoint)
        .with_protocol(Protocol::HttpBinary)
        .build()
}

#[derive(Debug)]
struct Client {
    connector: Connector,
    signer: Option<Signer>,
    /// Of a request; the exporter bounds only its repeats by what the environment says.
    timeout: Option<Duration>,
}

fn timeout(lookup: impl Fn(&str) -> Option<String>) -> Option<Duration> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let milliseconds = names.into_iter().find_map(|name| lookup(name)?.trim().parse().ok());
    milliseconds.map(Duration::from_millis)
}

impl Client {
    async fn call(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let request = request.map(SdkBody::from).try_into()?;
        let response = self.connector.call(request).await?.try_into_http1x()?;
        let (head, body) = response.into_parts();
        let bytes = Limited::new(body, MAX_ANSWER_BYTES).collect().await?.to_bytes();
        Ok(Response::from_parts(head, bytes))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        if let Some(signer) = &self.signer {
            signer.sign(&mut request).await?;
        }
        match self.timeout {
            Some(timeout) => tokio::time::timeout(timeout, self.call(request)).await?,
            None => self.call(request).await,
        }
    }
}

/// Signs requests to X-Ray's own OTLP endpoint.
#[derive(Debug)]
struct Signer {
    region: String,
    credentials: SharedCredentialsProvider,
}

impl Signer {
    /// None where the endpoint is not X-Ray's.
    fn new(endpoint: &str, credentials: SharedCredentialsProvider) -> Option<Self> {
        Some(Self { region: xray_region(endpoint)?.to_owned(), credentials })
    }

    async fn sign(&self, request: &mut Request<Bytes>) -> Result<(), HttpError> {
        let identity = self.credentials.provide_credentials().await?.into();
        let params = v4::SigningParams::builder()
            .identity(&identity)
            .region(&self.region)
            .name("xray")
            .time(SystemTime::now())
            .settings(SigningSettings::default())
            .build()?
            .into();
        let (method, uri) = (request.method().as_str(), request.uri().to_string());
        let headers = request.headers().iter();
        let headers = headers.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
        let signable = SignableRequest::new(method, uri, headers, SignableBody::Bytes(request.body()))?;
        let (instructions, _) = sign(signable, &params)?.into_parts();
        instructions.apply_to_request_http1x(request);
        Ok(())
    }
}

/// The region of X-Ray's OTLP endpoint, `https://xray.<region>.amazonaws.com/…`.
fn xray_region(endpoint: &str) -> Option<&str> {
    let host = endpoint.strip_prefix("https://xray.")?.split(['/', ':']).next()?;
    let region = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    (!region.is_empty() && !region.contains('.')).then_some(region)
}

#[cfg(test)]
mod tests {
    use aws_credential_types::Credentials;

    use super::*;

    #[test]
    fn only_xrays_own_endpoint_is_signed_for() {
        let region = xray_region("https://xray.eu-central-1.amazonaws.com/v1/traces");
        assert_eq!(region, Some("eu-central-1"));
        assert_eq!(xray_region("https://xray.cn-north-1.amazonaws.com.cn/v1/traces"), Some("cn-north-1"));
        for other in [
            "http://xray.eu-central-1.amazonaws.com/v1/traces",
            "https://xray.eu-central-1.example.com/v1/traces",
            "https://xray.amazonaws.com/v1/traces",
            "https://xray.x.y.amazonaws.com/v1/traces",
            "https://collector.example/v1/traces",
        ] {
            assert_eq!(xray_region(other), None, "{other}");
        }
    }

    #[test]
    fn a_request_takes_no_longer_than_the_environment_says() {
        let of = |variables: &[(&str, &str)]| {
            timeout(|name| {
                let found = variables.iter().find(|(variable, _)| *variable == name);
                found.map(|(_, value)| (*value).to_owned())
            })
        };
        let (of_traces, of_all) = ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT");
        assert_eq!(of(&[(of_all, "500")]), Some(Duration::from_millis(500)));
        assert_eq!(of(&[(of_all, "500"), (of_traces, "300")]), Some(Duration::from_millis(300)));
        assert_eq!((of(&[]), of(&[(of_all, "soon")])), (None, None));
    }

    #[tokio::test]
    async fn a_signature_is_xrays_and_covers_the_content() {
        let endpoint = "https://xray.eu-central-1.amazonaws.com/v1/traces";
        let credentials = Credentials::new("AKID", "secret", Some("session".into()), None, "test");
        let signer = Signer::new(endpoint, SharedCredentialsProvider::new(credentials)).unwrap();
        let mut signatures = Vec::new();
        for body in [&b"spans"[..], b"other spans"] {
            let mut request = Request::post(endpoint).body(Bytes::from_static(body)).unwrap();
            signer.sign(&mut request).await.unwrap();
            let header = request.headers()["authorization"].to_str().unwrap().to_owned();
            assert!(header.contains("/eu-central-1/xray/aws4_request"), "{header}");
            assert_eq!(request.headers()["x-amz-security-token"], "session");
            signatures.push(header.rsplit('=').next().unwrap().to_owned());
        }
        assert_ne!(signatures[0], signatures[1]);
    }
}
