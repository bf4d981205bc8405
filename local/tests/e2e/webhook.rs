//! A server of webhooks on loopback, which checks signatures by what Standard Webhooks says, not by Penstock's code.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// More than any head and body that the consumer sends.
const MAX_REQUEST_BYTES: usize = 1 << 20;
/// What Standard Webhooks recommends.
const TOLERANCE: Duration = Duration::from_mins(5);

/// A request that came, and how it was answered.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    arrived: Timestamp,
    /// Whether the answer was a success.
    pub(crate) taken: bool,
}

impl Call {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..head_end]).ok()?;
        let headers = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: BTreeMap<_, _> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect();
        let length: usize = headers.get("content-length")?.parse().ok()?;
        let body = bytes.get(head_end + 4..head_end + 4 + length)?.to_vec();
        Some(Self { headers, body, arrived: Timestamp::now(), taken: false })
    }

    fn header(&self, name: &str) -> anyhow::Result<&str> {
        self.headers.get(name).map(String::as_str).with_context(|| format!("no header {name} in {self:?}"))
    }

    /// The message's id.
    pub(crate) fn id(&self) -> &str {
        self.headers.get("webhook-id").map_or("", String::as_str)
    }

    /// What it says.
    pub(crate) fn said(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).context("a webhook's body is no JSON")
    }

    /// That it was signed with `secret`, not long before it came.
    pub(crate) fn verify(&self, secret: &str) -> anyhow::Result<()> {
        let timestamp = self.header("webhook-timestamp")?;
        let signed_at = Timestamp::from_second(timestamp.parse()?)?;
        let age = Duration::try_from(self.arrived.duration_since(signed_at).abs())?;
        ensure!(age < TOLERANCE, "signed at {signed_at}, and came at {}", self.arrived);
        let key = STANDARD.decode(secret.strip_prefix("whsec_").context("no secret of a webhook")?)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&key)?;
        mac.update(format!("{}.{timestamp}.", self.id()).as_bytes());
        mac.update(&self.body);
        let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        let signatures = self.header("webhook-signature")?;
        ensure!(signatures.split(' ').any(|signature| signature == expected), "signed with another secret");
        Ok(())
    }
}

/// Takes every call but the first, which it asks to be made again.
pub(crate) struct Receiver {
    address: SocketAddr,
    calls: Arc<Mutex<Vec<Call>>>,
    _serving: AbortOnDropHandle<()>,
}

impl Receiver {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let calls = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&calls);
        let serve = async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Whoever hangs up has called nobody.
                tokio::spawn(answer(stream, Arc::clone(&kept)));
            }
        };
        Ok(Self { address, calls, _serving: AbortOnDropHandle::new(tokio::spawn(serve)) })
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What came so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn answer(mut stream: TcpStream, calls: Arc<Mutex<Vec<Call>>>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let call = loop {
        if stream.read_buf(&mut bytes).await? == 0 || bytes.len() > MAX_REQUEST_BYTES {
            return Ok(());
        }
        if let Some(call) = Call::parse(&bytes) {
            break call;
        }
    };
    let taken = {
        let mut calls = calls.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = !calls.is_empty();
        calls.push(Call { taken, ..call });
        taken
    };
    let status = if taken { "204 No Content" } else { "503 Service Unavailable" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
