//! Records into kept rows and rejections: a pure push machine, without I/O.

mod again;
mod notes;
mod record;
mod region;
mod ruler;
mod skip;
mod utf8;
mod worked;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::BytesMut;

use crate::dialect::{Comment, Reading};
use crate::fields::Fields;
use crate::header::{Header, Renamed};
use crate::line_end::LineEnd;
use crate::outputs::Outputs;
use crate::parse::Parser;
use crate::policy::Policies;
use crate::recode::Recoder;
use crate::rejection::{Message, Rejection};
use crate::scan::{Form, Found, Grammar, Scanner};
use crate::{Counts, EngineError, Reason, Spans};
use notes::Notes;
pub(crate) use record::MAX_STRAY_LINES;
use region::Region;
pub(crate) use ruler::Mark;
use ruler::{Measured, Ruler};
use skip::Start;
use utf8::Utf8;
use worked::Worker;

/// What [`Rows`] has seen so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub counts: Counts,
    pub spans: Spans,
    pub by_reason: BTreeMap<Reason, u64>,
    pub terminator: Option<&'static str>,
    /// Whether the columns have names, of the header or made.
    pub named: bool,
    /// Header lines read.
    pub header_lines: u64,
    pub preamble_lines: u64,
    pub footnote_lines: u64,
    pub comment_lines: u64,
    pub renamed: Vec<Renamed>,
    /// Bytes replaced by U+FFFD are in so many rows.
    pub rows_replaced: u64,
    /// Rows that were mended: padded, truncated, or with a stray quote taken as it stands.
    pub rows_mended: u64,
    /// Rows in the output that violate the recipe's schema, which only counts them, by what is wrong first.
    pub warnings: BTreeMap<Reason, u64>,
}

/// Splits text into records, keeps those as wide as the header, sets the others aside.
#[allow(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Rows {
    reading: Reading,
    policies: Policies,
    /// Whether records need no more than [`Scanner`] to be read, and most of them nothing to be written.
    canonical: bool,
    /// Whether every row has to be taken apart.
    touch: bool,
    grammar: Arc<Grammar>,
    parser: Arc<Parser>,
    /// Where the quotes stand that the record being looked at does not need.
    needless: Vec<usize>,
    /// The record being looked at, where it has to be taken apart.
    fields: Fields,
    header: Header,
    /// Columns, once they have names.
    width: Option<usize>,
    /// Fields that a row may lack because the header has more than any row of the sample.
    pad_from: Option<usize>,
    recoder: Recoder,
    /// Where in the text the next byte stands.
    text_offset: u64,
    /// Where in the source that is.
    source_offset: u64,
    /// Where decoded text stands in the source; nothing where the text is the source.
    ruler: Option<Ruler>,
    line: u64,
    /// Lines of the preamble still to be skipped.
    preamble_left: u64,
    /// Whether the end of a line that is skipped has not been seen yet.
    skipping: bool,
    /// A rejected region whose end has not been seen yet.
    open: Option<Region>,
    /// Rejects that may turn out to be footnotes.
    notes: Notes,
    /// Up to here in the text, no record ends that runs over a line's end inside quotes. It keeps a file whose every
    /// line opens a quote from being scanned once a line.
    given_up: u64,
    /// Why.
    why_given_up: Message<'static>,
    /// Whether nothing is taken behind the header.
    only_header: bool,
    /// A recipe's work on the rows.
    worker: Option<Box<Worker>>,
    /// What rejects hold of rows.
    holding: Holding,
    /// Whether a region's bytes are all kept: they are in no source.
    keeps_whole: bool,
    pub(crate) tally: Tally,
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

/// What rejects hold of a row: its bytes, or its place alone.
#[derive(Clone, Copy)]
enum Holding {
    Raw,
    Place,
}

/// Which rows go to the output byte for byte.
struct Verbatim {
    given_up: usize,
    /// Their width; nothing if there are none.
    width: Option<usize>,
}

/// How far the rows went that did.
struct VerbatimRows {
    at: usize,
    /// The record behind them, if it was looked at.
    next: Option<Found>,
}

impl Rows {
    /// `decoded` says whether the text is decoded, and [`Rows::mark`] will say from what.
    pub(crate) fn new(reading: Reading, max_record_bytes: usize, policies: Policies, decoded: bool) -> Self {
        let canonical = reading.is_canonical() && !policies.trim;
        Self {
            grammar: Arc::new(Grammar::new(b',', b'"', max_record_bytes)),
            parser: Arc::new(Parser::new(&reading, max_record_bytes, policies.trim)),
            canonical,
            touch: policies.touch_every_row() || decoded,
            needless: Vec::new(),
            fields: Fields::default(),
            header: Header::default(),
            width: None,
            pad_from: None,
            recoder: Recoder::new(b',', b'"'),
            text_offset: 0,
            source_offset: 0,
            ruler: decoded.then(Ruler::default),
            line: 1,
            preamble_left: reading.preamble_lines,
            skipping: false,
            open: None,
            notes: Notes::default(),
            given_up: 0,
            why_given_up: Message::OpenQuote,
            only_header: false,
            worker: None,
            holding: Holding::Raw,
            keeps_whole: false,
            tally: Tally::default(),
            reading,
            policies,
        }
    }

    /// Says what the next piece of decoded text was decoded from, before it is taken.
    pub(crate) fn mark(&mut self, mark: Mark) {
        if let Some(ruler) = &mut self.ruler {
            ruler.push(mark);
        }
    }

    /// Counts bytes in front of the text that are none of it: a byte-order mark.
    pub(crate) fn skip_front(&mut self, length: u64) {
        self.source_offset += length;
        self.tally.spans.skipped += length;
    }

    /// Takes the whole records at the start of `input`; the caller brings the rest again, with more behind it. With
    /// `last`, nothing more comes and everything is taken, unless the outputs are full before.
    pub(crate) fn advance(
        &mut self,
        input: &[u8],
        last: bool,
        out: &mut Outputs,
    ) -> Result<Progress, EngineError> {
        let base = self.text_offset;
        let mut at = 0;
        let (grammar, parser) = (Arc::clone(&self.grammar), Arc::clone(&self.parser));
        let (mut scanner, mut lines) = (None, None);
        let mut utf8 = Utf8::default();
        // Rows whose bytes stay as they are gather here and are copied at once.
        let mut run = at..at;
        let mut full = false;
        while at < input.len() {
            self.text_offset = base + at as u64;
            if self.only_header && self.width.is_some() {
                out.keep(&input[run]);
                return Ok(Progress { used: at, full: false });
            }
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
            match self.start(&input[at..], last) {
                Start::Record => {}
                Start::Unknown => break,
                Start::Skipped(length) => {
                    out.keep(&input[run]);
                    at += length;
                    run = at..at;
                    continue;
                }
            }
            let taken = self.take_lines(&mut lines, &mut utf8, input, at, out)?;
            if taken > at {
                at = taken;
                run = at..at;
                continue;
            }
            let given_up = usize::try_from(self.given_up.saturating_sub(base)).unwrap_or(usize::MAX);
            let found = if self.canonical {
                let verbatim = Verbatim { given_up, width: self.width.filter(|_| !self.touch) };
                let scanner = scanner.get_or_insert_with(|| Scanner::new(input, last, &grammar));
                let found = self.take_verbatim(scanner, &mut utf8, at, &verbatim);
                if found.at > at && self.notes.is_open() {
                    self.release(out)?;
                }
                at = found.at;
                run.end = at.max(run.end);
                self.text_offset = base + at as u64;
                let Some(found) = found.next else { continue };
                found
            } else {
                parser.record(&input[at..], last, given_up.saturating_sub(at), &mut self.fields)
            };
            let scan = match found {
                Found::Record(scan) => scan,
                Found::Incomplete { .. } if !last && input.len() - at <= self.grammar.max_record_bytes => {
                    break;
                }
                // Its first line may be mended, once all of that is there.
                Found::GivenUp
                    if matches!(
                        self.reading.terminator.find(&input[at..], last),
                        Some((_, LineEnd::Unknown))
                    ) =>
                {
                    break;
                }
                found => {
                    out.keep(&input[run]);
                    at += self.take_endless(found, &input[at..], last, out)?;
                    run = at..at;
                    continue;
                }
            };
            let end = at + scan.total;
            out.keep(&input[run]);
            let is_bad = match &self.ruler {
                Some(ruler) => ruler.is_bad(scan.total),
                None => !utf8.is_valid(input, at, end),
            };
            at += self.take(&scan, &input[at..end], is_bad, out)?;
            run = at..at;
        }
        out.keep(&input[run]);
        self.text_offset = base + at as u64;
        if last && !full {
            // A region that was open at the end of the text ends with it.
            self.extend_region(&[], true, out)?;
            self.settle_notes(out)?;
            self.finish_header(out)?;
            self.tally.spans.skipped += self.ruler.as_mut().map_or(0, Ruler::finish);
        }
        Ok(Progress { used: at, full })
    }

    /// Counts rows from `at` on whose very bytes can go to the output, as long as there are any.
    ///
    /// Nearly all rows of nearly all files go through here, so nothing but that is done.
    fn take_verbatim(
        &mut self,
        scanner: &mut Scanner<'_>,
        utf8: &mut Utf8,
        mut at: usize,
        verbatim: &Verbatim,
    ) -> VerbatimRows {
        let input = scanner.input();
        let (start, mut rows, mut lines) = (at, 0, 0);
        let next = loop {
            let found = scanner.record(at, verbatim.given_up, &mut self.needless);
            let Found::Record(scan) = found else { break Some(found) };
            let end = at + scan.total;
            if scan.form != Form::Canonical
                || verbatim.width != Some(scan.width)
                || scan.total != scan.content + 1
                || input[end - 1] != b'\n'
                || !utf8.is_valid(input, at, end)
            {
                break Some(found);
            }
            (rows, lines, at) = (rows + 1, lines + scan.lines, end);
            if self.reading.comment != Comment::None
                || !matches!(input.get(at), Some(byte) if !matches!(byte, b'\n' | b'\r'))
            {
                break None;
            }
        };
        self.tally.counts.rows_in += rows;
        self.tally.counts.rows_out += rows;
        self.tally.spans.kept += (at - start) as u64;
        self.source_offset += (at - start) as u64;
        self.line += lines;
        VerbatimRows { at, next }
    }

    /// Takes the next `length` bytes of text out of the source, and up to `raw` bytes of what they were decoded from.
    fn measure(&mut self, length: usize, raw: usize) -> Measured {
        let measured = match &mut self.ruler {
            None => Measured { byte_length: length as u64, ..Measured::default() },
            Some(ruler) => ruler.take(length, raw),
        };
        self.source_offset += measured.byte_length;
        measured
    }

    fn reject(&mut self, rejection: &Rejection<'_>, out: &mut Outputs) -> Result<(), EngineError> {
        if self.notes.is_open() {
            self.release(out)?;
        }
        self.line += rejection.lines;
        self.write_reject(rejection, &mut out.rejects)?;
        self.count_reject(rejection.reason, rejection.line, rejection.byte_length)
    }

    fn count_reject(&mut self, reason: Reason, line: u64, byte_length: u64) -> Result<(), EngineError> {
        self.tally.counts.rows_in += 1;
        self.tally.counts.rows_rejected += 1;
        self.tally.spans.rejected += byte_length;
        *self.tally.by_reason.entry(reason).or_default() += 1;
        self.check_rejects(Some(line))
    }

    /// Appends a reject, without bytes of its row where a recipe wants none there.
    fn write_reject(&self, rejection: &Rejection<'_>, out: &mut BytesMut) -> Result<(), EngineError> {
        let rejection = match self.holding {
            Holding::Raw => *rejection,
            Holding::Place => Rejection { raw: rejection.raw.withheld(), ..*rejection },
        };
        rejection.write(out).map_err(|error| EngineError::Internal(error.to_string()))
    }

    /// Whether the columns have no names yet, or not all of them.
    pub(crate) fn lacks_header(&self) -> bool {
        self.width.is_none() || self.tally.header_lines < self.reading.header_lines
    }

    /// Skips the footnotes that were told of. Nothing comes behind them.
    pub(crate) fn skip_footnotes(&mut self, length: usize, lines: u64) {
        // Where the text was decoded, its end has taken them already.
        self.tally.spans.skipped += self.measure(length, 0).byte_length;
        self.tally.footnote_lines += lines;
    }
}
