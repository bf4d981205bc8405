//! Footnotes that nobody told of: a few lines of text behind the table, below a blank line.
//!
//! Only the file's end shows what they are. Until then they are rejects that are held back: if another row comes, they
//! are rejects like any others.

use bytes::BytesMut;

use super::Rows;
use crate::outputs::Outputs;
use crate::rejection::Rejection;
use crate::scan::Scan;
use crate::sniff::is_prose;
use crate::{EngineError, Reason};

/// More lines than these, or longer ones, are no footnotes.
const MAX_LINES: usize = 16;
const MAX_BYTES: usize = 64 * 1024;

/// Rejects that may turn out to be footnotes.
#[derive(Default)]
pub(super) struct Notes {
    /// Whether the last row was kept, and a blank line came since.
    is_below_blank: bool,
    /// As lines of the rejects file.
    rejects: BytesMut,
    held: Vec<Held>,
}

/// What is counted once it is known what the line is.
struct Held {
    reason: Reason,
    line: u64,
    lines: u64,
    byte_length: u64,
}

impl Notes {
    /// Whether anything would change if a row came.
    pub(super) fn is_open(&self) -> bool {
        self.is_below_blank
    }
}

impl Rows {
    /// Remembers that a blank line came.
    pub(super) fn note_blank(&mut self) {
        self.notes.is_below_blank |= self.reading.finds_footnotes && self.tally.counts.rows_out > 0;
    }

    /// Whether a row of another width than the header's may be a footnote: text, alone in its line, or in sentences.
    pub(super) fn may_be_note(&mut self, scan: &Scan, record: &[u8]) -> Result<bool, EngineError> {
        if !self.notes.is_below_blank || self.notes.held.len() == MAX_LINES || self.width < Some(2) {
            return Ok(false);
        }
        self.parse(scan, record)?;
        let mut fields = self.fields.iter();
        let Some(first) = fields.next() else { return Ok(false) };
        let is_alone = fields.all(<[u8]>::is_empty);
        Ok(is_prose(first) && (is_alone || first.contains(&b' ')))
    }

    /// Holds a reject back.
    pub(super) fn hold(&mut self, rejection: &Rejection<'_>, out: &mut Outputs) -> Result<(), EngineError> {
        let Rejection { reason, line, lines, byte_length, .. } = *rejection;
        self.line += lines;
        let mut rejects = std::mem::take(&mut self.notes.rejects);
        self.write_reject(rejection, &mut rejects)?;
        self.notes.rejects = rejects;
        self.notes.held.push(Held { reason, line, lines, byte_length });
        if self.notes.rejects.len() > MAX_BYTES { self.release(out) } else { Ok(()) }
    }

    /// Rejects what was held back: more of the table came.
    pub(super) fn release(&mut self, out: &mut Outputs) -> Result<(), EngineError> {
        let notes = std::mem::take(&mut self.notes);
        out.rejects.extend_from_slice(&notes.rejects);
        for Held { reason, line, byte_length, .. } in notes.held {
            self.count_reject(reason, line, byte_length)?;
        }
        Ok(())
    }

    /// Skips what was held back: the file has ended.
    pub(super) fn settle_notes(&mut self) {
        for Held { lines, byte_length, .. } in std::mem::take(&mut self.notes).held {
            self.tally.footnote_lines += lines;
            self.tally.spans.skipped += byte_length;
        }
    }
}
