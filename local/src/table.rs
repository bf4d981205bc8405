//! Rows in columns that are as wide as what is in them.

use console::measure_text_width;

/// The lines of a table: a header, and a line each. The last column is not padded.
pub(crate) fn lines(header: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&header).chain(rows).collect();
    let width = |column: usize| {
        all.iter().filter_map(|row| row.get(column)).map(|cell| measure_text_width(cell)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &&Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            format!("{cell}{}", " ".repeat(width.saturating_sub(measure_text_width(cell))))
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    all.iter().map(line).collect()
}

/// Text that stays on its line, whatever a key holds.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|char| if char.is_control() { '?' } else { char }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [vec!["1".to_owned(), "größe".to_owned()], vec!["1000".to_owned(), "b".to_owned()]];
        assert_eq!(lines(&["n", "key"], &rows), ["n     key", "1     größe", "1000  b"]);
        assert_eq!(lines(&["n", "key"], &[]), ["n  key"]);
    }
}
