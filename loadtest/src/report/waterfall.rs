//! A trace's spans as bars over time.

use std::fmt::Write as _;

use common::receiver::ReceivedSpan;
use local::waterfall::rows;

use super::page::escaped;

/// Where the bars lie, in % of the drawing's width.
const BARS: (f64, f64) = (35.0, 79.0);
/// A line's height, in pixels.
const LINE: usize = 26;

/// The spans, a line each, under their parents.
pub(crate) fn drawing(spans: &[ReceivedSpan]) -> String {
    let rows = rows(spans);
    let start = rows.iter().map(|row| row.span.start).min().unwrap_or_default();
    let end = rows.iter().map(|row| row.span.end).max().unwrap_or_default();
    let whole = end.saturating_sub(start).max(1) as f64;
    let place = |time: u64| BARS.0 + time.saturating_sub(start) as f64 / whole * (BARS.1 - BARS.0);
    let mut svg = format!("<svg height=\"{}\" role=\"img\" aria-label=\"waterfall\">\n", LINE * rows.len());
    for (number, row) in rows.iter().enumerate() {
        let top = LINE * number;
        let (from, to) = (place(row.span.start), place(row.span.end));
        let class = if row.span.error.is_some() { " class=\"bad\"" } else { "" };
        let milliseconds = row.span.end.saturating_sub(row.span.start) as f64 / 1e6;
        writeln!(
            svg,
            "<line x1=\"0\" x2=\"100%\" y1=\"{top}\" y2=\"{top}\"/>\
             <text x=\"{}\" y=\"{middle}\">{}</text>\
             <rect{class} x=\"{from:.2}%\" y=\"{}\" width=\"{:.2}%\" height=\"14\" rx=\"2\"/>\
             <text class=\"t\" x=\"100%\" y=\"{middle}\">{milliseconds:.1} ms</text>",
            row.depth * 10,
            escaped(row.name()),
            top + 6,
            (to - from).max(0.4),
            middle = top + 18,
        )
        .unwrap_or_default();
    }
    svg + "</svg>\n"
}
