//! A run as one self-contained page: nothing is loaded from anywhere, and no script runs.

use std::fmt::Write as _;

use local::page::{Chart, Line, Page, Part, escaped, stacked, table, tiles, waterfall};

use super::document::{FileRun, Percentiles, Repeats, Run, rank};
use super::summary::{counts, words};
use super::{binary_bytes, bytes, duration, files, or_none};

/// Files that are listed, the slowest first.
const LISTED: usize = 10;
/// Problems that are listed.
const PROBLEMS: usize = 100;
/// Points of a line: more than a page has room for helps nobody.
const POINTS: usize = 120;

/// The page of a run.
pub fn page(run: &Run) -> String {
    let mut page =
        Page::new(&format!("Penstock under load: {}", told(run)), &format!("{:.0}", run.started_at));
    page.add(&verdict(run));
    page.add(&figures(run));
    throughput(&mut page, run);
    memory(&mut page, run);
    latency(&mut page, run);
    queue(&mut page, run);
    page.section("Rows", &rows(run));
    page.section("Slowest files", &slowest(run));
    repeats(&mut page, run);
    page.section("Cost", &cost(run));
    page.section("Configuration and machine", &setup(run));
    page.finish()
}

/// What was sent where, in a line.
fn told(run: &Run) -> String {
    let to = match &run.configuration.stack {
        Some(stack) => format!("stack {stack}"),
        None => run.configuration.target.clone(),
    };
    format!("{}, {} → {to}", files(run.totals.files), bytes(run.totals.text_bytes as f64))
}

fn verdict(run: &Run) -> String {
    let verdict = &run.verdict;
    let (class, mark) = if verdict.clean { ("good", '✔') } else { ("bad", '✘') };
    let mut markup = format!("<p><b class=\"{class}\">{mark} {}</b>: {}", words(run), counts(verdict));
    if verdict.open_uploads_of_killed > 0 {
        let count = verdict.open_uploads_of_killed;
        write!(markup, "; and {count} of invocations that chaos killed, which the lifecycle rule aborts")
            .unwrap_or_default();
    }
    if run.interrupted {
        write!(markup, "; broken off, with {} under way", files(verdict.unfinished)).unwrap_or_default();
    }
    markup.push_str("</p>\n");
    let problems = verdict.problems.iter().take(PROBLEMS).map(|problem| {
        let place = problem.byte_offset.map(|offset| format!("byte {offset}")).unwrap_or_default();
        vec![problem.file.clone(), problem.kind.name().to_owned(), place, problem.what.clone()]
    });
    let problems: Vec<Vec<String>> = problems.collect();
    if !problems.is_empty() {
        markup.push_str(&table(&["file", "kind", "where", "what"], &problems));
    }
    markup
}

fn figures(run: &Run) -> String {
    let totals = &run.totals;
    let median = |times: Option<Percentiles>| times.map_or("–".into(), |times| duration(times.p50));
    tiles(&[
        ("text a second, whole run", format!("{}/s", bytes(totals.text_bytes_per_second))),
        ("peak memory of a processor", binary_bytes(totals.peak_memory_bytes as f64)),
        ("upload → receipt, median", median(run.to_receipt())),
        ("upload → catalogue, median", median(run.to_catalogue())),
        ("a TB at list prices", format!("${:.2}", run.cost.per_tb)),
        ("in all", duration(run.seconds)),
    ])
}

/// A paragraph, which is text.
fn said(text: &str) -> String {
    format!("<p class=\"dim\">{}</p>\n", escaped(text))
}

/// Up to [`POINTS`] points: of each run of neighbours the last place, and what `of` makes of their heights.
fn thinned(points: &[(f64, f64)], of: fn(&[(f64, f64)]) -> f64) -> Vec<(f64, f64)> {
    let step = points.len().div_ceil(POINTS).max(1);
    points.chunks(step).map(|run| (run[run.len() - 1].0, of(run))).collect()
}

fn highest(points: &[(f64, f64)]) -> f64 {
    points.iter().map(|(_, value)| *value).fold(0.0, f64::max)
}

fn mean(points: &[(f64, f64)]) -> f64 {
    points.iter().map(|(_, value)| *value).sum::<f64>() / points.len().max(1) as f64
}

fn throughput(page: &mut Page, run: &Run) {
    let points = thinned(&run.rates(), mean);
    if points.len() < 2 {
        return;
    }
    let seen = if run.configuration.target == "sim" { "read from S3" } else { "of files that were through" };
    let chart = Chart {
        name: "throughput over time",
        lines: vec![Line { name: seen, points }],
        x: &duration,
        y: &|rate| format!("{:.0}", rate / 1e6),
    };
    page.section("Throughput, MB/s", &chart.svg());
}

fn memory(page: &mut Page, run: &Run) {
    let seen = run.samples.iter().filter_map(|sample| Some((sample.seconds, sample.memory_bytes? as f64)));
    let seen: Vec<(f64, f64)> = seen.collect();
    let points = thinned(&seen, highest);
    if points.len() < 2 {
        return;
    }
    let budget = run.configuration.memory_mib;
    let mib = |bytes: f64| format!("{:.0}", bytes / 1024.0 / 1024.0);
    let chart = Chart {
        name: "memory over time",
        lines: vec![Line { name: "resident, the largest processor", points }],
        x: &duration,
        y: &mib,
    };
    let text = format!("Its budget is {budget} MiB; the highest that was seen, {} MiB.", mib(highest(&seen)));
    page.section("Memory, MiB", &(said(&text) + &chart.svg()));
}

/// Each share of the files, and in what time they were through.
fn latency(page: &mut Page, run: &Run) {
    let curve = |of: fn(&FileRun) -> Option<f64>| -> Vec<(f64, f64)> {
        let mut times: Vec<f64> = run.files.iter().filter_map(of).collect();
        times.sort_by(f64::total_cmp);
        let at = |percent: u32| Some((f64::from(percent), rank(&times, f64::from(percent) / 100.0)?));
        (0..=100).step_by(5).filter_map(at).collect()
    };
    let receipt = curve(|file| file.receipt_seconds);
    let catalogue = curve(|file| file.catalogue_seconds);
    let row = |name: &str, times: Percentiles| {
        let times = [times.p50, times.p90, times.p99, times.max].map(duration);
        [name.to_owned()].into_iter().chain(times).collect::<Vec<_>>()
    };
    let rows: Vec<Vec<String>> = [
        run.to_receipt().map(|times| row("→ receipt", times)),
        run.to_catalogue().map(|times| row("→ catalogue", times)),
    ]
    .into_iter()
    .flatten()
    .collect();
    let mut markup = table(&["", "median", "90 %", "99 %", "slowest"], &rows);
    if run.files.len() > 1 && !receipt.is_empty() {
        let chart = Chart {
            name: "latency distribution",
            lines: vec![
                Line { name: "upload → receipt", points: receipt },
                Line { name: "upload → catalogue", points: catalogue },
            ],
            x: &|percent| format!("{percent:.0} %"),
            y: &|seconds| format!("{seconds:.1}"),
        };
        markup = said("In how many seconds which share of the files was through.") + &chart.svg() + &markup;
    }
    page.section("Latency, s", &markup);
}

fn queue(page: &mut Page, run: &Run) {
    let of = |of: fn(&super::document::Sample) -> Option<u64>| -> Vec<(f64, f64)> {
        let points = run.samples.iter().filter_map(|sample| Some((sample.seconds, of(sample)? as f64)));
        thinned(&points.collect::<Vec<_>>(), highest)
    };
    let messages = of(|sample| sample.queue);
    if messages.len() < 2 {
        return;
    }
    let chart = Chart {
        name: "queue over time",
        lines: vec![
            Line { name: "messages for the consumer", points: messages },
            Line { name: "files under way", points: of(|sample| Some(sample.under_way)) },
        ],
        x: &duration,
        y: &|count| format!("{count:.1}").trim_end_matches(".0").to_owned(),
    };
    page.section("Queue", &chart.svg());
}

fn rows(run: &Run) -> String {
    let totals = &run.totals;
    let parts = [
        Part { name: "out", value: totals.rows_out },
        Part { name: "rejected", value: totals.rows_rejected },
    ];
    let sum = format!(
        "{} rows in = {} out + {} rejected",
        grouped(totals.rows_in),
        grouped(totals.rows_out),
        grouped(totals.rows_rejected)
    );
    said(&sum) + &stacked("rows", &parts, &grouped)
}

fn slowest(run: &Run) -> String {
    let mut files: Vec<&FileRun> = run.files.iter().collect();
    files.sort_by(|a, b| b.took().total_cmp(&a.took()));
    let seconds = |seconds: Option<f64>| seconds.map_or("–".into(), duration);
    let rows = files.iter().take(LISTED).map(|file| {
        vec![
            file.key.clone(),
            file.kind.clone(),
            seconds(file.receipt_seconds),
            seconds(file.catalogue_seconds),
            seconds(file.processor_seconds),
            file.rows_in.map_or("–".into(), grouped),
            file.rows_rejected.map_or("–".into(), grouped),
        ]
    });
    let names = ["file", "kind", "→ receipt", "→ catalogue", "processor", "rows", "rejected"];
    let mut markup = table(&names, &rows.collect::<Vec<_>>());
    for trace in &run.traces {
        write!(
            markup,
            "<details open><summary>{}</summary>\n{}</details>\n",
            escaped(&trace.key),
            waterfall(&trace.spans)
        )
        .unwrap_or_default();
    }
    markup
}

fn repeats(page: &mut Page, run: &Run) {
    if let Some(repeats) = &run.repeats {
        let Repeats {
            republished,
            superseded,
            processor_retries,
            done_before,
            consumer_retries,
            request_retries,
        } = *repeats;
        let counts = [
            ("events of files that were done before", republished),
            ("events that something newer had replaced", superseded),
            ("invocations of the processor that failed and were tried again", processor_retries),
            ("requests to S3 that the processor made again, beyond the SDK's own tries", request_retries),
            ("messages that were done before", done_before),
            ("messages that were put back", consumer_retries),
        ];
        let rows = counts.into_iter().map(|(name, count)| vec![name.to_owned(), grouped(count)]);
        page.section(
            "Duplicates and retries",
            &table(&["what happened", "times"], &rows.collect::<Vec<_>>()),
        );
    }
    if !run.configuration.chaos.is_empty() {
        let rows = run.configuration.chaos.iter().map(|(kind, rate)| {
            let injected = run.faults.get(kind).copied().unwrap_or_default();
            vec![kind.clone(), format!("{:.1} %", rate * 100.0), grouped(injected)]
        });
        let names = ["fault", "rate asked for", "injected"];
        page.section("Chaos", &table(&names, &rows.collect::<Vec<_>>()));
    }
}

fn cost(run: &Run) -> String {
    let cost = &run.cost;
    let dollars = [
        ("functions' seconds", cost.compute),
        ("S3 requests", cost.s3_requests),
        ("Lambda, SNS and SQS requests, logs", cost.rest),
        ("together", cost.total),
        ("for a TB of text", cost.per_tb),
    ];
    let rows = dollars.into_iter().map(|(name, dollars)| vec![name.to_owned(), format!("{dollars:.6}")]);
    let text = "By the list prices of us-east-1 for arm64 (docs/operations.md), without storage and the free tier, from \
                the seconds that the receipts say the processor took here.";
    said(text) + &table(&["what", "dollars"], &rows.collect::<Vec<_>>())
}

fn setup(run: &Run) -> String {
    let asked = &run.configuration;
    let mut rows = vec![
        ("target", asked.target.clone()),
        ("files of", asked.kinds.join("; ")),
        ("at once", asked.concurrency.to_string()),
        ("rate", or_none(asked.rate.map(|rate| format!("{rate} files a second")))),
        ("duration", or_none(asked.duration_seconds.map(duration))),
        ("deadline", duration(asked.deadline_seconds as f64)),
        ("memory", format!("{} MiB", asked.memory_mib)),
        ("machine", format!("{} × {}", run.machine.cpus, run.machine.cpu)),
        ("its memory", binary_bytes(run.machine.memory_bytes as f64)),
        ("system", run.machine.system.clone()),
        ("Penstock", run.penstock_version.clone()),
    ];
    if let Some(stack) = &asked.stack {
        rows.insert(1, ("stack", format!("{stack} in {}", or_none(asked.region.clone()))));
    }
    let rows = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]);
    table(&[], &rows.collect::<Vec<_>>())
}

/// A number with its digits in groups.
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "numbers that were set, not computed")]
mod tests {
    use super::*;
    use crate::report::document::tests::run;
    use crate::report::document::{Problem, ProblemKind, Verdict};

    #[test]
    fn a_clean_run_says_so_and_draws_all_that_was_seen() {
        let page = page(&run(20));
        assert!(page.contains("every row accounted for") && !page.contains("NOT clean"));
        for name in ["throughput over time", "memory over time", "latency distribution", "queue over time"] {
            assert!(page.contains(&format!("aria-label=\"{name}\"")), "{name}");
        }
        assert!(page.contains("loadtest/a&amp;b-6.csv"));
    }

    #[test]
    fn nothing_is_loaded_and_nothing_becomes_markup() {
        let mut run = run(2);
        let evil = "<script>alert(\"&\")</script>";
        run.files[0].key = evil.into();
        run.configuration.kinds = vec![evil.into()];
        run.verdict.problems.push(Problem {
            file: evil.into(),
            kind: ProblemKind::Lost,
            byte_offset: Some(7),
            what: evil.into(),
        });
        let page = page(&run);
        assert!(!page.contains("<script") && !page.contains("http") && !page.contains("url("));
        assert!(page.matches("&lt;script&gt;").count() >= 4);
    }

    #[test]
    fn what_is_not_clean_is_told_with_its_place() {
        let mut run = run(2);
        run.verdict = Verdict { lost: 1, ..Verdict::default() };
        run.verdict.problems.push(Problem {
            file: "x.csv".into(),
            kind: ProblemKind::Lost,
            byte_offset: Some(4711),
            what: "row 12 is missing".into(),
        });
        let page = page(&run);
        assert!(
            page.contains("NOT clean") && page.contains("byte 4711") && page.contains("row 12 is missing")
        );
    }

    #[test]
    fn one_file_has_no_distribution_to_draw() {
        let page = page(&run(1));
        assert!(!page.contains("latency distribution") && page.contains("memory over time"));
    }

    #[test]
    fn a_long_line_is_thinned_and_keeps_its_peak_and_its_end() {
        let points: Vec<(f64, f64)> =
            (0..10_000).map(|n| (f64::from(n), if n == 7777 { 9.0 } else { 1.0 })).collect();
        let thin = thinned(&points, highest);
        assert!(thin.len() <= POINTS);
        assert_eq!(thin.iter().filter(|(_, value)| *value == 9.0).count(), 1);
        assert_eq!(thin[thin.len() - 1].0, 9_999.0);
    }
}
