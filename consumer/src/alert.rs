//! What people are told: in words, with what happened first and where to look last.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use common::contract::FileEvent;
use common::topic::Message;
use common::trace::xray_id;
use opentelemetry::TraceId;
use serde::{Deserialize, Serialize};

/// SNS takes subjects of fewer than 100 characters, all ASCII.
const MAX_SUBJECT: usize = 99;

/// Why people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AlertKind {
    /// The file failed.
    Failed,
    /// The file is not what its receipt says.
    Mismatch,
}

impl AlertKind {
    /// The message attribute `type`, for filter policies.
    fn name(self) -> &'static str {
        match self {
            Self::Failed => common::contract::EVENT_TYPE_FAILED,
            Self::Mismatch => "penstock.file.mismatch",
        }
    }
}

/// The alert for a file that failed.
pub(crate) fn failed(event: &FileEvent, trace_id: TraceId) -> Message {
    let mut body = String::from("Penstock could not process a file.\n\n");
    let mut line = |name: &str, value: &str| writeln!(body, "{name:<9} {value}").unwrap_or_default();
    describe_source(event, &mut line);
    if let Some(error) = &event.data.receipt.error {
        line("Problem:", &format!("{} ({})", printable(&error.message), error.code));
        if let Some(byte) = error.byte_offset {
            line("At byte:", &format!("{byte} of the object"));
        }
        if let Some(number) = error.line {
            line("At line:", &format!("{number} of its text"));
        }
    }
    line("When:", &event.time.to_string());
    body.push_str("\nNothing of it is under clean/, and it is not tried again by itself: correct the file and upload it once more.\n");
    finish(AlertKind::Failed, "could not process", body, event, trace_id)
}

/// The alert for a file that is not what its receipt says.
pub(crate) fn mismatch(event: &FileEvent, what: &str, trace_id: TraceId) -> Message {
    let mut body =
        String::from("A processed file is not what its receipt says. Don't use it before you know why.\n\n");
    let mut line = |name: &str, value: &str| writeln!(body, "{name:<9} {value}").unwrap_or_default();
    describe_source(event, &mut line);
    line("Problem:", &printable(what));
    line("When:", &format!("{} (processed)", event.time));
    body.push_str(
        "\nIt is looked at again a few times; if it stays so, its message goes to the dead-letter queue.\n",
    );
    finish(AlertKind::Mismatch, "found a file that is not as its receipt says:", body, event, trace_id)
}

fn describe_source(event: &FileEvent, line: &mut impl FnMut(&str, &str)) {
    let source = &event.data.receipt.source;
    line("File:", &printable(&format!("s3://{}/{}", source.bucket, source.key)));
    if let Some(version) = &source.version_id {
        line("Version:", version);
    }
    line("Size:", &format!("{} bytes", source.size));
}

fn finish(kind: AlertKind, verb: &str, mut body: String, event: &FileEvent, trace_id: TraceId) -> Message {
    let location = &event.data.receipt_object;
    let receipt = printable(&format!("s3://{}/{}", location.bucket, location.key));
    write!(
        body,
        "\nWhere to look\nReceipt:  {receipt}\nEvent:    {}\nTrace:    {trace_id} (in X-Ray: {})\n",
        event.id,
        xray_id(trace_id)
    )
    .unwrap_or_default();
    let attributes = BTreeMap::from([
        ("type".to_owned(), kind.name().to_owned()),
        ("event_id".to_owned(), event.id.clone()),
    ]);
    Message { subject: Some(subject(verb, &event.subject)), body, attributes }
}

/// One line of printable ASCII; of a key that is too long, the end, where the file's name is.
fn subject(verb: &str, key: &str) -> String {
    let start = format!("Penstock {verb} ");
    let room = MAX_SUBJECT.saturating_sub(start.len());
    let key: Vec<char> = key.chars().map(|char| if matches!(char, ' '..='~') { char } else { '?' }).collect();
    if key.len() <= room {
        return start + &String::from_iter(key);
    }
    start + "..." + &String::from_iter(&key[key.len() - room.saturating_sub(3)..])
}

/// Text that stays on its line, whatever a key or a message holds.
fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_is_short_ascii_on_one_line() {
        for key in ["in/orders.csv", "in/größe\n.csv", &"k/".repeat(512), &"ü".repeat(512), ""] {
            for verb in ["could not process", "found a file that is not as its receipt says:"] {
                let subject = subject(verb, key);
                assert!(subject.len() <= MAX_SUBJECT, "{subject}");
                assert!(subject.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{subject}");
            }
        }
        assert_eq!(subject("could not process", "in/größe.csv"), "Penstock could not process in/gr??e.csv");
        assert!(
            subject("could not process", &format!("{}/name.csv", "k".repeat(200))).ends_with("kk/name.csv")
        );
    }
}
