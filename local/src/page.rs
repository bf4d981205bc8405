//! A trace as one self-contained page: nothing is loaded from anywhere, and no script runs.

use std::fmt::Write as _;
use std::time::Duration;

use common::receiver::ReceivedSpan;

use crate::waterfall::{Row, rows};

/// Where the bars lie, in % of the window's width: so that they follow it, and the letters stay as large as they are.
const BARS: (f64, f64) = (35.0, 79.0);
/// A line's height, in pixels.
const LINE: usize = 26;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1c2024;--dim:#60646c;--rule:#d9dce0;--paper:#fff;--own:#3b82c4;--bad:#d13f3f}
@media(prefers-color-scheme:dark){:root{--ink:#edeef0;--dim:#a0a4ab;--rule:#3a3f46;--paper:#16181b;--own:#6aa9e0;--bad:#f07070}}
body{margin:0 auto;padding:1rem;max-width:70rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.3rem;overflow-wrap:anywhere;margin:.2rem 0}p{color:var(--dim);margin:.2rem 0 1rem;overflow-wrap:anywhere}
svg{width:100%;display:block}text{fill:var(--ink);font:14px system-ui,sans-serif}text.t{fill:var(--dim);text-anchor:end}
rect{fill:var(--own)}rect.bad{fill:var(--bad)}line{stroke:var(--rule)}
details{border-top:1px solid var(--rule);padding:.4rem 0}summary{cursor:pointer}summary b{font-weight:600}
table{border-collapse:collapse;font-size:.9rem;margin:.4rem 0 .4rem 1rem}td{padding:.1rem .8rem .1rem 0;vertical-align:top;overflow-wrap:anywhere}
td:first-child{color:var(--dim)}";

/// The page of a trace, under this title.
pub(crate) fn page(title: &str, spans: &[ReceivedSpan]) -> String {
    let rows = rows(spans);
    let trace_id = rows.first().map(|row| row.span.trace_id.as_str()).unwrap_or_default();
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style>\n<h1>{title}</h1><p>trace {trace_id}</p>\n",
        title = escaped(title),
    );
    page.push_str(&drawing(&rows));
    for row in &rows {
        page.push_str(&details(row.span));
    }
    page.push_str("</html>\n");
    page
}

/// The waterfall.
fn drawing(rows: &[Row<'_>]) -> String {
    let start = rows.iter().map(|row| row.span.start).min().unwrap_or_default();
    let end = rows.iter().map(|row| row.span.end).max().unwrap_or_default();
    let whole = end.saturating_sub(start).max(1) as f64;
    let place = |time: u64| BARS.0 + time.saturating_sub(start) as f64 / whole * (BARS.1 - BARS.0);
    let height = LINE * rows.len();
    let mut svg = format!("<svg height=\"{height}\" role=\"img\" aria-label=\"waterfall\">\n");
    let mut add = |line: String| writeln!(svg, "{line}").unwrap_or_default();
    for (number, row) in rows.iter().enumerate() {
        let top = LINE * number;
        let middle = top + 18;
        let (from, to) = (place(row.span.start), place(row.span.end));
        let class = if row.span.error.is_some() { " class=\"bad\"" } else { "" };
        add(format!("<line x1=\"0\" x2=\"100%\" y1=\"{top}\" y2=\"{top}\"/>"));
        add(format!("<text x=\"{}\" y=\"{middle}\">{}</text>", row.depth * 10, escaped(row.name())));
        add(format!(
            "<rect{class} x=\"{from:.2}%\" y=\"{}\" width=\"{:.2}%\" height=\"14\" rx=\"2\"/>",
            top + 6,
            (to - from).max(0.4)
        ));
        add(format!("<text class=\"t\" x=\"100%\" y=\"{middle}\">{:.1} ms</text>", milliseconds(row.span)));
    }
    svg + "</svg>\n"
}

/// Everything that a span says, to be opened.
fn details(span: &ReceivedSpan) -> String {
    let mut text = format!(
        "<details><summary><b>{}</b> {}, {:.1} ms</summary><table>",
        escaped(&span.name),
        escaped(&span.service),
        milliseconds(span)
    );
    let mut line = |name: &str, value: &str| {
        write!(text, "<tr><td>{}</td><td>{}</td></tr>", escaped(name), escaped(value)).unwrap_or_default();
    };
    span.error.iter().for_each(|error| line("failed", error));
    span.attributes.iter().for_each(|(name, value)| line(name, value));
    for (name, attributes) in &span.events {
        let values: Vec<&str> = attributes.values().map(String::as_str).collect();
        line(name, &values.join(", "));
    }
    text + "</table></details>\n"
}

fn milliseconds(span: &ReceivedSpan) -> f64 {
    Duration::from_nanos(span.end.saturating_sub(span.start)).as_secs_f64() * 1e3
}

/// Keys and messages are other people's text.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
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
        assert_eq!(page.matches("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;").count(), 10);
    }
}
