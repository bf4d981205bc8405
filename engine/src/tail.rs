//! Footnotes that were told of: the last lines of the text, which are known only at its end.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::BadFile;
use crate::dialect::Terminator;
use crate::line_end::LineEnd;

/// Held back at most, all lines together.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Keeps the last lines of the text back.
pub(crate) struct Tail {
    most: u64,
    terminator: Terminator,
    held: BytesMut,
    /// The lengths of the lines that are held and have their end.
    lines: VecDeque<usize>,
    /// Where the line begins that has none yet, and up to where its end was looked for.
    open: usize,
    looked: usize,
    /// Lines that had their end, and the last of them that was let go though it may be among the last ones.
    ended: u64,
    spoilt: Option<u64>,
}

impl Tail {
    pub(crate) fn new(most: u64, terminator: Terminator) -> Self {
        Self {
            most,
            terminator,
            held: BytesMut::new(),
            lines: VecDeque::new(),
            open: 0,
            looked: 0,
            ended: 0,
            spoilt: None,
        }
    }

    /// Takes the next text. Returns what is not among the last lines any more: of what was held, and of the text.
    pub(crate) fn push(&mut self, text: &Bytes) -> [Bytes; 2] {
        let before = self.held.len();
        self.held.extend_from_slice(text);
        let mut cut = 0;
        while let Some(length) = self.next_line() {
            self.lines.push_back(length);
            cut += self.surplus();
        }
        cut += self.surplus();
        // Other lines may follow, so that these are none of the last ones: only the end can tell.
        while self.held.len() - cut > MAX_BYTES {
            if let Some(length) = self.lines.pop_front() {
                cut += length;
                self.spoilt = Some(self.ended - self.lines.len() as u64);
            } else {
                cut = self.looked;
                self.spoilt = Some(self.ended + 1);
                break;
            }
        }
        let released = self.held.split_to(cut);
        self.open = self.open.saturating_sub(cut);
        self.looked -= cut;
        if cut <= before {
            return [released.freeze(), Bytes::new()];
        }
        [released.freeze().slice(..before), text.slice(..cut - before)]
    }

    /// How long the next line is that ends in what is held.
    fn next_line(&mut self) -> Option<usize> {
        match self.terminator.find(&self.held[self.looked..], false) {
            Some((at, LineEnd::Here(length))) => {
                let end = self.looked + at + length;
                let line = end - self.open;
                (self.open, self.looked) = (end, end);
                self.ended += 1;
                Some(line)
            }
            // A `\n` may follow.
            Some((at, _)) => {
                self.looked += at;
                None
            }
            None => {
                self.looked = self.held.len();
                None
            }
        }
    }

    fn is_open(&self) -> bool {
        self.open < self.held.len()
    }

    /// Lets go of the lines that are too many. Returns their length.
    fn surplus(&mut self) -> usize {
        let mut length = 0;
        while self.lines.len() as u64 + u64::from(self.is_open()) > self.most
            && let Some(line) = self.lines.pop_front()
        {
            length += line;
        }
        length
    }

    /// What is held at the end, and how many lines that is.
    pub(crate) fn finish(self) -> Result<(Bytes, u64), BadFile> {
        let open = u64::from(self.is_open());
        if self.spoilt.is_some_and(|line| line + self.most > self.ended + open) {
            let (lines, most) = (self.most, MAX_BYTES >> 20);
            let what =
                format!("{lines} lines, as many as are footnotes, have more than {most} MiB: tell fewer");
            return Err(BadFile::new("footnotes_too_long", what));
        }
        let lines = self.lines.len() as u64 + open;
        Ok((self.held.freeze(), lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8], lines: u64, terminator: Terminator, size: usize) -> (Vec<u8>, Vec<u8>, u64) {
        let mut tail = Tail::new(lines, terminator);
        let mut released = Vec::new();
        for block in text.chunks(size) {
            for piece in tail.push(&Bytes::copy_from_slice(block)) {
                released.extend_from_slice(&piece);
            }
        }
        let (held, lines) = tail.finish().unwrap();
        (released, held.to_vec(), lines)
    }

    #[test]
    fn the_last_lines_are_held_whatever_the_blocks() {
        use Terminator::{Any, Cr, CrLf, Lf};
        for (text, lines, terminator, held) in [
            (&b"a\nb\nc\n"[..], 1, Any, &b"c\n"[..]),
            (b"a\nb\nc", 1, Any, b"c"),
            (b"a\r\nb\r\nc\r\n", 2, Any, b"b\r\nc\r\n"),
            (b"a\rb\r\n\nc\r", 3, Any, b"b\r\n\nc\r"),
            (b"a\nb", 5, Any, b"a\nb"),
            (b"a\nb\nc\n", 0, Any, b""),
            (b"a\nb\rc\r", 1, Cr, b"c\r"),
            (b"a\nb\rc\r", 2, Cr, b"a\nb\rc\r"),
            (b"a\rb\n", 1, Lf, b"a\rb\n"),
            (b"a\r\nb\nc\r\n", 1, CrLf, b"b\nc\r\n"),
            (b"", 2, Any, b""),
        ] {
            for size in 1..=text.len().max(1) {
                let (released, kept, count) = split(text, lines, terminator, size);
                assert_eq!([&released[..], &kept].concat(), text);
                assert_eq!(kept, held, "{text:?} {lines} {size}");
                assert!(count <= lines);
            }
        }
    }

    #[test]
    fn what_is_held_has_a_limit_that_counts_at_the_end() {
        let block = Bytes::from(vec![b'x'; MAX_BYTES / 2 + 1]);
        let end = Bytes::from_static(b"\nend\n");
        let finished = |lines, blocks: &[&Bytes]| {
            let mut tail = Tail::new(lines, Terminator::Any);
            let mut released = 0;
            for block in blocks {
                released += tail.push(block).iter().map(Bytes::len).sum::<usize>();
                assert!(tail.held.len() <= MAX_BYTES);
            }
            tail.finish().map(|(held, lines)| (released, held, lines)).map_err(|bad| bad.code)
        };
        assert_eq!(finished(1, &[&block, &block]), Err("footnotes_too_long"));
        assert_eq!(finished(2, &[&block, &block, &end]), Err("footnotes_too_long"));
        assert_eq!(finished(2, &[&block, &end, &block, &block]), Err("footnotes_too_long"));
        // The long line is no footnote.
        let table = 2 * block.len() + 1;
        assert_eq!(finished(1, &[&block, &block, &end]), Ok((table, Bytes::from_static(b"end\n"), 1)));
    }
}
