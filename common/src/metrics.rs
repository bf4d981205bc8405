//! Measurements, in CloudWatch's embedded metric format: a log line that CloudWatch turns into metrics.

use std::io::Write;

use serde_json::{Map, Value, json};

use crate::contract::{Receipt, Status};

/// Where the metrics appear in CloudWatch.
const NAMESPACE: &str = "Penstock";

/// A metric's value and CloudWatch's unit for it.
type Measured = (&'static str, &'static str, u64);

/// The line that a receipt calls for. `function` is the metrics' dimension, `trace_id` a property beside them.
pub fn of_receipt(receipt: &Receipt, function: &str, trace_id: &str) -> String {
    let processed = u64::from(receipt.status == Status::Processed);
    let measured = [
        ("FilesProcessed", "Count", processed),
        ("FilesFailed", "Count", 1 - processed),
        ("RowsIn", "Count", receipt.counts.rows_in),
        ("RowsOut", "Count", receipt.counts.rows_out),
        ("RowsRejected", "Count", receipt.counts.rows_rejected),
        ("BytesIn", "Bytes", receipt.bytes.input),
        ("BytesOut", "Bytes", receipt.bytes.output),
        ("DurationMs", "Milliseconds", receipt.timing.duration_ms),
        ("PeakMemoryBytes", "Bytes", receipt.peak_memory_bytes),
    ];
    let time = receipt.timing.finished_at.as_millisecond();
    let properties = json!({ "key": receipt.source.key, "event_id": receipt.event_id, "trace_id": trace_id });
    line(&measured, time, function, properties)
}

/// The line for a file that was met again and needed no work.
pub fn duplicate(time_ms: i64, function: &str, key: &str, trace_id: &str) -> String {
    line(&[("Duplicates", "Count", 1)], time_ms, function, json!({ "key": key, "trace_id": trace_id }))
}

/// Writes a line to standard output, where Lambda takes logs from.
pub fn emit(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nothing can be said on an output that is gone.
    writeln!(out, "{line}").unwrap_or_default();
}

fn line(measured: &[Measured], time_ms: i64, function: &str, properties: Value) -> String {
    let metrics: Vec<Value> =
        measured.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
    let mut line = Map::new();
    line.insert(
        "_aws".into(),
        json!({
            "Timestamp": time_ms,
            "CloudWatchMetrics": [{ "Namespace": NAMESPACE, "Dimensions": [["function"]], "Metrics": metrics }],
        }),
    );
    line.insert("function".into(), function.into());
    line.extend(measured.iter().map(|(name, _, value)| ((*name).to_owned(), Value::from(*value))));
    if let Value::Object(properties) = properties {
        line.extend(properties);
    }
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_named_has_its_value_beside_it() {
        let line: Value = serde_json::from_str(&duplicate(1000, "f", "k.csv", "t")).unwrap();
        let metrics = line["_aws"]["CloudWatchMetrics"][0].clone();
        assert_eq!(metrics["Namespace"], "Penstock");
        assert_eq!(metrics["Dimensions"][0][0], "function");
        assert_eq!(line["function"], "f");
        for metric in metrics["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_u64());
        }
        assert_eq!(line["_aws"]["Timestamp"], 1000);
        assert_eq!((&line["key"], &line["trace_id"]), (&"k.csv".into(), &"t".into()));
    }
}
