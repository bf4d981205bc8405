//! Webhooks: Standard Webhooks, and those of Slack and its like.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use common::secrets::Secrets;
use http::{HeaderName, HeaderValue, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::signature::Keys;
use super::{Notice, SendError, Target};
use crate::http::{HttpClient, Request};

/// How often a request is made within one receive of a message; the queue brings it again after that.
const TRIES: u32 = 3;
/// The pause before the second try; the third waits twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(500);

/// Where a webhook is, and how it wants to be spoken to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Webhook {
    /// Standard Webhooks: signed with the secret of this name.
    Standard { url: String, secret: String },
    /// A message in Slack's form. Its URL is all that it takes to post, so it may be a secret, by name.
    Slack(SlackUrl),
}

/// How a Slack webhook's URL is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SlackUrl {
    Plain(String),
    Secret(String),
}

/// The answer was another than 2xx.
#[derive(Debug, thiserror::Error)]
#[error("the webhook answered {0}")]
struct Refused(StatusCode);

impl Refused {
    /// 3xx is no success: what it points to is not followed.
    fn is_transient(&self) -> bool {
        let busy = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];
        self.0.is_server_error() || busy.contains(&self.0)
    }
}

/// A webhook that is told.
pub(crate) struct WebhookTarget {
    client: Arc<HttpClient>,
    secrets: Arc<dyn Secrets>,
    webhook: Webhook,
}

impl WebhookTarget {
    pub(crate) fn new(client: Arc<HttpClient>, secrets: Arc<dyn Secrets>, webhook: Webhook) -> Self {
        Self { client, secrets, webhook }
    }

    async fn secret(&self, name: &str) -> Result<String, SendError> {
        self.secrets.secret(name).await.map_err(SendError::transient)
    }

    /// The request of now: a signature holds for minutes, so each try is signed anew.
    async fn request(&self, notice: &Notice, now: Timestamp) -> Result<Request, SendError> {
        let json = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match &self.webhook {
            Webhook::Slack(url) => {
                let url = match url {
                    SlackUrl::Plain(url) => url.clone(),
                    SlackUrl::Secret(name) => self.secret(name).await?.trim().to_owned(),
                };
                let body = json!({ "text": slack_text(notice) }).to_string();
                Ok(Request { url, headers: vec![json], body: body.into() })
            }
            Webhook::Standard { url, secret } => {
                let keys = Keys::parse(&self.secret(secret).await?).map_err(SendError::permanent)?;
                let body = Bytes::from(payload(notice).to_string());
                let timestamp = now.as_second();
                let signature = keys.sign(&notice.id, timestamp, &body);
                let headers = vec![
                    json,
                    (HeaderName::from_static("webhook-id"), header_value(&notice.id)?),
                    (HeaderName::from_static("webhook-timestamp"), timestamp.into()),
                    (HeaderName::from_static("webhook-signature"), header_value(&signature)?),
                ];
                Ok(Request { url: url.clone(), headers, body })
            }
        }
    }
}

#[async_trait]
impl Target for WebhookTarget {
    async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let request = self.request(notice, Timestamp::now()).await?;
            let error = match self.client.post(request).await {
                Ok(status) if status.is_success() => return Ok(()),
                Ok(status) if Refused(status).is_transient() => SendError::transient(Refused(status)),
                Ok(status) => SendError::permanent(Refused(status)),
                Err(error) if error.is_transient() => SendError::transient(error),
                Err(error) => SendError::permanent(error),
            };
            if !error.is_transient || tries == TRIES {
                return Err(error);
            }
            let pause = FIRST_PAUSE * 2u32.pow(tries - 1);
            tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        }
    }
}

fn header_value(text: &str) -> Result<HeaderValue, SendError> {
    HeaderValue::from_str(text).map_err(SendError::permanent)
}

/// As Standard Webhooks recommends it: type, time, data.
fn payload(notice: &Notice) -> Value {
    json!({
        "type": notice.kind.name(),
        "timestamp": notice.time.to_string(),
        "data": notice.data,
        "subject": notice.subject,
        "text": notice.text,
    })
}

/// Slack reads `&`, `<` and `>` as markup, wherever they come from.
fn slack_text(notice: &Notice) -> String {
    let escaped = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // A fence within the text would end the block.
    format!("*{}*\n```{}```", escaped(&notice.subject), escaped(&notice.text).replace("```", "'''"))
}
