//! The verdict: each file held against what was generated, then what is left behind.

use std::sync::Arc;
use std::time::Duration;

use common::contract::{CatalogStatus, Counts, Receipt, Status};

use super::drive::Followed;
use super::world::{Target, World};
use super::{output, rejects};
use crate::generate::{Expectation, Text};
use crate::report::document::{FileRun, Problem, ProblemKind, Verdict};

/// Problems that are listed.
const LISTED: usize = 1000;

/// What is wrong with one file, all told.
#[derive(Debug, Default)]
pub(crate) struct Judged {
    problems: Vec<Problem>,
}

impl Judged {
    fn add(&mut self, file: &str, kind: ProblemKind, byte_offset: Option<u64>, what: impl Into<String>) {
        self.problems.push(Problem { file: file.to_owned(), kind, byte_offset, what: what.into() });
    }

    /// Whether every row is accounted for.
    pub(crate) fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Holds a file against what was generated: receipt, catalogue, rejects, output.
pub(crate) async fn judge(world: &World, followed: &Followed, deadline: Duration, threads: usize) -> Judged {
    let key = &followed.file.key;
    let mut judged = Judged::default();
    if let Some(stuck) = &followed.stuck {
        judged.add(key, ProblemKind::Lost, None, stuck);
    }
    let Some((_, receipt)) = &followed.receipt else { return judged };
    if receipt.status == Status::Failed {
        let error = receipt.error.as_ref();
        let code = error.map_or("unknown", |error| error.code.as_str());
        let place = error.and_then(|error| error.byte_offset);
        judged.add(key, ProblemKind::Lost, place, format!("the file failed: {code}"));
        return judged;
    }
    let text = match Text::new(&followed.file.spec) {
        Ok(text) => Arc::new(text),
        Err(error) => {
            judged.add(key, ProblemKind::Wrong, None, format!("{error:#}"));
            return judged;
        }
    };
    sums(&mut judged, followed, receipt, &text.expect());
    entry(&mut judged, followed, receipt, deadline);
    let (store, compression) = (&*world.store, followed.file.spec.compression);
    let found = match rejects::faults(store, receipt.rejects.as_ref(), &text).await {
        Ok(mut faults) => {
            match output::faults(store, receipt, &text, compression, threads).await {
                Ok(more) => faults.extend(more),
                Err(error) => judged.add(key, ProblemKind::Wrong, None, format!("{error:#}")),
            }
            faults
        }
        Err(error) => {
            judged.add(key, ProblemKind::Wrong, None, format!("{error:#}"));
            Vec::new()
        }
    };
    for fault in found {
        judged.add(key, fault.kind, fault.byte_offset, fault.what);
    }
    judged
}

/// The receipt's sums against those that are expected.
fn sums(judged: &mut Judged, followed: &Followed, receipt: &Receipt, expected: &Expectation) {
    let key = &followed.file.key;
    if !receipt.adds_up() {
        judged.add(key, ProblemKind::Wrong, None, "the receipt's sums don't add up");
    }
    let Counts { rows_in, rows_out, rows_rejected, .. } = receipt.counts;
    let pairs = [
        ("rows in", rows_in, expected.rows_in),
        ("rows out", rows_out, expected.rows_out),
        ("rows rejected", rows_rejected, expected.rows_rejected),
        ("bytes of text", receipt.bytes.decompressed, expected.text_bytes),
    ];
    for (name, found, wanted) in pairs.into_iter().filter(|(_, found, wanted)| found != wanted) {
        let kind = if found < wanted { ProblemKind::Lost } else { ProblemKind::Doubled };
        judged.add(key, kind, None, format!("{found} {name}; expected are {wanted}"));
    }
    let found = receipt.rejects.as_ref().map(|rejects| &rejects.by_reason);
    let same = match found {
        None => expected.by_reason.is_empty(),
        Some(found) => {
            found.len() == expected.by_reason.len()
                && found.iter().all(|(reason, rows)| expected.by_reason.get(reason.as_str()) == Some(rows))
        }
    };
    if !same {
        let what = format!("rejected are {found:?}; expected are {:?}", expected.by_reason);
        judged.add(key, ProblemKind::Wrong, None, what);
    }
}

/// The catalogue's entry against the receipt, and the time that it took.
fn entry(judged: &mut Judged, followed: &Followed, receipt: &Receipt, deadline: Duration) {
    let key = &followed.file.key;
    let Some((took, entry)) = &followed.entry else { return };
    let counts = Counts {
        rows_in: entry.rows_in,
        rows_out: entry.rows_out,
        rows_rejected: entry.rows_rejected,
        rows_filtered: entry.rows_filtered,
    };
    if counts != receipt.counts || entry.event_id != receipt.event_id {
        judged.add(
            key,
            ProblemKind::Wrong,
            None,
            "the catalogue's entry is of another count than the receipt",
        );
    }
    if entry.status != CatalogStatus::Processed {
        let what = format!("the catalogue says {:?}", entry.status).to_lowercase();
        judged.add(key, ProblemKind::Wrong, None, what);
    }
    let sent = followed.sent.as_ref().map(|sent| sent.trace_id.as_str());
    if entry.trace_id.as_deref() != sent {
        judged.add(key, ProblemKind::Wrong, None, "the trace that it was sent with was lost on the way");
    }
    if *took > deadline {
        let (took, deadline) = (took.as_secs_f64(), deadline.as_secs());
        let what = format!("it took {took:.1} s from upload to catalogue; the deadline is {deadline} s");
        judged.add(key, ProblemKind::Late, None, what);
    }
}

/// What is left behind by the whole run, of the files that are through.
pub(crate) async fn left_behind(
    world: &World,
    run: &str,
    files: &[Followed],
    verdict: &mut Verdict,
) -> anyhow::Result<()> {
    let killed = world.killed();
    let is_through = |key: &String| files.iter().any(|followed| key.contains(&followed.file.key));
    // What was under way when the run was broken off may well be at its upload.
    for key in world.open_uploads(run).await?.into_iter().filter(is_through) {
        // Nobody can abort what a killed process had begun: the bucket's lifecycle rule does.
        if killed.iter().any(|subject| key.contains(subject.as_str())) {
            verdict.open_uploads_of_killed += 1;
        } else {
            verdict.open_uploads += 1;
        }
    }
    if let Target::Deployed(deployed) = &world.target {
        for (file, entries) in deployed.entries(run).await?.into_iter().filter(|(_, entries)| *entries > 1) {
            let what = format!("{entries} entries of the catalogue say that it was processed");
            verdict.problems.push(Problem { file, kind: ProblemKind::Doubled, byte_offset: None, what });
        }
    }
    Ok(())
}

/// Adds up what is wrong.
pub(crate) fn sum_up(verdict: &mut Verdict, judged: Vec<Judged>) {
    verdict.problems.extend(judged.into_iter().flat_map(|judged| judged.problems));
    let mut files: Vec<(ProblemKind, &str)> =
        verdict.problems.iter().map(|problem| (problem.kind, problem.file.as_str())).collect();
    files.sort_unstable();
    files.dedup();
    let count = |kind| files.iter().filter(|(of, _)| *of == kind).count() as u64;
    verdict.lost = count(ProblemKind::Lost);
    verdict.doubled = count(ProblemKind::Doubled);
    verdict.late = count(ProblemKind::Late);
    verdict.wrong = count(ProblemKind::Wrong);
    verdict.clean = verdict.problems.is_empty() && verdict.open_uploads == 0;
    verdict.problems.truncate(LISTED);
}

/// A file for the document.
pub(crate) fn file_run(followed: &Followed, judged: &Judged) -> FileRun {
    let receipt = followed.receipt.as_ref().map(|(_, receipt)| receipt);
    let sent = followed.sent.as_ref();
    FileRun {
        key: followed.file.key.clone(),
        kind: followed.file.kind.clone(),
        object_bytes: sent.map_or(0, |sent| sent.object_bytes),
        text_bytes: followed.text_bytes,
        sent_at: followed.sent_at.as_secs_f64(),
        upload_seconds: followed.upload.as_secs_f64(),
        receipt_seconds: followed.receipt.as_ref().map(|(took, _)| took.as_secs_f64()),
        catalogue_seconds: followed.entry.as_ref().map(|(took, _)| took.as_secs_f64()),
        processor_seconds: receipt.map(|receipt| receipt.timing.duration_ms as f64 / 1e3),
        peak_memory_bytes: receipt.map(|receipt| receipt.peak_memory_bytes),
        rows_in: receipt.map(|receipt| receipt.counts.rows_in),
        rows_out: receipt.map(|receipt| receipt.counts.rows_out),
        rows_rejected: receipt.map(|receipt| receipt.counts.rows_rejected),
        output_bytes: receipt.map(|receipt| receipt.bytes.output),
        event_id: receipt.map(|receipt| receipt.event_id.clone()),
        trace_id: sent.map(|sent| sent.trace_id.clone()).unwrap_or_default(),
        accounted: judged.is_clean(),
    }
}
