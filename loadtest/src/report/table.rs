//! A line a file, as CSV.

use std::io::{self, Write};

use super::document::{FileRun, Run};
use crate::records::field;

/// A column's name, and what a file has in it.
type Column = (&'static str, fn(&FileRun) -> String);

/// As in the document, and in its order.
const COLUMNS: [Column; 17] = [
    ("key", |file| field(&file.key)),
    ("kind", |file| field(&file.kind)),
    ("object_bytes", |file| file.object_bytes.to_string()),
    ("text_bytes", |file| file.text_bytes.to_string()),
    ("sent_at", |file| seconds(Some(file.sent_at))),
    ("upload_seconds", |file| seconds(Some(file.upload_seconds))),
    ("receipt_seconds", |file| seconds(file.receipt_seconds)),
    ("catalogue_seconds", |file| seconds(file.catalogue_seconds)),
    ("processor_seconds", |file| seconds(file.processor_seconds)),
    ("peak_memory_bytes", |file| number(file.peak_memory_bytes)),
    ("rows_in", |file| number(file.rows_in)),
    ("rows_out", |file| number(file.rows_out)),
    ("rows_rejected", |file| number(file.rows_rejected)),
    ("output_bytes", |file| number(file.output_bytes)),
    ("event_id", |file| file.event_id.clone().unwrap_or_default()),
    ("trace_id", |file| file.trace_id.clone()),
    ("accounted", |file| file.accounted.to_string()),
];

fn seconds(seconds: Option<f64>) -> String {
    seconds.map(|seconds| format!("{seconds:.3}")).unwrap_or_default()
}

fn number(number: Option<u64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// Writes a run's files. What is not known is empty.
pub fn write(run: &Run, mut output: impl Write) -> io::Result<()> {
    writeln!(output, "{}", COLUMNS.map(|(name, _)| name).join(","))?;
    for file in &run.files {
        writeln!(output, "{}", COLUMNS.map(|(_, of)| of(file)).join(","))?;
    }
    output.flush()
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that were set, not computed")]
mod tests {
    use super::*;
    use crate::records::parse;
    use crate::report::document::tests::run;

    #[test]
    fn every_file_is_a_line_with_what_the_document_has() {
        let mut run = run(3);
        run.files[1].kind = "taxi, dirty \"much\"".into();
        run.files[2].receipt_seconds = None;
        let mut text = Vec::new();
        write(&run, &mut text).unwrap();
        let records = parse(std::str::from_utf8(&text).unwrap()).unwrap();
        assert_eq!(records.len(), 4);
        for (record, file) in records[1..].iter().zip(&run.files) {
            let document = serde_json::to_value(file).unwrap();
            assert_eq!(document.as_object().unwrap().len(), COLUMNS.len());
            for (name, value) in records[0].iter().zip(record) {
                match &document[name] {
                    serde_json::Value::Null => assert_eq!(value, "", "{name}"),
                    serde_json::Value::String(text) => assert_eq!(value, text, "{name}"),
                    serde_json::Value::Number(number) if number.is_f64() => {
                        assert_eq!(value.parse::<f64>().unwrap(), number.as_f64().unwrap(), "{name}");
                    }
                    other => assert_eq!(value, other.to_string(), "{name}"),
                }
            }
        }
    }
}
