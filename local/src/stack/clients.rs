//! AWS clients for MiniStack: its endpoint, its region, credentials that mean nothing anywhere else.

use aws_sdk_s3::config::{BehaviorVersion, Credentials, Region};

use super::server::REGION;

/// What MiniStack takes for the account's owner.
pub const ACCESS_KEY: &str = "test";
/// Its secret.
pub const SECRET_KEY: &str = "test";

/// A client of each service that the stack's user needs.
#[derive(Debug, Clone)]
pub struct Clients {
    /// Deploys.
    pub cloudformation: aws_sdk_cloudformation::Client,
    /// Objects; buckets are named in the path, no name server knows them.
    pub s3: aws_sdk_s3::Client,
    /// Queues.
    pub sqs: aws_sdk_sqs::Client,
}

impl Clients {
    /// Clients of the server at `endpoint`, whatever the environment says.
    pub fn new(endpoint: &str) -> Self {
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "local");
        // The endpoint is on this machine: no TLS, so no root certificates are read.
        let http = aws_smithy_http_client::Builder::new().build_http();
        let cloudformation = aws_sdk_cloudformation::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .credentials_provider(credentials.clone())
            .http_client(http.clone())
            .endpoint_url(endpoint);
        let s3 = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .credentials_provider(credentials.clone())
            .http_client(http.clone())
            .endpoint_url(endpoint)
            .force_path_style(true);
        let sqs = aws_sdk_sqs::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static(REGION))
            .credentials_provider(credentials)
            .http_client(http)
            .endpoint_url(endpoint);
        Self {
            cloudformation: aws_sdk_cloudformation::Client::from_conf(cloudformation.build()),
            s3: aws_sdk_s3::Client::from_conf(s3.build()),
            sqs: aws_sdk_sqs::Client::from_conf(sqs.build()),
        }
    }
}
