//! Secrets, by name: from AWS Secrets Manager, kept for a while.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

/// How long a secret is used before it is asked for again: a change reaches every function within it.
const KEPT: Duration = Duration::from_mins(5);

/// A secret that could not be had.
#[derive(Debug, thiserror::Error)]
#[error("get secret {name}")]
pub struct SecretError {
    name: String,
    #[source]
    source: Box<dyn Error + Send + Sync>,
}

impl SecretError {
    /// Says which, and why.
    pub fn new(name: &str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { name: name.to_owned(), source: source.into() }
    }
}

/// Where secrets are kept.
#[async_trait]
pub trait Secrets: Send + Sync + 'static {
    /// The secret's text.
    async fn secret(&self, name: &str) -> Result<String, SecretError>;
}

/// AWS Secrets Manager. A secret that was had within the last five minutes is not asked for again.
pub struct SecretsManager {
    client: aws_sdk_secretsmanager::Client,
    kept: Mutex<BTreeMap<String, (Instant, String)>>,
}

impl SecretsManager {
    /// Asks as this configuration says.
    pub fn new(sdk: &aws_config::SdkConfig) -> Self {
        Self { client: aws_sdk_secretsmanager::Client::new(sdk), kept: Mutex::default() }
    }

    fn kept(&self, name: &str) -> Option<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, secret) = kept.get(name).filter(|(since, _)| since.elapsed() < KEPT)?;
        Some(secret.clone())
    }
}

#[async_trait]
impl Secrets for SecretsManager {
    async fn secret(&self, name: &str) -> Result<String, SecretError> {
        if let Some(secret) = self.kept(name) {
            return Ok(secret);
        }
        // Ten messages at once may all ask; none waits for another's answer.
        let answer = self.client.get_secret_value().secret_id(name).send().await;
        let answer = answer.map_err(|error| SecretError::new(name, error))?;
        let secret = answer.secret_string.ok_or_else(|| SecretError::new(name, "it is not text"))?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(name.to_owned(), (Instant::now(), secret.clone()));
        Ok(secret)
    }
}

/// Secrets in memory, for tests.
#[derive(Debug, Default)]
pub struct MemorySecrets(pub BTreeMap<String, String>);

#[async_trait]
impl Secrets for MemorySecrets {
    async fn secret(&self, name: &str) -> Result<String, SecretError> {
        self.0.get(name).cloned().ok_or_else(|| SecretError::new(name, "there is none"))
    }
}
