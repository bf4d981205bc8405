//! Whether every row is accounted for: what receipt, catalogue, objects and expectation say, held against each other.

use anyhow::Context as _;
use aws_sdk_s3::error::SdkError;
use common::contract::{CatalogStatus, Counts, Output, Receipt, Rejects, Status};

use super::follow::Followed;
use super::inputs::Expected;
use crate::stack::Stack;

/// An object of the output bucket, as S3 describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    /// Without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
}

/// What lies in the output bucket for one receipt.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// For each output of the receipt, in its order, what is there.
    pub outputs: Vec<Option<Stored>>,
    /// The lines of the rejects object, if it is there.
    pub rejected_lines: Option<u64>,
}

/// Looks at the objects that a receipt names.
pub(super) async fn look(receipt: &Receipt, stack: &Stack) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    for output in &receipt.outputs {
        seen.outputs.push(head(output, stack).await?);
    }
    if let Some(rejects) = &receipt.rejects {
        seen.rejected_lines = count_lines(rejects, stack).await?;
    }
    Ok(seen)
}

async fn head(output: &Output, stack: &Stack) -> anyhow::Result<Option<Stored>> {
    let head = stack.clients().s3.head_object().bucket(&output.bucket).key(&output.key);
    match Box::pin(head.send()).await {
        Ok(head) => Ok(Some(Stored {
            etag: head.e_tag().unwrap_or_default().trim_matches('"').to_owned(),
            size: head.content_length().and_then(|size| u64::try_from(size).ok()).unwrap_or_default(),
        })),
        Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 404 => Ok(None),
        Err(error) => Err(error).with_context(|| format!("look at {}", output.key)),
    }
}

async fn count_lines(rejects: &Rejects, stack: &Stack) -> anyhow::Result<Option<u64>> {
    let get = stack.clients().s3.get_object().bucket(&rejects.bucket).key(&rejects.key);
    let mut object = match Box::pin(get.send()).await {
        Ok(object) => object,
        Err(SdkError::ServiceError(error)) if error.raw().status().as_u16() == 404 => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", rejects.key)),
    };
    let mut lines = 0;
    while let Some(chunk) = object.body.try_next().await.with_context(|| format!("read {}", rejects.key))? {
        lines += memchr::memchr_iter(b'\n', &chunk).count() as u64;
    }
    Ok(Some(lines))
}

/// Everything that keeps a file from being accounted for; nothing, when every row is.
pub(super) fn problems(followed: &Followed, seen: &Seen) -> Vec<String> {
    let mut problems: Vec<String> = followed.stuck.iter().cloned().collect();
    let Some((_, receipt)) = &followed.receipt else { return problems };
    if receipt.status == Status::Failed {
        let error = receipt.error.as_ref();
        let code = error.map_or("unknown", |error| error.code.as_str());
        let message = error.map_or("no reason given", |error| error.message.as_str());
        problems.push(format!("the file failed: {code}: {message}"));
        return problems;
    }
    receipt_problems(followed, receipt, &mut problems);
    object_problems(receipt, seen, &mut problems);
    catalog_problems(followed, receipt, &mut problems);
    problems
}

fn receipt_problems(followed: &Followed, receipt: &Receipt, problems: &mut Vec<String>) {
    if !receipt.adds_up() {
        problems.push("the receipt's sums don't add up".into());
    }
    if receipt.source.size != followed.input.size || receipt.bytes.input != followed.input.size {
        let (read, size) = (receipt.bytes.input, followed.input.size);
        problems.push(format!("the receipt is of {read} bytes, and the file has {size}"));
    }
    let Counts { rows_in, rows_out, rows_rejected, .. } = receipt.counts;
    let found = Expected { rows_in, rows_out, rows_rejected };
    if let Some(expected) = followed.input.expected.filter(|expected| *expected != found) {
        problems.push(format!("{found}; expected are {expected}"));
    }
}

fn object_problems(receipt: &Receipt, seen: &Seen, problems: &mut Vec<String>) {
    for (index, output) in receipt.outputs.iter().enumerate() {
        match seen.outputs.get(index).and_then(Option::as_ref) {
            None => problems.push(format!("{} is not there", output.key)),
            Some(stored) if stored.etag != output.etag || stored.size != output.size => {
                problems.push(format!("{} is not the object that the receipt names", output.key));
            }
            Some(_) => {}
        }
    }
    let rejected = receipt.counts.rows_rejected;
    let lines = seen.rejected_lines.unwrap_or_default();
    if lines != rejected {
        problems.push(format!("the rejects hold {lines} rows, and the receipt says {rejected}"));
    }
}

fn catalog_problems(followed: &Followed, receipt: &Receipt, problems: &mut Vec<String>) {
    // Its absence has been told: nothing else ends the wait for it.
    let Some((_, entry)) = &followed.catalog else { return };
    let catalogued = Counts {
        rows_in: entry.rows_in,
        rows_out: entry.rows_out,
        rows_rejected: entry.rows_rejected,
        rows_filtered: entry.rows_filtered,
    };
    if catalogued != receipt.counts || entry.event_id != receipt.event_id {
        problems.push("the catalogue entry is of another count than the receipt".into());
    }
    if entry.status != CatalogStatus::Processed {
        problems.push(format!("the catalogue says {:?}", entry.status).to_lowercase());
    }
    if entry.trace_id.as_deref() != Some(&followed.trace_id) {
        let found = entry.trace_id.as_deref().unwrap_or("none");
        problems
            .push(format!("the trace was lost: sent with {}, catalogued with {found}", followed.trace_id));
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::path::PathBuf;
    use std::time::Duration;

    use common::contract::{CatalogEntry, FileEvent, Location};
    use serde_json::json;

    use super::*;
    use crate::demo::inputs::Input;

    const TRACE: &str = "5759e988bd862e3fe1be46a994272793";

    fn receipt() -> Receipt {
        serde_json::from_value(json!({
            "schema_version": 1, "event_id": "0123456789abcdef0123456789abcdef", "attempt": 0, "status": "processed",
            "source": { "bucket": "in", "key": "demo/x.csv", "version_id": "v1", "etag": "e", "size": 20, "sequencer": "1" },
            "recipe": { "name": "default", "sha256": "00" },
            "dialect": null,
            "compression": null,
            "counts": { "rows_in": 3, "rows_out": 2, "rows_rejected": 1, "rows_filtered": 0 },
            "bytes": {
                "input": 20, "decompressed": 20, "output": 14,
                "spans": { "kept": 8, "rejected": 6, "filtered": 0, "header": 6, "skipped": 0 }
            },
            "outputs": [{
                "bucket": "out", "key": "clean/demo/x.csv", "etag": "o", "size": 14, "checksum_crc64nvme": "c", "parts": 0
            }],
            "rejects": { "bucket": "out", "key": "rejects/demo/x.csv.e.ndjson", "by_reason": { "too_few_fields": 1 } },
            "columns": [], "error": null,
            "timing": {
                "started_at": "2026-11-23T10:00:00Z", "finished_at": "2026-11-23T10:00:00.042Z", "duration_ms": 42
            },
            "peak_memory_bytes": 1_048_576, "penstock_version": "0.1.0"
        }))
        .unwrap()
    }

    pub(in crate::demo) fn followed() -> Followed {
        let receipt = receipt();
        let object = Location { bucket: "out".into(), key: "receipts/demo/x.csv.json".into() };
        let entry = CatalogEntry::new(&FileEvent::new(&receipt, object), false, Some(TRACE.into()));
        Followed {
            input: Input {
                path: PathBuf::from("x.csv"),
                key: "demo/x.csv".into(),
                size: 20,
                expected: Some(Expected { rows_in: 3, rows_out: 2, rows_rejected: 1 }),
            },
            trace_id: TRACE.into(),
            version_id: Some("v1".into()),
            receipt: Some(("receipts/demo/x.csv.json".into(), receipt)),
            catalog: Some(("catalog/dt=2026-11-23/e.json".into(), entry)),
            took: Duration::from_millis(310),
            stuck: None,
        }
    }

    fn seen() -> Seen {
        Seen { outputs: vec![Some(Stored { etag: "o".into(), size: 14 })], rejected_lines: Some(1) }
    }

    #[test]
    fn what_agrees_is_accounted_for() {
        assert_eq!(problems(&followed(), &seen()), Vec::<String>::new());
    }

    #[test]
    fn every_disagreement_is_found() {
        type Spoil = fn(&mut Followed, &mut Seen);
        let cases: [(Spoil, &str); 10] = [
            (|followed, _| followed.receipt.as_mut().unwrap().1.counts.rows_in = 4, "sums don't add up"),
            (|followed, _| followed.input.size = 21, "the file has 21"),
            (
                |followed, _| followed.input.expected.as_mut().unwrap().rows_out = 3,
                "expected are 3 rows in, 3 out, 1 rejected",
            ),
            (|_, seen| seen.outputs[0] = None, "clean/demo/x.csv is not there"),
            (|_, seen| seen.outputs[0].as_mut().unwrap().etag = "other".into(), "is not the object"),
            (|_, seen| seen.rejected_lines = None, "the rejects hold 0 rows"),
            (|followed, _| followed.catalog.as_mut().unwrap().1.rows_out = 1, "of another count"),
            (
                |followed, _| followed.catalog.as_mut().unwrap().1.status = CatalogStatus::Superseded,
                "says superseded",
            ),
            (|followed, _| followed.catalog.as_mut().unwrap().1.trace_id = None, "the trace was lost"),
            (|followed, _| followed.stuck = Some("did not come in time".into()), "did not come"),
        ];
        for (spoil, expected) in cases {
            let (mut followed, mut seen) = (followed(), seen());
            spoil(&mut followed, &mut seen);
            let problems = problems(&followed, &seen);
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{expected}: {problems:?}");
        }
    }

    #[test]
    fn a_failed_file_says_why() {
        let mut followed = followed();
        let receipt = &mut followed.receipt.as_mut().unwrap().1;
        receipt.status = Status::Failed;
        receipt.error = Some(common::contract::Failure {
            code: "corrupt_gzip".into(),
            message: "cut off".into(),
            line: None,
            byte_offset: Some(7),
        });
        assert_eq!(problems(&followed, &Seen::default()), ["the file failed: corrupt_gzip: cut off"]);
    }
}
