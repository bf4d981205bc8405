//! A run for the terminal.

use super::document::{Percentiles, Run};
use super::{binary_bytes, bytes, duration};

/// Problems that are listed.
const PROBLEMS: usize = 20;

/// A line each.
pub fn lines(run: &Run) -> Vec<String> {
    let totals = &run.totals;
    let mut lines = vec![
        format!(
            "{} files, {} of text, {} rows in = {} out + {} rejected",
            totals.files,
            bytes(totals.text_bytes as f64),
            totals.rows_in,
            totals.rows_out,
            totals.rows_rejected
        ),
        format!(
            "{}, {}/s, peak memory of a processor {}",
            duration(run.seconds),
            bytes(totals.text_bytes_per_second),
            binary_bytes(totals.peak_memory_bytes as f64)
        ),
    ];
    let times = |name: &str, times: Option<Percentiles>| {
        times.map(|times| {
            let [p50, p90, max] = [times.p50, times.p90, times.max].map(duration);
            format!("{name}: median {p50}, 90 % within {p90}, slowest {max}")
        })
    };
    lines.extend(times("upload → receipt", run.to_receipt()));
    lines.extend(times("upload → catalogue", run.to_catalogue()));
    lines.push(format!("${:.4} at AWS's list prices, ${:.2} a TB", run.cost.total, run.cost.per_tb));
    if !run.faults.is_empty() {
        let faults: Vec<String> = run.faults.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        lines.push(format!("injected: {}", faults.join(", ")));
    }
    lines.extend(verdict(run));
    lines
}

fn verdict(run: &Run) -> Vec<String> {
    let verdict = &run.verdict;
    let mut lines = Vec::new();
    for problem in verdict.problems.iter().take(PROBLEMS) {
        let kind = problem.kind.name();
        let place = problem.byte_offset.map(|offset| format!(" at byte {offset}")).unwrap_or_default();
        lines.push(format!("{kind}: {}{place}: {}", problem.file, problem.what));
    }
    if verdict.problems.len() > PROBLEMS {
        lines.push(format!("… and {} more (--json lists them)", verdict.problems.len() - PROBLEMS));
    }
    if run.interrupted {
        lines.push(format!(
            "broken off: {} files were under way, of which nothing is said",
            verdict.unfinished
        ));
    }
    let counts = format!(
        "{} lost, {} doubled, {} late, {} otherwise wrong, {} uploads left open",
        verdict.lost, verdict.doubled, verdict.late, verdict.wrong, verdict.open_uploads
    );
    let words = if verdict.clean { "every row accounted for" } else { "NOT clean" };
    lines.push(format!("{words}: {counts}"));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::run;

    #[test]
    fn a_clean_run_ends_with_its_verdict() {
        let lines = lines(&run(3));
        let last = lines.last().unwrap();
        assert_eq!(
            last,
            "every row accounted for: 0 lost, 0 doubled, 0 late, 0 otherwise wrong, 0 uploads left open"
        );
    }
}
