//! Where lines end.

use memchr::{memchr, memchr2};

use crate::dialect::Terminator;

/// What stands at a byte that may end a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// A line's end of so many bytes.
    Here(usize),
    /// None.
    No,
    /// What follows in the next buffer decides.
    Unknown,
}

impl Terminator {
    /// Whether nothing behind the first `window` bytes can change how they are read: they are the last, or they end
    /// with a line's `\r` that no `\n` follows.
    pub(crate) fn is_whole(self, input: &[u8], window: usize, last: bool, escape: Option<u8>) -> bool {
        match (self, input.get(window)) {
            (_, None) => last,
            (Self::Any, Some(next)) if *next != b'\n' => {
                let Some(line) = input[..window].strip_suffix(b"\r") else { return false };
                // Behind an escape the `\r` is the record's own. Of several, each takes the meaning of the next.
                let escapes = line.iter().rev().take_while(|byte| Some(**byte) == escape).count();
                escapes.is_multiple_of(2)
            }
            // The other ends are known when they are seen.
            _ => false,
        }
    }

    /// Whether a line ends at the start of `input`.
    pub(crate) fn at(self, input: &[u8], last: bool) -> LineEnd {
        match (self, input.first(), input.get(1)) {
            (Self::Any | Self::CrLf, Some(b'\r'), Some(b'\n')) => LineEnd::Here(2),
            (Self::Any | Self::CrLf, Some(b'\r'), None) if !last => LineEnd::Unknown,
            (Self::Any | Self::Lf, Some(b'\n'), _) | (Self::Any | Self::Cr, Some(b'\r'), _) => {
                LineEnd::Here(1)
            }
            _ => LineEnd::No,
        }
    }

    /// Where the first line in `input` ends and how long that end is; nothing if no end can be seen.
    pub(crate) fn find(self, input: &[u8], last: bool) -> Option<(usize, LineEnd)> {
        let mut from = 0;
        loop {
            let rest = &input[from..];
            let at = match self {
                Self::Any => memchr2(b'\n', b'\r', rest),
                Self::Lf => memchr(b'\n', rest),
                Self::CrLf | Self::Cr => memchr(b'\r', rest),
            };
            let at = from + at?;
            match self.at(&input[at..], last) {
                LineEnd::No => from = at + 1,
                end => return Some((at, end)),
            }
        }
    }
}
