//! How well a reading fits the sample.

use memchr::memmem;

use super::candidate::DELIMITERS;
use super::kind::Kind;
use crate::dialect::{Comment, Quote, Reading};
use crate::fields::Fields;
use crate::line_end::LineEnd;
use crate::parse::Parser;
use crate::rows::MAX_STRAY_LINES;
use crate::scan::{Form, Found};

/// Enough records to tell.
const MAX_RECORDS: usize = 1000;

/// No sane record of a sample is longer.
pub(super) const MAX_RECORD_BYTES: usize = 256 * 1024;

/// Quotes that hold no delimiter, and mostly stand where none belongs, are no quotes.
const NO_QUOTES: f64 = 0.3;

/// Of rows with a quote that opens in one field and closes in another, so much is lost: what parts them is in quotes.
const SPLIT_QUOTES: f64 = 0.8;

/// Rows of one column whose text has delimiters in it are wider: of all rows, fewer than this are so in the same way,
/// and of those that are wider, no more than that, but where they are too few to tell.
const MAX_PROSE_SHARE: f64 = 0.25;
const MAX_ALIKE_SHARE: f64 = 0.75;
const MIN_TABLE_ROWS: f64 = 3.0;

/// How well a reading fits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Score {
    /// From 0 to about 1.
    pub total: f64,
    /// The share of the rows that have the usual width.
    consistency: f64,
    /// Whether that is one column: then there may be a delimiter that was not thought of.
    is_single: bool,
    /// Whether that is one column, and the rows that have more don't agree: then what parts them is no delimiter.
    pub is_prose: bool,
}

impl Score {
    /// Out of a hundred, `second` being the best score of another delimiter.
    pub(super) fn confidence(self, second: f64) -> u8 {
        let lead = if self.total > 0.0 { 1.0 - 0.5 * (second / self.total) } else { 0.0 };
        let percent = (100.0 * lead * (0.5 + 0.5 * self.consistency))
            .round()
            .clamp(0.0, if self.is_single { 60.0 } else { 99.0 });
        // Clamped above.
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to less than a hundred"
        )]
        let percent = percent as u8;
        percent
    }
}

/// A record of the sample.
pub(super) struct Row<'a> {
    pub fields: &'a Fields,
    pub width: usize,
    /// The line it begins in, from 0, and how many it has.
    pub line: u64,
    pub lines: u64,
    /// Whether it has a quote where none belongs, or one that never closes.
    pub is_stray: bool,
    /// Whether it has quotes or escapes.
    pub is_quoted: bool,
    /// Whether it begins as a comment would.
    pub is_comment: bool,
}

/// Reads the sample as the engine would, and shows each row. Lines of the preamble that was told of are left out.
///
/// Where the text goes on behind the sample (not `whole`), so may a field: the lines of one that `"` opened and nothing
/// closed are no rows.
pub(super) fn each_row(look: &[u8], whole: bool, reading: &Reading, mut show: impl FnMut(&Row<'_>) -> bool) {
    let parser = Parser::new(reading, MAX_RECORD_BYTES, false);
    let mut fields = Fields::default();
    let (mut at, mut line, mut given_up) = (0, 0, 0);
    while at < look.len() {
        let rest = &look[at..];
        let first_end = match reading.terminator.find(rest, true) {
            Some((content, LineEnd::Here(end))) => content + end,
            _ => rest.len(),
        };
        if line < reading.preamble_lines
            || first_end == 0
            || matches!(reading.terminator.at(rest, true), LineEnd::Here(_))
        {
            at += first_end;
            line += 1;
            continue;
        }
        let is_comment = match &reading.comment {
            Comment::Prefix(prefix) => rest.starts_with(prefix),
            Comment::None => false,
        };
        if is_comment {
            at += first_end;
            line += 1;
            continue;
        }
        let found = parser.record(rest, true, usize::saturating_sub(given_up, at), &mut fields);
        let runs_off = matches!(found, Found::Incomplete { in_quotes: true });
        if runs_off && !whole && reading.quote == Quote::Byte(b'"') {
            return;
        }
        let scan = match found {
            Found::Record(scan) if scan.lines == 1 || scan.form != Form::StrayQuotes => Some(scan),
            _ => None,
        };
        match found {
            // One that reaches far is not reached for again from each of its lines.
            Found::Record(far) if far.lines > MAX_STRAY_LINES && scan.is_none() => given_up = at + far.total,
            Found::Record(_) | Found::GivenUp => {}
            Found::Incomplete { .. } => given_up = at + rest.len().min(MAX_RECORD_BYTES),
        }
        let (length, lines) = scan.map_or((first_end, 1), |scan| (scan.total, scan.lines));
        match scan {
            Some(scan) if scan.form == Form::Canonical => parser.split(&rest[..scan.content], &mut fields),
            Some(scan) if scan.form != Form::StrayQuotes => {}
            // Its quotes say nothing; it may still be the header.
            _ => parser.split(rest[..first_end].trim_ascii_end(), &mut fields),
        }
        let row = Row {
            fields: &fields,
            width: scan.map_or(0, |scan| scan.width),
            line,
            lines,
            is_stray: scan.is_none_or(|scan| scan.form == Form::StrayQuotes),
            is_quoted: scan.is_none_or(|scan| scan.form != Form::Canonical),
            is_comment: rest.starts_with(b"#"),
        };
        if !show(&row) {
            return;
        }
        at += length;
        line += lines;
    }
}

/// Measures a reading.
pub(super) fn score(look: &[u8], whole: bool, reading: &Reading) -> Score {
    let mut widths: Vec<(usize, f64)> = Vec::new();
    let (mut rows, mut stray, mut quoted, mut needed) = (0.0, 0.0, 0.0, false);
    let (mut cells, mut known, mut numbers, mut typed, mut filled) = (0.0, 0.0, 0.0, 0.0, 0.0);
    let (mut split, mut first_width) = (0.0, 0);
    each_row(look, whole, reading, |row| {
        if row.is_comment && !reading.delimiter.starts_with(b"#") {
            return true;
        }
        rows += 1.0;
        first_width = if rows > 1.0 { first_width } else { row.width };
        stray += f64::from(u8::from(row.is_stray));
        quoted += f64::from(u8::from(row.is_quoted && !row.is_stray));
        match widths.iter_mut().find(|(width, _)| *width == row.width) {
            Some((_, count)) => *count += 1.0,
            None => widths.push((row.width, 1.0)),
        }
        split += f64::from(u8::from(reading.quote == Quote::None && splits_quotes(row.fields)));
        // Two stray quotes hold whatever stands between their lines.
        let may_need = row.is_quoted && !row.is_stray && row.lines == 1;
        for field in row.fields.iter() {
            let kind = Kind::of(field);
            cells += 1.0;
            filled += f64::from(u8::from(kind != Kind::Empty));
            needed |= may_need && memmem::find(field, &reading.delimiter).is_some();
            numbers += f64::from(u8::from(kind == Kind::Number));
            typed += f64::from(u8::from(kind.is_typed()));
            known += match kind {
                Kind::Odd if !row.is_quoted => 0.3,
                Kind::Text => 0.9,
                _ => 1.0,
            };
        }
        rows < MAX_RECORDS as f64
    });
    let Some((width, count)) = widths.iter().copied().max_by(|(_, left), (_, right)| left.total_cmp(right))
    else {
        return Score { total: 0.0, consistency: 0.0, is_single: true, is_prose: false };
    };
    let consistency = count / rows;
    let concentration: f64 = widths.iter().map(|(_, count)| (count / rows).powi(2)).sum();
    let share = |part: f64| if cells > 0.0 { part / cells } else { 0.0 };
    let (kinds, numeric) = (share(known), share(numbers));
    let total = concentration
        * columns_count_for(width, share(typed), kinds)
        * kinds.powi(2)
        * expectation(look, reading, numeric, share(filled))
        * (1.0 - 0.3 * (stray / rows))
        * (1.0 - SPLIT_QUOTES * (split / rows))
        * if !needed && stray >= 3.0 && stray > quoted { NO_QUOTES } else { 1.0 };
    let is_prose = width == 1 && first_width == 1 && is_scattered(&widths, rows);
    Score { total, consistency, is_single: width <= 1, is_prose }
}

/// Whether rows of more than one field are there, and not many of them as wide as another.
fn is_scattered(widths: &[(usize, f64)], rows: f64) -> bool {
    let wider = || widths.iter().filter(|(width, _)| *width > 1).map(|(_, count)| *count);
    let (all, most) = (wider().sum::<f64>(), wider().fold(0.0, f64::max));
    all > 0.0 && most < MAX_PROSE_SHARE * rows && (all < MIN_TABLE_ROWS || most <= MAX_ALIKE_SHARE * all)
}

/// Whether a quote opens in one field and closes in a later one.
fn splits_quotes(fields: &Fields) -> bool {
    let mut is_open = false;
    for field in fields.iter().map(<[u8]>::trim_ascii) {
        // Of an even number, each has its other half in the field itself, or means itself.
        if memchr::memchr_iter(b'"', field).count().is_multiple_of(2) {
            continue;
        }
        if is_open && field.ends_with(b"\"") {
            return true;
        }
        is_open |= field.starts_with(b"\"");
    }
    false
}

/// More columns are more evidence. One is evidence only where its fields are something whole.
fn columns_count_for(width: usize, typed: f64, kinds: f64) -> f64 {
    if width > 1 {
        return 1.0 - 1.0 / (width as f64 + 1.0);
    }
    if kinds > 0.9 && typed >= 0.5 { 0.5 } else { 0.12 }
}

/// How much a reading is to be expected before anything was read.
fn expectation(look: &[u8], reading: &Reading, numeric: f64, filled: f64) -> f64 {
    let delimiter = &reading.delimiter[..];
    let listed = DELIMITERS.iter().find(|(listed, _)| *listed == delimiter).map_or(0.5, |(_, prior)| *prior);
    let listed = match delimiter {
        // Words have spaces between them too, and columns that are lined up have many of them; times have colons.
        b" " => listed * (0.3 + 0.7 * numeric) * filled,
        b":" => listed * (0.3 + 0.7 * numeric),
        _ => listed,
    };
    let quote = match reading.quote {
        Quote::Byte(b'"') => 1.0,
        Quote::Byte(_) => 0.97,
        Quote::None => 0.4,
    };
    let escape = match reading.escape {
        crate::dialect::Escape::Doubled => 1.0,
        crate::dialect::Escape::Byte(_) => 0.995,
        crate::dialect::Escape::None => 0.9,
    };
    let whole = if is_part_of_longer(look, delimiter) { 0.8 } else { 1.0 };
    listed * quote * escape * whole
}

/// Whether a delimiter of one byte never stands but in a longer one, such as a comma before a space.
fn is_part_of_longer(look: &[u8], delimiter: &[u8]) -> bool {
    let [byte] = delimiter else { return false };
    let all = memchr::memchr_iter(*byte, look).count();
    let longer = DELIMITERS.iter().filter(|(longer, _)| longer.len() > 1 && longer.contains(byte));
    longer.into_iter().any(|(longer, _)| {
        let in_one = memchr::memchr_iter(*byte, longer).count();
        // A space is in more than delimiters.
        *byte != b' ' && all > 0 && all == in_one * memmem::find_iter(look, longer).count()
    })
}
