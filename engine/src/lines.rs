//! Plain lines: as many fields as the table has columns, of which some may be in quotes, but no escapes, and neither quotes nor
//! line ends in a field.
//!
//! Nearly all rows of nearly all files are some. Their delimiters and ends are found by comparing many bytes at once and
//! keeping a bit of each, so that where every field ends costs little more than where the line does.

use std::ops::Range;

use crate::eight::Eight;

/// Bytes that are compared at once.
const BLOCK_BYTES: usize = 64;

/// Marks that are remembered: those of a hundred lines.
const MARKS: usize = 1024;

/// Marks that are written in one go, as nearly every block has no more.
const STRIDE: usize = 16;

/// Fewer marks than these may be too few for a line.
const MIN_MARKS: usize = 128;

/// What is around fields in the output.
const OUTPUT_QUOTE: u8 = b'"';

/// The most columns of a table whose lines are looked for: with a mark for each there is still room for a block's.
pub(crate) const MAX_COLUMNS: usize = MARKS - BLOCK_BYTES - STRIDE;

/// Finds the plain lines of one buffer, in order.
pub(crate) struct Lines<'a> {
    input: &'a [u8],
    /// What stands between fields.
    delimiter: u8,
    /// What may be around them, and what takes the meaning from the next byte.
    quote: Option<u8>,
    escape: Option<u8>,
    /// How far marks were looked for.
    looked: usize,
    /// Where they are: those from `next` up to `end` are still to come.
    marks: [usize; MARKS],
    next: usize,
    end: usize,
    /// Where the line that was found last ends, and how many marks it has: whoever wanted it may not have taken it.
    found: (usize, usize),
    /// Where the fields of a line end that has quotes.
    ends: Vec<usize>,
}

/// A plain line.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    input: &'a [u8],
    start: usize,
    /// Where each field ends.
    ends: &'a [usize],
    /// Whether fields may be in quotes.
    pub(crate) is_quoted: bool,
    /// What is between them.
    pub(crate) delimiter: u8,
    /// Behind the line's end.
    pub(crate) end: usize,
}

impl<'a> Lines<'a> {
    /// Of a buffer whose fields have `delimiter` between them. Lines with quotes are looked for only where those are the
    /// output's, `"`.
    pub(crate) fn new(input: &'a [u8], delimiter: u8, quote: Option<u8>, escape: Option<u8>) -> Self {
        Self {
            input,
            delimiter,
            quote,
            escape,
            looked: 0,
            marks: [0; MARKS],
            next: 0,
            end: 0,
            found: (0, 0),
            ends: Vec::new(),
        }
    }

    pub(crate) fn input(&self) -> &'a [u8] {
        self.input
    }

    /// The line that starts at `at`, if it is a plain one of `width` fields, and its end is there. Lines are asked for in
    /// order, perhaps more than once.
    pub(crate) fn line(&mut self, at: usize, width: usize) -> Option<Line<'_>> {
        let (end, marks) = std::mem::take(&mut self.found);
        if at >= end {
            self.next += marks;
        }
        while self.next < self.end && self.marks[self.next] < at {
            self.next += 1;
        }
        // With quotes a field has three marks, and more if delimiters are in it.
        let wanted = (4 * width).clamp(MIN_MARKS, MARKS / 2).max(width);
        if self.end - self.next <= wanted && self.looked < self.input.len() {
            self.look(at);
        }
        let is_quoted = !self.has_no_quotes(width);
        let marks = if is_quoted { self.find_ends(at, width)? } else { width };
        let ends = if is_quoted { &self.ends } else { self.marks.get(self.next..self.next + width)? };
        let last = *ends.last()?;
        let length = match (self.input[last], self.input.get(last + 1)) {
            (b'\n', _) => 1,
            (b'\r', Some(b'\n')) => 2,
            _ => return None,
        };
        let end = last + length;
        // The mark of a `\n` behind a `\r` may not be known yet: it is passed over as those of other lines are.
        self.found = (end, marks);
        Some(Line { input: self.input, start: at, ends, is_quoted, delimiter: self.delimiter, end })
    }

    /// Whether so many fields come that have no quotes: whether every mark but the last one's is a delimiter.
    fn has_no_quotes(&self, width: usize) -> bool {
        let marks = self.marks[self.next..self.end].get(..width);
        let Some((last, others)) = marks.and_then(<[usize]>::split_last) else { return false };
        self.input[*last] != OUTPUT_QUOTE && others.iter().all(|mark| self.input[*mark] == self.delimiter)
    }

    /// Finds where the fields of the line end that starts at `at`, some of which are in quotes. Returns how many marks that
    /// takes; nothing if one stands where it may not, or there are too few.
    fn find_ends(&mut self, at: usize, width: usize) -> Option<usize> {
        if self.quote != Some(OUTPUT_QUOTE) {
            return None;
        }
        self.ends.clear();
        let mut start = at;
        let mut marks = self.marks[self.next..self.end].iter();
        while self.ends.len() < width {
            let mut end = *marks.next()?;
            if self.input[end] == OUTPUT_QUOTE {
                let is_at_start = end == start;
                end = *marks.find(|mark| self.input[**mark] != self.delimiter)?;
                if !is_at_start || self.input[end] != OUTPUT_QUOTE || *marks.next()? != end + 1 {
                    return None;
                }
                end += 1;
            }
            if self.ends.len() + 1 < width && self.input[end] != self.delimiter {
                return None;
            }
            self.ends.push(end);
            start = end + 1;
        }
        Some(self.end - self.next - marks.len())
    }

    /// Looks for more marks, from `at` on.
    fn look(&mut self, at: usize) {
        if self.next == self.end {
            self.looked = self.looked.max(at);
        }
        self.marks.copy_within(self.next..self.end, 0);
        self.end -= self.next;
        self.next = 0;
        let or_none = |byte: Option<u8>| byte.unwrap_or(self.delimiter);
        // What is quoted where it is written is looked at, too, whatever the file's quote.
        let bytes = [self.delimiter, or_none(self.quote), or_none(self.escape), OUTPUT_QUOTE];
        while self.end <= MARKS - BLOCK_BYTES - STRIDE && self.looked < self.input.len() {
            let rest = &self.input[self.looked..];
            let bits = if let Some(block) = rest.first_chunk() {
                bits(block, bytes)
            } else {
                let mut block = [0; BLOCK_BYTES];
                block[..rest.len()].copy_from_slice(rest);
                bits(&block, bytes) & !(u64::MAX << rest.len())
            };
            self.keep(bits);
            self.looked += BLOCK_BYTES;
        }
    }

    /// Remembers the marks of a block.
    fn keep(&mut self, mut bits: u64) {
        let marks = &mut self.marks[self.end..];
        self.end += bits.count_ones() as usize;
        let mut keep = |marks: &mut [usize]| {
            for mark in marks {
                *mark = self.looked + bits.trailing_zeros() as usize;
                bits &= bits.wrapping_sub(1);
            }
            bits != 0
        };
        // Without looking whether there is one more each time, which nobody could foretell.
        for stride in marks.chunks_exact_mut(STRIDE) {
            if !keep(stride) {
                break;
            }
        }
    }
}

impl<'a> Line<'a> {
    fn range(&self, first: usize, last: usize) -> Range<usize> {
        let start = if first == 0 { self.start } else { self.ends[first - 1] + 1 };
        start..self.ends[last]
    }

    /// The line with its end.
    pub(crate) fn record(&self) -> &'a [u8] {
        &self.input[self.start..self.end]
    }

    /// The line without its end.
    pub(crate) fn text(&self) -> &'a [u8] {
        self.run(0, self.ends.len() - 1)
    }

    /// A field's text.
    pub(crate) fn field(&self, at: usize) -> &'a [u8] {
        &self.input[self.inner(at)]
    }

    /// Where a field's text is.
    fn inner(&self, at: usize) -> Range<usize> {
        let range = self.range(at, at);
        if self.is_quoted && self.input[range.start] == OUTPUT_QUOTE {
            range.start + 1..range.end - 1
        } else {
            range
        }
    }

    /// A field of up to eight bytes.
    pub(crate) fn eight(&self, at: usize) -> Option<Eight> {
        let range = self.inner(at);
        Eight::ending(&self.input[..range.end], range.len())
    }

    /// A field as it is written: in quotes only if the delimiter is in it.
    pub(crate) fn written(&self, at: usize) -> &'a [u8] {
        let text = self.field(at);
        if self.is_quoted && text.contains(&self.delimiter) { self.run(at, at) } else { text }
    }

    /// Fields with what is between them.
    pub(crate) fn run(&self, first: usize, last: usize) -> &'a [u8] {
        &self.input[self.range(first, last)]
    }

    /// Where each field ends, from the line's start.
    pub(crate) fn ends(&self) -> impl ExactSizeIterator<Item = usize> {
        self.ends.iter().map(|end| end - self.start)
    }
}

/// Which bytes of a block are a line's end or one of `bytes`: a bit of each, the first byte's the lowest.
fn bits(block: &[u8; BLOCK_BYTES], bytes: [u8; 4]) -> u64 {
    let mut hits = [0; BLOCK_BYTES];
    for (hit, byte) in hits.iter_mut().zip(block) {
        let is_line_end = u8::from(*byte == b'\n') | u8::from(*byte == b'\r');
        *hit = is_line_end
            | u8::from(*byte == bytes[0])
            | u8::from(*byte == bytes[1])
            | u8::from(*byte == bytes[2])
            | u8::from(*byte == bytes[3]);
    }
    let (eights, _) = hits.as_chunks();
    eights.iter().enumerate().fold(0, |bits, (at, eight)| {
        // Moves the lowest bit of each byte into the highest byte.
        bits | (u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56) << (8 * at)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The lines of a text that are plain, and the fields of each.
    fn plain(text: &str, width: usize, quote: u8) -> Vec<Vec<String>> {
        let mut lines = Lines::new(text.as_bytes(), b';', Some(quote), Some(b'\\'));
        let (mut at, mut plain) = (0, Vec::new());
        while let Some(length) = text[at..].find('\n') {
            if let Some(line) = lines.line(at, width) {
                assert_eq!(line.record(), &text.as_bytes()[at..=at + length]);
                let field = |at| String::from_utf8(line.field(at).to_vec()).unwrap();
                plain.push((0..width).map(field).collect());
                assert_eq!(line.ends().last(), Some(line.text().len()));
            }
            at += length + 1;
        }
        plain
    }

    fn expected(text: &str, width: usize, quote: u8) -> Vec<Vec<String>> {
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let lines = whole.split_inclusive('\n').map(|line| line.strip_suffix('\n').unwrap_or(line));
        let lines = lines.map(|line| line.strip_suffix('\r').unwrap_or(line));
        let lines = lines.filter(|line| !line.contains(['\'', '\\', '\r']));
        let lines = lines.filter(|line| quote == b'"' || !line.contains('"'));
        lines.filter_map(split).filter(|line| line.len() == width).collect()
    }

    /// The fields of a line, if no quote stands in one.
    fn split(line: &str) -> Option<Vec<String>> {
        let (mut rest, mut fields) = (line, Vec::new());
        loop {
            let (field, behind) = match rest.strip_prefix('"') {
                Some(quoted) => quoted.split_once('"')?,
                None => rest.split_at(rest.find(';').unwrap_or(rest.len())),
            };
            fields.push(Some(field.to_owned()).filter(|field| !field.contains('"'))?);
            match behind.strip_prefix(';') {
                Some(next) => rest = next,
                None => return behind.is_empty().then_some(fields),
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn they_are_those_that_splitting_gives(
            lines in prop::collection::vec(
                prop_oneof![
                    "[ab;]{0,9}|[a;]{60,70}|a;b;'?[a\\\\]{0,3}|a;[a\r]{0,2};b|;;",
                    "((\"[a;]{0,3}\"|a?|a\"|\"a\"\"\"|\"a\"b|\");){0,2}(\"[a;]{0,70}\"|b|\")",
                ],
                0..40,
            ),
            width in 1usize..5,
            ends in prop::collection::vec(prop::sample::select(vec!["\n", "\r\n"]), 1..3),
            quote in prop::sample::select(vec![b'"', b'\'']),
        ) {
            let lines = lines.iter().zip(ends.iter().cycle());
            let text: String = lines.flat_map(|(line, end)| [line.as_str(), end]).collect();
            let text = if quote == b'"' { text.replace('\'', "a") } else { text };
            prop_assert_eq!(plain(&text, width, quote), expected(&text, width, quote));
            prop_assert_eq!(plain(text.trim_end(), width, quote), expected(text.trim_end(), width, quote));
        }
    }

    #[test]
    fn more_marks_than_are_remembered() {
        for width in [1, 2, 63, 64, 65, 500, MAX_COLUMNS] {
            let line = format!("{}\n", vec!["x"; width].join(";"));
            let empty = format!("{}\n", ";".repeat(width - 1));
            let quoted = format!("\"{}\"\n", vec!["x;"; width].join("\";\""));
            let text = [line, empty].concat().repeat(9000 / width + 2);
            assert_eq!(plain(&text, width, b'"'), expected(&text, width, b'"'), "{width}");
            // With quotes a line has three times as many marks and more.
            if width < MAX_COLUMNS / 4 {
                let text = quoted.repeat(3000 / width + 2);
                assert_eq!(plain(&text, width, b'"'), expected(&text, width, b'"'), "{width}");
            }
        }
    }

    /// The last mark that is known may be the `\r` of a line.
    #[test]
    fn a_line_may_take_all_marks_that_are_known() {
        for inside in 800..1100 {
            let text = format!("a;b\r\nx;\"{}\"\r\ny;z\r\n", ";".repeat(inside));
            let mut lines = Lines::new(text.as_bytes(), b';', Some(b'"'), None);
            let mut at = 0;
            for row in text.split_inclusive('\n') {
                let line = lines.line(at, 2).map(|line| line.record());
                assert!(line == Some(row.as_bytes()) || (line.is_none() && row.len() > 900), "{inside}");
                at += row.len();
            }
        }
        let words = ["w"; 300].join(";");
        let text = format!("1;\"{words}\";4\r\n").repeat(3000);
        assert!(plain(&text, 3, b'"').len() > 2500);
    }

    #[test]
    fn lines_that_another_reader_takes_are_passed_over() {
        let text = format!("a;b\n'{}'\nc;d\n", "x;\n".repeat(5000));
        let mut lines = Lines::new(text.as_bytes(), b';', Some(b'\''), None);
        assert_eq!(lines.line(0, 2).map(|line| line.field(1)), Some(&b"b"[..]));
        assert!(lines.line(4, 2).is_none());
        let last = text.len() - 4;
        for _ in 0..2 {
            let line = lines.line(last, 2).map(|line| (line.field(0).to_vec(), line.end));
            assert_eq!(line, Some((b"c".to_vec(), text.len())));
        }
        assert!(lines.line(text.len(), 2).is_none());
    }
}
