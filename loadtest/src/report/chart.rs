//! Drawings in SVG: lines over an axis. Their letters keep their size whatever the page's width, as the lines alone
//! are stretched with it.

use std::fmt::Write as _;

use super::page::escaped;

/// The drawing's height in pixels, and what of it lies above and below the lines.
const HEIGHT: f64 = 190.0;
const ABOVE: f64 = 18.0;
const BELOW: f64 = 22.0;
/// Lines of the grid, beside the one at nothing.
const GRID: u32 = 4;
/// The most points that are drawn of a line: more than a page has pixels helps nobody.
const POINTS: usize = 1200;

/// A drawing of values over something.
pub(crate) struct Chart<'a> {
    /// What it shows.
    pub(crate) title: &'a str,
    /// For those who can't see it, and for its caption.
    pub(crate) told: String,
    /// Up to two lines, each with its name.
    pub(crate) lines: Vec<(&'a str, Vec<(f64, f64)>)>,
    /// A bound to draw beside them, with its name.
    pub(crate) bound: Option<(String, f64)>,
    /// How a value along each axis is written.
    pub(crate) x: fn(f64) -> String,
    /// As above.
    pub(crate) y: fn(f64) -> String,
}

impl Chart<'_> {
    /// As a figure of the page; nothing where there is nothing to draw.
    pub(crate) fn figure(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|(_, points)| points.iter());
        let (mut right, mut highest) = (0.0_f64, 0.0_f64);
        for (x, y) in points() {
            right = right.max(*x);
            highest = highest.max(*y);
        }
        if points().count() < 2 || right <= 0.0 {
            return None;
        }
        let top = nice(highest.max(self.bound.as_ref().map_or(0.0, |(_, bound)| *bound)));
        let mut svg = format!(
            "<figure><figcaption><b>{}</b> {}</figcaption>\n<svg class=\"chart\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{}\">\n",
            escaped(self.title),
            escaped(&self.told),
            escaped(self.title),
        );
        self.grid(&mut svg, top, right);
        self.curves(&mut svg, top, right);
        svg.push_str("</svg>\n");
        svg.push_str(&self.legend());
        svg.push_str("</figure>\n");
        Some(svg)
    }

    fn grid(&self, svg: &mut String, top: f64, right: f64) {
        let mut add = |line: String| writeln!(svg, "{line}").unwrap_or_default();
        for step in 0..=GRID {
            let share = f64::from(step) / f64::from(GRID);
            let y = ABOVE + (HEIGHT - ABOVE - BELOW) * (1.0 - share);
            add(format!("<line x1=\"0\" x2=\"100%\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
            if step > 0 {
                add(format!(
                    "<text class=\"d\" x=\"0\" y=\"{:.1}\">{}</text>",
                    y - 3.0,
                    (self.y)(top * share)
                ));
            }
        }
        for (share, anchor) in [(0.0, "start"), (0.5, "middle"), (1.0, "end")] {
            add(format!(
                "<text class=\"d\" x=\"{:.0}%\" y=\"{:.0}\" text-anchor=\"{anchor}\">{}</text>",
                share * 100.0,
                HEIGHT - 5.0,
                (self.x)(right * share)
            ));
        }
    }

    /// The lines, in a drawing of its own, which is stretched; their width is not.
    fn curves(&self, svg: &mut String, top: f64, right: f64) {
        let mut add = |line: String| writeln!(svg, "{line}").unwrap_or_default();
        let height = HEIGHT - ABOVE - BELOW;
        add(format!(
            "<svg y=\"{ABOVE}\" width=\"100%\" height=\"{height}\" viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\">"
        ));
        if let Some((_, bound)) = &self.bound {
            let y = 1000.0 - bound / top * 1000.0;
            add(format!("<path class=\"bound\" d=\"M0 {y:.1}H1000\"/>"));
        }
        for (number, (_, points)) in self.lines.iter().enumerate() {
            let step = points.len().div_ceil(POINTS).max(1);
            let last = points.len().saturating_sub(1);
            let mut path = String::new();
            for (index, (x, y)) in points.iter().enumerate() {
                if index % step == 0 || index == last {
                    let letter = if path.is_empty() { 'M' } else { 'L' };
                    let (x, y) = (x / right * 1000.0, 1000.0 - y / top * 1000.0);
                    write!(path, "{letter}{x:.1} {y:.1}").unwrap_or_default();
                }
            }
            add(format!("<path class=\"l{number}\" d=\"{path}\"/>"));
        }
        add("</svg>".into());
    }

    /// Names of the lines; one alone is named by the title.
    fn legend(&self) -> String {
        let mut items = String::new();
        if self.lines.len() > 1 {
            for (number, (name, _)) in self.lines.iter().enumerate() {
                write!(items, "<span class=\"l{number}\">{}</span>", escaped(name)).unwrap_or_default();
            }
        }
        if let Some((name, _)) = &self.bound {
            write!(items, "<span class=\"bound\">{}</span>", escaped(name)).unwrap_or_default();
        }
        if items.is_empty() { items } else { format!("<p class=\"legend\">{items}</p>\n") }
    }
}

/// The next value above that reads well: 1, 2, 2.5, 5 or 8 times a power of ten.
fn nice(highest: f64) -> f64 {
    if highest <= 0.0 {
        return 1.0;
    }
    let power = 10_f64.powf(highest.log10().floor());
    let steps = [1.0, 2.0, 2.5, 5.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * power).find(|value| *value >= highest).unwrap_or(10.0 * power)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: Vec<(f64, f64)>) -> Chart<'static> {
        Chart {
            title: "memory",
            told: "flat".into(),
            lines: vec![("one", points)],
            bound: None,
            x: |value| format!("{value}"),
            y: |value| format!("{value}"),
        }
    }

    #[test]
    fn a_line_lies_within_its_drawing() {
        let figure = chart(vec![(0.0, 0.0), (5.0, 180.0), (10.0, 90.0)]).figure().unwrap();
        assert!(figure.contains("d=\"M0.0 1000.0L500.0 100.0L1000.0 550.0\""), "{figure}");
        assert!(figure.contains(">200</text>") && figure.contains(">10</text>"), "{figure}");
        assert!(!figure.contains("legend"));
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert!(chart(Vec::new()).figure().is_none());
        assert!(chart(vec![(1.0, 1.0)]).figure().is_none());
    }

    #[test]
    fn long_lines_are_thinned_and_keep_their_end() {
        let figure = chart((0..10_000).map(|n| (f64::from(n), 1.0)).collect()).figure().unwrap();
        assert!(figure.matches('L').count() <= POINTS + 1);
        assert!(figure.contains("L1000.0 0.0\""));
    }

    #[test]
    fn axes_end_at_round_numbers() {
        assert_eq!([0.0, 0.3, 1.0, 7.0, 8.1, 230.0].map(nice), [1.0, 0.5, 1.0, 8.0, 10.0, 250.0]);
    }
}
