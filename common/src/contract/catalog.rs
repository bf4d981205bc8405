//! What the consumer writes: its claim on a message, and its record of a file.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FileEvent, Status};

/// The consumer's claim on a message: while it lasts, nobody else acts on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// The message's event.
    pub event_id: String,
    /// Who claims: the SQS message id and the invocation.
    pub owner: String,
    /// Until when; after that it may be taken over.
    pub expires_at: Timestamp,
}

/// What the consumer made of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatalogStatus {
    /// The file is there, whole, and as the receipt says.
    Processed,
    /// The file failed.
    Failed,
    /// A later receipt has taken this one's place.
    Superseded,
}

/// One file, as Athena and DuckDB read it: flat, one JSON object on one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogEntry {
    /// The event's id, and the entry's name.
    pub event_id: String,
    /// What became of it.
    pub status: CatalogStatus,
    /// The receipt's time.
    pub time: Timestamp,
    /// Input bucket.
    pub source_bucket: String,
    /// Input key.
    pub source_key: String,
    /// Input version.
    pub source_version_id: Option<String>,
    /// Bytes of the input object.
    pub bytes_in: u64,
    /// Bytes of the output objects.
    pub bytes_out: u64,
    /// Rows of the input.
    pub rows_in: u64,
    /// Rows of the output.
    pub rows_out: u64,
    /// Rows set aside.
    pub rows_rejected: u64,
    /// Rows left out by the recipe.
    pub rows_filtered: u64,
    /// How many rows were set aside for each reason, as `reason=rows`, with spaces between.
    #[serde(default)]
    pub rejected_by_reason: Option<String>,
    /// The only output's key, where there is one.
    pub output_key: Option<String>,
    /// The rejects' key.
    pub rejects_key: Option<String>,
    /// The receipt's key.
    pub receipt_key: String,
    /// Why it failed.
    pub error_code: Option<String>,
    /// Why it failed, for people.
    pub error_message: Option<String>,
    /// Milliseconds that the processor took.
    pub duration_ms: u64,
    /// The recipe's name.
    pub recipe: String,
    /// 0, and one more with each replay that an operator asked for.
    #[serde(default)]
    pub attempt: u32,
    /// The trace that the file belongs to, 32 hexadecimal digits.
    pub trace_id: Option<String>,
}

impl CatalogEntry {
    /// The entry that an event calls for.
    pub fn new(event: &FileEvent, superseded: bool, trace_id: Option<String>) -> Self {
        let receipt = &event.data.receipt;
        let output = receipt.outputs.first().filter(|_| receipt.outputs.len() == 1);
        Self {
            event_id: event.id.clone(),
            status: match receipt.status {
                _ if superseded => CatalogStatus::Superseded,
                Status::Processed => CatalogStatus::Processed,
                Status::Failed => CatalogStatus::Failed,
            },
            time: event.time,
            source_bucket: receipt.source.bucket.clone(),
            source_key: receipt.source.key.clone(),
            source_version_id: receipt.source.version_id.clone(),
            bytes_in: receipt.bytes.input,
            bytes_out: receipt.bytes.output,
            rows_in: receipt.counts.rows_in,
            rows_out: receipt.counts.rows_out,
            rows_rejected: receipt.counts.rows_rejected,
            rows_filtered: receipt.counts.rows_filtered,
            rejected_by_reason: receipt.rejects.as_ref().map(|rejects| reasons(&rejects.by_reason)),
            output_key: output.map(|output| output.key.clone()),
            rejects_key: receipt.rejects.as_ref().map(|rejects| rejects.key.clone()),
            receipt_key: event.data.receipt_object.key.clone(),
            error_code: receipt.error.as_ref().map(|error| error.code.clone()),
            error_message: receipt.error.as_ref().map(|error| error.message.clone()),
            duration_ms: receipt.timing.duration_ms,
            recipe: receipt.recipe.name.clone(),
            attempt: receipt.attempt,
            trace_id,
        }
    }

    /// The entry of an event that could not be dealt with.
    #[must_use]
    pub fn failed(self, code: &str, message: &str) -> Self {
        Self {
            status: CatalogStatus::Failed,
            error_code: Some(code.to_owned()),
            error_message: Some(message.to_owned()),
            ..self
        }
    }

    /// How many rows were set aside for each reason.
    pub fn reasons(&self) -> impl Iterator<Item = (&str, u64)> {
        let reasons = self.rejected_by_reason.as_deref().unwrap_or_default().split(' ');
        reasons.filter_map(|reason| {
            let (reason, rows) = reason.split_once('=')?;
            Some((reason, rows.parse().ok()?))
        })
    }
}

fn reasons(by_reason: &BTreeMap<String, u64>) -> String {
    let reasons: Vec<String> = by_reason.iter().map(|(reason, rows)| format!("{reason}={rows}")).collect();
    reasons.join(" ")
}
