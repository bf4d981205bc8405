//! What the output's columns hold: taken from the clean text on its way to the encoder, in one pass and fixed memory.
//!
//! `value` says what a field is, `column` gathers that.

mod column;
mod value;

use memchr::memchr2;

use column::Column;
pub use column::{Bound, ColumnProfile, ColumnType};

/// Columns that are profiled, the first ones: each takes up to 5 KiB.
pub const MAX_PROFILED_COLUMNS: usize = 1000;

/// The profile of an output.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    columns: Vec<Column>,
    /// Columns that are too many.
    left_out: u64,
    /// Whether the columns have their names.
    is_named: bool,
    /// A quoted field without its quotes.
    unquoted: Vec<u8>,
}

impl Profile {
    /// A profile of columns that have names already.
    pub(crate) fn of_columns(names: impl Iterator<Item = String>) -> Self {
        let mut profile = Self { is_named: true, ..Self::default() };
        for name in names {
            profile.add(name);
        }
        profile
    }

    /// Takes a field of a row.
    pub(crate) fn observe(&mut self, column: usize, field: &[u8]) {
        if let Some(column) = self.columns.get_mut(column) {
            column.observe(field);
        }
    }

    /// Takes whole rows as they are written, the header first.
    pub(crate) fn observe_text(&mut self, text: &[u8]) {
        let mut at = 0;
        while at < text.len() {
            let mut column = 0;
            loop {
                let next = if text.get(at) == Some(&b'"') {
                    self.observe_quoted(column, text, at + 1)
                } else {
                    let end = at + field_length(&text[at..]);
                    self.observe_field(column, &text[at..end]);
                    end
                };
                column += 1;
                at = next + 1;
                if text.get(next) != Some(&b',') {
                    break;
                }
            }
            self.is_named = true;
        }
    }

    fn add(&mut self, name: String) {
        if self.columns.len() < MAX_PROFILED_COLUMNS {
            self.columns.push(Column::new(name));
        } else {
            self.left_out += 1;
        }
    }

    /// Columns that are not looked at, as there are too many.
    pub(crate) fn columns_left_out(&self) -> u64 {
        self.left_out
    }

    /// What was seen of each column.
    pub(crate) fn finish(self) -> Vec<ColumnProfile> {
        self.columns.into_iter().map(Column::finish).collect()
    }

    /// Takes a field whose quote has opened before `from`. Returns where it ends.
    fn observe_quoted(&mut self, column: usize, text: &[u8], from: usize) -> usize {
        let mut field = std::mem::take(&mut self.unquoted);
        field.clear();
        let mut at = from;
        while let Some(length) = memchr::memchr(b'"', &text[at..]) {
            field.extend_from_slice(&text[at..at + length]);
            at += length + 1;
            if text.get(at) != Some(&b'"') {
                break;
            }
            field.push(b'"');
            at += 1;
        }
        self.observe_field(column, &field);
        self.unquoted = field;
        at
    }

    fn observe_field(&mut self, column: usize, field: &[u8]) {
        if self.is_named {
            self.observe(column, field);
        } else {
            self.add(String::from_utf8_lossy(field).into_owned());
        }
    }
}

/// How far a field without quotes reaches. Most are short: a search would cost more to begin.
fn field_length(text: &[u8]) -> usize {
    const NEAR_BYTES: usize = 16;
    let near = &text[..text.len().min(NEAR_BYTES)];
    if let Some(length) = near.iter().position(|byte| matches!(byte, b',' | b'\n')) {
        return length;
    }
    near.len() + memchr2(b',', b'\n', &text[near.len()..]).unwrap_or(text.len() - near.len())
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn profile(text: &str) -> Vec<ColumnProfile> {
        let mut profile = Profile::default();
        for row in text.split_inclusive('\n') {
            profile.observe_text(row.as_bytes());
        }
        profile.finish()
    }

    #[test]
    fn each_column_is_told_of() {
        let mut text = String::from("id,price,day,at,ok,\"the \"\"note\"\"\"\n");
        for row in 0..1000_i64 {
            let day = format!("2024-02-{:02}", row % 29 + 1);
            let note = ["", "NULL", "\"a, \"\"b\"\"\"", "zebra"][usize::try_from(row % 4).unwrap()];
            let ok = if row % 2 == 0 { "true" } else { "False" };
            writeln!(text, "{},{}.5,{day},{day}T12:00:00Z,{ok},{note}", row * 3 - 1000, row % 10).unwrap();
        }
        let columns = profile(&text);
        let told: Vec<_> = columns.iter().map(|column| (column.name.as_str(), column.kind)).collect();
        assert_eq!(
            told,
            [
                ("id", Some(ColumnType::Integer)),
                ("price", Some(ColumnType::Number)),
                ("day", Some(ColumnType::Date)),
                ("at", Some(ColumnType::Timestamp)),
                ("ok", Some(ColumnType::Boolean)),
                ("the \"note\"", Some(ColumnType::String)),
            ]
        );
        let [id, price, day, at, ok, note] = &columns[..] else { panic!("{columns:?}") };
        assert_eq!((&id.min, &id.max), (&Some(Bound::Integer(-1000)), &Some(Bound::Integer(1997))));
        assert_eq!((&price.min, &price.max), (&Some(Bound::Number(0.5)), &Some(Bound::Number(9.5))));
        assert_eq!(day.max, Some(Bound::Text("2024-02-29".into())));
        assert_eq!(at.min, Some(Bound::Text("2024-02-01T12:00:00Z".into())));
        assert_eq!((ok.distinct_estimate, day.distinct_estimate), (2, 29));
        assert!((970..=1030).contains(&id.distinct_estimate), "{}", id.distinct_estimate);
        assert_eq!((note.nulls, note.empties, note.longest), (250, 250, 6));
        assert_eq!(
            (&note.min, &note.max),
            (&Some(Bound::Text("a, \"b\"".into())), &Some(Bound::Text("zebra".into())))
        );
        assert!(columns.iter().all(|column| (column.share - 1.0).abs() < 1e-9));
    }

    #[test]
    fn a_type_is_what_nearly_all_values_are() {
        let column = |values: &[&str]| {
            let text = format!("a\n{}\n", values.join("\n"));
            let [column] = &profile(&text)[..] else { panic!("{text}") };
            (column.kind, column.share)
        };
        assert_eq!(column(&["1"; 19].map(|one| one)), (Some(ColumnType::Integer), 1.0));
        let mut values = vec!["1"; 19];
        values.push("x");
        assert_eq!(column(&values), (Some(ColumnType::Integer), 0.95));
        values.push("y");
        assert_eq!(column(&values), (Some(ColumnType::String), 1.0));
        assert_eq!(column(&["1", "2.5"]), (Some(ColumnType::Number), 1.0));
        assert_eq!(column(&["", "NA", "\"\""]), (None, 1.0));
        assert_eq!(column(&["2024-01-01", "2024-01-01 10:00"]), (Some(ColumnType::Timestamp), 1.0));
    }

    #[test]
    fn bounds_are_of_values_that_fit_and_whole_numbers_stay_exact() {
        let bounds = |values: &[&str]| {
            let text = format!("a\n{}\n", values.join("\n"));
            let [column] = &profile(&text)[..] else { panic!("{text}") };
            (column.min.clone(), column.max.clone())
        };
        let mut values = vec!["true"; 20];
        values.push("zebra");
        let truth = Some(Bound::Text("true".into()));
        assert_eq!(bounds(&values), (truth.clone(), truth));
        let large = bounds(&["9007199254740993", "0.5", "-9007199254740993"]);
        let exact = |value| Some(Bound::Integer(value));
        assert_eq!(large, (exact(-9_007_199_254_740_993), exact(9_007_199_254_740_993)));
        let text = |text: &str| Some(Bound::Text(text.into()));
        assert_eq!(bounds(&["1e999", "12345678901234567890"]), (text("12345678901234567890"), text("1e999")));
    }

    #[test]
    fn a_very_long_name_is_cut() {
        let [column] = &profile(&format!("{}\n1\n", "é".repeat(1000)))[..] else { panic!() };
        assert_eq!(column.name, "é".repeat(300));
    }

    #[test]
    fn very_many_columns_cost_no_more_than_some() {
        let text = format!("{}a\n{}1\n", "a,".repeat(5000), "1,".repeat(5000));
        assert_eq!(profile(&text).len(), MAX_PROFILED_COLUMNS);
        let mut profile = Profile::default();
        profile.observe_text(text.as_bytes());
        assert_eq!(profile.columns_left_out(), 4001);
    }

    #[test]
    fn many_values_are_estimated_and_never_held() {
        let mut text = String::from("a\n");
        for value in 0..200_000 {
            writeln!(text, "value {value}").unwrap();
        }
        let estimate = profile(&text)[0].distinct_estimate;
        assert!((190_000..210_000).contains(&estimate), "{estimate}");
    }
}
