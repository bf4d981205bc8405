//! Receipts, from what the engine found.

use std::collections::BTreeMap;

use common::contract::{
    ByteCounts, ByteSpans, Column, Compression, Confidence, Counts, Dialect, Failure, Output, Receipt,
    RecipeRef, Rejects, RenamedColumn, SCHEMA_VERSION, Source, Status, Timing, event_id,
};
use common::telemetry::peak_memory_bytes;
use engine::{BadFile, Bound, ColumnProfile, Comment, Escape, Reason, Summary};
use jiff::Timestamp;

/// The receipt of a file whose every row is accounted for. `rejects` is where the rejected rows lie, if any.
pub fn processed(
    source: &Source,
    recipe: &RecipeRef,
    summary: &Summary,
    outputs: Vec<Output>,
    rejects: Option<(String, String)>,
    started_at: Timestamp,
) -> Receipt {
    let counted = |by_reason: &BTreeMap<Reason, u64>| {
        by_reason.iter().map(|(reason, count)| (reason.code().to_owned(), *count)).collect()
    };
    let by_reason = counted(&summary.by_reason);
    Receipt {
        dialect: Some(dialect(&summary.dialect)),
        compression: Some(Compression {
            input: summary.input_compression.name().into(),
            members: summary.members,
            output: summary.output_compression.name().into(),
        }),
        counts: Counts {
            rows_in: summary.counts.rows_in,
            rows_out: summary.counts.rows_out,
            rows_rejected: summary.counts.rows_rejected,
            rows_filtered: summary.counts.rows_filtered,
        },
        bytes: ByteCounts {
            input: summary.input_bytes,
            decompressed: summary.decompressed_bytes,
            output: summary.output_bytes,
            spans: ByteSpans {
                kept: summary.spans.kept,
                rejected: summary.spans.rejected,
                filtered: summary.spans.filtered,
                header: summary.spans.header,
                skipped: summary.spans.skipped,
            },
        },
        outputs,
        columns: summary.columns.iter().map(column).collect(),
        columns_left_out: summary.columns_left_out,
        warnings: counted(&summary.warnings),
        rejects: rejects.map(|(bucket, key)| Rejects {
            bucket,
            key,
            by_reason,
            etag: None,
            size: None,
            checksum_crc64nvme: None,
        }),
        ..blank(source, recipe, Status::Processed, started_at)
    }
}

/// The receipt of a file that can't be processed.
pub fn failed(source: &Source, recipe: &RecipeRef, error: Failure, started_at: Timestamp) -> Receipt {
    let bytes = ByteCounts { input: source.size, ..ByteCounts::default() };
    Receipt { bytes, error: Some(error), ..blank(source, recipe, Status::Failed, started_at) }
}

/// The receipt of a later attempt, which has an event of its own.
pub fn of_attempt(receipt: Receipt, attempt: u32) -> Receipt {
    let event_id = event_id(&receipt.source, &receipt.recipe.sha256, attempt, receipt.status);
    Receipt { attempt, event_id, ..receipt }
}

/// The receipt of rejected rows that were processed once more. The checksum of their file tells one such run from
/// another, and from the run that rejected them.
pub fn of_replay(receipt: Receipt, rejects_crc64nvme: String) -> Receipt {
    let rules = format!("{}+{rejects_crc64nvme}", receipt.recipe.sha256);
    let event_id = event_id(&receipt.source, &rules, receipt.attempt, receipt.status);
    Receipt { replay: Some(rejects_crc64nvme), event_id, ..receipt }
}

/// A bad file in the receipt's words.
pub fn failure(bad: &BadFile) -> Failure {
    Failure {
        code: bad.code.into(),
        message: bad.message.clone(),
        line: bad.line,
        byte_offset: bad.byte_offset,
    }
}

fn blank(source: &Source, recipe: &RecipeRef, status: Status, started_at: Timestamp) -> Receipt {
    let finished_at = Timestamp::now();
    let attempt = 0;
    Receipt {
        schema_version: SCHEMA_VERSION,
        event_id: event_id(source, &recipe.sha256, attempt, status),
        attempt,
        replay: None,
        status,
        source: source.clone(),
        recipe: recipe.clone(),
        dialect: None,
        compression: None,
        counts: Counts::default(),
        bytes: ByteCounts::default(),
        outputs: Vec::new(),
        rejects: None,
        warnings: BTreeMap::new(),
        columns: Vec::new(),
        columns_left_out: 0,
        error: None,
        timing: Timing {
            started_at,
            finished_at,
            duration_ms: u64::try_from(finished_at.duration_since(started_at).as_millis()).unwrap_or(0),
        },
        peak_memory_bytes: peak_memory_bytes(),
        penstock_version: common::VERSION.into(),
    }
}

fn column(found: &ColumnProfile) -> Column {
    let bound = |bound: &Option<Bound>| {
        bound.as_ref().map(|bound| match bound {
            Bound::Integer(value) => (*value).into(),
            Bound::Number(value) => (*value).into(),
            Bound::Text(text) => text.as_str().into(),
        })
    };
    Column {
        name: found.name.clone(),
        kind: found.kind.map(|kind| kind.name().to_owned()),
        share: found.share,
        nulls: found.nulls,
        empties: found.empties,
        min: bound(&found.min),
        max: bound(&found.max),
        longest: found.longest,
        distinct_estimate: found.distinct_estimate,
    }
}

fn dialect(found: &engine::Dialect) -> Dialect {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let renamed =
        |column: &engine::Renamed| RenamedColumn { column: column.column, name: column.name.clone() };
    Dialect {
        delimiter: text(&found.delimiter),
        quote: found.quote.name(),
        escape: Some(match found.escape {
            Escape::Doubled => "doubled".into(),
            Escape::None => "none".into(),
            Escape::Byte(byte) => char::from(byte).into(),
        }),
        encoding: found.encoding.clone(),
        bom: found.bom,
        terminator: found.terminator.map(Into::into),
        header: found.header_lines > 0,
        header_lines: found.header_lines,
        preamble_lines: found.preamble_lines,
        footnote_lines: found.footnote_lines,
        comment: match &found.comment {
            Comment::Prefix(prefix) => Some(text(prefix)),
            Comment::None => None,
        },
        comment_lines: found.comment_lines,
        renamed_columns: found.renamed.iter().map(renamed).collect(),
        rows_mended: found.rows_mended,
        rows_replaced: found.rows_replaced,
        confidence: Some(Confidence {
            encoding: found.confidence.encoding,
            structure: found.confidence.structure,
            header: found.confidence.header,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_is_another_event_than_its_run_and_than_other_replays() {
        let source = Source {
            bucket: "local".into(),
            key: "a.csv".into(),
            version_id: None,
            etag: "e".into(),
            size: 1,
            sequencer: None,
        };
        let recipe = RecipeRef { name: "default".into(), sha256: "00".into() };
        let run = blank(&source, &recipe, Status::Processed, Timestamp::UNIX_EPOCH);
        let [one, same, other] = ["a", "a", "b"].map(|rejects| of_replay(run.clone(), rejects.into()));
        assert_eq!(one.event_id, same.event_id);
        assert!(one.event_id != run.event_id && one.event_id != other.event_id);
        assert_eq!((run.replay, one.replay.as_deref()), (None, Some("a")));
    }
}
