//! Records into kept rows and rejections: a pure push machine, without I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use memchr::memchr2;

use crate::outputs::Outputs;
use crate::recode::Recoder;
use crate::rejection::{CUT_BYTES, Message, Raw, Rejection};
use crate::scan::{Form, Found, Grammar, Scan, Scanner, unquote};
use crate::{BadFile, Counts, EngineError, Reason, Spans};

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What [`Rows`] has seen so far.
#[derive(Debug, Clone)]
pub(crate) struct Tally {
    pub counts: Counts,
    pub spans: Spans,
    pub by_reason: BTreeMap<Reason, u64>,
    pub bom: bool,
    pub terminator: Option<&'static str>,
    pub header: bool,
    /// Whether every row written so far is valid UTF-8.
    pub utf8: bool,
}

/// Splits text into records, keeps those as wide as the header, sets the others aside.
pub(crate) struct Rows {
    grammar: Arc<Grammar>,
    /// Where the quotes stand that the record being looked at does not need.
    needless: Vec<usize>,
    /// Fields of the header, once it was read.
    width: Option<usize>,
    recoder: Recoder,
    /// Where in the text the next byte stands.
    offset: u64,
    line: u64,
    /// A rejected region whose end has not been seen yet.
    open: Option<Region>,
    /// Up to here, no record ends that runs over a line's end inside quotes. It keeps a file whose every line opens
    /// a quote from being scanned once a line.
    given_up: u64,
    pub(crate) tally: Tally,
}

/// A rejected region in the making.
struct Region {
    line: u64,
    byte_offset: u64,
    byte_length: u64,
    reason: Reason,
    raw: Vec<u8>,
}

/// How far [`Rows::advance`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Bytes taken.
    pub used: usize,
    /// Whether it stopped because rejects are to be taken away first: call again with the rest as it is.
    pub full: bool,
}

/// Rejects that gather before they are to be taken away. A row of two bytes makes nearly two hundred.
pub(crate) const MAX_REJECTS_BYTES: usize = 1024 * 1024;

impl Rows {
    pub(crate) fn new(grammar: Grammar) -> Self {
        Self {
            needless: Vec::new(),
            width: None,
            recoder: Recoder::new(grammar.delimiter, grammar.quote),
            grammar: Arc::new(grammar),
            offset: 0,
            line: 1,
            open: None,
            given_up: 0,
            tally: Tally {
                counts: Counts::default(),
                spans: Spans::default(),
                by_reason: BTreeMap::new(),
                bom: false,
                terminator: None,
                header: false,
                utf8: true,
            },
        }
    }

    /// Whether nothing has been taken yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.offset == 0
    }

    /// Takes the whole records at the start of `input`; the caller brings the rest again, with more behind it. With
    /// `last`, nothing more comes and everything is taken, unless the outputs are full before.
    ///
    /// The first call must bring at least three bytes unless it is the last.
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        last: bool,
        out: &mut Outputs,
    ) -> Result<Progress, EngineError> {
        let base = self.offset;
        let mut at = 0;
        if base == 0 && input.starts_with(BOM) {
            self.tally.bom = true;
            self.tally.spans.skipped += BOM.len() as u64;
            at = BOM.len();
        }
        let grammar = Arc::clone(&self.grammar);
        let mut scanner = Scanner::new(input, last, &grammar);
        // Rows whose bytes stay as they are gather here and are copied at once.
        let mut run = at..at;
        let mut full = false;
        while at < input.len() {
            self.offset = base + at as u64;
            full = out.rejects.len() >= MAX_REJECTS_BYTES;
            if full {
                break;
            }
            if self.open.is_some() {
                let length = self.extend_region(&input[at..], last, out)?;
                at += length;
                run = at..at;
                if length == 0 {
                    break;
                }
                continue;
            }
            if matches!(input[at], b'\n' | b'\r') {
                if input[at] == b'\r' && at + 1 == input.len() && !last {
                    break;
                }
                self.keep(&input[run], out);
                at += self.skip_blank(&input[at..]);
                run = at..at;
                continue;
            }
            let given_up = usize::try_from(self.given_up.saturating_sub(base)).unwrap_or(usize::MAX);
            let scan = match scanner.record(at, given_up, &mut self.needless) {
                Found::Record(scan) => scan,
                Found::Incomplete { .. } if !last && input.len() - at <= self.grammar.max_record_bytes => {
                    break;
                }
                found => {
                    self.keep(&input[run], out);
                    self.open_region(found, input.len() - at)?;
                    run = at..at;
                    continue;
                }
            };
            let record = &input[at..at + scan.total];
            at += scan.total;
            if self.takes_verbatim(&scan, record) {
                run.end = at;
                continue;
            }
            self.keep(&input[run], out);
            self.take(&scan, record, out)?;
            run = at..at;
        }
        self.keep(&input[run], out);
        self.offset = base + at as u64;
        if last && !full {
            // A region that was open at the end of the text ends with it.
            self.extend_region(&[], true, out)?;
        }
        Ok(Progress { used: at, full })
    }

    /// Counts a row whose very bytes can go to the output, and says so.
    fn takes_verbatim(&mut self, scan: &Scan, record: &[u8]) -> bool {
        let verbatim = self.width == Some(scan.width)
            && scan.form == Form::Canonical
            && scan.total == scan.content + 1
            && record.ends_with(b"\n");
        if verbatim {
            self.tally.counts.rows_in += 1;
            self.tally.counts.rows_out += 1;
            self.tally.spans.kept += scan.total as u64;
            self.line += scan.lines;
        }
        verbatim
    }

    /// Takes any other record: the header, a row that must be written anew, or one to set aside.
    fn take(&mut self, scan: &Scan, record: &[u8], out: &mut Outputs) -> Result<(), EngineError> {
        let content = &record[..scan.content];
        let Some(width) = self.width else {
            return self.take_header(scan, record, out);
        };
        self.tally.counts.rows_in += 1;
        if scan.width == width {
            self.tally.counts.rows_out += 1;
            self.tally.spans.kept += scan.total as u64;
            self.line += scan.lines;
            return self.write(scan, content, out);
        }
        let reason = if scan.width < width { Reason::TooFewFields } else { Reason::TooManyFields };
        let rejection = Rejection {
            line: self.line,
            lines: scan.lines,
            byte_offset: self.offset,
            byte_length: scan.total as u64,
            column: None,
            reason,
            message: Message::Width { header: width, row: scan.width },
            raw: Raw::whole(record),
        };
        self.line += scan.lines;
        self.reject(&rejection, out)
    }

    fn take_header(&mut self, scan: &Scan, record: &[u8], out: &mut Outputs) -> Result<(), EngineError> {
        self.width = Some(scan.width);
        self.tally.header = true;
        self.tally.spans.header += scan.total as u64;
        self.tally.terminator = match &record[scan.content..] {
            b"\r\n" => Some("\r\n"),
            b"\n" => Some("\n"),
            b"\r" => Some("\r"),
            _ => None,
        };
        self.line += scan.lines;
        self.write(scan, &record[..scan.content], out)
    }

    /// Writes one record in canonical form.
    fn write(&mut self, scan: &Scan, content: &[u8], out: &mut Outputs) -> Result<(), EngineError> {
        let start = out.text.len();
        match scan.form {
            Form::Canonical => out.text.extend_from_slice(content),
            Form::NeedlessQuotes => unquote(content, &self.needless, self.grammar.quote, &mut out.text),
            Form::StrayQuotes => {
                let width = self.recoder.recode(content, &mut out.text)?;
                if width != scan.width {
                    return Err(EngineError::Internal(format!(
                        "line {}: the scanner sees {} fields, csv-async {width}",
                        self.line, scan.width
                    )));
                }
            }
        }
        if scan.form != Form::StrayQuotes {
            out.text.extend_from_slice(b"\n");
        }
        self.note_encoding(&out.text[start..]);
        Ok(())
    }

    /// Appends rows that stay as they are; they were counted one by one.
    fn keep(&mut self, run: &[u8], out: &mut Outputs) {
        if !run.is_empty() {
            self.note_encoding(run);
            out.keep(run);
        }
    }

    /// One byte that is not UTF-8 settles it: no more need be looked at.
    fn note_encoding(&mut self, written: &[u8]) {
        self.tally.utf8 = self.tally.utf8 && simdutf8::basic::from_utf8(written).is_ok();
    }

    /// Skips one blank line.
    fn skip_blank(&mut self, input: &[u8]) -> usize {
        let length = if input.starts_with(b"\r\n") { 2 } else { 1 };
        self.tally.spans.skipped += length as u64;
        self.line += 1;
        length
    }

    /// Begins to reject a record that is too long or whose quote never closes: its first line, no more, so that
    /// what follows is read as rows again. `available` bytes were there to look for its end in.
    fn open_region(&mut self, found: Found, available: usize) -> Result<(), EngineError> {
        let reason = match found {
            Found::Incomplete { in_quotes: false } | Found::Record(_) => Reason::RecordTooLong,
            Found::Incomplete { in_quotes: true } | Found::GivenUp => Reason::UnclosedQuote,
        };
        if found != Found::GivenUp {
            self.given_up = self.offset + available.min(self.grammar.max_record_bytes) as u64;
        }
        if self.width.is_none() {
            let what = match reason {
                Reason::UnclosedQuote => "a quote opens in the header and never closes".to_owned(),
                _ => format!(
                    "the header is longer than {} bytes, the most a record may have",
                    self.grammar.max_record_bytes
                ),
            };
            return Err(BadFile::new("unreadable_header", what).at_line(self.line).into());
        }
        self.open = Some(Region {
            line: self.line,
            byte_offset: self.offset,
            byte_length: 0,
            reason,
            raw: Vec::new(),
        });
        Ok(())
    }

    /// Takes the bytes up to the line's end into the open region, and closes it there. Returns how many.
    fn extend_region(&mut self, input: &[u8], last: bool, out: &mut Outputs) -> Result<usize, EngineError> {
        let Some(mut region) = self.open.take() else { return Ok(0) };
        let (length, closed) = match memchr2(b'\n', b'\r', input) {
            Some(end) if input[end..].starts_with(b"\r\n") => (end + 2, true),
            // A `\n` may follow in the next buffer.
            Some(end) if input[end..] == *b"\r" && !last => (end, false),
            Some(end) => (end + 1, true),
            None => (input.len(), last),
        };
        region.byte_length += length as u64;
        let room = CUT_BYTES.saturating_sub(region.raw.len());
        region.raw.extend_from_slice(&input[..length.min(room)]);
        if !closed {
            self.open = Some(region);
            return Ok(length);
        }
        let rejection = Rejection {
            line: region.line,
            lines: 1,
            byte_offset: region.byte_offset,
            byte_length: region.byte_length,
            column: None,
            reason: region.reason,
            message: match region.reason {
                Reason::UnclosedQuote => Message::UnclosedQuote,
                _ => Message::TooLong { max_record_bytes: self.grammar.max_record_bytes },
            },
            raw: Raw::of(&region.raw, region.byte_length),
        };
        self.tally.counts.rows_in += 1;
        self.line += 1;
        self.reject(&rejection, out)?;
        Ok(length)
    }

    fn reject(&mut self, rejection: &Rejection<'_>, out: &mut Outputs) -> Result<(), EngineError> {
        self.tally.counts.rows_rejected += 1;
        self.tally.spans.rejected += rejection.byte_length;
        *self.tally.by_reason.entry(rejection.reason).or_default() += 1;
        rejection.write(&mut out.rejects).map_err(|error| EngineError::Internal(error.to_string()))
    }
}
