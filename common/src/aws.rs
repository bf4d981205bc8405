//! The AWS SDK, set up once for every client.

use std::time::Duration;

use aws_sdk_s3::config::SharedHttpClient;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_smithy_http_client::{Builder, tls};

/// Region, credentials and endpoints from the environment, and an HTTP client.
pub async fn sdk_config() -> aws_config::SdkConfig {
    sdk_config_in(None).await
}

/// As [`sdk_config`], in another region than the environment's, if one is given.
pub async fn sdk_config_in(region: Option<String>) -> aws_config::SdkConfig {
    let mut config = aws_config::defaults(aws_config::BehaviorVersion::latest());
    if let Some(region) = region {
        config = config.region(aws_config::Region::new(region));
    }
    config.http_client(http_client()).timeout_config(time_outs()).load().await
}

/// Connections: TLS by rustls on ring, or plain HTTP where `AWS_ENDPOINT_URL` says so, which spares a local run the
/// reading of root certificates.
fn http_client() -> SharedHttpClient {
    let plain = crate::config::environment("AWS_ENDPOINT_URL").is_some_and(|url| url.starts_with("http://"));
    if plain {
        Builder::new().build_http()
    } else {
        let rustls = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
        Builder::new().tls_provider(rustls).build_https()
    }
}

/// A request that gets no answer is tried again rather than waited for. A part of an upload counts as a request: the
/// largest takes this long at 2 MiB/s.
fn time_outs() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .read_timeout(Duration::from_mins(1))
        .build()
}

/// The same for a function whose requests are all small, and which has seconds: one that hangs is given up while there is
/// time to say so.
pub fn with_short_time_outs(config: &aws_config::SdkConfig) -> aws_config::SdkConfig {
    let time_outs = time_outs().to_builder();
    let time_outs = time_outs.connect_timeout(Duration::from_secs(2)).read_timeout(Duration::from_secs(4));
    let time_outs = time_outs.operation_attempt_timeout(Duration::from_secs(4));
    let time_outs = time_outs.operation_timeout(Duration::from_secs(8)).build();
    config.to_builder().timeout_config(time_outs).build()
}

/// An S3 client that finds buckets by path where a local endpoint is set: no DNS there knows bucket names.
pub fn s3_client(config: &aws_config::SdkConfig) -> aws_sdk_s3::Client {
    let mut builder = aws_sdk_s3::config::Builder::from(config);
    if config.endpoint_url().is_some() {
        builder = builder.force_path_style(true);
    }
    aws_sdk_s3::Client::from_conf(builder.build())
}

/// An S3 client of a server on this machine: plain HTTP, buckets by path.
pub fn s3_client_at(endpoint: &str, access_key: &str, secret_key: &str) -> aws_sdk_s3::Client {
    let credentials = aws_sdk_s3::config::Credentials::new(access_key, secret_key, None, None, "local");
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
        .region(aws_sdk_s3::config::Region::new("us-east-1"))
        .credentials_provider(credentials)
        .endpoint_url(endpoint)
        .force_path_style(true)
        .http_client(Builder::new().build_http())
        .timeout_config(time_outs())
        .build();
    aws_sdk_s3::Client::from_conf(config)
}
