//! Lines that one stray quote makes unreadable.

use memchr::memchr_iter;

use crate::fields::Fields;
use crate::parse::Parser;
use crate::scan::Found;

/// A line is read once for each of its quotes: with more than these, it is too strange to guess.
const MAX_QUOTES: usize = 32;

impl Parser {
    /// Reads a line once more with one of its quotes taken as it stands, if that gives `width` fields in one way only,
    /// or in one way with fewer stray quotes than any other.
    pub(crate) fn repair(&self, line: &[u8], width: usize, fields: &mut Fields) -> bool {
        let Some(quote) = self.quote else { return false };
        if memchr_iter(quote, line).nth(MAX_QUOTES).is_some() {
            return false;
        }
        let mut best: Option<(usize, usize)> = None;
        let mut is_only = false;
        for literal in memchr_iter(quote, line) {
            let found = self.parse(line, true, 0, Some(literal), fields);
            let Found::Record(scan) = found else { continue };
            if scan.width != width || scan.lines > 1 || scan.total != line.len() {
                continue;
            }
            let strays = fields.count(quote);
            match best {
                Some((fewest, _)) if strays > fewest => {}
                Some((fewest, _)) if strays == fewest => is_only = false,
                _ => (best, is_only) = (Some((strays, literal)), true),
            }
        }
        match best {
            Some((_, literal)) if is_only => {
                matches!(self.parse(line, true, 0, Some(literal), fields), Found::Record(_))
            }
            _ => false,
        }
    }
}
