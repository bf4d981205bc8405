//! Where decoded text stands in the source: each piece of text with the bytes that it was decoded from.

use std::collections::VecDeque;

use bytes::Bytes;

/// A piece of decoded text that ends with a line's end, or where a block did.
#[derive(Debug)]
pub(crate) struct Mark {
    /// Its length in UTF-8.
    pub text_length: usize,
    /// What it was decoded from.
    pub source: Bytes,
    /// Whether the source has bytes that its encoding does not have.
    pub is_bad: bool,
}

/// The marks of the text that has not been taken yet. Records and regions begin and end where lines do, so each is
/// made of whole pieces.
#[derive(Debug, Default)]
pub(crate) struct Ruler {
    marks: VecDeque<Mark>,
    /// Text that was taken of the first piece.
    taken: usize,
}

/// What a stretch of text was decoded from.
#[derive(Debug, Default)]
pub(crate) struct Measured {
    pub byte_length: u64,
    /// The first bytes of it, if they were asked for.
    pub raw: Vec<u8>,
}

impl Ruler {
    pub(crate) fn push(&mut self, mark: Mark) {
        self.marks.push_back(mark);
    }

    /// Whether the next `length` bytes of text come from bytes that the encoding does not have.
    pub(crate) fn is_bad(&self, length: usize) -> bool {
        let mut seen = 0;
        self.marks
            .iter()
            .take_while(|mark| {
                let is_in = seen < self.taken + length;
                seen += mark.text_length;
                is_in
            })
            .any(|mark| mark.is_bad)
    }

    /// Takes the next `length` bytes of text, and keeps up to `raw` bytes of what they were decoded from.
    pub(crate) fn take(&mut self, length: usize, raw: usize) -> Measured {
        let mut measured = Measured::default();
        self.taken += length;
        // A piece without text, such as half a character at a block's end, belongs to the text that follows.
        while self.taken > 0
            && let Some(mark) = self.marks.pop_front_if(|mark| mark.text_length <= self.taken)
        {
            self.taken -= mark.text_length;
            measured.byte_length += mark.source.len() as u64;
            let room = raw.saturating_sub(measured.raw.len());
            measured.raw.extend_from_slice(&mark.source[..mark.source.len().min(room)]);
        }
        measured
    }

    /// Takes what became no text behind the last of it.
    pub(crate) fn finish(&mut self) -> u64 {
        self.marks.drain(..).map(|mark| mark.source.len() as u64).sum()
    }
}
