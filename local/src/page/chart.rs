//! Lines over time.

use std::fmt::Write as _;

use super::{escaped, table};

/// Where the curves lie: from this % of the width, and between these heights, in pixels.
const LEFT: f64 = 14.0;
const TOP: usize = 8;
const BOTTOM: usize = 168;
/// With the line of times below.
const HEIGHT: usize = 192;
/// Every line has a colour and a dash of its own; so many there are.
const STYLES: usize = 4;

/// A line: its name, and its points from left to right.
pub struct Line<'a> {
    /// What it is of.
    pub name: &'a str,
    /// Where and how much. Both are at least 0.
    pub points: Vec<(f64, f64)>,
}

/// Up to four lines over the same axis, which begins at 0.
pub struct Chart<'a> {
    /// What a reader is told who can't see it.
    pub name: &'a str,
    /// The lines.
    pub lines: Vec<Line<'a>>,
    /// How a place along it is written.
    pub x: &'a dyn Fn(f64) -> String,
    /// How a height is written: on a phone there is room for five letters, so the unit belongs into the heading.
    pub y: &'a dyn Fn(f64) -> String,
}

impl Chart<'_> {
    /// The drawing, its legend, and its figures as a table to be opened.
    pub fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let right = points().map(|point| point.0).fold(0.0, f64::max);
        let top = ceiling(points().map(|point| point.1).fold(0.0, f64::max));
        let mut markup =
            format!("<svg height=\"{HEIGHT}\" role=\"img\" aria-label=\"{}\">\n", escaped(self.name));
        for (share, anchor) in [(0.0, ""), (0.5, " middle"), (1.0, " end")] {
            let y = BOTTOM as f64 - share * (BOTTOM - TOP) as f64;
            let label = escaped(&(self.y)(top * share));
            writeln!(
                markup,
                "<line x1=\"{LEFT}%\" x2=\"100%\" y1=\"{y}\" y2=\"{y}\"/>\
                 <text class=\"dim end\" x=\"{}%\" y=\"{}\">{label}</text>",
                LEFT - 1.0,
                y + 4.0
            )
            .unwrap_or_default();
            let x = LEFT + share * (100.0 - LEFT);
            let label = escaped(&(self.x)(right * share));
            writeln!(markup, "<text class=\"dim{anchor}\" x=\"{x}%\" y=\"{}\">{label}</text>", HEIGHT - 6)
                .unwrap_or_default();
        }
        writeln!(
            markup,
            "<svg x=\"{LEFT}%\" y=\"{TOP}\" width=\"{}%\" height=\"{}\" viewBox=\"0 0 1000 100\" \
             preserveAspectRatio=\"none\">",
            100.0 - LEFT,
            BOTTOM - TOP
        )
        .unwrap_or_default();
        for (number, line) in self.lines.iter().enumerate() {
            markup.push_str(&curve(line, number, right, top));
        }
        markup + "</svg></svg>\n" + &self.legend() + &self.figures()
    }

    fn legend(&self) -> String {
        let entry = |(number, line): (usize, &Line<'_>)| {
            let style = number % STYLES + 1;
            format!(
                "<li><svg aria-hidden=\"true\"><line class=\"s{style}\" x1=\"0\" x2=\"24\" y1=\"6\" y2=\"6\" \
                 stroke-width=\"2\"/></svg>{}</li>",
                escaped(line.name)
            )
        };
        format!(
            "<ul class=\"legend\">{}</ul>\n",
            self.lines.iter().enumerate().map(entry).collect::<String>()
        )
    }

    fn figures(&self) -> String {
        let mut places: Vec<f64> =
            self.lines.iter().flat_map(|line| &line.points).map(|point| point.0).collect();
        places.sort_by(f64::total_cmp);
        places.dedup();
        let head: Vec<&str> = [""].into_iter().chain(self.lines.iter().map(|line| line.name)).collect();
        let value = |line: &Line<'_>, place: f64| {
            let point = line.points.iter().find(|point| point.0.total_cmp(&place).is_eq());
            point.map(|point| (self.y)(point.1)).unwrap_or_default()
        };
        let row = |place: &f64| {
            let values = self.lines.iter().map(|line| value(line, *place));
            [(self.x)(*place)].into_iter().chain(values).collect()
        };
        let rows: Vec<Vec<String>> = places.iter().map(row).collect();
        format!("<details><summary>The figures</summary>{}</details>\n", table(&head, &rows))
    }
}

fn curve(line: &Line<'_>, number: usize, right: f64, top: f64) -> String {
    let mut points = String::new();
    for (x, y) in &line.points {
        let x = if right > 0.0 { x / right * 1000.0 } else { 0.0 };
        write!(points, "{x:.1},{:.2} ", 100.0 - y / top * 100.0).unwrap_or_default();
    }
    format!("<polyline class=\"s{}\" points=\"{}\"/>\n", number % STYLES + 1, points.trim_end())
}

/// The next round number: 1, 2 or 5 times a power of ten.
fn ceiling(value: f64) -> f64 {
    if value <= 0.0 {
        return 1.0;
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= value).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_round_number() {
        for (value, round) in
            [(0.0, 1.0), (0.3, 0.5), (1.0, 1.0), (3.0, 5.0), (730.0, 1000.0), (1800.0, 2000.0)]
        {
            assert!((ceiling(value) - round).abs() < 1e-9, "{value}");
        }
    }

    #[test]
    fn lines_fill_the_width_and_end_at_their_height() {
        let line = |name, last| Line { name, points: vec![(0.0, 0.0), (2.0, last)] };
        let write = |value: f64| format!("{value}");
        let chart = Chart { name: "c", lines: vec![line("a", 5.0), line("b", 2.5)], x: &write, y: &write };
        let svg = chart.svg();
        assert!(svg.contains("class=\"s1\" points=\"0.0,100.00 1000.0,0.00\""), "{svg}");
        assert!(svg.contains("class=\"s2\" points=\"0.0,100.00 1000.0,50.00\""), "{svg}");
        assert!(svg.contains("<td class=\"n\">2.5</td>"), "the figures, too: {svg}");
    }
}
