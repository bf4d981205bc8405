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

/// Whether nothing behind the first `window` bytes can change how they are read: they are the last, or they end with a
/// `\r` that no `\n` follows.
pub(crate) fn is_whole(input: &[u8], window: usize, last: bool) -> bool {
    match input.get(window) {
        None => last,
        Some(next) => *next != b'\n' && input[..window].ends_with(b"\r"),
    }
}

impl Terminator {
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
