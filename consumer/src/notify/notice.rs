//! What people are told: in words, with what happened first and where to look last.

use std::fmt::Write as _;

use common::contract::{FileEvent, Status};
use common::trace::xray_id;
use jiff::Timestamp;
use opentelemetry::TraceId;
use serde_json::{Value, json};

use super::links::Console;

/// SNS takes subjects of fewer than 100 characters, all ASCII.
const MAX_SUBJECT: usize = 99;

/// The most bytes of text: of a message that names a key of a kilobyte several times, a fraction.
const MAX_TEXT: usize = 32 * 1024;

/// Why people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeKind {
    /// The file was processed.
    Processed,
    /// The file failed.
    Failed,
    /// The file is not what its receipt says.
    Mismatch,
    /// What became of a day's files.
    Digest,
}

impl NoticeKind {
    /// The `type` that subscribers and rules see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Processed => common::contract::EVENT_TYPE_PROCESSED,
            Self::Failed => common::contract::EVENT_TYPE_FAILED,
            Self::Mismatch => "penstock.file.mismatch",
            Self::Digest => "penstock.digest",
        }
    }

    /// The last part of its name, as rules have it.
    pub fn short(self) -> &'static str {
        self.name().rsplit('.').next().unwrap_or_default()
    }
}

/// Something to tell, whoever is told.
#[derive(Debug, Clone, PartialEq)]
pub struct Notice {
    /// The same for every repeat, another for everything else.
    pub id: String,
    /// Why people are told.
    pub kind: NoticeKind,
    /// The event that it is about, where it is about one.
    pub event_id: Option<String>,
    /// One line of printable ASCII, fewer than 100 characters.
    pub subject: String,
    /// For people.
    pub text: String,
    /// When it happened.
    pub time: Timestamp,
    /// For programs.
    pub data: Value,
}

/// What there is to tell of an event; `problem` is what is not as its receipt says.
pub(crate) fn of_event(
    event: &FileEvent,
    problem: Option<&str>,
    trace_id: TraceId,
    console: &Console,
) -> Notice {
    let kind = match (event.data.receipt.status, problem) {
        (_, Some(_)) => NoticeKind::Mismatch,
        (Status::Processed, None) => NoticeKind::Processed,
        (Status::Failed, None) => NoticeKind::Failed,
    };
    let (verb, mut text) = match kind {
        NoticeKind::Mismatch => {
            ("found a file that is not as its receipt says:", mismatch(event, problem.unwrap_or_default()))
        }
        NoticeKind::Failed => ("could not process", failed(event)),
        _ => ("processed", processed(event)),
    };
    where_to_look(&mut text, event, trace_id, console);
    Notice {
        // A file may be found damaged, and be catalogued once it was mended: those are two things to tell.
        id: if problem.is_some() { format!("{}-mismatch", event.id) } else { event.id.clone() },
        kind,
        event_id: Some(event.id.clone()),
        subject: subject(verb, &event.subject),
        text: cut(text),
        time: event.time,
        data: data(event, problem, trace_id, console),
    }
}

fn processed(event: &FileEvent) -> String {
    let receipt = &event.data.receipt;
    let counts = receipt.counts;
    let mut text = String::from("Penstock processed a file.\n\n");
    let mut line = |name: &str, value: &str| writeln!(text, "{name:<9} {value}").unwrap_or_default();
    describe_source(event, &mut line);
    line(
        "Rows:",
        &format!(
            "{} in = {} out + {} rejected + {} filtered",
            counts.rows_in, counts.rows_out, counts.rows_rejected, counts.rows_filtered
        ),
    );
    if counts.rows_rejected > 0 {
        let share = 100.0 * counts.rows_rejected as f64 / counts.rows_in.max(1) as f64;
        let reasons = receipt.rejects.iter().flat_map(|rejects| &rejects.by_reason);
        let reasons: Vec<String> = reasons.map(|(reason, rows)| format!("{rows} {reason}")).collect();
        line("Rejected:", &format!("{share:.2} % of the rows: {}", reasons.join(", ")));
    }
    line("Took:", &format!("{:.1} s", receipt.timing.duration_ms as f64 / 1e3));
    line("When:", &event.time.to_string());
    text
}

fn failed(event: &FileEvent) -> String {
    let mut text = String::from("Penstock could not process a file.\n\n");
    let mut line = |name: &str, value: &str| writeln!(text, "{name:<9} {value}").unwrap_or_default();
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
    text.push_str("\nNothing of this version is under clean/, and it is not tried again by itself: correct the file and upload it once more.\n");
    text
}

fn mismatch(event: &FileEvent, problem: &str) -> String {
    let mut text =
        String::from("A processed file is not what its receipt says. Don't use it before you know why.\n\n");
    let mut line = |name: &str, value: &str| writeln!(text, "{name:<9} {value}").unwrap_or_default();
    describe_source(event, &mut line);
    line("Problem:", &printable(problem));
    line("When:", &format!("{} (processed)", event.time));
    text.push_str(
        "\nIt is looked at again a few times; if it stays so, its message goes to the dead-letter queue, and its \
         catalogue entry says failed.\n",
    );
    text
}

fn describe_source(event: &FileEvent, line: &mut impl FnMut(&str, &str)) {
    let source = &event.data.receipt.source;
    line("File:", &printable(&format!("s3://{}/{}", source.bucket, source.key)));
    if let Some(version) = &source.version_id {
        line("Version:", version);
    }
    line("Size:", &format!("{} bytes", source.size));
    line("Recipe:", &printable(&event.data.receipt.recipe.name));
}

fn where_to_look(text: &mut String, event: &FileEvent, trace_id: TraceId, console: &Console) {
    let mut line = |name: &str, value: &str| writeln!(text, "{name:<9} {value}").unwrap_or_default();
    line("\nWhere to look", "");
    let location = &event.data.receipt_object;
    let mut object = |name: &str, bucket: &str, key: &str| {
        line(name, &printable(&format!("s3://{bucket}/{key}")));
        if let Some(link) = console.object(bucket, key) {
            line("", &link);
        }
    };
    object("Receipt:", &location.bucket, &location.key);
    if let Some(rejects) = &event.data.receipt.rejects {
        object("Rejects:", &rejects.bucket, &rejects.key);
    }
    line("Event:", &event.id);
    line("Trace:", &format!("{trace_id} (in X-Ray: {})", xray_id(trace_id)));
    if let Some(link) = console.trace(trace_id) {
        line("", &link);
    }
}

/// The same for programs: the event's own numbers and places.
fn data(event: &FileEvent, problem: Option<&str>, trace_id: TraceId, console: &Console) -> Value {
    let receipt = &event.data.receipt;
    let location = &event.data.receipt_object;
    let rejects = receipt.rejects.as_ref();
    json!({
        "event_id": event.id,
        "status": receipt.status,
        "problem": problem.map(printable),
        "source": receipt.source,
        "recipe": receipt.recipe.name,
        "counts": receipt.counts,
        "duration_ms": receipt.timing.duration_ms,
        "error": receipt.error,
        "outputs_total": event.data.outputs_total,
        "outputs": receipt.outputs,
        "rejects": rejects,
        "receipt": { "bucket": location.bucket, "key": location.key },
        "trace_id": trace_id.to_string(),
        "links": {
            "receipt": console.object(&location.bucket, &location.key),
            "rejects": rejects.and_then(|rejects| console.object(&rejects.bucket, &rejects.key)),
            "trace": console.trace(trace_id),
        },
    })
}

/// One line of printable ASCII; of a key that is too long, the end, where the file's name is.
pub(crate) fn subject(verb: &str, key: &str) -> String {
    let start = format!("Penstock {verb} ");
    let room = MAX_SUBJECT.saturating_sub(start.len());
    let key: Vec<char> = key.chars().map(|char| if matches!(char, ' '..='~') { char } else { '?' }).collect();
    if key.len() <= room {
        return start + &String::from_iter(key);
    }
    start + "..." + &String::from_iter(&key[key.len() - room.saturating_sub(3)..])
}

/// Text that stays on its line, whatever a key or a message holds.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

fn cut(mut text: String) -> String {
    let end = (0..=MAX_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.truncate(end.unwrap_or(0));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVENT: &str = include_str!("../../../common/tests/fixtures/event-processed.json");

    fn notice(problem: Option<&str>) -> Notice {
        let event = FileEvent::parse(EVENT).unwrap();
        let console = Console::new(Some("eu-central-1".into()));
        of_event(&event, problem, TraceId::from(1 << 96), &console)
    }

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

    #[test]
    fn people_read_what_happened_how_bad_it_is_and_where_to_look() {
        let notice = notice(None);
        for part in [
            "Penstock processed a file.",
            "s3://acme-in/in/orders.csv.gz",
            "3 in = 2 out + 1 rejected + 0 filtered",
            "33.33 % of the rows: 1 too_few_fields",
            "Receipt:  s3://acme-out/receipts/in/orders.csv.gz.json",
            "https://s3.console.aws.amazon.com/s3/object/acme-out?region=eu-central-1&prefix=receipts%2Fin%2Forders.csv.gz.json",
            "Rejects:  s3://acme-out/rejects/in/orders.csv.gz.",
            "#xray:traces/1-00000001-000000000000000000000000",
        ] {
            assert!(notice.text.contains(part), "{part} is missing in:\n{}", notice.text);
        }
        assert_eq!(notice.data["links"]["trace"].as_str().map(|link| &link[..8]), Some("https://"));
    }

    #[test]
    fn a_mismatch_is_another_notice_of_the_same_event() {
        let (fine, damaged) = (notice(None), notice(Some("it is\ngone")));
        assert_eq!(fine.event_id, damaged.event_id);
        assert_eq!(damaged.id, format!("{}-mismatch", fine.id));
        assert!(damaged.text.contains("Problem:  it is?gone"), "{}", damaged.text);
        assert_eq!((damaged.kind.name(), damaged.kind.short()), ("penstock.file.mismatch", "mismatch"));
    }

    #[test]
    fn a_text_has_a_bound() {
        assert_eq!(cut("ü".repeat(MAX_TEXT)).len(), MAX_TEXT);
        assert_eq!(cut(format!("x{}", "ü".repeat(MAX_TEXT))).len(), MAX_TEXT - 1);
    }
}
