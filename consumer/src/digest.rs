//! One summary of a day: what the catalogue says of it, in words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use common::config::Prices;
use common::contract::{CatalogEntry, CatalogStatus};
use common::document::DocumentError;
use common::store::Store;
use futures::TryStreamExt as _;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::catalog;
use crate::notify::{Notice, NoticeKind, printable, subject};

/// Files that are named: the slowest, and the failures.
const NAMED: usize = 5;

/// Reasons and codes that are told apart. There are a few dozen.
const KINDS: usize = 100;

/// What S3 asks for a thousand requests in us-east-1, in US dollars, and how many a file needs beside its ranges and parts.
const PUT_PRICE: f64 = 0.005 / 1000.0;
const GET_PRICE: f64 = 0.0004 / 1000.0;
const REQUESTS_BESIDE: f64 = 10.0;
/// A range, and a part, of a usual file.
const REQUEST_BYTES: f64 = 8.0 * 1024.0 * 1024.0;

/// A day's sums.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Digest {
    processed: u64,
    failed: u64,
    superseded: u64,
    rows_in: u64,
    rows_out: u64,
    rows_rejected: u64,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: u64,
    by_reason: BTreeMap<String, u64>,
    by_code: BTreeMap<String, u64>,
    /// By what they took, the slowest first.
    slowest: Vec<(u64, String)>,
    /// The first that were read.
    failures: Vec<(String, String)>,
    /// Whether there was no time to read all of them.
    cut_short: bool,
}

impl Digest {
    /// Sums a day up, for as long as there is time.
    ///
    /// # Errors
    ///
    /// An entry can't be read: a sum without it would be wrong, and look right.
    pub(crate) async fn of_day(
        store: &dyn Store,
        bucket: &str,
        day: Date,
        within: Option<Duration>,
    ) -> Result<Self, DocumentError> {
        let mut digest = Self::default();
        let deadline = within.map(|within| Instant::now() + within);
        let mut entries = std::pin::pin!(catalog::entries(store, bucket, day));
        loop {
            let next = entries.try_next();
            let entry = match deadline {
                Some(deadline) => match tokio::time::timeout_at(deadline, next).await {
                    Ok(entry) => entry?,
                    Err(_late) => {
                        digest.cut_short = true;
                        return Ok(digest);
                    }
                },
                None => next.await?,
            };
            let Some(entry) = entry else { return Ok(digest) };
            digest.add(&entry);
        }
    }

    fn add(&mut self, entry: &CatalogEntry) {
        let place = || printable(&format!("s3://{}/{}", entry.source_bucket, entry.source_key));
        self.bytes_in += entry.bytes_in;
        self.duration_ms += entry.duration_ms;
        match entry.status {
            CatalogStatus::Superseded => self.superseded += 1,
            CatalogStatus::Failed => {
                self.failed += 1;
                let code = entry.error_code.clone().unwrap_or_else(|| "unknown".into());
                count(&mut self.by_code, &code, 1);
                if self.failures.len() < NAMED {
                    self.failures.push((place(), code));
                }
            }
            CatalogStatus::Processed => {
                self.processed += 1;
                self.rows_in += entry.rows_in;
                self.rows_out += entry.rows_out;
                self.rows_rejected += entry.rows_rejected;
                self.bytes_out += entry.bytes_out;
                entry.reasons().for_each(|(reason, rows)| count(&mut self.by_reason, reason, rows));
            }
        }
        let at = self.slowest.partition_point(|(slower, _)| *slower >= entry.duration_ms);
        if at < NAMED {
            self.slowest.insert(at, (entry.duration_ms, place()));
            self.slowest.truncate(NAMED);
        }
    }

    /// Whether all of the day's entries were read.
    pub(crate) fn is_whole(&self) -> bool {
        !self.cut_short
    }

    fn files(&self) -> u64 {
        self.processed + self.failed + self.superseded
    }

    /// What processor and S3's requests cost, in US dollars.
    fn cost(&self, prices: Prices) -> (f64, f64) {
        let processor = self.duration_ms as f64 / 1e3 * prices.processor_mib / 1024.0 * prices.gb_second;
        let beside = self.files() as f64 * REQUESTS_BESIDE;
        let puts = self.bytes_out as f64 / REQUEST_BYTES + beside;
        let gets = self.bytes_in as f64 / REQUEST_BYTES + beside;
        (processor, puts * PUT_PRICE + gets * GET_PRICE)
    }

    /// What people are told. Its id is the day's: told twice, it is the same.
    pub(crate) fn notice(&self, day: Date, prices: Prices) -> Notice {
        let midnight =
            day.to_zoned_datetime(TimeZone::UTC).map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp());
        let what = format!("{day}: {} files, {} failed", self.files(), self.failed);
        Notice {
            id: id(day),
            kind: NoticeKind::Digest,
            event_id: None,
            subject: subject("on", &what),
            text: self.text(day, prices),
            time: midnight,
            data: self.data(day, prices),
        }
    }

    fn text(&self, day: Date, prices: Prices) -> String {
        let mut text = format!("What Penstock did on {day} (UTC).\n\n");
        let mut line = |name: &str, value: &str| writeln!(text, "{name:<9} {value}").unwrap_or_default();
        if self.cut_short {
            line(
                "Careful:",
                "there was no time to read the whole catalogue of that day; these are a part of it",
            );
        }
        let Self { processed, failed, superseded, rows_in, rows_out, rows_rejected, .. } = self;
        line(
            "Files:",
            &format!("{} = {processed} processed + {failed} failed + {superseded} superseded", self.files()),
        );
        let share = 100.0 * *rows_rejected as f64 / (*rows_in).max(1) as f64;
        line("Rows:", &format!("{rows_in} in, {rows_out} out, {rows_rejected} rejected ({share:.2} %)"));
        for (reason, rows) in &self.by_reason {
            line("", &format!("{rows} {reason}"));
        }
        line("Bytes:", &format!("{} in, {} out", self.bytes_in, self.bytes_out));
        for (code, files) in &self.by_code {
            line("Failed:", &format!("{files} with {code}"));
        }
        for (place, code) in &self.failures {
            line("", &format!("{place} ({code})"));
        }
        for (at, (milliseconds, place)) in self.slowest.iter().enumerate() {
            let name = if at == 0 { "Slowest:" } else { "" };
            line(name, &format!("{:.1} s {place}", *milliseconds as f64 / 1e3));
        }
        let (processor, s3) = self.cost(prices);
        line(
            "Cost:",
            &format!(
                "about ${:.2}: ${processor:.2} processor, ${s3:.2} requests to S3 (list prices)",
                processor + s3
            ),
        );
        text
    }

    fn data(&self, day: Date, prices: Prices) -> Value {
        let (processor, s3) = self.cost(prices);
        let slowest = self.slowest.iter().map(|(ms, object)| json!({ "object": object, "duration_ms": ms }));
        let failures = self.failures.iter().map(|(object, code)| json!({ "object": object, "code": code }));
        json!({
            "day": day.to_string(),
            "complete": !self.cut_short,
            "files": { "processed": self.processed, "failed": self.failed, "superseded": self.superseded },
            "rows": { "in": self.rows_in, "out": self.rows_out, "rejected": self.rows_rejected },
            "bytes": { "in": self.bytes_in, "out": self.bytes_out },
            "rejected_by_reason": self.by_reason,
            "failed_by_code": self.by_code,
            "failures": failures.collect::<Vec<_>>(),
            "slowest": slowest.collect::<Vec<_>>(),
            "cost_usd": { "processor": processor, "s3_requests": s3 },
        })
    }
}

/// The digest's name, for the claim and for whoever is told.
pub(crate) fn id(day: Date) -> String {
    format!("digest-{day}")
}

fn count(counts: &mut BTreeMap<String, u64>, kind: &str, by: u64) {
    let kind = if counts.contains_key(kind) || counts.len() < KINDS { kind } else { "other" };
    *counts.entry(kind.to_owned()).or_default() += by;
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = include_str!("../../common/tests/fixtures/catalog-entry.json");

    fn entry(status: CatalogStatus, key: &str, duration_ms: u64) -> CatalogEntry {
        let entry: CatalogEntry = serde_json::from_str(ENTRY).unwrap();
        CatalogEntry { status, source_key: key.into(), duration_ms, ..entry }
    }

    fn digest() -> Digest {
        let mut digest = Digest::default();
        for number in 0..8 {
            digest.add(&entry(CatalogStatus::Processed, &format!("in/{number}.csv"), 1000 * number));
        }
        digest.add(&entry(CatalogStatus::Superseded, "in/old.csv", 10));
        digest.add(&entry(CatalogStatus::Failed, "in/bad\n.csv", 20).failed("not_csv", "it is none"));
        digest
    }

    #[test]
    fn a_day_is_summed_up() {
        let digest = digest();
        let text = digest.text("2026-11-24".parse().unwrap(), Prices::default());
        for part in [
            "What Penstock did on 2026-11-24 (UTC).",
            "Files:    10 = 8 processed + 1 failed + 1 superseded",
            "Rows:     24 in, 16 out, 8 rejected (33.33 %)",
            "          8 too_few_fields",
            "Failed:   1 with not_csv",
            "          s3://acme-in/in/bad?.csv (not_csv)",
            "Slowest:  7.0 s s3://acme-in/in/7.csv\n          6.0 s s3://acme-in/in/6.csv",
        ] {
            assert!(text.contains(part), "{part} is missing in:\n{text}");
        }
        assert_eq!(digest.slowest.len(), NAMED);
        assert!(!text.contains("Careful"));
    }

    #[test]
    fn costs_are_what_the_runbook_reckons() {
        // docs/operations.md: 60 GB in 800 s at 1,769 MiB.
        let gigabytes = 60_000_000_000;
        let digest = Digest {
            processed: 1,
            duration_ms: 800_000,
            bytes_in: gigabytes,
            bytes_out: gigabytes,
            ..Digest::default()
        };
        let (processor, s3) = digest.cost(Prices::default());
        assert!((processor - 0.0184).abs() < 0.0001, "{processor}");
        assert!((s3 - 0.039).abs() < 0.001, "{s3}");
    }

    #[test]
    fn a_digest_has_the_days_name() {
        let notice = digest().notice("2026-11-24".parse().unwrap(), Prices::default());
        assert_eq!((notice.id.as_str(), notice.kind), ("digest-2026-11-24", NoticeKind::Digest));
        assert_eq!(notice.subject, "Penstock on 2026-11-24: 10 files, 1 failed");
        assert_eq!(notice.time.to_string(), "2026-11-24T00:00:00Z");
        assert_eq!(notice.data["rejected_by_reason"]["too_few_fields"], 8);
    }

    #[test]
    fn reasons_have_a_bound() {
        let mut counts = BTreeMap::new();
        for number in 0..1000 {
            count(&mut counts, &number.to_string(), 1);
        }
        assert_eq!((counts.len(), counts["other"]), (KINDS + 1, 900));
    }
}
