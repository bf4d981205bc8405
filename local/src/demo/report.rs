//! What is told of the files in the end: for people, or as one JSON document.

use std::collections::BTreeMap;

use common::contract::{CatalogStatus, Counts, Failure, Status};
use console::{Style, style};
use indicatif::{BinaryBytes, HumanCount};
use serde::Serialize;

use super::follow::Followed;

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    /// The files, in the order in which they were named.
    pub files: Vec<FileReport>,
    /// Whether every row of every file is accounted for.
    pub accounted: bool,
    /// The system, when it was left running.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stack: Option<Running>,
}

/// A system that was left running.
#[derive(Debug, Serialize)]
pub(super) struct Running {
    /// Where it answers.
    pub endpoint: String,
    /// Where files are put.
    pub input_bucket: String,
    /// Where they come out.
    pub output_bucket: String,
    /// `kill -- -<process_group>` stops it.
    pub process_group: i32,
}

/// One file.
#[derive(Debug, Serialize)]
pub(super) struct FileReport {
    /// Its key in the input bucket.
    pub key: String,
    /// The receipt's, or `stuck` when there is none.
    pub status: &'static str,
    /// The receipt's.
    pub counts: Option<Counts>,
    /// How many rows were rejected, by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Bytes of the file.
    pub bytes_in: u64,
    /// Bytes of the clean file.
    pub bytes_out: Option<u64>,
    /// From upload to catalogue, as seen from outside.
    pub seconds: f64,
    /// What the processor took of it.
    pub duration_ms: Option<u64>,
    /// The processor's peak; of the process, which several files may have shared.
    pub peak_memory_bytes: Option<u64>,
    /// The trace that the file was sent with.
    pub trace_id: String,
    /// The receipt's.
    pub event_id: Option<String>,
    /// Where the clean file is.
    pub outputs: Vec<String>,
    /// Where the rejected rows are.
    pub rejects: Option<String>,
    /// Where the receipt is.
    pub receipt: Option<String>,
    /// What the consumer made of it.
    pub catalog_status: Option<CatalogStatus>,
    /// Where it says so.
    pub catalog: Option<String>,
    /// Why the file failed.
    pub error: Option<Failure>,
    /// Whether every row is accounted for.
    pub accounted: bool,
    /// Why not.
    pub problems: Vec<String>,
}

impl FileReport {
    /// Sums up what was seen of a file, and what is wrong with it.
    pub(super) fn new(followed: &Followed, problems: Vec<String>, output_bucket: &str) -> Self {
        let place = |bucket: &str, key: &str| format!("s3://{bucket}/{key}");
        let receipt = followed.receipt.as_ref().map(|(_, receipt)| receipt);
        let rejects = receipt.and_then(|receipt| receipt.rejects.as_ref());
        let outputs = receipt.into_iter().flat_map(|receipt| &receipt.outputs);
        Self {
            key: followed.input.key.clone(),
            status: receipt.map_or("stuck", |receipt| receipt.status.name()),
            counts: receipt.map(|receipt| receipt.counts),
            reasons: rejects.map(|rejects| rejects.by_reason.clone()).unwrap_or_default(),
            bytes_in: followed.input.size,
            bytes_out: receipt
                .filter(|receipt| receipt.status == Status::Processed)
                .map(|receipt| receipt.bytes.output),
            seconds: followed.took.as_secs_f64(),
            duration_ms: receipt.map(|receipt| receipt.timing.duration_ms),
            peak_memory_bytes: receipt.map(|receipt| receipt.peak_memory_bytes),
            trace_id: followed.trace_id.clone(),
            event_id: receipt.map(|receipt| receipt.event_id.clone()),
            outputs: outputs.map(|output| place(&output.bucket, &output.key)).collect(),
            rejects: rejects.map(|rejects| place(&rejects.bucket, &rejects.key)),
            receipt: followed.receipt.as_ref().map(|(key, _)| place(output_bucket, key)),
            catalog_status: followed.catalog.as_ref().map(|(_, entry)| entry.status),
            catalog: followed.catalog.as_ref().map(|(key, _)| place(output_bucket, key)),
            error: receipt.and_then(|receipt| receipt.error.clone()),
            accounted: problems.is_empty(),
            problems,
        }
    }

    /// For people, a line each. Objects are named without the bucket: it is the same for all.
    pub(super) fn lines(&self) -> Vec<String> {
        let mark = if self.accounted { style("✔").green() } else { style("✘").red() };
        let mut lines = vec![format!("{mark} {}  {}", style(&self.key).bold(), self.headline())];
        let mut field = |name: &str, text: String| {
            lines.push(format!("    {} {text}", Style::new().dim().apply_to(format!("{name:<9}"))));
        };
        if !self.reasons.is_empty() {
            let reasons: Vec<_> =
                self.reasons.iter().map(|(reason, n)| format!("{} {reason}", HumanCount(*n))).collect();
            field("rejected", reasons.join(", "));
        }
        let size = BinaryBytes(self.bytes_in);
        field(
            "size",
            self.bytes_out.map_or(size.to_string(), |out| format!("{size} → {}", BinaryBytes(out))),
        );
        field("time", self.time());
        field("trace", self.trace_id.clone());
        self.outputs.iter().for_each(|output| field("output", key_of(output)));
        self.rejects.iter().for_each(|rejects| field("", key_of(rejects)));
        self.receipt.iter().for_each(|receipt| field("", key_of(receipt)));
        field("consumer", self.consumer());
        for problem in &self.problems {
            field("problem", style(problem).red().to_string());
        }
        lines
    }

    fn headline(&self) -> String {
        match (&self.error, &self.counts) {
            (Some(error), _) => format!("failed, {}{}", error.code, position(error)),
            (None, Some(counts)) => format!("{} rows in = {}", HumanCount(counts.rows_in), rest(counts)),
            (None, None) => "no receipt".into(),
        }
    }

    fn time(&self) -> String {
        let what = if self.catalog.is_some() { "from upload to catalogue" } else { "waited" };
        let processor = self.duration_ms.map(|ms| format!(", {ms} ms of it the processor's"));
        let memory = self.peak_memory_bytes.map(|bytes| format!(" (peak memory {})", BinaryBytes(bytes)));
        format!("{:.2} s {what}{}{}", self.seconds, processor.unwrap_or_default(), memory.unwrap_or_default())
    }

    fn consumer(&self) -> String {
        let did = match self.catalog_status {
            Some(CatalogStatus::Processed) => "verified and catalogued",
            Some(CatalogStatus::Failed) => "alerted and catalogued as failed",
            Some(CatalogStatus::Superseded) => "catalogued as superseded",
            None => "has catalogued nothing",
        };
        self.catalog.as_ref().map_or_else(|| did.into(), |place| format!("{did}: {}", key_of(place)))
    }
}

/// `337 out + 7 rejected`, and what was filtered if anything was.
fn rest(counts: &Counts) -> String {
    let filtered = match counts.rows_filtered {
        0 => String::new(),
        rows => format!(" + {} filtered", HumanCount(rows)),
    };
    format!("{} out + {} rejected{filtered}", HumanCount(counts.rows_out), HumanCount(counts.rows_rejected))
}

/// The key of `s3://bucket/key`.
fn key_of(place: &str) -> String {
    place.splitn(4, '/').last().unwrap_or(place).to_owned()
}

fn position(error: &Failure) -> String {
    let line = error.line.map(|line| format!(" at line {line}"));
    let byte = error.byte_offset.map(|byte| format!(" at byte {byte}"));
    [line, byte].into_iter().flatten().collect()
}

/// The last line.
pub(super) fn total(files: &[FileReport]) -> String {
    let number = match files.len() {
        1 => "1 file".into(),
        n => format!("{n} files"),
    };
    let good = files.iter().filter(|file| file.accounted).count();
    if good < files.len() {
        let failed = files.iter().filter(|file| file.error.is_some()).count();
        let rest = files.len() - good - failed;
        let parts = [(good, "accounted for"), (failed, "failed"), (rest, "not accounted for")];
        let parts: Vec<_> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        return style(format!("{number}: {}", parts.join(", "))).red().to_string();
    }
    let mut sum = Counts::default();
    for counts in files.iter().filter_map(|file| file.counts) {
        sum.rows_in += counts.rows_in;
        sum.rows_out += counts.rows_out;
        sum.rows_rejected += counts.rows_rejected;
        sum.rows_filtered += counts.rows_filtered;
    }
    let claim = style(format!("{number}, every row accounted for")).green().bold();
    format!("{claim}: {} in = {}", HumanCount(sum.rows_in), rest(&sum))
}

#[cfg(test)]
mod tests {
    use super::super::account::tests::followed;
    use super::*;

    fn report(problems: &[&str]) -> FileReport {
        FileReport::new(&followed(), problems.iter().map(|text| (*text).to_owned()).collect(), "out")
    }

    fn text(lines: &[String]) -> String {
        console::strip_ansi_codes(&lines.join("\n")).into_owned()
    }

    #[test]
    fn a_file_is_told_in_full() {
        let expected = "\
✔ demo/x.csv  3 rows in = 2 out + 1 rejected
    rejected  1 too_few_fields
    size      20 B → 14 B
    time      0.31 s from upload to catalogue, 42 ms of it the processor's (peak memory 1.00 MiB)
    trace     5759e988bd862e3fe1be46a994272793
    output    clean/demo/x.csv
              rejects/demo/x.csv.e.ndjson
              receipts/demo/x.csv.json
    consumer  verified and catalogued: catalog/dt=2026-11-23/e.json";
        assert_eq!(text(&report(&[]).lines()), expected);
    }

    #[test]
    fn the_total_claims_only_what_is_so() {
        let told = |files: &[FileReport]| text(&[total(files)]);
        assert_eq!(told(&[report(&[])]), "1 file, every row accounted for: 3 in = 2 out + 1 rejected");
        assert_eq!(
            told(&[report(&[]), report(&[])]),
            "2 files, every row accounted for: 6 in = 4 out + 2 rejected"
        );
        let mut failed = report(&["it failed"]);
        failed.error =
            Some(Failure { code: "x".into(), message: "y".into(), line: None, byte_offset: Some(9) });
        assert_eq!(failed.headline(), "failed, x at byte 9");
        let files = [report(&[]), failed, report(&["no"])];
        assert_eq!(told(&files), "3 files: 1 accounted for, 1 failed, 1 not accounted for");
    }

    #[test]
    fn the_document_has_the_fields_that_programs_rely_on() {
        let document = Document { files: vec![report(&[])], accounted: true, stack: None };
        let json = serde_json::to_value(document).unwrap();
        let file = &json["files"][0];
        assert_eq!(file["key"], "demo/x.csv");
        assert_eq!(file["status"], "processed");
        assert_eq!(file["counts"]["rows_in"], 3);
        assert_eq!(file["trace_id"], "5759e988bd862e3fe1be46a994272793");
        assert_eq!(file["seconds"], 0.31);
        assert_eq!(file["peak_memory_bytes"], 1_048_576);
        assert_eq!(json.get("stack"), None);
    }
}
