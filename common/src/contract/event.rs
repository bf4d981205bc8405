//! The message that says what became of a file: a CloudEvents 1.0 JSON object.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::keys::{EVENT_ID_BYTES, hex};
use super::{Receipt, Source, Status};

/// `type` of a file that was processed.
pub const EVENT_TYPE_PROCESSED: &str = "penstock.file.processed";
/// `type` of a file that failed.
pub const EVENT_TYPE_FAILED: &str = "penstock.file.failed";

/// The most outputs an event lists; of more it gives the number. Keeps the message well below 256 KiB.
const MAX_LISTED_OUTPUTS: usize = 10;

/// Names one outcome of one input under one recipe: the same for every repeat, another for every change.
///
/// The first 32 hexadecimal digits of a SHA-256 over the source's identity, the recipe, the attempt, the status.
pub fn event_id(source: &Source, recipe_sha256: &str, attempt: u32, status: Status) -> String {
    let version = match &source.version_id {
        Some(version) => format!("v:{version}"),
        None => format!("e:{}", source.etag),
    };
    let mut hash = Sha256::new();
    for part in [&source.bucket, &source.key, &version, recipe_sha256, &attempt.to_string(), status.name()] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hex(&hash.finalize())[..EVENT_ID_BYTES].to_owned()
}

/// A CloudEvents 1.0 event, structured mode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileEvent {
    /// `1.0`.
    pub specversion: String,
    /// The receipt's event id.
    pub id: String,
    /// The input bucket, as `urn:penstock:<bucket>`.
    pub source: String,
    /// [`EVENT_TYPE_PROCESSED`] or [`EVENT_TYPE_FAILED`].
    #[serde(rename = "type")]
    pub event_type: String,
    /// The input key.
    pub subject: String,
    /// The receipt's time.
    pub time: Timestamp,
    /// `application/json`.
    pub datacontenttype: String,
    /// The receipt, shortened.
    pub data: EventData,
}

/// The receipt without its columns, with at most ten outputs, and where the whole of it lies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventData {
    /// The receipt; `columns` is empty, and `outputs` too when there are many.
    #[serde(flatten)]
    pub receipt: Receipt,
    /// How many outputs there are.
    pub outputs_total: u64,
    /// Where the receipt lies.
    pub receipt_object: Location,
}

/// A bucket and a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Location {
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
}

/// A message body that is not one of ours. Says where, and quotes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a file event: {0}")]
pub struct ParseEventError(String);

/// Where and how JSON is wrong. Its own message would quote values, which no log may hold.
pub fn json_fault(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Eof => "it ends early",
        serde_json::error::Category::Data => "not of the shape expected",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "not JSON",
    };
    format!("{kind}, line {} column {}", error.line(), error.column())
}

impl Status {
    /// The type of the event that tells of it.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Processed => EVENT_TYPE_PROCESSED,
            Self::Failed => EVENT_TYPE_FAILED,
        }
    }
}

impl FileEvent {
    /// The event that a receipt calls for.
    pub fn new(receipt: &Receipt, receipt_object: Location) -> Self {
        let outputs_total = receipt.outputs.len() as u64;
        let mut short = Receipt { columns: Vec::new(), ..receipt.clone() };
        if short.outputs.len() > MAX_LISTED_OUTPUTS {
            short.outputs.clear();
        }
        Self {
            specversion: "1.0".into(),
            id: receipt.event_id.clone(),
            source: format!("urn:penstock:{}", receipt.source.bucket),
            event_type: receipt.status.event_type().into(),
            subject: receipt.source.key.clone(),
            time: receipt.timing.finished_at,
            datacontenttype: "application/json".into(),
            data: EventData { receipt: short, outputs_total, receipt_object },
        }
    }

    /// Reads a message body and checks that it is what it says.
    pub fn parse(body: &str) -> Result<Self, ParseEventError> {
        let event: Self = serde_json::from_str(body).map_err(|error| ParseEventError(json_fault(&error)))?;
        let refuse = |why: &str| Err(ParseEventError(why.into()));
        let receipt = &event.data.receipt;
        if event.specversion != "1.0" {
            return refuse("its specversion is not 1.0");
        }
        if event.event_type != receipt.status.event_type() {
            return refuse("its type is not its receipt's status");
        }
        if event.id != receipt.event_id || !is_event_id(&event.id) {
            return refuse("its id is not its receipt's");
        }
        Ok(event)
    }
}

/// Ids become parts of keys: nothing but what [`event_id`] makes may pass.
fn is_event_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
