//! Rows that a recipe works on.

use std::sync::Arc;

use super::utf8::Utf8;
use super::{Holding, MAX_REJECTS_BYTES, Rows};
use crate::dialect::{Comment, Escape, Terminator};
use crate::fields::Fields;
use crate::lines::{Lines, MAX_COLUMNS};
use crate::outputs::Outputs;
use crate::profile::Profile;
use crate::recipe::{Session, Verdict, Violation, Work};
use crate::rejection::{Message, Raw, Rejection};
use crate::write::mended;
use crate::{BadFile, Compression, EngineError, Options, Policies};

/// What a recipe does to the rows of a file.
#[derive(Debug)]
pub(super) struct Worker {
    work: Arc<Work>,
    options: Options,
    /// The output's.
    compression: Compression,
    /// Nothing before the columns have names.
    pub(super) session: Option<Session>,
    /// Fields as the policies want them.
    mended: Fields,
}

impl Rows {
    /// Has a recipe work on the rows.
    pub(crate) fn with_work(mut self, work: Arc<Work>, compression: Compression, options: &Options) -> Self {
        self.touch = true;
        if work.withholds {
            self.holding = Holding::Place;
        }
        self.worker = Some(Box::new(Worker {
            work,
            options: options.clone(),
            compression,
            session: None,
            mended: Fields::default(),
        }));
        self
    }

    /// Begins the recipe's work, now that the columns have names. Returns whether there is one.
    pub(super) fn begin_work(&mut self, names: &[Vec<u8>], out: &mut Outputs) -> Result<bool, EngineError> {
        let Some(worker) = &mut self.worker else { return Ok(false) };
        let Worker { work, options, compression, .. } = &**worker;
        let session =
            Session::begin(Arc::clone(work), names, &self.reading.delimiter, *compression, options)?;
        session.begin_output(out);
        worker.session = Some(session);
        Ok(true)
    }

    /// Ends what a recipe writes, now that no row comes any more. Returns whether there may be more to end.
    pub(crate) fn end_work(&mut self, out: &mut Outputs) -> Result<bool, EngineError> {
        match self.worker.as_mut().map(|worker| (&worker.work, worker.session.as_mut())) {
            Some((_, Some(session))) => session.end(out),
            Some((work, None)) if work.needs_columns() => {
                let what = "the file has no columns, and there is no Parquet file without any";
                Err(BadFile::new("no_columns", what).into())
            }
            _ => Ok(false),
        }
    }

    /// What the columns hold of the rows that a recipe worked on, where that was asked for.
    pub(crate) fn take_profile(&mut self) -> Option<Profile> {
        self.worker.as_mut()?.session.as_mut()?.take_profile()
    }

    /// Whether a recipe works on the rows.
    pub(super) fn is_worked(&self) -> bool {
        self.worker.is_some()
    }

    /// Finds the lines of a buffer that need no more than that for a recipe to work on them; nothing where the dialect or the
    /// policies want each row to be looked at more closely.
    fn lines<'a>(&self, input: &'a [u8]) -> Option<Lines<'a>> {
        let (Some(_), Some(width), [delimiter]) = (&self.worker, self.width, &self.reading.delimiter[..])
        else {
            return None;
        };
        let escape = match self.reading.escape {
            Escape::Byte(escape) => Some(escape),
            _ => None,
        };
        let quote = self.reading.quote.byte();
        let is_simple = self.ruler.is_none()
            && !self.policies.touch_every_row()
            && ![quote, escape].contains(&Some(*delimiter))
            && self.reading.terminator == Terminator::Any
            && self.reading.comment == Comment::None
            && width <= MAX_COLUMNS;
        is_simple.then(|| Lines::new(input, *delimiter, quote, escape))
    }

    /// Takes the plain lines from `at` on. Returns where the first record is that is none. `lines` are the buffer's, once some
    /// were looked for.
    pub(super) fn take_lines<'a>(
        &mut self,
        lines: &mut Option<Lines<'a>>,
        utf8: &mut Utf8,
        input: &'a [u8],
        at: usize,
        out: &mut Outputs,
    ) -> Result<usize, EngineError> {
        if lines.is_none() {
            *lines = self.lines(input);
        }
        let Some(lines) = lines else { return Ok(at) };
        let Some(mut worker) = self.worker.take() else { return Ok(at) };
        let taken = self.take_lines_with(&mut worker, lines, utf8, at, out);
        self.worker = Some(worker);
        taken
    }

    fn take_lines_with(
        &mut self,
        worker: &mut Worker,
        lines: &mut Lines<'_>,
        utf8: &mut Utf8,
        mut at: usize,
        out: &mut Outputs,
    ) -> Result<usize, EngineError> {
        let (input, width) = (lines.input(), self.width.unwrap_or_default());
        // Rows that were kept since, from there on, and have not been counted.
        let (mut rows, mut from) = (0, at);
        while out.rejects.len() < MAX_REJECTS_BYTES
            && matches!(input.get(at), Some(byte) if !matches!(byte, b'\n' | b'\r'))
            && let Some(line) = lines.line(at, width)
            && line.end - at <= self.grammar.max_record_bytes
            && utf8.is_valid(input, at, line.end)
        {
            if self.notes.is_open() {
                self.release(out)?;
            }
            let is_kept = worker
                .session
                .as_mut()
                .is_some_and(|session| session.take_at_a_glance(&worker.work, &line, out));
            at = line.end;
            if is_kept {
                rows += 1;
                continue;
            }
            let record = line.record();
            self.count_lines(rows, (at - record.len() - from) as u64);
            (rows, from) = (0, at);
            self.fields.take_plain(&line);
            self.take_with(worker, record, 1, (false, false), out)?;
        }
        self.count_lines(rows, (at - from) as u64);
        Ok(at)
    }

    /// Counts lines that were kept, of so many bytes.
    fn count_lines(&mut self, rows: u64, bytes: u64) {
        self.tally.counts.rows_in += rows;
        self.tally.counts.rows_out += rows;
        self.tally.spans.kept += bytes;
        self.source_offset += bytes;
        self.line += rows;
    }

    /// Takes the row that `fields` has, of these bytes of text.
    pub(super) fn take_worked(
        &mut self,
        record: &[u8],
        lines: u64,
        is_bad: bool,
        is_mended: bool,
        out: &mut Outputs,
    ) -> Result<(), EngineError> {
        let Some(mut worker) = self.worker.take() else { return Ok(()) };
        let taken = self.take_with(&mut worker, record, lines, (is_bad, is_mended), out);
        self.worker = Some(worker);
        taken
    }

    fn take_with(
        &mut self,
        worker: &mut Worker,
        record: &[u8],
        lines: u64,
        (is_bad, is_mended): (bool, bool),
        out: &mut Outputs,
    ) -> Result<(), EngineError> {
        let Worker { work, session, mended: spare, .. } = worker;
        let Some(session) = session else {
            return Err(EngineError::Internal("a row came before the columns' names".into()));
        };
        // Formulas are looked for in what is written, not in what is read.
        let policies = Policies { neutralize_formulas: false, ..self.policies };
        let width = self.width.unwrap_or_default();
        let fields = if is_bad || policies.touch_every_row() || self.fields.len() < width {
            spare.clear();
            for field in self.fields.iter() {
                spare.push(&mended(field, &policies));
            }
            for _ in self.fields.len()..width {
                spare.push(b"");
            }
            &*spare
        } else {
            &self.fields
        };
        let verdict = session.take(work, fields).map_err(|error| match error {
            EngineError::BadFile(bad) => bad.at_line(self.line).into(),
            error => error,
        })?;
        match verdict {
            Verdict::Kept(warned) => {
                if let Some(reason) = warned {
                    *self.tally.warnings.entry(reason).or_default() += 1;
                }
                let measured = self.measure(record.len(), 0);
                self.count_mended(&measured, lines);
                self.tally.rows_replaced += u64::from(is_bad);
                self.tally.rows_mended += u64::from(is_mended);
                session.hand_on(out)
            }
            Verdict::Filtered => {
                let measured = self.measure(record.len(), 0);
                self.tally.counts.rows_in += 1;
                self.tally.counts.rows_filtered += 1;
                self.tally.spans.filtered += measured.byte_length;
                self.line += lines;
                Ok(())
            }
            Verdict::Rejected(violation) => self.set_violation_aside(&violation, record, lines, out),
            Verdict::Fails(violation) => {
                let column = violation.column.map(|name| format!("column `{name}`: ")).unwrap_or_default();
                let bad = BadFile::new(violation.reason.code(), format!("{column}{}", violation.message));
                Err(bad.at_line(self.line).into())
            }
        }
    }

    fn set_violation_aside(
        &mut self,
        violation: &Violation<'_>,
        record: &[u8],
        lines: u64,
        out: &mut Outputs,
    ) -> Result<(), EngineError> {
        let byte_offset = self.source_offset;
        let measured = self.measure(record.len(), usize::MAX);
        let raw = match self.ruler {
            Some(_) => Raw::whole(&measured.raw, true),
            None => Raw::whole(record, false),
        };
        let rejection = Rejection {
            line: self.line,
            lines,
            byte_offset,
            byte_length: measured.byte_length,
            column: violation.column,
            reason: violation.reason,
            message: Message::Recipe(violation.message),
            raw,
        };
        self.reject(&rejection, out)
    }
}
