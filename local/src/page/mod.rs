//! Pages that need nothing else: nothing is loaded from anywhere, and no script runs.
//!
//! They follow the reader's choice of light or dark, a phone's width, and print. What is drawn keeps its letters' size
//! whatever the width: places along it are in %.
//!
//! # Layout
//!
//! - [`Page`]: the frame, its sections, and the pieces of text that they are made of.
//! - [`Chart`]: lines over time.
//! - [`stacked`]: what a whole consists of.
//! - `trace`: the page of a file's trace.

mod chart;
mod stack;
pub(crate) mod trace;

use std::fmt::Write as _;

pub use chart::{Chart, Line};
pub use stack::{Part, stacked};
pub use trace::waterfall;

const STYLE: &str = include_str!("style.css");

/// A page on its way.
pub struct Page {
    text: String,
}

impl Page {
    /// Begins a page: its title, and a line that says what it is of.
    pub fn new(title: &str, subtitle: &str) -> Self {
        let (title, subtitle) = (escaped(title), escaped(subtitle));
        Self {
            text: format!(
                "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
                 <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
                 <title>{title}</title><style>{STYLE}</style></head>\n<body><h1>{title}</h1>\
                 <p class=\"dim\">{subtitle}</p>\n"
            ),
        }
    }

    /// Adds markup.
    pub fn add(&mut self, markup: &str) {
        self.text.push_str(markup);
    }

    /// Adds a section: a heading, which is text, and markup.
    pub fn section(&mut self, heading: &str, markup: &str) {
        let heading = escaped(heading);
        writeln!(self.text, "<section><h2>{heading}</h2>\n{markup}</section>").unwrap_or_default();
    }

    /// The whole page.
    pub fn finish(mut self) -> String {
        self.text.push_str("</body></html>\n");
        self.text
    }
}

/// Text as markup: keys and messages are other people's.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A few figures that matter, each with its name.
pub fn tiles(figures: &[(&str, String)]) -> String {
    let tile = |(name, value): &(&str, String)| {
        format!("<div><dt>{}</dt><dd>{}</dd></div>", escaped(name), escaped(value))
    };
    format!("<dl class=\"tiles\">{}</dl>\n", figures.iter().map(tile).collect::<String>())
}

/// A table of text. What looks like a number stands to the right.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let is_number = |text: &str| text.starts_with(|first: char| first.is_ascii_digit() || first == '-');
    let right = |column: usize| rows.iter().all(|row| row.get(column).is_none_or(|cell| is_number(cell)));
    let cell = |element: &str, column: usize, text: &str| {
        let class = if right(column) { " class=\"n\"" } else { "" };
        format!("<{element}{class}>{}</{element}>", escaped(text))
    };
    let mut markup = String::from("<div class=\"scroll\"><table>");
    if !head.is_empty() {
        let cells: String = head.iter().enumerate().map(|(column, text)| cell("th", column, text)).collect();
        write!(markup, "<tr>{cells}</tr>").unwrap_or_default();
    }
    for row in rows {
        let cells: String = row.iter().enumerate().map(|(column, text)| cell("td", column, text)).collect();
        write!(markup, "<tr>{cells}</tr>").unwrap_or_default();
    }
    markup + "</table></div>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_text_a_piece_is_given_stays_text() {
        let evil = "<script>alert(\"&\")</script>";
        let mut page = Page::new(evil, evil);
        page.section(evil, &tiles(&[(evil, evil.to_owned())]));
        page.add(&table(&[evil], &[vec![evil.to_owned()]]));
        page.add(&stacked(evil, &[Part { name: evil, value: 1 }], &|_| evil.to_owned()));
        let line = Line { name: evil, points: vec![(0.0, 0.0), (1.0, 1.0)] };
        page.add(
            &Chart { name: evil, lines: vec![line], x: &|_| evil.to_owned(), y: &|_| evil.to_owned() }.svg(),
        );
        let page = page.finish();
        assert!(!page.contains("<script"), "{page}");
        assert!(page.matches("&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;").count() > 10);
    }

    #[test]
    fn a_column_of_numbers_stands_to_the_right() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["b".to_owned(), "-2.5".to_owned()]];
        let markup = table(&["name", "value"], &rows);
        assert_eq!(markup.matches("class=\"n\"").count(), 3, "{markup}");
    }
}
