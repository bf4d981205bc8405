//! What becomes of a record that is not taken as it is: the header, a row to be written anew, or one to set aside.

use memchr::{memchr, memchr3};

use super::{Measured, Rows};
use crate::header::generated;
use crate::outputs::Outputs;
use crate::policy::{InvalidBytes, MaxRejects, NulBytes};
use crate::rejection::{Message, Raw, Rejection};
use crate::scan::{Form, Scan, unquote};
use crate::write::{end_row, mended, write_field, write_row};
use crate::{BadFile, EngineError, Reason};

/// A record that runs over more lines than these because of a stray quote is too strange to guess where it went wrong.
pub(crate) const MAX_STRAY_LINES: u64 = 16;

/// Renamed columns that are told of one by one.
const MAX_RENAMED: usize = 100;

impl Rows {
    /// Takes a record, or as much of it as belongs together. Returns how many bytes were taken.
    pub(super) fn take(
        &mut self,
        scan: &Scan,
        record: &[u8],
        is_bad: bool,
        out: &mut Outputs,
    ) -> Result<usize, EngineError> {
        if self.width.is_none() {
            let expected = self.reading.width.unwrap_or(scan.width);
            if self.reading.header_lines > 0 {
                self.check_header(record)?;
                if scan.form == Form::StrayQuotes
                    && scan.width != expected
                    && let Some(taken) = self.take_repaired(record, true, out)?
                {
                    return Ok(taken);
                }
                self.parse(scan, record)?;
                self.take_header_fields(record, scan.lines, out)?;
                return Ok(record.len());
            }
            self.note_terminator(record);
            self.name_columns(&generated(expected), out)?;
            if self.only_header {
                return Ok(0);
            }
        }
        let width = self.width.unwrap_or_default();
        if let Some((reason, message)) = self.is_refused(record, is_bad) {
            return self.set_aside(scan, record, reason, message, out);
        }
        if scan.width != width {
            return self.take_ragged(scan, record, is_bad, width, out);
        }
        if self.notes.is_open() {
            self.release(out)?;
        }
        if self.is_worked() {
            self.parse(scan, record)?;
            self.take_worked(record, scan.lines, is_bad, false, out)?;
            return Ok(record.len());
        }
        let measured = self.measure(record.len(), 0);
        self.count_mended(&measured, scan.lines);
        self.write(scan, record, is_bad, width, out)?;
        Ok(record.len())
    }

    /// Takes a row of another width than the header's.
    fn take_ragged(
        &mut self,
        scan: &Scan,
        record: &[u8],
        is_bad: bool,
        width: usize,
        out: &mut Outputs,
    ) -> Result<usize, EngineError> {
        if scan.form == Form::StrayQuotes {
            if let Some(taken) = self.take_repaired(record, true, out)? {
                return Ok(taken);
            }
            if scan.lines > 1 && scan.lines <= MAX_STRAY_LINES {
                // A stray quote reached for the next one, some lines below: those lines are rows of their own.
                let message = Message::QuoteReaches { lines: scan.lines - 1 };
                self.open_region(Reason::UnclosedQuote, message)?;
                return Ok(0);
            }
        }
        let ragged = self.policies.ragged;
        let pads = scan.width < width && (ragged.pad || self.pad_from == Some(scan.width));
        if pads || (scan.width > width && ragged.truncate_empty) {
            self.parse(scan, record)?;
            let is_empty = |field: &[u8]| mended(field, &self.policies).is_empty();
            if self.fields.iter().skip(width).all(is_empty) {
                self.fields.truncate(width);
                self.take_fields(record, scan.lines, is_bad, width, out)?;
                return Ok(record.len());
            }
        }
        let reason = if scan.width < width { Reason::TooFewFields } else { Reason::TooManyFields };
        self.set_aside(scan, record, reason, Message::Width { header: width, row: scan.width }, out)
    }

    /// Takes a row whose `fields` were mended.
    pub(super) fn take_fields(
        &mut self,
        record: &[u8],
        lines: u64,
        is_bad: bool,
        width: usize,
        out: &mut Outputs,
    ) -> Result<(), EngineError> {
        if self.notes.is_open() {
            self.release(out)?;
        }
        if self.is_worked() {
            return self.take_worked(record, lines, is_bad, true, out);
        }
        let measured = self.measure(record.len(), 0);
        self.count_mended(&measured, lines);
        self.tally.rows_mended += 1;
        self.write_fields(width, is_bad, out);
        Ok(())
    }

    /// The header can't be rejected: without it there is no file.
    fn check_header(&self, record: &[u8]) -> Result<(), EngineError> {
        if self.policies.nul != NulBytes::Reject || memchr(0, record).is_none() {
            return Ok(());
        }
        let what =
            "the header has a zero byte, which policy rejects: take it out, or let zero bytes be removed";
        Err(BadFile::new("unreadable_header", what).at_line(self.line).into())
    }

    /// Why a record is rejected whatever its fields, if it is.
    pub(super) fn is_refused(&self, record: &[u8], is_bad: bool) -> Option<(Reason, Message<'static>)> {
        // Of a header, they are replaced.
        let is_row = self.width.is_some() || self.reading.header_lines == 0;
        if is_bad && self.policies.invalid_bytes == InvalidBytes::Reject && is_row {
            return Some((Reason::InvalidEncoding, Message::InvalidEncoding));
        }
        if self.policies.nul == NulBytes::Reject && memchr(0, record).is_some() {
            return Some((Reason::NulByte, Message::NulByte));
        }
        None
    }

    fn set_aside(
        &mut self,
        scan: &Scan,
        record: &[u8],
        reason: Reason,
        message: Message<'static>,
        out: &mut Outputs,
    ) -> Result<usize, EngineError> {
        let is_ragged = matches!(message, Message::Width { .. });
        let may_be_note = is_ragged && self.may_be_note(scan, record)?;
        let byte_offset = self.source_offset;
        let measured = self.measure(record.len(), usize::MAX);
        let raw = if self.ruler.is_some() { &measured.raw } else { record };
        let rejection = Rejection {
            line: self.line,
            lines: scan.lines,
            byte_offset,
            byte_length: measured.byte_length,
            column: None,
            reason,
            message,
            raw: Raw::whole(b"", false),
        };
        if may_be_note {
            self.hold(rejection, raw.to_vec());
        } else {
            let raw = Raw::whole(raw, self.ruler.is_some());
            self.reject(&Rejection { raw, ..rejection }, out)?;
        }
        Ok(record.len())
    }

    pub(super) fn count_mended(&mut self, measured: &Measured, lines: u64) {
        self.tally.counts.rows_in += 1;
        self.tally.counts.rows_out += 1;
        self.tally.spans.kept += measured.byte_length;
        self.line += lines;
    }

    /// Fills `fields` with those of a record that was found, whatever found it.
    pub(super) fn parse(&mut self, scan: &Scan, record: &[u8]) -> Result<(), EngineError> {
        let content = &record[..scan.content];
        // To `scan`, a record is canonical that has the quotes it needs.
        if scan.form == Form::Canonical && !(self.canonical && memchr(b'"', content).is_some()) {
            self.parser.split(content, &mut self.fields);
        } else {
            self.parser.parse(record, true, 0, None, &mut self.fields);
        }
        if self.fields.len() == scan.width {
            return Ok(());
        }
        let (line, fields) = (self.line, self.fields.len());
        Err(EngineError::Internal(format!("line {line}: {} fields, and then {fields}", scan.width)))
    }

    /// Writes one record in canonical form.
    fn write(
        &mut self,
        scan: &Scan,
        record: &[u8],
        is_bad: bool,
        width: usize,
        out: &mut Outputs,
    ) -> Result<(), EngineError> {
        let content = &record[..scan.content];
        if is_bad || self.policies.touch_every_row() {
            self.parse(scan, record)?;
            self.write_fields(width, is_bad, out);
            return Ok(());
        }
        let start = out.text.len();
        match (self.canonical, scan.form) {
            (true, Form::Canonical) => {
                out.text.extend_from_slice(content);
                out.text.extend_from_slice(b"\n");
            }
            (true, Form::NeedlessQuotes) => {
                unquote(content, &self.needless, b'"', &mut out.text);
                out.text.extend_from_slice(b"\n");
            }
            (true, Form::StrayQuotes) => {
                let recoded = self.recoder.recode(content, &mut out.text)?;
                if recoded != scan.width {
                    return Err(EngineError::Internal(format!(
                        "line {}: the scanner sees {} fields, csv-async {recoded}",
                        self.line, scan.width
                    )));
                }
            }
            (false, Form::Canonical) => {
                let needs_quotes = |delimiter| {
                    memchr3(b'"', b'\n', b'\r', content).is_some()
                        || (delimiter != b',' && memchr(b',', content).is_some())
                };
                if let [delimiter] = self.reading.delimiter[..]
                    && !needs_quotes(delimiter)
                {
                    out.text.extend_from_slice(content);
                    if delimiter != b',' {
                        for byte in &mut out.text[start..] {
                            *byte = if *byte == delimiter { b',' } else { *byte };
                        }
                    }
                    end_row(start, &mut out.text);
                } else {
                    self.parser.split(content, &mut self.fields);
                    self.write_fields(width, false, out);
                }
            }
            (false, _) => self.write_fields(width, false, out),
        }
        Ok(())
    }

    /// Writes a row from its fields.
    pub(super) fn write_fields(&mut self, width: usize, is_bad: bool, out: &mut Outputs) {
        self.tally.rows_replaced += u64::from(is_bad);
        write_row(&self.fields, width, &self.policies, &mut out.text);
    }

    /// Takes `fields` as a line of the header.
    pub(super) fn take_header_fields(
        &mut self,
        record: &[u8],
        lines: u64,
        out: &mut Outputs,
    ) -> Result<(), EngineError> {
        self.note_terminator(record);
        let names: Vec<_> = self.fields.iter().map(|name| mended(name, &self.policies)).collect();
        self.header.add(names.iter().map(|name| &name[..]));
        let measured = self.measure(record.len(), 0);
        self.tally.spans.header += measured.byte_length;
        self.tally.header_lines += 1;
        self.line += lines;
        if self.tally.header_lines == self.reading.header_lines {
            self.finish_header(out)?;
        }
        Ok(())
    }

    /// Gives the columns the names that the header lines have.
    pub(super) fn finish_header(&mut self, out: &mut Outputs) -> Result<(), EngineError> {
        if self.width.is_some() || self.tally.header_lines == 0 {
            return Ok(());
        }
        let (names, renamed) = std::mem::take(&mut self.header).finish(self.reading.width);
        self.tally.renamed = renamed;
        self.tally.renamed.truncate(MAX_RENAMED);
        self.pad_from = self.reading.width.filter(|width| *width < names.len());
        self.name_columns(&names, out)
    }

    pub(super) fn name_columns(&mut self, names: &[Vec<u8>], out: &mut Outputs) -> Result<(), EngineError> {
        if !self.begin_work(names, out)? {
            let start = out.text.len();
            for (at, name) in names.iter().enumerate() {
                if at > 0 {
                    out.text.extend_from_slice(b",");
                }
                write_field(name, &mut out.text);
            }
            end_row(start, &mut out.text);
        }
        self.width = Some(names.len());
        self.tally.named = true;
        Ok(())
    }

    /// What ends the first record is what the receipt says.
    pub(super) fn note_terminator(&mut self, record: &[u8]) {
        if self.tally.terminator.is_none() {
            self.tally.terminator = match record {
                [.., b'\r', b'\n'] => Some("\r\n"),
                [.., b'\n'] => Some("\n"),
                [.., b'\r'] => Some("\r"),
                _ => None,
            };
        }
    }

    /// Fails the file once more rows were rejected than may be, the last of them in `line`; of a share, only the end
    /// can tell.
    pub(crate) fn check_rejects(&self, line: Option<u64>) -> Result<(), EngineError> {
        let (rejected, rows) = (self.tally.counts.rows_rejected, self.tally.counts.rows_in);
        let advice = "look at their reasons, mend the rows or how they are read, or allow more";
        match (self.policies.max_rejects, line) {
            (Some(MaxRejects::Rows(most)), Some(line)) if rejected > most => {
                let message = format!("more than {most} rows are rejected, the most allowed: {advice}");
                Err(BadFile::new("too_many_rejects", message).at_line(line).into())
            }
            (Some(MaxRejects::Percent(most)), None) if rejected as f64 * 100.0 > most * rows as f64 => {
                let message = format!(
                    "{rejected} of {rows} rows are rejected, and {most} % is the most allowed: {advice}"
                );
                Err(BadFile::new("too_many_rejects", message).into())
            }
            _ => Ok(()),
        }
    }
}
