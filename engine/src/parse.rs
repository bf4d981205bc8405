//! Any dialect: where a record ends, and its fields.
//!
//! What `scan` does for the canonical dialect without looking at the fields, this does for all of them. Told RFC 4180,
//! both read the same, which the property tests hold them to.

use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter};

use crate::dialect::{Escape, Reading, Terminator};
use crate::fields::Fields;
use crate::line_end::LineEnd;
use crate::scan::{Form, Found, Scan};

/// Reads the records of one dialect.
#[derive(Debug)]
pub(crate) struct Parser {
    delimiter: Finder<'static>,
    pub(crate) quote: Option<u8>,
    escape: Option<u8>,
    doubled: bool,
    terminator: Terminator,
    max_record_bytes: usize,
    /// Whether spaces may stand before an opening quote.
    trim: bool,
    /// The bytes that may mean something outside of quotes, and inside.
    special: [bool; 256],
    special_quoted: [bool; 256],
}

impl Parser {
    pub(crate) fn new(reading: &Reading, max_record_bytes: usize, trim: bool) -> Self {
        let quote = reading.quote.byte();
        let (escape, doubled) = match reading.escape {
            Escape::Byte(byte) if Some(byte) != quote => (Some(byte), false),
            Escape::Doubled | Escape::Byte(_) => (None, true),
            Escape::None => (None, false),
        };
        let line_ends: &[u8] = match reading.terminator {
            Terminator::Any => b"\n\r",
            Terminator::Lf => b"\n",
            Terminator::CrLf | Terminator::Cr => b"\r",
        };
        let mut special_quoted = [false; 256];
        for byte in quote.iter().chain(&escape).chain(line_ends) {
            special_quoted[usize::from(*byte)] = true;
        }
        let mut special = special_quoted;
        special[usize::from(reading.delimiter[0])] = true;
        Self {
            delimiter: Finder::new(&reading.delimiter).into_owned(),
            quote,
            escape,
            doubled,
            terminator: reading.terminator,
            max_record_bytes,
            trim,
            special,
            special_quoted,
        }
    }

    /// Looks at the record at the start of `input`, which must not be a line end, and no further than a record may be
    /// long. `given_up` is as in [`Scanner::record`](crate::scan::Scanner::record).
    ///
    /// Of a record of [`Form::Canonical`], which has no quotes and no escapes, `fields` receives nothing: see
    /// [`Parser::split`].
    pub(crate) fn record(&self, input: &[u8], last: bool, given_up: usize, fields: &mut Fields) -> Found {
        let window = &input[..input.len().min(self.max_record_bytes)];
        let last = self.terminator.is_whole(input, window.len(), last, self.escape);
        if let Some((content, LineEnd::Here(end))) = self.terminator.find(window, last) {
            let line = &window[..content];
            let is_plain = |byte: Option<u8>| byte.is_none_or(|byte| memchr(byte, line).is_none());
            if is_plain(self.quote) && is_plain(self.escape) {
                let total = content + end;
                return Found::Record(Scan {
                    content,
                    total,
                    width: self.count(line),
                    form: Form::Canonical,
                    lines: 1,
                });
            }
        }
        self.parse(window, last, given_up, None, fields)
    }

    /// How many fields a line without quotes and escapes has.
    pub(crate) fn count(&self, line: &[u8]) -> usize {
        match self.delimiter.needle() {
            [byte] => memchr_iter(*byte, line).count() + 1,
            _ => self.delimiter.find_iter(line).count() + 1,
        }
    }

    /// Takes a line without quotes and escapes apart.
    pub(crate) fn split(&self, line: &[u8], fields: &mut Fields) {
        fields.take_line(line, &self.delimiter);
    }

    /// Byte by byte: for records with quotes or escapes. The quote at `literal` is a byte as any other.
    pub(crate) fn parse(
        &self,
        input: &[u8],
        last: bool,
        given_up: usize,
        literal: Option<usize>,
        fields: &mut Fields,
    ) -> Found {
        fields.clear();
        let (mut lines, mut stray) = (1, false);
        let mut at = 0;
        loop {
            let mut quoted = false;
            let open = self.field_start(input, at);
            if self.quote.is_some() && input.get(open) == self.quote.as_ref() && literal != Some(open) {
                at = match self.quoted(input, open, (last, given_up, literal), &mut lines, fields) {
                    Ok(end) => end,
                    Err(found) => return found,
                };
                quoted = true;
            }
            let closed = at;
            let end = loop {
                let next = next(&self.special, input, at);
                fields.add(&input[at..next]);
                at = next;
                let Some(byte) = input.get(at).copied() else { break None };
                match self.outside(input, at, byte, last) {
                    Outside::Byte => {
                        stray |= Some(byte) == self.quote;
                        fields.add(&[byte]);
                        at += 1;
                    }
                    Outside::Escaped { length, line_end } => {
                        // As inside quotes, see `quoted`.
                        if line_end && at + length < given_up {
                            return Found::GivenUp;
                        }
                        lines += u64::from(line_end);
                        fields.add(&input[at + 1..=at + length]);
                        at += 1 + length;
                    }
                    Outside::Unknown => return Found::Incomplete { in_quotes: false },
                    end => break Some(end),
                }
            };
            stray |= quoted && at > closed && !self.is_blank(&input[closed..at]);
            fields.end();
            let end = match end {
                Some(Outside::Delimiter) => {
                    at += self.delimiter.needle().len();
                    continue;
                }
                Some(Outside::End(length)) => length,
                _ if last => 0,
                _ => return Found::Incomplete { in_quotes: false },
            };
            let form = if stray { Form::StrayQuotes } else { Form::NeedlessQuotes };
            return Found::Record(Scan { content: at, total: at + end, width: fields.len(), form, lines });
        }
    }

    /// Where the field's quote would stand.
    fn field_start(&self, input: &[u8], at: usize) -> usize {
        if !self.trim {
            return at;
        }
        // A tab or a space may be the delimiter: then it ends a field, and is none of the next one's.
        let delimiter = self.delimiter.needle()[0];
        let is_blank = |byte: &&u8| matches!(**byte, b' ' | b'\t') && **byte != delimiter;
        let blanks = input[at..].iter().take_while(is_blank).count();
        if self.quote.is_some() && input.get(at + blanks) == self.quote.as_ref() { at + blanks } else { at }
    }

    fn is_blank(&self, bytes: &[u8]) -> bool {
        self.trim && bytes.iter().all(|byte| matches!(byte, b' ' | b'\t'))
    }

    /// What a byte outside of quotes means.
    fn outside(&self, input: &[u8], at: usize, byte: u8, last: bool) -> Outside {
        match self.delimiter_at(&input[at..], last) {
            Some(true) => return Outside::Delimiter,
            None => return Outside::Unknown,
            Some(false) => {}
        }
        if Some(byte) == self.escape {
            return match (input.get(at + 1), self.terminator.at(&input[at + 1..], last)) {
                (None, _) if !last => Outside::Unknown,
                (_, LineEnd::Unknown) => Outside::Unknown,
                (_, LineEnd::Here(length)) => Outside::Escaped { length, line_end: true },
                (Some(next), _) if self.can_be_escaped(*next) => {
                    Outside::Escaped { length: 1, line_end: false }
                }
                _ => Outside::Byte,
            };
        }
        match self.terminator.at(&input[at..], last) {
            LineEnd::Here(length) => Outside::End(length),
            LineEnd::Unknown => Outside::Unknown,
            LineEnd::No => Outside::Byte,
        }
    }

    /// Whether the delimiter stands at the start of `input`; nothing if what follows in the next buffer decides.
    fn delimiter_at(&self, input: &[u8], last: bool) -> Option<bool> {
        let delimiter = self.delimiter.needle();
        if input.len() < delimiter.len() && !last && delimiter.starts_with(input) {
            return None;
        }
        Some(input.starts_with(delimiter))
    }

    fn can_be_escaped(&self, byte: u8) -> bool {
        Some(byte) == self.quote
            || Some(byte) == self.escape
            || byte == self.delimiter.needle()[0]
            || matches!(byte, b'\n' | b'\r')
    }

    /// Reads the quoted field that begins at `open`. Returns where it ends; what is to be said of the record if it
    /// doesn't close.
    fn quoted(
        &self,
        input: &[u8],
        open: usize,
        (last, given_up, literal): (bool, usize, Option<usize>),
        lines: &mut u64,
        fields: &mut Fields,
    ) -> Result<usize, Found> {
        let mut at = open + 1;
        loop {
            let next = next(&self.special_quoted, input, at);
            fields.add(&input[at..next]);
            at = next;
            let Some(byte) = input.get(at).copied() else {
                return Err(Found::Incomplete { in_quotes: true });
            };
            let following = input.get(at + 1).copied();
            if Some(byte) == self.quote && literal != Some(at) {
                if self.doubled && following == Some(byte) && literal != Some(at + 1) {
                    at += 1;
                } else {
                    match self.closes(&input[at + 1..], last) {
                        Some(true) => return Ok(at + 1),
                        None => return Err(Found::Incomplete { in_quotes: true }),
                        Some(false) => {}
                    }
                }
            } else if Some(byte) == self.escape {
                match following {
                    None if !last => return Err(Found::Incomplete { in_quotes: true }),
                    // The line's end itself is looked at next.
                    Some(b'\n' | b'\r') => {
                        at += 1;
                        continue;
                    }
                    Some(next) if self.can_be_escaped(next) => at += 1,
                    _ => {}
                }
            } else if matches!(byte, b'\n' | b'\r') && Some(byte) != self.quote {
                // At the last byte that was looked at, a `\r` may have been the record's end.
                if at + usize::from(byte == b'\r') < given_up
                    && self.terminator.at(&input[at..], true) != LineEnd::No
                {
                    return Err(Found::GivenUp);
                }
                *lines += u64::from(self.counts_line(byte, following));
            }
            fields.add(&input[at..=at]);
            at += 1;
        }
    }

    /// Whether a line inside quotes ends with this byte, so that each end counts once.
    fn counts_line(&self, byte: u8, following: Option<u8>) -> bool {
        match self.terminator {
            Terminator::Any | Terminator::Lf => byte == b'\n',
            Terminator::CrLf => byte == b'\r' && following == Some(b'\n'),
            Terminator::Cr => byte == b'\r',
        }
    }

    /// Whether a quote closes its field, by what follows; nothing if the next buffer decides.
    fn closes(&self, rest: &[u8], last: bool) -> Option<bool> {
        if self.doubled || self.escape.is_some() {
            return Some(true);
        }
        if rest.is_empty() {
            return last.then_some(true);
        }
        if self.delimiter_at(rest, last)? {
            return Some(true);
        }
        match self.terminator.at(rest, last) {
            LineEnd::Here(_) => Some(true),
            LineEnd::Unknown => None,
            LineEnd::No => Some(false),
        }
    }
}

/// What a byte outside of quotes means.
enum Outside {
    Delimiter,
    /// A line's end of so many bytes.
    End(usize),
    /// The next bytes, so many, are as they stand.
    Escaped {
        length: usize,
        line_end: bool,
    },
    Byte,
    /// What follows in the next buffer decides.
    Unknown,
}

/// Where the next byte that may mean something stands, or the end.
fn next(special: &[bool; 256], input: &[u8], from: usize) -> usize {
    let length = input[from..].iter().position(|byte| special[usize::from(*byte)]);
    length.map_or(input.len(), |length| from + length)
}
