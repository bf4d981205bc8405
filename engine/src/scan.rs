//! Where a record ends, how many fields it has, and how far it is from its canonical form.
//!
//! The grammar is csv-core's, which the property tests hold it to: a quote opens a field only at the field's
//! start, a doubled quote inside is one quote, what follows a closing quote is taken literally, and `\n`, `\r\n`
//! and `\r` each end a record.

use bytes::BytesMut;
use memchr::{memchr, memchr_iter, memchr3};

use crate::dialect::Terminator;

/// A record found in a buffer; lengths from the record's first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Scan {
    /// Bytes without the line end.
    pub content: usize,
    /// Bytes with the line end.
    pub total: usize,
    /// Fields.
    pub width: usize,
    /// What becomes of `content` when it is parsed and written again.
    pub form: Form,
    /// Lines, line end included.
    pub lines: u64,
}

/// How far a record is from its canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Writing the parsed fields again would give the same bytes.
    Canonical,
    /// Fields have quotes that they don't need; nothing else is amiss.
    NeedlessQuotes,
    /// Quotes stand where they should not.
    StrayQuotes,
}

/// What a look into a buffer gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Record(Scan),
    /// No end is in sight, inside quotes or not: the buffer ends first, or the longest record would.
    Incomplete {
        in_quotes: bool,
    },
    /// It has joined a record that was given up before, and so has no end either.
    GivenUp,
}

/// How the text is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Grammar {
    pub delimiter: u8,
    pub quote: u8,
    /// The longest record, line end included.
    pub max_record_bytes: usize,
    /// The bytes that mean something: delimiter, quote, line ends.
    special: [bool; 256],
}

/// Fields are mostly short: so many bytes are looked at one by one before a search is begun.
const NEAR_BYTES: usize = 32;

/// Two searches take turns, each over so many bytes: the one that finds nothing must not cost more than the other.
const SEARCH_BYTES: usize = 1024;

impl Grammar {
    pub(crate) fn new(delimiter: u8, quote: u8, max_record_bytes: usize) -> Self {
        let mut special = [false; 256];
        for byte in [delimiter, quote, b'\n', b'\r'] {
            special[usize::from(byte)] = true;
        }
        Self { delimiter, quote, max_record_bytes, special }
    }

    /// Where the next byte that means something stands, or the end.
    fn next_special(&self, input: &[u8], from: usize) -> usize {
        let near = input.len().min(from + NEAR_BYTES);
        if let Some(length) = input[from..near].iter().position(|byte| self.special[usize::from(*byte)]) {
            return from + length;
        }
        let mut from = near;
        for far in input[near..].chunks(SEARCH_BYTES) {
            let length = memchr3(self.delimiter, self.quote, b'\n', far).unwrap_or(far.len());
            if let Some(length) = memchr(b'\r', &far[..length]) {
                return from + length;
            }
            if length < far.len() {
                return from + length;
            }
            from += far.len();
        }
        from
    }
}

/// Scans the records of one buffer in order, remembering how far it is to the next byte that needs care.
pub(crate) struct Scanner<'a> {
    input: &'a [u8],
    /// Whether the input ends with this buffer.
    last: bool,
    grammar: &'a Grammar,
    next_newline: usize,
    next_quote: usize,
    next_cr: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(input: &'a [u8], last: bool, grammar: &'a Grammar) -> Self {
        let first = |byte| memchr(byte, input).unwrap_or(input.len());
        let (next_newline, next_quote, next_cr) = (first(b'\n'), first(grammar.quote), first(b'\r'));
        Self { input, last, grammar, next_newline, next_quote, next_cr }
    }

    pub(crate) fn input(&self) -> &'a [u8] {
        self.input
    }

    /// Looks at the record that starts at `at`, which must not be a line end, and no further than a record may be
    /// long.
    ///
    /// A record before this one was given up after it was looked at up to `given_up`. It ran over every line's end in
    /// between, each time inside quotes, or it would have ended there. A record that is inside quotes at one of them
    /// goes on as that one did: it has no end before `given_up`, and need not be scanned to know it.
    ///
    /// Of a record of [`Form::NeedlessQuotes`], `needless` receives where those quotes stand, for [`unquote`].
    pub(crate) fn record(&mut self, at: usize, given_up: usize, needless: &mut Vec<usize>) -> Found {
        let input = self.input;
        let forward = |next: &mut usize, byte| {
            if *next < at {
                *next = memchr(byte, &input[at..]).map_or(input.len(), |i| at + i);
            }
        };
        forward(&mut self.next_newline, b'\n');
        forward(&mut self.next_quote, self.grammar.quote);
        forward(&mut self.next_cr, b'\r');
        let window_end = input.len().min(at + self.grammar.max_record_bytes);
        let last = Terminator::Any.is_whole(input, window_end, self.last, None);
        // Most records: a line without a quote, and without a `\r` but for one right before the `\n`.
        let (end, newline) = (self.next_newline.min(window_end), self.next_newline < window_end);
        let content_end = if newline && self.next_cr + 1 == end { self.next_cr } else { end };
        if self.next_quote < end || self.next_cr < content_end {
            let given_up = given_up.saturating_sub(at);
            needless.clear();
            return scan_with_care(&input[at..window_end], last, self.grammar, given_up, needless);
        }
        if !newline && !last {
            return Found::Incomplete { in_quotes: false };
        }
        let content = &input[at..content_end];
        Found::Record(Scan {
            content: content.len(),
            total: end - at + usize::from(newline),
            width: memchr_iter(self.grammar.delimiter, content).count() + 1,
            form: Form::Canonical,
            lines: 1,
        })
    }
}

/// One field at a time: for records with quotes or a bare `\r`.
fn scan_with_care(
    input: &[u8],
    last: bool,
    grammar: &Grammar,
    given_up: usize,
    needless: &mut Vec<usize>,
) -> Found {
    let (mut width, mut lines, mut stray) = (1, 1, false);
    let mut at = 0;
    loop {
        // At a field's start.
        let quoted = input.get(at) == Some(&grammar.quote);
        if quoted {
            match skip_quoted(input, at, grammar, given_up, &mut lines) {
                Ok((end, true)) => at = end,
                Ok((end, false)) => {
                    needless.extend([at, end - 1]);
                    at = end;
                }
                Err(found) => return found,
            }
        }
        // The field's rest up to what ends it.
        let start = at;
        let end = loop {
            at = grammar.next_special(input, at);
            match input.get(at) {
                Some(byte) if *byte == grammar.quote => {
                    stray = true;
                    at += 1;
                }
                end => break end,
            }
        };
        stray |= quoted && at > start;
        let total = match (end, input.get(at + 1)) {
            (Some(byte), _) if *byte == grammar.delimiter => {
                width += 1;
                at += 1;
                continue;
            }
            // Behind a `\r`, a `\n` may follow in the next buffer.
            (None | Some(b'\r'), None) if !last => return Found::Incomplete { in_quotes: false },
            (None, _) => at,
            (Some(b'\r'), Some(b'\n')) => at + 2,
            (Some(_), _) => at + 1,
        };
        let form = match (stray, needless.is_empty()) {
            (true, _) => Form::StrayQuotes,
            (false, false) => Form::NeedlessQuotes,
            (false, true) => Form::Canonical,
        };
        return Found::Record(Scan { content: at, total, width, form, lines });
    }
}

/// Where the quoted field that begins at `open` ends, and whether it needs its quotes; what is to be said of the record
/// if it doesn't close in there.
fn skip_quoted(
    input: &[u8],
    open: usize,
    grammar: &Grammar,
    given_up: usize,
    lines: &mut u64,
) -> Result<(usize, bool), Found> {
    let mut at = open + 1;
    let mut needs_quotes = false;
    loop {
        at = grammar.next_special(input, at);
        match input.get(at) {
            None => return Err(Found::Incomplete { in_quotes: true }),
            Some(byte) if *byte == grammar.quote => {
                if input.get(at + 1) != Some(&grammar.quote) {
                    return Ok((at + 1, needs_quotes));
                }
                at += 1;
            }
            Some(b'\n') if at < given_up => return Err(Found::GivenUp),
            // At the last byte that was looked at, it may have been the record's end.
            Some(b'\r') if at + 1 < given_up => return Err(Found::GivenUp),
            Some(b'\n') => *lines += 1,
            Some(_) => {}
        }
        needs_quotes = true;
        at += 1;
    }
}

/// Copies a record of [`Form::NeedlessQuotes`], given without its line end, and leaves the `needless` quotes out.
pub(crate) fn unquote(content: &[u8], needless: &[usize], quote: u8, out: &mut BytesMut) {
    let start = out.len();
    out.reserve(content.len() + 1);
    let mut from = 0;
    for &at in needless {
        out.extend_from_slice(&content[from..at]);
        from = at + 1;
    }
    out.extend_from_slice(&content[from..]);
    if out.len() == start {
        // A row of one empty field, which nothing at all would not be.
        out.extend_from_slice(&[quote; 2]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(input: &[u8], last: bool) -> Found {
        let grammar = Grammar::new(b',', b'"', 100);
        Scanner::new(input, last, &grammar).record(0, 0, &mut Vec::new())
    }

    fn record(content: usize, total: usize, width: usize, form: Form, lines: u64) -> Found {
        Found::Record(Scan { content, total, width, form, lines })
    }

    #[test]
    fn plain_lines() {
        assert_eq!(scan(b"a,b\nc", false), record(3, 4, 2, Form::Canonical, 1));
        assert_eq!(scan(b"a,b\r\nc", false), record(3, 5, 2, Form::Canonical, 1));
        assert_eq!(scan(b"a,b\rc\n", false), record(3, 4, 2, Form::Canonical, 1));
        assert_eq!(scan(b"a,b", true), record(3, 3, 2, Form::Canonical, 1));
        assert_eq!(scan(b"a,b", false), Found::Incomplete { in_quotes: false });
        assert_eq!(scan(b"a,b\r", false), Found::Incomplete { in_quotes: false });
        assert_eq!(scan(b"a,b\r", true), record(3, 4, 2, Form::Canonical, 1));
    }

    #[test]
    fn quoted_fields() {
        assert_eq!(scan(b"\"a,b\",c\n", false), record(7, 8, 2, Form::Canonical, 1));
        assert_eq!(scan(b"\"a\nb\",c\n", false), record(7, 8, 2, Form::Canonical, 2));
        assert_eq!(scan(b"\"a\"\"b\",c\n", false), record(8, 9, 2, Form::Canonical, 1));
        assert_eq!(scan(b"\"a\",c\n", false), record(5, 6, 2, Form::NeedlessQuotes, 1));
        assert_eq!(scan(b"\"a\"x,c\n", false), record(6, 7, 2, Form::StrayQuotes, 1));
        assert_eq!(scan(b"a\"b,c\n", false), record(5, 6, 2, Form::StrayQuotes, 1));
        assert_eq!(scan(b"\"a\",b\"\n", false), record(6, 7, 2, Form::StrayQuotes, 1));
        assert_eq!(scan(b"\"a", false), Found::Incomplete { in_quotes: true });
        assert_eq!(scan(b"\"a", true), Found::Incomplete { in_quotes: true });
    }

    #[test]
    fn a_quote_at_the_buffers_end_may_be_doubled_in_the_next() {
        // Taken as closed, then the field's end is missing: incomplete either way.
        assert_eq!(scan(b"x,\"a\"", false), Found::Incomplete { in_quotes: false });
    }

    #[test]
    fn what_joins_a_record_given_up_is_given_up() {
        let grammar = Grammar::new(b',', b'"', 100);
        let scan =
            |input, given_up| Scanner::new(input, false, &grammar).record(0, given_up, &mut Vec::new());
        assert_eq!(scan(b"a,\"b\nc\"\n", 5), Found::GivenUp);
        assert_eq!(scan(b"a,\"b\"\"\nc\"\n", 7), Found::GivenUp);
        // The line's end inside quotes lies beyond what is known.
        assert_eq!(scan(b"a,\"b\nc\"\n", 4), record(7, 8, 2, Form::Canonical, 2));
        assert_eq!(scan(b"a,\"b,c\"\n", 100), record(7, 8, 2, Form::Canonical, 1));
    }

    #[test]
    fn only_needless_quotes_go() {
        let grammar = Grammar::new(b',', b'"', 100);
        for (content, expected) in [
            (&b"\"a\",b,\"c,d\",\"\",\"e\"\"f\""[..], &b"a,b,\"c,d\",,\"e\"\"f\""[..]),
            (b"a,\"b\"", b"a,b"),
            (b"\"a\nb\",\"c\"", b"\"a\nb\",c"),
            (b"\"\",\"\"", b","),
            (b"\"\"", b"\"\""),
        ] {
            let mut out = BytesMut::from(&b"before"[..]);
            let mut needless = vec![7];
            let found = Scanner::new(content, true, &grammar).record(0, 0, &mut needless);
            assert!(matches!(found, Found::Record(Scan { form: Form::NeedlessQuotes, .. })), "{found:?}");
            unquote(content, &needless, b'"', &mut out);
            assert_eq!(out, [&b"before"[..], expected].concat());
        }
    }
}
