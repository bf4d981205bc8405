//! Where a record ends, how many fields it has, and whether it is canonical already.
//!
//! The grammar is csv-core's, which the property tests hold it to: a quote opens a field only at the field's
//! start, a doubled quote inside is one quote, what follows a closing quote is taken literally, and `\n`, `\r\n`
//! and `\r` each end a record.

use memchr::{memchr, memchr_iter, memchr3};

/// A record found in a buffer; lengths from the record's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Bytes without the line end.
    pub content: usize,
    /// Bytes with the line end.
    pub total: usize,
    /// Fields.
    pub width: usize,
    /// Whether writing the parsed fields again would give `content` back.
    pub canonical: bool,
    /// Lines, line end included.
    pub lines: u64,
}

/// What a look into a buffer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Record(Scan),
    /// The buffer ends inside the record, and inside quotes or not.
    Incomplete {
        in_quotes: bool,
    },
}

/// Scans the records of one buffer in order, remembering how far it is to the next byte that needs care.
pub(crate) struct Scanner<'a> {
    input: &'a [u8],
    /// Whether the input ends with this buffer.
    last: bool,
    delimiter: u8,
    quote: u8,
    next_quote: usize,
    next_cr: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(input: &'a [u8], last: bool, delimiter: u8, quote: u8) -> Self {
        let next_quote = memchr(quote, input).unwrap_or(input.len());
        let next_cr = memchr(b'\r', input).unwrap_or(input.len());
        Self { input, last, delimiter, quote, next_quote, next_cr }
    }

    /// Looks at the record that starts at `at`, which must not be a line end.
    pub(crate) fn record(&mut self, at: usize) -> Found {
        let rest = &self.input[at..];
        if self.next_quote < at {
            self.next_quote = memchr(self.quote, rest).map_or(self.input.len(), |i| at + i);
        }
        if self.next_cr < at {
            self.next_cr = memchr(b'\r', rest).map_or(self.input.len(), |i| at + i);
        }
        let newline = memchr(b'\n', rest).map(|i| at + i);
        let end = match newline {
            Some(end) => end,
            None if self.last => self.input.len(),
            None if self.next_quote == self.input.len() && self.next_cr == self.input.len() => {
                return Found::Incomplete { in_quotes: false };
            }
            None => return scan_with_care(rest, self.last, self.delimiter, self.quote),
        };
        // Most records: a line without a quote, and without a `\r` but for one right before the `\n`.
        let content_end = if self.next_cr + 1 == end && newline.is_some() { self.next_cr } else { end };
        if self.next_quote < end || self.next_cr < content_end {
            return scan_with_care(rest, self.last, self.delimiter, self.quote);
        }
        let content = &self.input[at..content_end];
        Found::Record(Scan {
            content: content.len(),
            total: end - at + usize::from(newline.is_some()),
            width: memchr_iter(self.delimiter, content).count() + 1,
            canonical: true,
            lines: 1,
        })
    }
}

/// One field at a time: for records with quotes or a bare `\r`.
fn scan_with_care(input: &[u8], last: bool, delimiter: u8, quote: u8) -> Found {
    let mut width = 1;
    let mut canonical = true;
    let mut lines = 1;
    let mut at = 0;
    loop {
        // At a field's start.
        let mut quoted = None;
        if input.get(at) == Some(&quote) {
            let Some(field) = scan_quoted(&input[at..], delimiter, quote) else {
                return Found::Incomplete { in_quotes: true };
            };
            at += field.length;
            lines += field.newlines;
            canonical &= field.needs_quotes;
            quoted = Some(at);
        }
        // The field's rest up to what ends it.
        let Some(length) = memchr3(delimiter, b'\n', b'\r', &input[at..]) else {
            if !last {
                return Found::Incomplete { in_quotes: false };
            }
            canonical &= is_canonical_rest(&input[at..], quote, quoted.is_some());
            return Found::Record(Scan { content: input.len(), total: input.len(), width, canonical, lines });
        };
        canonical &= is_canonical_rest(&input[at..at + length], quote, quoted.is_some());
        at += length;
        if input[at] == delimiter {
            width += 1;
            at += 1;
            continue;
        }
        let total = match (input[at], input.get(at + 1)) {
            (b'\r', Some(b'\n')) => at + 2,
            // A `\n` may follow in the next buffer.
            (b'\r', None) if !last => return Found::Incomplete { in_quotes: false },
            _ => at + 1,
        };
        return Found::Record(Scan { content: at, total, width, canonical, lines });
    }
}

/// Whether the unquoted bytes of a field would be written as they stand.
fn is_canonical_rest(rest: &[u8], quote: u8, after_quotes: bool) -> bool {
    if after_quotes { rest.is_empty() } else { memchr(quote, rest).is_none() }
}

struct Quoted {
    /// Bytes from the opening to the closing quote.
    length: usize,
    newlines: u64,
    /// Whether the content could not stand without quotes.
    needs_quotes: bool,
}

/// The quoted field that `input` starts with; nothing if it doesn't close in there.
fn scan_quoted(input: &[u8], delimiter: u8, quote: u8) -> Option<Quoted> {
    let mut at = 1;
    let mut doubled = false;
    loop {
        at += memchr(quote, &input[at..])? + 1;
        if input.get(at) != Some(&quote) {
            break;
        }
        doubled = true;
        at += 1;
    }
    let content = &input[1..at - 1];
    Some(Quoted {
        length: at,
        newlines: memchr_iter(b'\n', content).count() as u64,
        needs_quotes: doubled || memchr3(delimiter, b'\n', b'\r', content).is_some(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(input: &[u8], last: bool) -> Found {
        Scanner::new(input, last, b',', b'"').record(0)
    }

    fn record(content: usize, total: usize, width: usize, canonical: bool, lines: u64) -> Found {
        Found::Record(Scan { content, total, width, canonical, lines })
    }

    #[test]
    fn plain_lines() {
        assert_eq!(scan(b"a,b\nc", false), record(3, 4, 2, true, 1));
        assert_eq!(scan(b"a,b\r\nc", false), record(3, 5, 2, true, 1));
        assert_eq!(scan(b"a,b\rc\n", false), record(3, 4, 2, true, 1));
        assert_eq!(scan(b"a,b", true), record(3, 3, 2, true, 1));
        assert_eq!(scan(b"a,b", false), Found::Incomplete { in_quotes: false });
        assert_eq!(scan(b"a,b\r", false), Found::Incomplete { in_quotes: false });
        assert_eq!(scan(b"a,b\r", true), record(3, 4, 2, true, 1));
    }

    #[test]
    fn quoted_fields() {
        assert_eq!(scan(b"\"a,b\",c\n", false), record(7, 8, 2, true, 1));
        assert_eq!(scan(b"\"a\nb\",c\n", false), record(7, 8, 2, true, 2));
        assert_eq!(scan(b"\"a\"\"b\",c\n", false), record(8, 9, 2, true, 1));
        assert_eq!(scan(b"\"a\",c\n", false), record(5, 6, 2, false, 1));
        assert_eq!(scan(b"\"a\"x,c\n", false), record(6, 7, 2, false, 1));
        assert_eq!(scan(b"a\"b,c\n", false), record(5, 6, 2, false, 1));
        assert_eq!(scan(b"\"a", false), Found::Incomplete { in_quotes: true });
        assert_eq!(scan(b"\"a", true), Found::Incomplete { in_quotes: true });
    }

    #[test]
    fn a_quote_at_the_buffers_end_may_be_doubled_in_the_next() {
        // Taken as closed, then the field's end is missing: incomplete either way.
        assert_eq!(scan(b"x,\"a\"", false), Found::Incomplete { in_quotes: false });
    }
}
