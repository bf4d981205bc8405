//! Footnotes that were told of: the last lines of the text, which are known only at its end.

use bytes::{Bytes, BytesMut};
use memchr::{memrchr, memrchr2};

use crate::BadFile;
use crate::dialect::Terminator;

/// Held back at most, all lines together.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// Keeps the last lines of the text back.
pub(crate) struct Tail {
    lines: u64,
    terminator: Terminator,
    held: BytesMut,
}

impl Tail {
    pub(crate) fn new(lines: u64, terminator: Terminator) -> Self {
        Self { lines, terminator, held: BytesMut::new() }
    }

    /// Takes the next text. Returns what is not among the last lines any more: of what was held, and of the text.
    pub(crate) fn push(&mut self, text: &Bytes) -> Result<[Bytes; 2], BadFile> {
        let before = self.held.len();
        self.held.extend_from_slice(text);
        let cut = self.start_of_last();
        if self.held.len() - cut > MAX_BYTES {
            let (lines, most) = (self.lines, MAX_BYTES >> 20);
            let what =
                format!("{lines} lines, as many as are footnotes, have more than {most} MiB: tell fewer");
            return Err(BadFile::new("footnotes_too_long", what));
        }
        let released = self.held.split_to(cut);
        if cut <= before {
            return Ok([released.freeze(), Bytes::new()]);
        }
        Ok([released.freeze().slice(..before), text.slice(..cut - before)])
    }

    /// What is held at the end, and how many lines that is.
    pub(crate) fn finish(self) -> (Bytes, u64) {
        let mut lines = 0;
        let mut end = self.held.len();
        while end > 0 {
            end = self.line_start(end);
            lines += 1;
        }
        (self.held.freeze(), lines)
    }

    /// Where the first of the last lines begins.
    fn start_of_last(&self) -> usize {
        let mut start = self.held.len();
        for _ in 0..self.lines {
            if start == 0 {
                break;
            }
            start = self.line_start(start);
        }
        start
    }

    /// Where the line begins that ends, with its end, at `end`.
    fn line_start(&self, end: usize) -> usize {
        let text = &self.held[..end];
        let mut content = match (self.terminator, text) {
            (Terminator::Any | Terminator::CrLf, [content @ .., b'\r', b'\n'])
            | (Terminator::Any | Terminator::Lf, [content @ .., b'\n'])
            | (Terminator::Any | Terminator::Cr, [content @ .., b'\r']) => content,
            _ => text,
        };
        loop {
            let last = match self.terminator {
                Terminator::Any => memrchr2(b'\n', b'\r', content),
                Terminator::Cr => memrchr(b'\r', content),
                Terminator::Lf | Terminator::CrLf => memrchr(b'\n', content),
            };
            match last {
                None => return 0,
                Some(at) if self.terminator == Terminator::CrLf && !content[..at].ends_with(b"\r") => {
                    content = &content[..at];
                }
                Some(at) => return at + 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &[u8], lines: u64, terminator: Terminator, size: usize) -> (Vec<u8>, Vec<u8>, u64) {
        let mut tail = Tail::new(lines, terminator);
        let mut released = Vec::new();
        for block in text.chunks(size) {
            for piece in tail.push(&Bytes::copy_from_slice(block)).unwrap() {
                released.extend_from_slice(&piece);
            }
        }
        let (held, lines) = tail.finish();
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
    fn what_is_held_has_a_limit() {
        let mut tail = Tail::new(1, Terminator::Any);
        let block = Bytes::from(vec![b'x'; MAX_BYTES / 2 + 1]);
        tail.push(&block).unwrap();
        assert_eq!(tail.push(&block).unwrap_err().code, "footnotes_too_long");
    }
}
