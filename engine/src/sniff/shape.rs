//! Where the table begins, and which of its lines hold the columns' names.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use super::Sniffed;
use super::kind::Kind;
use super::score::each_row;
use crate::dialect::{Comment, Reading, Told};
use crate::fields::Fields;
use crate::header::is_rule;

/// Rows that are looked at.
const MAX_ROWS: usize = 500;

/// Nobody writes names in more lines.
const MAX_HEADER_LINES: usize = 4;

/// A row of the sample: what its fields look like.
struct Row {
    line: u64,
    kinds: Vec<Kind>,
    /// The same for the same fields.
    print: u64,
    is_comment: bool,
    /// Whether it draws a line below names.
    is_rule: bool,
    /// Whether its numbers are names: years in a row, or the columns' own numbers.
    is_numbered: bool,
}

impl Row {
    /// Of columns that hold numbers and the like, how many have a word here.
    fn named(&self, columns: &[(usize, Kind)]) -> usize {
        columns
            .iter()
            .filter(|(column, _)| matches!(self.kinds.get(*column), Some(Kind::Text | Kind::Odd)))
            .count()
    }

    /// How many have here what they hold.
    fn alike(&self, columns: &[(usize, Kind)]) -> usize {
        columns.iter().filter(|(column, kind)| self.kinds.get(*column) == Some(kind)).count()
    }

    fn filled(&self) -> usize {
        self.kinds.iter().filter(|kind| **kind != Kind::Empty).count()
    }
}

/// Finds preamble, comments, header and width of the table that `reading` reads, but for what was told.
pub(super) fn shape(look: &[u8], whole: bool, mut reading: Reading, told: &Told) -> Sniffed {
    let mut rows: Vec<Row> = Vec::new();
    each_row(look, whole, &reading, |row| {
        rows.push(Row {
            line: row.line,
            kinds: row.fields.iter().map(Kind::of).collect(),
            print: print(row.fields),
            is_comment: row.is_comment,
            is_rule: is_rule(row.fields.iter()),
            is_numbered: has_years(row.fields) || counts_columns(row.fields),
        });
        rows.len() < MAX_ROWS
    });
    let width = usual_width(&rows);
    if told.comment.is_none() {
        // A row as wide as the table is one, whatever it begins with.
        let is_comment = |row: &Row| row.is_comment && row.kinds.len() != width;
        let begin_so = rows.iter().filter(|row| row.is_comment).count();
        let comments = rows.iter().filter(|row| is_comment(row)).count();
        if comments > 0 && 2 * comments >= begin_so && 2 * comments < rows.len() {
            reading.comment = Comment::Prefix(b"#".to_vec());
            reading.comment_is_found = true;
            rows.retain(|row| !is_comment(row));
        }
    }
    if told.preamble_lines.is_none() {
        let first = preamble(&rows, width);
        if first > 0 {
            reading.preamble_lines = rows[first].line;
            rows.drain(..first);
        }
    }
    let (header_lines, header) = match told.header_lines {
        Some(told) => (told, 100),
        None => match header(&rows, whole, width) {
            (0, sure) => (0, sure),
            (lines, sure) => {
                let below = usize::try_from(lines).ok().and_then(|lines| rows.get(lines));
                if below.is_some_and(|row| row.is_rule) { (lines + 1, sure.max(95)) } else { (lines, sure) }
            }
        },
    };
    reading.header_lines = header_lines;
    let names = rows.first().filter(|_| header_lines > 0).map_or(width, |row| row.kinds.len());
    let (mut all, mut usual, mut as_named) = (0, 0, 0);
    for row in rows.iter().skip(usize::try_from(header_lines).unwrap_or(usize::MAX)) {
        all += 1;
        usual += usize::from(row.kinds.len() == width);
        as_named += usize::from(row.kinds.len() == names);
    }
    // The rows decide only where hardly one of them is as the header says.
    let is_decided = 2 * usual > all && (names == width || 10 * as_named < all);
    reading.width = (width > 0 && is_decided && !told.trusts_header).then_some(width);
    Sniffed { reading, structure: 0, header }
}

fn print(fields: &Fields) -> u64 {
    let mut hasher = DefaultHasher::new();
    fields.iter().for_each(|field| field.hash(&mut hasher));
    hasher.finish()
}

/// Whether there are two years or more, each later than the one before or each earlier, and else no numbers.
fn has_years(fields: &Fields) -> bool {
    let mut years: Vec<u16> = Vec::new();
    for field in fields.iter() {
        let field = field.trim_ascii();
        let year = if field.len() == 4 {
            str::from_utf8(field).ok().and_then(|year| year.parse().ok())
        } else {
            None
        };
        match year {
            Some(year @ 1900..=2100) => years.push(year),
            _ if Kind::of(field).is_typed() => return false,
            _ => {}
        }
    }
    years.len() > 1
        && (years.is_sorted_by(|one, next| one < next) || years.is_sorted_by(|one, next| one > next))
}

/// Whether the fields behind an empty one count up from 0 or 1, as programs name columns that have no names.
fn counts_columns(fields: &Fields) -> bool {
    let mut fields = fields.iter();
    let Some(b"") = fields.next() else { return false };
    let numbers: Option<Vec<usize>> = fields.map(|field| str::from_utf8(field).ok()?.parse().ok()).collect();
    let counts = |pair: &[usize]| pair[1].checked_sub(1) == Some(pair[0]);
    numbers.is_some_and(|numbers| matches!(numbers[..], [0 | 1, _, ..]) && numbers.windows(2).all(counts))
}

/// The width that most rows have; of two as frequent, the larger.
fn usual_width(rows: &[Row]) -> usize {
    let mut widths: Vec<(usize, usize)> = Vec::new();
    for row in rows.iter().filter(|row| !row.kinds.is_empty()) {
        match widths.iter_mut().find(|(width, _)| *width == row.kinds.len()) {
            Some((_, count)) => *count += 1,
            None => widths.push((row.kinds.len(), 1)),
        }
    }
    widths.into_iter().max_by_key(|(width, count)| (*count, *width)).map_or(0, |(width, _)| width)
}

/// How many rows stand before the table: titles and notes, which fill few of its columns, and blank rows.
fn preamble(rows: &[Row], width: usize) -> usize {
    let mut filled: Vec<usize> =
        rows.iter().filter(|row| row.kinds.len() == width).map(Row::filled).collect();
    filled.sort_unstable();
    let usual = filled.get(filled.len() / 2).copied().unwrap_or(0);
    // A few names may be missing, or two of them may have run together; of the rows, most may be half empty.
    let least = width.div_ceil(2).min((3 * usual).div_ceil(5)).max(2).min(width);
    let begins = |row: &Row| row.filled() >= least && (width > 2 || row.kinds.len() >= width);
    let mut first = rows.iter().position(begins).unwrap_or(0);
    // Above a line of names, one of another width is a title with delimiters in it, and so are several that are narrower.
    let above = rows[first..].iter().take_while(|row| row.kinds.len() != width).count();
    let are_notes = |lines: &[Row]| lines.iter().all(|row| row.kinds.len() < width) && !is_table(lines);
    if (above == 1 || (above > 1 && are_notes(&rows[first..first + above])))
        && let [names, body @ ..] = &rows[first + above..]
        && let columns = typed_columns(body, width)
        && !columns.is_empty()
        && names.named(&columns) == columns.len()
    {
        first += above;
    }
    // A table of nothing but the line that looks like one would be no table, and one of few rows is not below a lot of
    // them that are none.
    if first + 1 < rows.len() && 2 * first <= rows.len() { first } else { 0 }
}

/// Whether lines are a table of their own: under names, a column has values of one kind.
fn is_table(rows: &[Row]) -> bool {
    let width = usual_width(rows);
    width > 1 && rows.len() > 2 && !typed_columns(&rows[1..], width).is_empty()
}

/// How many lines of names there are, and how sure that is.
fn header(rows: &[Row], whole: bool, width: usize) -> (u64, u8) {
    let Some(first) = rows.first() else { return (1, 50) };
    let columns = typed_columns(&rows[1..], width);
    let (named, alike) = (first.named(&columns), first.alike(&columns));
    if columns.is_empty() && further_lines(rows, width) == 0 {
        // Nothing tells names from data but that names are not numbers, and not missing.
        let is_data = whole && rows.len() == 1 && first.kinds.iter().any(|kind| kind.is_typed());
        let sure = if first.kinds.contains(&Kind::Empty) { 50 } else { 65 };
        return if is_data { (0, 60) } else { (1, sure) };
    }
    // Numbers may be the names of columns that hold others.
    let numbered = rows[1..].iter().filter(|row| row.is_numbered).count();
    if first.is_numbered && 10 * numbered < rows.len() {
        return (1, 80);
    }
    match named {
        0 if alike > 0 => (0, 90),
        _ if alike > named => (0, 60),
        _ => (1 + further_lines(rows, width) as u64, if alike == 0 { 95 } else { 75 }),
    }
}

/// How many lines of names follow the first: each has one for every column of numbers or dates, as the first has, or
/// repeats the first.
fn further_lines(rows: &[Row], width: usize) -> usize {
    let first = &rows[0];
    let mut lines = 0;
    for further in 1..MAX_HEADER_LINES.min(rows.len() - 1) {
        let columns = typed_columns(&rows[further + 1..], width);
        let are_names = columns.len() >= 2
            && rows[..=further]
                .iter()
                .all(|row| row.named(&columns) == columns.len() && row.kinds.len() == first.kinds.len());
        if are_names || (lines + 1 == further && rows[further].print == first.print) {
            lines = further;
        }
    }
    lines
}

/// The columns whose fields are of one kind in nearly every row.
fn typed_columns(rows: &[Row], width: usize) -> Vec<(usize, Kind)> {
    let body: Vec<&Row> = rows.iter().filter(|row| row.kinds.len() == width).collect();
    let mut columns = Vec::new();
    for column in 0..width {
        for kind in [Kind::Number, Kind::Date, Kind::Address] {
            let (mut filled, mut of_kind) = (0, 0);
            for row in &body {
                let found = row.kinds[column];
                filled += usize::from(!matches!(found, Kind::Empty | Kind::Null));
                of_kind += usize::from(found == kind);
            }
            // The first few may be further lines of names.
            let spare = if body.len() > 8 { MAX_HEADER_LINES - 1 } else { 0 };
            if of_kind > 0 && (of_kind + spare) * 20 >= filled * 19 {
                columns.push((column, kind));
            }
        }
    }
    columns
}
