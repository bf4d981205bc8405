//! A run as one self-contained page: nothing is loaded from anywhere, and no script runs.

use std::fmt::Write as _;

use super::chart::Chart;
use super::document::{FileRun, Percentiles, Problem, ProblemKind, Repeats, Run, rank};
use super::{binary_bytes, bytes, duration};

/// Files that are listed, the slowest first.
const LISTED: usize = 10;
/// Problems that are listed.
const PROBLEMS: usize = 100;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--dim:#60646c;--rule:#d9dce0;--paper:#fff;--own:#3b82c4;--other:#c2700c;--bad:#c62f2f;--good:#1a7f4b}
@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--dim:#a0a4ab;--rule:#3a3f46;--paper:#16181b;--own:#6aa9e0;--other:#e8a04c;--bad:#f07070;--good:#5cc98f}}
*{box-sizing:border-box}body{margin:0 auto;padding:1rem;max-width:70rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:1.6rem 0 .4rem}p{color:var(--dim);margin:.2rem 0 .8rem;overflow-wrap:anywhere}
.verdict{font-weight:600;color:var(--good)}.verdict.bad{color:var(--bad)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9rem,1fr));gap:.6rem;margin:1rem 0}
.tiles div{border:1px solid var(--rule);border-radius:6px;padding:.5rem .7rem;color:var(--dim);font-size:.85rem}
.tiles b{display:block;color:var(--ink);font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,28rem),1fr));gap:1.2rem}
figure{margin:0;min-width:0;break-inside:avoid}figcaption{color:var(--dim);font-size:.9rem}figcaption b{color:var(--ink);font-weight:600;margin-right:.4rem}
svg{width:100%;display:block;overflow:hidden}text{fill:var(--ink);font:14px system-ui,sans-serif}
text.d{fill:var(--dim);font-size:12px}text.t{fill:var(--dim);text-anchor:end}line{stroke:var(--rule)}
path{fill:none;stroke-width:2;vector-effect:non-scaling-stroke}path.l0{stroke:var(--own)}path.l1{stroke:var(--other)}
path.bound{stroke:var(--dim);stroke-dasharray:4 4;stroke-width:1}rect{fill:var(--own)}rect.bad{fill:var(--bad)}
.legend{font-size:.85rem;margin:.2rem 0}.legend span{margin-right:1rem;border-top:3px solid var(--own);padding-top:1px}
.legend span.l1{border-color:var(--other)}.legend span.bound{border-top:2px dashed var(--dim)}
.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
td,th{padding:.15rem .9rem .15rem 0;vertical-align:top;text-align:left;font-weight:400}th,td:first-child{color:var(--dim)}
table.files td:first-child{color:var(--ink);overflow-wrap:anywhere;min-width:10rem}table.files td+td,table.files th+th{text-align:right;white-space:nowrap}
details{border-top:1px solid var(--rule);padding:.4rem 0}summary{cursor:pointer;overflow-wrap:anywhere}
@media print{body{max-width:none;padding:0;font-size:12px}details{break-inside:avoid}}";

/// The page of a run.
pub fn page(run: &Run) -> String {
    let title = format!("Penstock under load: {}", told(run));
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1>\n",
        title = escaped(&title),
    );
    page.push_str(&verdict(run));
    page.push_str(&tiles(run));
    page.push_str("<div class=\"charts\">\n");
    let charts = [throughput(run), memory(run), latency(run), queue(run)];
    charts.iter().filter_map(Chart::figure).for_each(|figure| page.push_str(&figure));
    page.push_str("</div>\n");
    page.push_str(&latencies(run));
    page.push_str(&slowest(run));
    page.push_str(&repeats(run));
    page.push_str(&cost(run));
    page.push_str(&setup(run));
    page.push_str("</html>\n");
    page
}

/// What was sent where, in a line.
fn told(run: &Run) -> String {
    let files = run.totals.files;
    let noun = if files == 1 { "file" } else { "files" };
    let to = match &run.configuration.stack {
        Some(stack) => format!("stack {stack}"),
        None => run.configuration.target.clone(),
    };
    format!("{files} {noun}, {} → {to}", bytes(run.totals.text_bytes as f64))
}

fn verdict(run: &Run) -> String {
    let verdict = &run.verdict;
    let mut html = String::new();
    let (class, words) = if verdict.clean { ("", "every row accounted for") } else { (" bad", "NOT clean") };
    write!(
        html,
        "<p><span class=\"verdict{class}\">{words}</span>: {} lost, {} doubled, {} late, {} otherwise wrong, {} uploads left open",
        verdict.lost, verdict.doubled, verdict.late, verdict.wrong, verdict.open_uploads
    )
    .unwrap_or_default();
    if run.interrupted {
        write!(html, "; broken off, with {} files under way", verdict.unfinished).unwrap_or_default();
    }
    write!(html, ". {}</p>\n", escaped(&run.started_at.to_string())).unwrap_or_default();
    if !verdict.problems.is_empty() {
        html.push_str(&problems(&verdict.problems));
    }
    html
}

fn problems(problems: &[Problem]) -> String {
    let rows = problems.iter().take(PROBLEMS).map(|problem| {
        let kind = match problem.kind {
            ProblemKind::Lost => "lost",
            ProblemKind::Doubled => "doubled",
            ProblemKind::Late => "late",
            ProblemKind::Wrong => "wrong",
        };
        let place = problem.byte_offset.map(|offset| format!("byte {offset}")).unwrap_or_default();
        [problem.file.clone(), kind.into(), place, problem.what.clone()]
    });
    table("", &["file", "kind", "where", "what"], rows)
}

/// A table: every cell is other people's text.
fn table<const N: usize>(class: &str, names: &[&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let mut html = format!("<div class=\"scroll\"><table class=\"{class}\"><tr>");
    names.iter().for_each(|name| write!(html, "<th>{name}</th>").unwrap_or_default());
    html.push_str("</tr>\n");
    for row in rows {
        html.push_str("<tr>");
        row.iter().for_each(|cell| write!(html, "<td>{}</td>", escaped(cell)).unwrap_or_default());
        html.push_str("</tr>\n");
    }
    html + "</table></div>\n"
}

fn tiles(run: &Run) -> String {
    let totals = &run.totals;
    let median = |times: Option<Percentiles>| times.map_or("–".into(), |times| duration(times.p50));
    let tiles = [
        (format!("{}/s", bytes(totals.text_bytes_per_second)), "of text, whole run"),
        (binary_bytes(totals.peak_memory_bytes as f64), "peak memory of a processor"),
        (median(run.to_receipt()), "upload → receipt, median"),
        (median(run.to_catalogue()), "upload → catalogue, median"),
        (grouped(totals.rows_in), "rows in"),
        (grouped(totals.rows_rejected), "rows rejected"),
        (format!("${:.2}", run.cost.per_tb), "a TB, at list prices"),
        (duration(run.seconds), "in all"),
    ];
    let mut html = "<div class=\"tiles\">".to_owned();
    for (value, name) in tiles {
        write!(html, "<div><b>{value}</b>{name}</div>").unwrap_or_default();
    }
    html + "</div>\n"
}

fn throughput(run: &Run) -> Chart<'_> {
    let seen = if run.configuration.target == "sim" { "read from S3" } else { "of files that are through" };
    Chart {
        title: "Throughput",
        told: format!("bytes {seen}, by the second"),
        lines: vec![("throughput", run.rates())],
        bound: None,
        x: duration,
        y: |value| format!("{}/s", bytes(value)),
    }
}

fn memory(run: &Run) -> Chart<'_> {
    let points = run.samples.iter().filter_map(|sample| Some((sample.seconds, sample.memory_bytes? as f64)));
    let budget = run.configuration.memory_mib as f64 * 1024.0 * 1024.0;
    let points: Vec<_> = points.collect();
    let highest = points.iter().map(|(_, bytes)| *bytes).fold(0.0, f64::max);
    // A budget far above would press the line to the ground.
    let bound = (highest * 4.0 > budget).then(|| (format!("budget, {}", binary_bytes(budget)), budget));
    Chart {
        title: "Memory",
        told: format!("resident, of the largest processor; its budget is {}", binary_bytes(budget)),
        lines: vec![("memory", points)],
        bound,
        x: duration,
        y: binary_bytes,
    }
}

/// Each share of the files, and in what time they were through.
fn latency(run: &Run) -> Chart<'_> {
    let curve = |of: fn(&FileRun) -> Option<f64>| -> Vec<(f64, f64)> {
        let mut times: Vec<f64> = run.files.iter().filter_map(of).collect();
        times.sort_by(f64::total_cmp);
        if times.len() < 2 {
            return Vec::new();
        }
        (0..=100_u32)
            .filter_map(|percent| Some((f64::from(percent), rank(&times, f64::from(percent) / 100.0)?)))
            .collect()
    };
    Chart {
        title: "Latency",
        told: "in how long which share of the files was through".into(),
        lines: vec![
            ("upload → receipt", curve(|file| file.receipt_seconds)),
            ("upload → catalogue", curve(|file| file.catalogue_seconds)),
        ],
        bound: None,
        x: |percent| format!("{percent:.0} %"),
        y: duration,
    }
}

fn queue(run: &Run) -> Chart<'_> {
    let points = run.samples.iter().filter_map(|sample| Some((sample.seconds, sample.queue? as f64)));
    let under_way = run.samples.iter().map(|sample| (sample.seconds, sample.under_way as f64));
    Chart {
        title: "Queue",
        told: "messages for the consumer, and files under way".into(),
        lines: vec![("messages", points.collect()), ("files under way", under_way.collect())],
        bound: None,
        x: duration,
        y: |value| format!("{value:.1}"),
    }
}

fn latencies(run: &Run) -> String {
    let row = |name: &str, times: Option<Percentiles>| {
        times.map(|times| {
            [
                name.to_owned(),
                duration(times.p50),
                duration(times.p90),
                duration(times.p99),
                duration(times.max),
            ]
        })
    };
    let rows = [row("upload → receipt", run.to_receipt()), row("upload → catalogue", run.to_catalogue())];
    let names = ["", "median", "90 %", "99 %", "slowest"];
    format!("<h2>Latency</h2>\n{}", table("files", &names, rows.into_iter().flatten()))
}

fn slowest(run: &Run) -> String {
    let mut files: Vec<&FileRun> = run.files.iter().collect();
    let time = |file: &FileRun| file.catalogue_seconds.or(file.receipt_seconds).unwrap_or(f64::INFINITY);
    files.sort_by(|a, b| time(b).total_cmp(&time(a)));
    let seconds = |seconds: Option<f64>| seconds.map_or("–".into(), duration);
    let rows = files.iter().take(LISTED).map(|file| {
        [
            file.key.clone(),
            file.kind.clone(),
            bytes(file.text_bytes as f64),
            seconds(file.receipt_seconds),
            seconds(file.catalogue_seconds),
            seconds(file.processor_seconds),
            file.rows_in.map_or("–".into(), grouped),
            file.rows_rejected.map_or("–".into(), grouped),
        ]
    });
    let names = ["file", "kind", "text", "→ receipt", "→ catalogue", "processor", "rows", "rejected"];
    let mut html = format!("<h2>Slowest files</h2>\n{}", table("files", &names, rows));
    for trace in &run.traces {
        write!(
            html,
            "<details open><summary>{}</summary>\n{}</details>\n",
            escaped(&trace.key),
            super::waterfall::drawing(&trace.spans)
        )
        .unwrap_or_default();
    }
    html
}

fn repeats(run: &Run) -> String {
    let mut html = String::new();
    if let Some(repeats) = &run.repeats {
        let Repeats {
            republished,
            superseded,
            processor_retries,
            done_before,
            consumer_retries,
            request_retries,
        } = *repeats;
        let rows = [
            ("events of files that were done before", republished),
            ("events that something newer had replaced", superseded),
            ("invocations of the processor that failed, and were tried again", processor_retries),
            ("requests to S3 that the processor made again", request_retries),
            ("messages that were done before", done_before),
            ("messages that were put back", consumer_retries),
        ];
        html.push_str("<h2>Duplicates and retries</h2>\n");
        let rows = rows.into_iter().map(|(name, count)| [name.to_owned(), grouped(count)]);
        html.push_str(&table("", &["what happened", "times"], rows));
    }
    if !run.configuration.chaos.is_empty() {
        html.push_str("<h2>Chaos</h2>\n");
        let rows = run.configuration.chaos.iter().map(|(kind, rate)| {
            let injected = run.faults.get(kind).copied().unwrap_or_default();
            [kind.clone(), format!("{:.1} %", rate * 100.0), grouped(injected)]
        });
        html.push_str(&table("", &["fault", "rate asked for", "injected"], rows));
    }
    html
}

fn cost(run: &Run) -> String {
    let cost = &run.cost;
    let rows = [
        ("functions' seconds", cost.compute),
        ("S3 requests", cost.s3_requests),
        ("Lambda, SNS and SQS requests, logs", cost.rest),
        ("together", cost.total),
        ("for a TB of text", cost.per_tb),
    ];
    let rows = rows.into_iter().map(|(name, dollars)| [name.to_owned(), format!("${dollars:.6}")]);
    let told = "By the list prices of us-east-1 for arm64 (docs/operations.md), without storage and the free tier, from \
                what the receipts say that the processor took here.";
    format!("<h2>Cost</h2>\n<p>{told}</p>\n{}", table("", &["what", "dollars"], rows))
}

fn setup(run: &Run) -> String {
    let asked = &run.configuration;
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "none".into());
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
    let rows = rows.into_iter().map(|(name, value)| [name.to_owned(), value]);
    format!("<h2>Configuration and machine</h2>\n{}", table("", &["", ""], rows))
}

/// A number with its digits in groups.
fn grouped(number: u64) -> String {
    indicatif::HumanCount(number).to_string()
}

/// Keys and messages are other people's text.
pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::Verdict;
    use crate::report::document::tests::run;

    #[test]
    fn a_clean_run_says_so_and_draws_all_that_was_seen() {
        let page = page(&run(20));
        assert!(page.contains("every row accounted for") && !page.contains("NOT clean"));
        for title in ["Throughput", "Memory", "Latency", "Queue"] {
            assert!(page.contains(&format!("aria-label=\"{title}\"")), "{title}");
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
        assert!(!page.contains("aria-label=\"Latency\"") && page.contains("aria-label=\"Memory\""));
    }
}
