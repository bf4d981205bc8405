//! Clients of what the stack's own user need not ask: SNS, STS, `EventBridge`, Secrets Manager.

use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use local::stack::{ACCESS_KEY, SECRET_KEY, Stack};

/// What a client of MiniStack is made with, as the account's owner.
pub(crate) fn config(stack: &Stack) -> SdkConfig {
    let s3 = stack.clients().s3.config();
    let owner = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "local");
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(s3.region().cloned())
        .credentials_provider(SharedCredentialsProvider::new(owner))
        // The endpoint is on this machine: no TLS, so no root certificates are read.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(stack.endpoint());
    config.set_sleep_impl(s3.sleep_impl());
    config.build()
}

/// The same as somebody else.
pub(crate) fn acting_as(config: &SdkConfig, who: Credentials) -> SdkConfig {
    config.to_builder().credentials_provider(SharedCredentialsProvider::new(who)).build()
}
