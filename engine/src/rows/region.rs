//! A region that can't be read: a record too long, or a quote that never closes.

use flate2::Crc;

use super::skip::Start;
use super::{Measured, Rows};
use crate::header::generated;
use crate::line_end::LineEnd;
use crate::outputs::Outputs;
use crate::policy::{RunawayQuote, StrayQuotes};
use crate::rejection::{CUT_BYTES, Message, Raw, Rejection};
use crate::scan::Found;
use crate::{BadFile, EngineError, Reason};

/// A rejected region in the making.
pub(super) struct Region {
    line: u64,
    byte_offset: u64,
    byte_length: u64,
    reason: Reason,
    message: Message<'static>,
    raw: Vec<u8>,
    crc: Crc,
}

impl Rows {
    /// Takes a record that has no end: its first line, no more, so that what follows is read as rows again. Returns
    /// how many bytes were taken.
    pub(super) fn take_endless(
        &mut self,
        found: Found,
        input: &[u8],
        last: bool,
        out: &mut Outputs,
    ) -> Result<usize, EngineError> {
        let max_record_bytes = self.grammar.max_record_bytes;
        let (reason, message) = match found {
            Found::Incomplete { in_quotes: false } | Found::Record(_) => {
                (Reason::RecordTooLong, Message::TooLong { max_record_bytes })
            }
            Found::Incomplete { in_quotes: true } if input.len() > max_record_bytes => {
                (Reason::UnclosedQuote, Message::RunawayQuote { max_record_bytes })
            }
            Found::Incomplete { in_quotes: true } => (Reason::UnclosedQuote, Message::OpenQuote),
            Found::GivenUp => (Reason::UnclosedQuote, self.why_given_up),
        };
        if found != Found::GivenUp {
            self.given_up = self.text_offset + input.len().min(max_record_bytes) as u64;
            self.why_given_up = message;
        }
        if reason == Reason::UnclosedQuote
            && let Some(taken) = self.take_repaired(input, last, out)?
        {
            return Ok(taken);
        }
        let is_row = self.width.is_some() || self.reading.header_lines == 0;
        if self.only_header && is_row {
            return self.pass_endless(input, last, out);
        }
        if is_row && reason == Reason::UnclosedQuote && self.policies.runaway_quote == RunawayQuote::Fail {
            let what = format!("{message}, or let reading go on at the next line");
            return Err(BadFile::new("runaway_quote", what).at_line(self.line).into());
        }
        self.open_region(reason, message)?;
        Ok(0)
    }

    /// Where only the columns are wanted, and their names are made: a record without an end says nothing of how many.
    fn pass_endless(&mut self, input: &[u8], last: bool, out: &mut Outputs) -> Result<usize, EngineError> {
        if let Some(width) = self.reading.width {
            self.name_columns(&generated(width), out)?;
            return Ok(0);
        }
        Ok(match self.skip_line(input, last) {
            Start::Skipped(length) => length,
            Start::Record | Start::Unknown => 0,
        })
    }

    /// Takes the first line as a row of its own if one stray quote is all that is wrong with it, and policy lets it be
    /// mended. The header is mended always: without it there is no file.
    pub(super) fn take_repaired(
        &mut self,
        input: &[u8],
        last: bool,
        out: &mut Outputs,
    ) -> Result<Option<usize>, EngineError> {
        let is_header = self.width.is_none() && self.reading.header_lines > 0;
        if !is_header && self.policies.stray_quotes == StrayQuotes::Reject {
            return Ok(None);
        }
        let Some(width) = self.width.or(self.reading.width) else { return Ok(None) };
        let length = match self.reading.terminator.find(input, last) {
            Some((at, LineEnd::Here(end))) => at + end,
            None if last => input.len(),
            _ => return Ok(None),
        };
        let line = &input[..length];
        let is_bad = match &self.ruler {
            Some(ruler) => ruler.is_bad(length),
            None => simdutf8::basic::from_utf8(line).is_err(),
        };
        let parser = std::sync::Arc::clone(&self.parser);
        if length > self.grammar.max_record_bytes
            || self.is_refused(line, is_bad).is_some()
            || !parser.repair(line, width, &mut self.fields)
        {
            return Ok(None);
        }
        if is_header {
            self.take_header_fields(line, 1, out)?;
            return Ok(Some(length));
        }
        if self.width.is_none() {
            self.note_terminator(line);
            self.name_columns(&generated(width), out)?;
            if self.only_header {
                return Ok(Some(0));
            }
        }
        self.take_fields(line, 1, is_bad, width, out)?;
        Ok(Some(length))
    }

    /// Begins to reject a record: at its start, up to the line's end.
    pub(super) fn open_region(
        &mut self,
        reason: Reason,
        message: Message<'static>,
    ) -> Result<(), EngineError> {
        if self.width.is_none() && self.reading.header_lines > 0 {
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
            byte_offset: self.source_offset,
            byte_length: 0,
            reason,
            message,
            raw: Vec::new(),
            crc: Crc::new(),
        });
        Ok(())
    }

    /// Takes the bytes up to the line's end into the open region, and closes it there. Returns how many.
    pub(super) fn extend_region(
        &mut self,
        input: &[u8],
        last: bool,
        out: &mut Outputs,
    ) -> Result<usize, EngineError> {
        let Some(mut region) = self.open.take() else { return Ok(0) };
        let (length, closed) = match self.reading.terminator.find(input, last) {
            Some((at, LineEnd::Here(end))) => (at + end, true),
            // A `\n` may follow in the next buffer.
            Some((at, _)) => (at, false),
            None => (input.len(), last),
        };
        let most = if self.keeps_whole { usize::MAX } else { CUT_BYTES };
        let room = most.saturating_sub(region.raw.len());
        let Measured { byte_length, raw, .. } = self.measure(length, usize::MAX);
        region.byte_length += byte_length;
        let bytes = if self.ruler.is_some() { &raw[..] } else { &input[..length] };
        region.crc.update(bytes);
        region.raw.extend_from_slice(&bytes[..bytes.len().min(room)]);
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
            message: region.message,
            raw: Raw::of(&region.raw, region.byte_length, region.crc.sum(), self.ruler.is_some()),
        };
        self.reject(&rejection, out)?;
        Ok(length)
    }
}
