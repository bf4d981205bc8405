//! The page of a file's trace: where the time went, throughput, the sums that prove the rows, and all that its spans say.

use std::fmt::Write as _;

use common::receiver::ReceivedSpan;
use common::trace::{SAMPLES, STEPS, Sample, Step, read_samples};
use indicatif::HumanCount;

use super::{Chart, Line, Page, Part, escaped, stacked, tiles};
use crate::waterfall::{Row, duration, nanoseconds, rows};

/// Where the bars lie, in % of the width.
const BARS: (f64, f64) = (35.0, 79.0);
/// A line's height, in pixels.
const LINE: usize = 26;

/// A chart of more points than this says no more.
const MAX_POINTS: usize = 30;

/// The page of a trace, under this title.
pub(crate) fn page(title: &str, spans: &[ReceivedSpan]) -> String {
    let rows = rows(spans);
    let trace_id = spans.first().map(|span| span.trace_id.as_str()).unwrap_or_default();
    let mut page = Page::new(title, &format!("trace {trace_id}"));
    let file = file(spans);
    page.add(&figures(&rows, file));
    for error in rows.iter().filter_map(|row| row.span.error.as_ref()) {
        page.add(&format!("<p class=\"bad\">failed: {}</p>\n", escaped(error)));
    }
    page.section("Where the time went", &drawing(&rows));
    for transfer in spans.iter().filter(|span| span.name == "transfer") {
        if let Some(chart) = throughput(&read_samples(transfer.attribute(SAMPLES))) {
            page.section("Throughput, MB/s", &chart);
        }
    }
    if let Some(sums) = file.and_then(sums) {
        page.section("Every row, every byte", &sums);
    }
    page.section("What each span says", &spans_in_order(spans));
    page.finish()
}

/// The file's span, or its last with sums where there were more.
pub(crate) fn file(spans: &[ReceivedSpan]) -> Option<&ReceivedSpan> {
    let files = spans.iter().filter(|span| span.name == "file");
    files.max_by_key(|span| (span.attributes.contains_key("penstock.rows.in"), span.start))
}

fn figures(rows: &[Row<'_>], file: Option<&ReceivedSpan>) -> String {
    let (start, end) = window(rows);
    let mut figures = vec![("from first to last", duration(end.saturating_sub(start)))];
    if let Some(file) = file {
        figures.push(("the file", duration(file.end.saturating_sub(file.start))));
        figures.push(("it is", file.attribute("penstock.outcome").to_owned()));
        let number = |name: &str| file.attribute(name).parse::<u64>().ok();
        figures.extend(number("penstock.bytes.source").map(|size| ("size", bytes(size))));
        figures.extend(number("penstock.rows.in").map(|rows| ("rows", HumanCount(rows).to_string())));
        figures.extend(number("penstock.peak_memory_bytes").map(|peak| ("peak memory", bytes(peak))));
    }
    tiles(&figures)
}

fn bytes(number: u64) -> String {
    indicatif::BinaryBytes(number).to_string()
}

fn window(rows: &[Row<'_>]) -> (u64, u64) {
    let start = rows.iter().map(|row| row.span.start).min().unwrap_or_default();
    (start, rows.iter().map(|row| row.span.end).max().unwrap_or_default())
}

/// A trace's spans as bars over time, under their parents.
pub fn waterfall(spans: &[ReceivedSpan]) -> String {
    drawing(&rows(spans))
}

/// The waterfall.
fn drawing(rows: &[Row<'_>]) -> String {
    let (start, end) = window(rows);
    let whole = end.saturating_sub(start).max(1);
    let place = |time: u64| BARS.0 + time.saturating_sub(start) as f64 / whole as f64 * (BARS.1 - BARS.0);
    let height = LINE * (rows.len() + 1);
    let mut svg = format!("<svg height=\"{height}\" role=\"img\" aria-label=\"waterfall\">\n");
    let mut add = |line: String| writeln!(svg, "{line}").unwrap_or_default();
    for (half, anchor) in [(0, ""), (1, " middle"), (2, " end")] {
        let (x, time) = (place(start + whole * half / 2), duration(whole * half / 2));
        add(format!("<line x1=\"{x:.2}%\" x2=\"{x:.2}%\" y1=\"20\" y2=\"{height}\"/>"));
        add(format!("<text class=\"dim{anchor}\" x=\"{x:.2}%\" y=\"14\">{time}</text>"));
    }
    for (number, row) in rows.iter().enumerate() {
        let top = LINE * (number + 1);
        let (from, to) = (place(row.span.start), place(row.span.end));
        let class = if row.span.error.is_some() { " class=\"bad\"" } else { "" };
        add(format!("<line x1=\"0\" x2=\"100%\" y1=\"{top}\" y2=\"{top}\"/>"));
        // In a drawing of its own, which cuts off a name that is too long.
        add(format!(
            "<svg y=\"{top}\" width=\"{}%\" height=\"{LINE}\"><text x=\"{}\" y=\"18\">{}</text></svg>",
            BARS.0 - 1.0,
            row.depth * 10,
            escaped(row.name())
        ));
        add(format!(
            "<rect{class} x=\"{from:.2}%\" y=\"{}\" width=\"{:.2}%\" height=\"14\" rx=\"2\"/>",
            top + 6,
            (to - from).max(0.4)
        ));
        let took = duration(row.span.end.saturating_sub(row.span.start));
        add(format!("<text class=\"end\" x=\"100%\" y=\"{}\">{took}</text>", top + 18));
    }
    svg + "</svg>\n"
}

/// Bytes a second of each step, over the time of the transfer; nothing of one that was over at once.
fn throughput(samples: &[Sample]) -> Option<String> {
    let name = |step: Step| match step {
        Step::Fetched => "fetched from S3",
        Step::Read => "read by the engine",
        Step::Written => "written by the engine",
        Step::Uploaded => "uploaded in parts",
    };
    let last = samples.last().filter(|_| samples.len() > 1)?;
    let moved = STEPS.into_iter().filter(|step| last.1[*step as usize] > 0);
    let lines = moved.map(|step| Line { name: name(step), points: rates(samples, step) }).collect();
    let chart = Chart {
        name: "throughput over time",
        lines,
        x: &|seconds| duration(nanoseconds(seconds)),
        y: &|rate| format!("{rate:.0}"),
    };
    Some(chart.svg())
}

/// Megabytes a second between samples, at the time of the later one, and at the begin.
fn rates(samples: &[Sample], step: Step) -> Vec<(f64, f64)> {
    let every = samples.len().div_ceil(MAX_POINTS);
    let mut points = vec![(0.0, 0.0)];
    let mut before = (0, 0);
    // From the end: the last sample is always among them.
    let mut picked: Vec<&Sample> = samples.iter().rev().step_by(every).collect();
    picked.reverse();
    for (ms, bytes) in picked {
        let (time, moved) = (ms.saturating_sub(before.0), bytes[step as usize].saturating_sub(before.1));
        if time > 0 {
            points.push((*ms as f64 / 1e3, moved as f64 / time as f64 / 1e3));
            before = (*ms, bytes[step as usize]);
        }
    }
    points[0].1 = points.get(1).map_or(0.0, |point| point.1);
    points
}

/// What the receipt proves, where there is one of a file that was processed.
fn sums(file: &ReceivedSpan) -> Option<String> {
    let rows = ["rows.out", "rows.rejected", "rows.filtered"];
    let spans = ["bytes.kept", "bytes.rejected", "bytes.filtered", "bytes.header", "bytes.skipped"];
    let count = |number: u64| HumanCount(number).to_string();
    let rows = sum(file, ("rows.in", "rows in"), &rows, &count)?;
    Some(rows + &sum(file, ("bytes.decompressed", "bytes of text"), &spans, &count)?)
}

/// One sum: its words, whether it is right, and its parts in proportion.
fn sum(
    file: &ReceivedSpan,
    (whole, name): (&str, &str),
    parts: &[&str],
    write: &dyn Fn(u64) -> String,
) -> Option<String> {
    let number = |name: &str| file.attribute(&format!("penstock.{name}")).parse::<u64>().ok();
    let short = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    let whole = number(whole)?;
    let values: Vec<(String, u64)> =
        parts.iter().map(|part| Some((short(part), number(part)?))).collect::<Option<_>>()?;
    let words: Vec<String> = values.iter().map(|(name, value)| format!("{} {name}", write(*value))).collect();
    let adds_up = values.iter().map(|(_, value)| value).sum::<u64>() == whole;
    let (class, mark) = if adds_up { ("good", "✔") } else { ("bad", "✘ does not add up:") };
    let parts: Vec<Part<'_>> = values.iter().map(|(name, value)| Part { name, value: *value }).collect();
    let words = format!("{} {name} = {}", write(whole), words.join(" + "));
    Some(format!("<p><b class=\"{class}\">{mark}</b> {words}</p>\n{}", stacked(name, &parts, write)))
}

fn spans_in_order(spans: &[ReceivedSpan]) -> String {
    let mut spans: Vec<&ReceivedSpan> = spans.iter().collect();
    spans.sort_by_key(|span| (span.start, span.end));
    spans.into_iter().map(details).collect()
}

/// Everything that a span says, to be opened.
fn details(span: &ReceivedSpan) -> String {
    let mut text = format!(
        "<details><summary><b>{}</b> <span class=\"dim\">{}, {}</span></summary><table>",
        escaped(&span.name),
        escaped(&span.service),
        duration(span.end.saturating_sub(span.start))
    );
    let mut line = |name: &str, value: &str| {
        write!(text, "<tr><td class=\"dim\">{}</td><td>{}</td></tr>", escaped(name), escaped(value))
            .unwrap_or_default();
    };
    span.error.iter().for_each(|error| line("failed", error));
    // The samples are drawn.
    let told = span.attributes.iter().filter(|(name, _)| *name != SAMPLES);
    told.for_each(|(name, value)| line(name, value));
    for (name, attributes) in &span.events {
        let values: Vec<&str> = attributes.values().map(String::as_str).collect();
        line(name, &values.join(", "));
    }
    text + "</table></details>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_span_becomes_markup_and_nothing_is_loaded() {
        let evil = "<script>alert(\"&\")</script>";
        let span = ReceivedSpan {
            name: evil.into(),
            service: evil.into(),
            attributes: [(evil.to_owned(), evil.to_owned())].into(),
            events: vec![(evil.into(), [("a".to_owned(), evil.to_owned())].into())],
            error: Some(evil.into()),
            ..ReceivedSpan::default()
        };
        let page = page(evil, &[span]);
        assert!(!page.contains("<script") && !page.contains("http"), "{page}");
        assert_eq!(page.matches("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;").count(), 11);
    }

    fn processed(rows_out: &str) -> ReceivedSpan {
        let attributes = [
            ("rows.in", "3"),
            ("rows.out", rows_out),
            ("rows.rejected", "1"),
            ("rows.filtered", "0"),
            ("bytes.decompressed", "1234"),
            ("bytes.kept", "1000"),
            ("bytes.rejected", "200"),
            ("bytes.filtered", "0"),
            ("bytes.header", "30"),
            ("bytes.skipped", "4"),
        ];
        let attributes = attributes.map(|(name, value)| (format!("penstock.{name}"), value.to_owned()));
        ReceivedSpan { name: "file".into(), attributes: attributes.into(), ..ReceivedSpan::default() }
    }

    #[test]
    fn sums_are_written_out_and_checked() {
        let markup = sums(&processed("2")).unwrap();
        assert!(markup.contains("3 rows in = 2 out + 1 rejected + 0 filtered"), "{markup}");
        let bytes = "1,234 bytes of text = 1,000 kept + 200 rejected + 0 filtered + 30 header + 4 skipped";
        assert!(markup.contains(bytes), "{markup}");
        assert_eq!((markup.matches("✔").count(), markup.matches("✘").count()), (2, 0));
        assert!(sums(&processed("1")).unwrap().contains("✘"));
        assert_eq!(sums(&ReceivedSpan::default()), None);
    }

    #[test]
    fn rates_are_of_the_time_between_samples() {
        let samples = [(1000, [0, 2_000_000, 0, 0]), (3000, [0, 3_000_000, 0, 0])];
        assert_eq!(rates(&samples, Step::Read), [(0.0, 2.0), (1.0, 2.0), (3.0, 0.5)]);
        let many: Vec<Sample> = (1..=61).map(|number| (number * 10, [number * 1000; 4])).collect();
        let rates = rates(&many, Step::Read);
        assert!(rates.len() <= MAX_POINTS + 2 && rates.iter().all(|rate| (rate.1 - 0.1).abs() < 1e-9));
        assert!((rates.last().unwrap().0 - 0.61).abs() < 1e-9);
        assert_eq!(throughput(&samples[..1]), None);
        let chart = throughput(&samples).unwrap();
        assert!(chart.contains("read by the engine") && !chart.contains("uploaded"), "{chart}");
    }
}
