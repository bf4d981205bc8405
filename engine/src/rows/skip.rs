//! Lines that are none of the table's: the preamble, comments and blank ones.

use super::Rows;
use crate::dialect::Comment;
use crate::line_end::LineEnd;

/// What stands at a record's start.
pub(super) enum Start {
    Record,
    /// Nothing of the table's: so many bytes of a blank line, or of one that is skipped.
    Skipped(usize),
    /// What follows in the next buffer decides.
    Unknown,
}

impl Rows {
    /// Looks at the start of a line for what is no record, and skips it.
    pub(super) fn start(&mut self, input: &[u8], last: bool) -> Start {
        if self.skipping {
            return self.skip_line(input, last);
        }
        if self.preamble_left > 0 {
            self.preamble_left -= 1;
            self.tally.preamble_lines += 1;
            return self.skip_line(input, last);
        }
        // Nearly every record begins with none of these.
        if !matches!(input[0], b'\n' | b'\r') && self.reading.comment == Comment::None {
            return Start::Record;
        }
        match self.reading.terminator.at(input, last) {
            LineEnd::Here(length) => {
                self.skip(length, true);
                self.note_blank();
                return Start::Skipped(length);
            }
            LineEnd::Unknown => return Start::Unknown,
            LineEnd::No => {}
        }
        let Comment::Prefix(prefix) = &self.reading.comment else { return Start::Record };
        if !input.starts_with(prefix) {
            return if !last && prefix.starts_with(input) { Start::Unknown } else { Start::Record };
        }
        if self.reading.comment_is_found {
            let window = &input[..input.len().min(self.grammar.max_record_bytes)];
            let ends = last && window.len() == input.len();
            let line = match self.reading.terminator.find(window, ends) {
                Some((at, LineEnd::Here(_))) => Some(&window[..at]),
                _ if ends => Some(window),
                // No record is so long.
                _ if input.len() > window.len() => None,
                _ => return Start::Unknown,
            };
            let columns = self.width.or(self.reading.width);
            if line.is_some_and(|line| columns == Some(self.parser.count(line))) {
                return Start::Record;
            }
        }
        self.tally.comment_lines += 1;
        self.skip_line(input, last)
    }

    /// Skips a line as far as it is there.
    pub(super) fn skip_line(&mut self, input: &[u8], last: bool) -> Start {
        let (length, ends) = match self.reading.terminator.find(input, last) {
            Some((at, LineEnd::Here(end))) => (at + end, true),
            // The `\r` stays until what follows is there.
            Some((at, _)) => (at, false),
            None => (input.len(), last),
        };
        self.skipping = !ends;
        if length == 0 {
            return Start::Unknown;
        }
        self.skip(length, ends);
        Start::Skipped(length)
    }

    fn skip(&mut self, length: usize, ends_line: bool) {
        let measured = self.measure(length, 0);
        self.tally.spans.skipped += measured.byte_length;
        self.line += u64::from(ends_line);
    }
}
