//! Rows that are taken out of their file: its header first, then each as if it were all that follows.

use std::sync::Arc;

use super::Rows;
use super::ruler::Ruler;
use crate::dialect::Reading;
use crate::parse::Parser;

impl Rows {
    /// Whether nothing is to be taken behind the header.
    pub(crate) fn ends_with_header(&mut self, only_header: bool) {
        self.only_header = only_header;
    }

    /// Whether the columns have names.
    pub(crate) fn is_named(&self) -> bool {
        self.width.is_some()
    }

    /// Where in the source the next byte stands.
    pub(crate) fn source_offset(&self) -> u64 {
        self.source_offset
    }

    /// Says where in the source the header ends. Text that was decoded beyond, of footnotes, is none that was skipped.
    pub(crate) fn end_front(&mut self, end: u64) {
        let spans = &mut self.tally.spans;
        spans.skipped = end.saturating_sub(spans.total() - spans.skipped);
    }

    /// Reads what follows the header in another way.
    pub(crate) fn read_by(&mut self, reading: &Reading) {
        self.canonical = reading.is_canonical() && !self.policies.trim;
        self.parser = Arc::new(Parser::new(reading, self.grammar.max_record_bytes, self.policies.trim));
        if let Some(session) = self.worker.as_mut().and_then(|worker| worker.session.as_mut()) {
            session.read_by(&reading.delimiter);
        }
        self.reading = reading.clone();
        self.preamble_left = 0;
    }

    /// Says where the next text stands in the source, and whether it is there as it is. What was not taken of the last
    /// one is left out.
    pub(crate) fn place(&mut self, line: u64, source_offset: u64, is_in_source: bool) {
        self.keeps_whole = !is_in_source;
        (self.line, self.source_offset, self.given_up) = (line, source_offset, 0);
        self.ruler = self.ruler.as_ref().map(|_| Ruler::default());
    }
}
