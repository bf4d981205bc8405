//! LocalStack, running: one process group on a free port of loopback, with nothing of this process's environment.

use std::collections::HashMap;
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_sdk_sns::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_sqs::types::QueueAttributeName;
use common::config::environment;
use common::store::S3Store;
use local::stack::{Group, Pinned, REGION};
use local::terminal::Terminal;
use local::workspace;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

/// Never together with what the demo needs: it is half a gigabyte, and installed for this test alone.
const LOCALSTACK: Pinned = Pinned {
    name: "LocalStack",
    package: "localstack-core",
    requirements: include_str!("../../localstack-requirements.txt"),
    oldest: (3, 11),
    built: false,
};
const LAUNCH: &str = include_str!("launch.py");
/// Seconds as a rule; a minute where Python's files are not yet compiled and the machine is busy.
const READY_WITHIN: Duration = Duration::from_mins(3);
const KEY: &str = "test";

/// A running LocalStack. Dropping it ends it.
pub(crate) struct LocalStack {
    // Before the folder: it must have ended before its folder is removed.
    group: Group,
    folder: TempDir,
    port: u16,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sns: aws_sdk_sns::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
}

impl LocalStack {
    pub(crate) async fn start(terminal: &Terminal) -> anyhow::Result<Self> {
        let python = LOCALSTACK.provide(&workspace::target()?, terminal).await?;
        terminal.step(&format!("starting LocalStack {}", LOCALSTACK.version()));
        let folder = tempfile::Builder::new().prefix("penstock-localstack-").tempdir()?;
        let (launch, temporary) = (folder.path().join("launch.py"), folder.path().join("tmp"));
        std::fs::write(&launch, LAUNCH)?;
        std::fs::create_dir(&temporary)?;
        let log = File::create(folder.path().join("localstack.log"))?;
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();

        let mut command = Command::new(python);
        command.arg("-I").arg(&launch).arg(folder.path()).current_dir(folder.path()).env_clear();
        command.env("PATH", environment("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into()));
        command.env("HOME", folder.path()).env("TMPDIR", &temporary).env("LANG", "C.UTF-8");
        // Its own server binds every address, whatever it is told; Hypercorn does as it is told.
        command.env("GATEWAY_SERVER", "hypercorn").env("GATEWAY_LISTEN", format!("127.0.0.1:{port}"));
        command.env("LOCALSTACK_HOST", format!("127.0.0.1:{port}")).env("SQS_ENDPOINT_STRATEGY", "path");
        command.env("SERVICES", "s3,sns,sqs").env("DNS_ADDRESS", "0");
        command.env("DISABLE_EVENTS", "1").env("SKIP_SSL_CERT_DOWNLOAD", "1");
        // In a container it takes the file system for its own.
        command.env("OVERRIDE_IN_DOCKER", "0").env("FILESYSTEM_ROOT", folder.path());
        command.stdin(Stdio::piped()).stdout(log.try_clone()?).stderr(log);
        let group = Group::spawn(&mut command).context("start LocalStack")?;

        let endpoint = format!("http://127.0.0.1:{port}");
        let mut localstack =
            Self { group, folder, port, s3: s3(&endpoint), sns: sns(&endpoint), sqs: sqs(&endpoint) };
        localstack.ready().await?;
        localstack.is_on_loopback_only().await?;
        Ok(localstack)
    }

    async fn ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let log = std::fs::read_to_string(self.log()).unwrap_or_default();
            if log.lines().any(|line| line == "Ready.") {
                return Ok(());
            }
            if let Some(status) = self.group.status()? {
                bail!("LocalStack ended with {status} instead of starting:\n{log}");
            }
            ensure!(
                Instant::now() < deadline,
                "LocalStack was not ready within {} s:\n{log}",
                READY_WITHIN.as_secs()
            );
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What listens on every address answers at each of loopback's.
    async fn is_on_loopback_only(&self) -> anyhow::Result<()> {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).await.context("LocalStack does not listen")?;
        let another = TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), self.port)).await;
        ensure!(another.is_err(), "LocalStack listens on more addresses than it was told");
        Ok(())
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("localstack.log")
    }

    pub(crate) async fn stop(self) {
        self.group.stop().await;
    }

    /// The product's store, on this server.
    pub(crate) fn store(&self) -> S3Store {
        S3Store::new(self.s3.clone())
    }

    pub(crate) async fn create_bucket(&self, name: &str, versioned: bool) -> anyhow::Result<()> {
        self.s3.create_bucket().bucket(name).send().await.with_context(|| format!("create {name}"))?;
        if versioned {
            let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            let put = self.s3.put_bucket_versioning().bucket(name).versioning_configuration(enabled);
            put.send().await.with_context(|| format!("keep the versions of {name}"))?;
        }
        Ok(())
    }

    /// A new queue's URL and ARN.
    pub(crate) async fn create_queue(
        &self,
        name: &str,
        attributes: HashMap<QueueAttributeName, String>,
    ) -> anyhow::Result<(String, String)> {
        let create = self.sqs.create_queue().queue_name(name).set_attributes(Some(attributes));
        let url = create.send().await?.queue_url.with_context(|| format!("{name} has no URL"))?;
        let ask = self.sqs.get_queue_attributes().queue_url(&url);
        let asked = ask.attribute_names(QueueAttributeName::QueueArn).send().await?;
        let arn = asked.attributes().and_then(|all| all.get(&QueueAttributeName::QueueArn));
        Ok((url, arn.with_context(|| format!("{name} has no ARN"))?.clone()))
    }
}

fn s3(endpoint: &str) -> aws_sdk_s3::Client {
    common::aws::s3_client_at(endpoint, KEY, KEY)
}

fn sns(endpoint: &str) -> aws_sdk_sns::Client {
    let config = aws_sdk_sns::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(Credentials::new(KEY, KEY, None, None, "local"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint);
    aws_sdk_sns::Client::from_conf(config.build())
}

fn sqs(endpoint: &str) -> aws_sdk_sqs::Client {
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static(REGION))
        .credentials_provider(Credentials::new(KEY, KEY, None, None, "local"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint);
    aws_sdk_sqs::Client::from_conf(config.build())
}
