//! Clients of what the stack's own user need not ask: SNS, STS, `EventBridge`, Secrets Manager.

use anyhow::Context as _;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
use local::stack::{ACCESS_KEY, Clients, SECRET_KEY};

/// What a client of MiniStack is made with, as the account's owner.
pub(crate) fn config(clients: &Clients, endpoint: &str) -> SdkConfig {
    let s3 = clients.s3.config();
    let owner = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "local");
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(s3.region().cloned())
        .credentials_provider(SharedCredentialsProvider::new(owner))
        // The endpoint is on this machine: no TLS, so no root certificates are read.
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint);
    config.set_sleep_impl(s3.sleep_impl());
    config.build()
}

/// The same as somebody else.
pub(crate) fn acting_as(config: &SdkConfig, who: Credentials) -> SdkConfig {
    config.to_builder().credentials_provider(SharedCredentialsProvider::new(who)).build()
}

/// What a role's name is worth: the credentials that it makes. Whom the role trusts does not matter, as MiniStack lets the
/// account's owner assume any.
pub(crate) async fn assume(config: &SdkConfig, role_arn: &str) -> anyhow::Result<Credentials> {
    let assume = aws_sdk_sts::Client::new(config).assume_role();
    let assumed = assume.role_arn(role_arn).role_session_name("e2e").send().await;
    let session = assumed.with_context(|| format!("assume {role_arn}"))?.credentials;
    let session = session.with_context(|| format!("{role_arn} has no credentials"))?;
    let (key, secret) = (session.access_key_id, session.secret_access_key);
    Ok(Credentials::new(key, secret, Some(session.session_token), None, "role"))
}
