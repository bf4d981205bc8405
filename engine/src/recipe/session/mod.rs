//! A recipe's work on the rows of one file.
//!
//! - This file: what becomes of a row. Read this first.
//! - `columns`: the output's columns, and what is done to each; `values`: what a row has in them.
//! - `output`: where kept rows go, and as what.

mod columns;
mod output;
mod values;

use std::sync::Arc;

use cel::Value as CelValue;

use self::columns::Columns;
use self::output::Output;
use self::values::{Buffers, Values};
use super::check::{Checker, Violation};
use super::file::OnViolation;
use super::glance::Glance;
use super::value::Value;
use super::work::Work;
use crate::fields::Fields;
use crate::lines::Line;
use crate::outputs::Outputs;
use crate::profile::Profile;
use crate::{BadFile, Compression, EngineError, Options, Reason};

/// What becomes of a row.
#[derive(Debug)]
pub(crate) enum Verdict<'a> {
    /// It is in the output now. Perhaps it violates the schema, and was to be counted only.
    Kept(Option<Reason>),
    /// It is set aside.
    Rejected(Violation<'a>),
    /// The recipe's filter leaves it out.
    Filtered,
    /// The file fails because of it.
    Fails(Violation<'a>),
}

/// What is to become of a row.
enum Judged<'a> {
    Kept(Option<Reason>),
    Filtered,
    Violates(Violation<'a>),
    /// An expression failed: the column's, or the filter.
    Failed(Option<&'a str>),
    /// The output has no room for what a column holds.
    Misfits(usize, &'static str),
}

/// The work on one file.
#[derive(Debug)]
pub(crate) struct Session {
    values: Values,
    /// The expressions' columns: where each is among the values'.
    derive: Vec<Vec<usize>>,
    filter: Vec<usize>,
    /// Why an expression failed.
    message: String,
    buffers: Buffers,
    output: Output,
    /// Where rows need no more than that to be judged, and are written as they lie.
    glance: Option<Glance>,
}

impl Session {
    /// Begins with a file that has these columns, with `delimiter` between them.
    pub(crate) fn begin(
        work: Arc<Work>,
        names: &[Vec<u8>],
        delimiter: &[u8],
        compression: Compression,
        options: &Options,
    ) -> Result<Self, EngineError> {
        let checker = Checker::new(&work.schema, names, work.on_violation == OnViolation::Warn)?;
        let Columns { all: columns, derive, filter, by } = Columns::of(&work, names)?;
        let values = Values {
            derived: vec![Value::Missing; work.derive.len()],
            work,
            key: options.mask_key.clone(),
            neutralizes: options.policies.neutralize_formulas,
            columns,
            checker,
            derived_texts: Fields::default(),
        };
        let output = Output::open(&values, &by, compression, options)?;
        let (message, buffers) = (String::new(), Buffers::default());
        let mut session = Self { values, derive, filter, message, buffers, output, glance: None };
        session.read_by(delimiter);
        Ok(session)
    }

    /// Says what is between the fields of the rows that come.
    pub(crate) fn read_by(&mut self, delimiter: &[u8]) {
        self.output.read_by(&self.values, delimiter);
        let needs_values = !self.output.copies() || self.values.work.filter.is_some();
        let glance = || Glance::of(&self.values.work.schema, &self.values.checker.places);
        self.glance = (!needs_values).then(glance).flatten();
    }

    /// What was seen of the columns.
    pub(crate) fn take_profile(&mut self) -> Option<Profile> {
        self.output.take_profile()
    }

    /// Writes what the output begins with.
    pub(crate) fn begin_output(&self, out: &mut Outputs) {
        self.output.begin(&self.values, out);
    }

    /// Hands on the row that [`Self::take`] kept, written as the output has it.
    pub(crate) fn hand_on(&mut self, out: &mut Outputs) -> Result<(), EngineError> {
        self.output.hand_on(out)
    }

    /// Hands on what ends the output, or the next of its objects. Returns whether there may be more.
    pub(crate) fn end(&mut self, out: &mut Outputs) -> Result<bool, EngineError> {
        self.output.end(out)
    }

    /// Takes a row of a plain line and hands it on, if a glance is enough for that. Returns whether it was.
    pub(crate) fn take_at_a_glance(&mut self, work: &Work, line: &Line<'_>, out: &mut Outputs) -> bool {
        let is_kept = self.glance.as_mut().is_some_and(|glance| glance.is_sound(&work.schema, line));
        if is_kept {
            self.output.copy(line, out);
        }
        is_kept
    }

    /// Takes a row. `work` is the session's own, held by the caller, so that what is said of a row lives as long as it.
    pub(crate) fn take<'a>(
        &'a mut self,
        work: &'a Work,
        fields: &Fields,
    ) -> Result<Verdict<'a>, EngineError> {
        let mut judged = self.judge(work, fields)?;
        if matches!(judged, Judged::Kept(_)) && !self.output.find_place(&self.values, fields)? {
            judged = Judged::Violates(Violation {
                column: work
                    .partition_by
                    .first()
                    .filter(|_| work.partition_by.len() == 1)
                    .map(String::as_str),
                reason: Reason::PartitionTooLong,
                message: "what the row is partitioned by is too long for an object's key, or for a folder's name: partition by \
                          something shorter, such as a derived column",
            });
        }
        Ok(match judged {
            Judged::Kept(warned) => {
                self.output.write(&self.values, fields);
                Verdict::Kept(warned)
            }
            Judged::Filtered => Verdict::Filtered,
            Judged::Violates(violation) if work.on_violation == OnViolation::Fail => {
                Verdict::Fails(violation)
            }
            Judged::Violates(violation) => Verdict::Rejected(violation),
            Judged::Failed(column) => {
                Verdict::Rejected(Violation { column, reason: Reason::Expression, message: &self.message })
            }
            Judged::Misfits(at, message) => {
                let column = Some(self.values.columns[at].name.as_str());
                let violation = Violation { column, reason: Reason::WrongType, message };
                match work.on_violation {
                    OnViolation::Fail => Verdict::Fails(violation),
                    _ => Verdict::Rejected(violation),
                }
            }
        })
    }

    fn judge<'a>(&mut self, work: &'a Work, fields: &Fields) -> Result<Judged<'a>, BadFile> {
        let violation = self.values.checker.look(&work.schema, fields)?;
        if let Some(violation) = violation
            && work.on_violation != OnViolation::Warn
        {
            return Ok(Judged::Violates(violation));
        }
        self.values.derived_texts.clear();
        for (at, new) in work.derive.iter().enumerate() {
            let value = self.values.evaluate(&new.expression, &self.derive[at], fields);
            let derived =
                value.and_then(|value| self.values.derive(at, value, new.kind.as_ref(), &mut self.buffers));
            if let Err(message) = derived {
                self.message = format!("the expression of `{}` fails: {message}", new.name);
                return Ok(Judged::Failed(Some(&new.name)));
            }
        }
        if let Some(filter) = &work.filter {
            match self.values.evaluate(filter, &self.filter, fields) {
                Ok(CelValue::Bool(true)) => {}
                Ok(CelValue::Bool(false)) => return Ok(Judged::Filtered),
                Ok(_) => {
                    "the filter is neither true nor false".clone_into(&mut self.message);
                    return Ok(Judged::Failed(None));
                }
                Err(message) => {
                    self.message = format!("the filter fails: {message}");
                    return Ok(Judged::Failed(None));
                }
            }
        }
        Ok(match self.output.misfit(&self.values, fields) {
            Some((at, message)) => Judged::Misfits(at, message),
            None => Judged::Kept(violation.map(|violation| violation.reason)),
        })
    }
}
