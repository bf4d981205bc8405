//! A run for the terminal.

use indicatif::HumanCount;

use super::document::{Percentiles, Run, Verdict};
use super::{binary_bytes, bytes, duration, files};

/// Problems that are listed.
const PROBLEMS: usize = 20;

/// A line each.
pub fn lines(run: &Run) -> Vec<String> {
    let totals = &run.totals;
    let mut lines = vec![
        format!(
            "{}, {} of text, {} rows in = {} out + {} rejected",
            files(totals.files),
            bytes(totals.text_bytes as f64),
            HumanCount(totals.rows_in),
            HumanCount(totals.rows_out),
            HumanCount(totals.rows_rejected)
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
        lines.push(format!("broken off: nothing is said of {} under way", files(verdict.unfinished)));
    }
    if verdict.open_uploads_of_killed > 0 {
        lines.push(format!(
            "{} uploads of killed processes are open, which the bucket's lifecycle rule ends",
            verdict.open_uploads_of_killed
        ));
    }
    lines.push(format!("{}: {}", words(run), counts(verdict)));
    lines
}

/// A verdict in words. Of a run that was broken off, it is only about what was through.
pub(super) fn words(run: &Run) -> &'static str {
    match (run.verdict.clean, run.interrupted) {
        (true, false) => "every row accounted for",
        (true, true) => "every row of what was through is accounted for",
        (false, _) => "NOT clean",
    }
}

/// What a verdict counts, in words.
pub(super) fn counts(verdict: &Verdict) -> String {
    let Verdict { lost, doubled, late, wrong, open_uploads, .. } = verdict;
    format!(
        "{lost} lost, {doubled} doubled, {late} late, {wrong} otherwise wrong, {open_uploads} uploads left open"
    )
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

    #[test]
    fn one_that_was_broken_off_says_of_what_it_knows_nothing() {
        let mut run = run(1);
        run.interrupted = true;
        run.verdict.unfinished = 1;
        run.verdict.open_uploads_of_killed = 2;
        let lines = lines(&run);
        assert!(lines[0].starts_with("1 file, "), "{lines:?}");
        assert!(!lines.iter().any(|line| line.starts_with("every row accounted for")), "{lines:?}");
        assert!(lines.contains(&"broken off: nothing is said of 1 file under way".into()), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("2 uploads of killed processes")), "{lines:?}");
    }
}
