//! Rows that a recipe works on.

use std::sync::Arc;

use super::{Holding, Rows};
use crate::fields::Fields;
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
    session: Option<Session>,
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
