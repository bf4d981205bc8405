//! Footnotes that nobody told of: a few lines of text behind the table, below a blank line.
//!
//! Only the file's end shows what they are. Until then they are rejects that are held back: at the end they are
//! rejected as footnotes; if another row comes, they are rejects like any others. Either way none of them is lost.

use super::Rows;
use crate::outputs::Outputs;
use crate::rejection::{Message, Raw, Rejection};
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
    /// Whether a row stood below a blank line: then blank lines are no table's end.
    has_rows_below: bool,
    bytes: usize,
    held: Vec<Held>,
}

/// A reject with its bytes.
struct Held {
    rejection: Rejection<'static>,
    raw: Vec<u8>,
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
        let may_end = self.reading.finds_footnotes && !self.notes.has_rows_below;
        self.notes.is_below_blank |= may_end && self.tally.counts.rows_out > 0;
    }

    /// Whether a row of fewer fields than the header's may be a footnote: words, in a line that ends.
    pub(super) fn may_be_note(&mut self, scan: &Scan, record: &[u8]) -> Result<bool, EngineError> {
        let is_short = self.width.is_some_and(|width| scan.width < width);
        if !self.notes.is_below_blank
            || self.notes.held.len() == MAX_LINES
            || self.notes.bytes + record.len() > MAX_BYTES
            || !is_short
            // The last row of a file that was cut off looks just so.
            || scan.content == scan.total
        {
            return Ok(false);
        }
        self.parse(scan, record)?;
        Ok(self.fields.iter().next().is_some_and(|first| is_prose(first) && first.contains(&b' ')))
    }

    /// Holds a reject of these bytes back.
    pub(super) fn hold(&mut self, rejection: Rejection<'static>, raw: Vec<u8>) {
        self.line += rejection.lines;
        self.notes.bytes += raw.len();
        self.notes.held.push(Held { rejection, raw });
    }

    /// Rejects what was held back: more of the table came.
    pub(super) fn release(&mut self, out: &mut Outputs) -> Result<(), EngineError> {
        let held = std::mem::take(&mut self.notes).held;
        self.notes.has_rows_below = true;
        self.reject_held(held, out)
    }

    /// Rejects what was held back as footnotes: the file has ended.
    pub(super) fn settle_notes(&mut self, out: &mut Outputs) -> Result<(), EngineError> {
        let mut held = std::mem::take(&mut self.notes).held;
        for Held { rejection, .. } in &mut held {
            self.tally.footnote_lines += rejection.lines;
            (rejection.reason, rejection.message) = (Reason::Footnote, Message::Footnote);
        }
        self.reject_held(held, out)
    }

    fn reject_held(&mut self, held: Vec<Held>, out: &mut Outputs) -> Result<(), EngineError> {
        for Held { rejection, raw } in held {
            let rejection = Rejection { raw: Raw::whole(&raw, self.ruler.is_some()), ..rejection };
            self.write_reject(&rejection, &mut out.rejects)?;
            self.count_reject(rejection.reason, rejection.line, rejection.byte_length)?;
        }
        Ok(())
    }
}
