//! What the first bytes say of a dialect.
//!
//! Each candidate reads the sample as the engine would. The best gives rows of the same width (the consistency measure
//! of van den Burg, Nazábal and Sutton, 2019, in a simpler form), whose fields look like something, with no quote
//! where none belongs. [`candidate`] says which are tried, [`score`] how they are measured, [`shape`] where the table
//! begins and whether it has names.

mod candidate;
mod kind;
mod score;
mod shape;

use memchr::{memchr2_iter, memrchr2};

use crate::dialect::{Comment, Escape, Quote, Reading, Terminator, Told};
use candidate::{absent_delimiter, candidates};
use kind::Kind;
use score::{Score, score};

/// More text than this says nothing new of quotes and delimiters, unless its lines are very long.
const LOOK_BYTES: usize = 128 * 1024;
const MIN_LINES: usize = 32;

/// What was found, and how sure it is, out of a hundred.
#[derive(Debug, Clone)]
pub(crate) struct Sniffed {
    pub reading: Reading,
    pub structure: u8,
    pub header: u8,
}

/// Completes what was told by what the text's first bytes say; `whole` if there are no more.
pub(crate) fn sniff(sample: &[u8], whole: bool, told: &Told) -> Sniffed {
    let delimiter = told.delimiter.clone().filter(|delimiter| !delimiter.is_empty());
    let told = &Told { delimiter, ..told.clone() };
    let is_told = told.delimiter.is_some() && told.quote.is_some() && told.escape.is_some();
    let is_shaped = told.header_lines.is_some() && told.preamble_lines.is_some() && told.comment.is_some();
    let reading = Reading {
        delimiter: told.delimiter.clone().unwrap_or_else(|| b",".to_vec()),
        quote: told.quote.unwrap_or(Quote::Byte(b'"')),
        escape: told.escape.unwrap_or(Escape::Doubled),
        terminator: told.terminator.unwrap_or(Terminator::Any),
        comment: told.comment.clone().unwrap_or(Comment::None),
        comment_is_found: false,
        header_lines: told.header_lines.unwrap_or(1),
        preamble_lines: told.preamble_lines.unwrap_or(0),
        finds_footnotes: told.footnote_lines.is_none(),
        width: None,
    };
    let (look, whole) = lines_of(sample, whole);
    // How wide the rows are is looked at even where all else is told.
    if look.is_empty() || (is_told && is_shaped && told.trusts_header) {
        let sure = |is_told| if is_told { 100 } else { 0 };
        let header = sure(told.header_lines.is_some());
        return Sniffed { reading, structure: sure(is_told), header };
    }
    let mut scored: Vec<(Reading, Score)> = candidates(look, told, &reading)
        .into_iter()
        .map(|candidate| {
            let score = score(look, whole, &candidate);
            (candidate, score)
        })
        .collect();
    scored.sort_by(|(_, left), (_, right)| right.total.total_cmp(&left.total));
    let second = scored.iter().find(|(reading, _)| reading.delimiter != scored[0].0.delimiter);
    let second = second.map_or(0.0, |(_, score)| score.total);
    let Some((mut best, score)) = scored.into_iter().next() else {
        return Sniffed { reading, structure: 0, header: 0 };
    };
    if score.is_prose
        && told.delimiter.is_none()
        && let Some(absent) = absent_delimiter(look)
    {
        best.delimiter = absent.to_vec();
    }
    let structure = if is_told { 100 } else { score.confidence(second) };
    let shaped = shape::shape(look, whole, best, told);
    Sniffed { structure, ..shaped }
}

/// Whether a field is text, and neither a number nor a date nor nothing.
pub(crate) fn is_prose(field: &[u8]) -> bool {
    matches!(Kind::of(field), Kind::Text | Kind::Odd | Kind::Address)
}

/// The sample's whole lines, not too many of them, and whether there are no others.
fn lines_of(sample: &[u8], whole: bool) -> (&[u8], bool) {
    let few = &sample[..sample.len().min(LOOK_BYTES)];
    let many = memchr2_iter(b'\n', b'\r', few).take(MIN_LINES).count() == MIN_LINES;
    let look = if many { few } else { sample };
    if whole && look.len() == sample.len() {
        return (look, true);
    }
    match memrchr2(b'\n', b'\r', look) {
        Some(end) => (&look[..=end], false),
        None => (look, false),
    }
}
