//! A run as one JSON document. Programs rely on it: a field is added, never renamed; what can't be known is `null`.

use std::collections::BTreeMap;

use common::receiver::ReceivedSpan;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the document's layout.
pub const SCHEMA_VERSION: u32 = 1;

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Which Penstock.
    pub penstock_version: String,
    /// When the first file was sent.
    pub started_at: Timestamp,
    /// From then to the end of the last file.
    pub seconds: f64,
    /// Whether it was broken off: then what follows is of the files that were through.
    pub interrupted: bool,
    /// What was asked for.
    pub configuration: Configuration,
    /// Where this program ran.
    pub machine: Machine,
    /// Whether every row is accounted for.
    pub verdict: Verdict,
    /// Sums over all files.
    pub totals: Totals,
    /// What happened more than once.
    pub repeats: Option<Repeats>,
    /// Faults that were injected, by kind.
    pub faults: BTreeMap<String, u64>,
    /// What AWS would ask for it.
    pub cost: Cost,
    /// What was seen over time.
    pub samples: Vec<Sample>,
    /// Each file.
    pub files: Vec<FileRun>,
    /// The slowest files' traces, where they were received.
    pub traces: Vec<FileTrace>,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// `sim`, `local` or `stage`.
    pub target: String,
    /// The deployed stack, where that is the target.
    pub stack: Option<String>,
    /// Its region.
    pub region: Option<String>,
    /// What the files are made of, in the words of the command line.
    pub kinds: Vec<String>,
    /// The most files under way at once.
    pub concurrency: u64,
    /// Files started a second, where that was bounded.
    pub rate: Option<f64>,
    /// How long files were sent, where that was bounded.
    pub duration_seconds: Option<f64>,
    /// After how long a file counts as late.
    pub deadline_seconds: u64,
    /// The memory that the processor may use, in MiB; in the cost, that of the function.
    pub memory_mib: u64,
    /// Faults asked for, as rates by kind.
    pub chaos: BTreeMap<String, f64>,
}

/// Where this program ran.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's model.
    pub cpu: String,
    /// How many run at once.
    pub cpus: u64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Operating system and architecture.
    pub system: String,
}

/// Whether every row is accounted for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Nothing lost, nothing doubled, nothing late, no upload left open.
    pub clean: bool,
    /// Files with something lost: rows, or all of it.
    pub lost: u64,
    /// Files with something that is there twice.
    pub doubled: u64,
    /// Files that took longer than the deadline.
    pub late: u64,
    /// Files with anything else that is not as it must be.
    pub wrong: u64,
    /// Files that were under way when the run was broken off: nothing is said of them.
    pub unfinished: u64,
    /// Uploads to the output bucket that nobody completed or aborted.
    pub open_uploads: u64,
    /// Those of invocations that chaos killed, on top: the bucket's lifecycle rule aborts them.
    pub open_uploads_of_killed: u64,
    /// Each of these. The first thousand.
    pub problems: Vec<Problem>,
}

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file's key.
    pub file: String,
    /// Of which kind.
    pub kind: ProblemKind,
    /// Where in the output (for rows of the output) or in the input (for rejects), where that can be said.
    pub byte_offset: Option<u64>,
    /// In words.
    pub what: String,
}

/// Kinds of problems.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProblemKind {
    /// Something is missing.
    Lost,
    /// Something is there twice.
    Doubled,
    /// It came after the deadline.
    Late,
    /// It is not what it must be.
    Wrong,
}

impl ProblemKind {
    /// As people read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lost => "lost",
            Self::Doubled => "doubled",
            Self::Late => "late",
            Self::Wrong => "wrong",
        }
    }
}

/// Sums over all files that were through.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Totals {
    /// Files sent.
    pub files: u64,
    /// Bytes of their objects.
    pub object_bytes: u64,
    /// Bytes of their text.
    pub text_bytes: u64,
    /// Rows.
    pub rows_in: u64,
    /// Rows in the outputs.
    pub rows_out: u64,
    /// Rows in the rejects.
    pub rows_rejected: u64,
    /// Text a second, over the whole run.
    pub text_bytes_per_second: f64,
    /// The largest peak of a processor's memory, as its receipts tell it.
    pub peak_memory_bytes: u64,
}

/// What happened more than once, as the traces tell it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repeats {
    /// Files that an event named again: published again from their receipt.
    pub republished: u64,
    /// Events that something newer was found to have replaced once the file was looked at.
    pub superseded: u64,
    /// Invocations of the processor that failed, for Lambda to try again; one that was killed tells nobody.
    pub processor_retries: u64,
    /// Messages that were found done before.
    pub done_before: u64,
    /// Messages that were put back.
    pub consumer_retries: u64,
    /// Requests to S3 that the processor made again, beyond the SDK's own tries.
    pub request_retries: u64,
}

/// What AWS would ask for a run, by the list prices in docs/operations.md, in dollars.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    /// Seconds of the functions.
    pub compute: f64,
    /// Requests to S3.
    pub s3_requests: f64,
    /// Lambda's, SNS's and SQS's requests, and logs.
    pub rest: f64,
    /// All of it.
    pub total: f64,
    /// All of it for a TB (10¹² bytes) of text.
    pub per_tb: f64,
}

/// What was seen at one time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Since the begin.
    pub seconds: f64,
    /// Bytes of input that the processor has read so far; where that can't be seen, those of the files that are through.
    pub bytes: u64,
    /// Resident memory of the largest processor, in bytes; absent where processes can't be seen.
    pub memory_bytes: Option<u64>,
    /// Messages that wait for the consumer, or are at work there.
    pub queue: Option<u64>,
    /// Files under way.
    pub under_way: u64,
}

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileRun {
    /// Its key.
    pub key: String,
    /// What it is made of, in the words of the command line.
    pub kind: String,
    /// Bytes of the object.
    pub object_bytes: u64,
    /// Bytes of its text.
    pub text_bytes: u64,
    /// When it began to be sent, in seconds since the run's begin.
    pub sent_at: f64,
    /// Until it was uploaded.
    pub upload_seconds: f64,
    /// From the upload's end to the sight of the receipt.
    pub receipt_seconds: Option<f64>,
    /// From the upload's end to the sight of the catalogue's entry.
    pub catalogue_seconds: Option<f64>,
    /// What the receipt says the processor took.
    pub processor_seconds: Option<f64>,
    /// The process's peak memory so far, as the receipt tells it.
    pub peak_memory_bytes: Option<u64>,
    /// Rows.
    pub rows_in: Option<u64>,
    /// Rows in the output.
    pub rows_out: Option<u64>,
    /// Rows in the rejects.
    pub rows_rejected: Option<u64>,
    /// Bytes of the output.
    pub output_bytes: Option<u64>,
    /// The event's id.
    pub event_id: Option<String>,
    /// The trace's id.
    pub trace_id: String,
    /// Whether every row is accounted for.
    pub accounted: bool,
}

impl FileRun {
    /// From its upload to the last that came of it, in seconds; endless, if nothing did.
    pub fn took(&self) -> f64 {
        self.catalogue_seconds.or(self.receipt_seconds).unwrap_or(f64::INFINITY)
    }
}

/// A file's trace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileTrace {
    /// The file's key.
    pub key: String,
    /// Its spans.
    pub spans: Vec<ReceivedSpan>,
}

/// Times at these ranks, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentiles {
    /// Half of them are below.
    pub p50: f64,
    /// 90 % are below.
    pub p90: f64,
    /// 99 % are below.
    pub p99: f64,
    /// None is above.
    pub max: f64,
}

impl Percentiles {
    /// Of these values, by the nearest rank; none of none.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Self {
            p50: rank(&sorted, 0.5)?,
            p90: rank(&sorted, 0.9)?,
            p99: rank(&sorted, 0.99)?,
            max: rank(&sorted, 1.0)?,
        })
    }
}

/// The value below which this share of the sorted values lies.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank is small and not negative"
)]
pub(crate) fn rank(sorted: &[f64], share: f64) -> Option<f64> {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(index.saturating_sub(1).min(sorted.len().saturating_sub(1))).copied()
}

impl Run {
    /// From upload to receipt.
    pub fn to_receipt(&self) -> Option<Percentiles> {
        Percentiles::of(self.files.iter().filter_map(|file| file.receipt_seconds))
    }

    /// From upload to catalogue.
    pub fn to_catalogue(&self) -> Option<Percentiles> {
        Percentiles::of(self.files.iter().filter_map(|file| file.catalogue_seconds))
    }

    /// Bytes a second between samples, with the seconds at which they were read.
    pub fn rates(&self) -> Vec<(f64, f64)> {
        let pairs = self.samples.windows(2).filter(|pair| pair[1].seconds > pair[0].seconds);
        pairs
            .map(|pair| {
                let bytes = pair[1].bytes.saturating_sub(pair[0].bytes) as f64;
                (pair[1].seconds, bytes / (pair[1].seconds - pair[0].seconds))
            })
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A run that was clean: `files` of them, and samples over twenty seconds.
    pub(crate) fn run(files: u32) -> Run {
        let sample = |n: u32| Sample {
            seconds: f64::from(n) / 2.0,
            bytes: u64::from(n) * 100_000_000,
            memory_bytes: Some(80_000_000 + u64::from(n % 3) * 1_000_000),
            queue: Some(u64::from(n % 5)),
            under_way: 4,
        };
        let file = |n: u32| FileRun {
            key: format!("loadtest/a&b-{n}.csv"),
            kind: "taxi 1 GiB".into(),
            object_bytes: 1 << 30,
            text_bytes: 1 << 30,
            sent_at: f64::from(n),
            upload_seconds: 0.5,
            receipt_seconds: Some(1.0 + f64::from(n % 7) / 8.0),
            catalogue_seconds: Some(1.25 + f64::from(n % 7) / 8.0),
            processor_seconds: Some(0.9),
            peak_memory_bytes: Some(81_000_000),
            rows_in: Some(1000),
            rows_out: Some(998),
            rows_rejected: Some(2),
            output_bytes: Some(1 << 30),
            event_id: Some("0123456789abcdef0123456789abcdef".into()),
            trace_id: "5759e988bd862e3fe1be46a994272793".into(),
            accounted: true,
        };
        Run {
            schema_version: SCHEMA_VERSION,
            penstock_version: "0.1.0".into(),
            started_at: "2026-11-25T10:00:00Z".parse().unwrap(),
            seconds: 20.0,
            interrupted: false,
            configuration: Configuration {
                target: "sim".into(),
                stack: None,
                region: None,
                kinds: vec!["taxi 1 GiB".into()],
                concurrency: 4,
                rate: None,
                duration_seconds: None,
                deadline_seconds: 900,
                memory_mib: 512,
                chaos: BTreeMap::new(),
            },
            machine: Machine::default(),
            verdict: Verdict { clean: true, ..Verdict::default() },
            totals: Totals { files: u64::from(files), text_bytes_per_second: 2e8, ..Totals::default() },
            repeats: Some(Repeats::default()),
            faults: BTreeMap::new(),
            cost: Cost { per_tb: 1.25, ..Cost::default() },
            samples: (0..40).map(sample).collect(),
            files: (0..files).map(file).collect(),
            traces: Vec::new(),
        }
    }

    #[test]
    fn a_document_survives_json() {
        let run = run(3);
        let text = serde_json::to_string(&run).unwrap();
        assert_eq!(serde_json::from_str::<Run>(&text).unwrap(), run);
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let found = Percentiles::of((1..=200).map(f64::from)).unwrap();
        assert_eq!((found.p50, found.p90, found.p99, found.max), (100.0, 180.0, 198.0, 200.0));
        let one = Percentiles::of([3.0]).unwrap();
        assert_eq!((one.p50, one.max), (3.0, 3.0));
        assert!(Percentiles::of([]).is_none());
    }

    #[test]
    fn rates_are_of_what_was_read_between_samples() {
        let rates = run(1).rates();
        assert_eq!(rates.len(), 39);
        assert!(rates.iter().all(|(_, rate)| (*rate - 2e8).abs() < 1.0));
    }
}
