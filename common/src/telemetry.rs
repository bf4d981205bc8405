//! Logs: one JSON object a line on standard output, where Lambda takes them from.
//!
//! Work on a file runs in a span with its `key`, `trace_id` and `event_id`, which every line within carries. No line
//! ever holds a row's content.

use std::error::Error;
use std::fmt::Write as _;

use tracing_subscriber::EnvFilter;

/// Starts the logs; `RUST_LOG` filters them, `info` if it is not set.
pub fn init() {
    let filter = EnvFilter::builder().with_default_directive(tracing::Level::INFO.into()).from_env_lossy();
    let subscriber =
        tracing_subscriber::fmt().json().flatten_event(true).with_current_span(true).with_span_list(false);
    // A second start, as tests make it, keeps the first.
    if subscriber.with_env_filter(filter).try_init().is_err() {
        tracing::debug!("logs were started already");
    }
}

/// An error and all that caused it, on one line: `publish to …: dispatch failure: timeout`.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        write!(text, ": {error}").unwrap_or_default();
        cause = error.source();
    }
    text
}

/// The process's peak resident memory so far, in bytes; 0 where the system does not say.
pub fn peak_memory_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}
