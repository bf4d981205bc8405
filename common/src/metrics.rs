//! Measurements, in CloudWatch's embedded metric format: a log line that CloudWatch turns into metrics.

use std::io::Write;

use opentelemetry::TraceId;
use serde_json::{Map, Value, json};

use crate::contract::{Receipt, Status};
use crate::trace::xray_id;

/// Where the metrics appear in CloudWatch.
const NAMESPACE: &str = "Penstock";

/// A metric's value and CloudWatch's unit for it.
type Measured = (&'static str, &'static str, u64);

/// The line that a receipt calls for. `function` is the metrics' dimension, the trace's id a property beside
/// them, by which CloudWatch finds the trace.
pub fn of_receipt(receipt: &Receipt, function: &str, trace_id: TraceId) -> String {
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
    let mut properties = of_file(&receipt.source.key, trace_id);
    properties.insert("event_id".into(), receipt.event_id.as_str().into());
    line(&measured, time, function, properties)
}

/// The line for a file that was met again and needed no work.
pub fn duplicate(time_ms: i64, function: &str, key: &str, trace_id: TraceId) -> String {
    line(&[("Duplicates", "Count", 1)], time_ms, function, of_file(key, trace_id))
}

/// The properties of a file, as log lines have them.
fn of_file(key: &str, trace_id: TraceId) -> Map<String, Value> {
    let properties =
        [("key", key.to_owned()), ("trace_id", trace_id.to_string()), ("xray_trace_id", xray_id(trace_id))];
    properties.map(|(name, value)| (name.to_owned(), value.into())).into_iter().collect()
}

/// Writes a line to standard output, where Lambda takes logs from.
pub fn emit(line: &str) {
    let mut out = std::io::stdout().lock();
    // Nothing can be said on an output that is gone.
    writeln!(out, "{line}").unwrap_or_default();
}

fn line(measured: &[Measured], time_ms: i64, function: &str, properties: Map<String, Value>) -> String {
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
    line.extend(properties);
    Value::Object(line).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_named_has_its_value_beside_it() {
        let line: Value =
            serde_json::from_str(&duplicate(1000, "f", "k.csv", TraceId::from(1 << 96))).unwrap();
        let metrics = line["_aws"]["CloudWatchMetrics"][0].clone();
        assert_eq!(metrics["Namespace"], "Penstock");
        assert_eq!(metrics["Dimensions"][0][0], "function");
        assert_eq!(line["function"], "f");
        for metric in metrics["Metrics"].as_array().unwrap() {
            assert!(line[metric["Name"].as_str().unwrap()].is_u64());
        }
        assert_eq!(line["_aws"]["Timestamp"], 1000);
        assert_eq!(
            (&line["key"], &line["trace_id"]),
            (&"k.csv".into(), &format!("00000001{:024}", 0).into())
        );
        assert_eq!(line["xray_trace_id"], format!("1-00000001-{:024}", 0));
    }
}
