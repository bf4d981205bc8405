//! A record's fields.

use memchr::memmem::Finder;
use memchr::{memchr_iter, memchr3};

use crate::lines::Line;

/// The fields of one record, in buffers that are used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Bytes between two fields: those of a whole line lie as they did there.
    gap: usize,
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.gap = 0;
    }

    /// Takes a line with `delimiter` between its fields, and nothing else that means something.
    pub(crate) fn take_line(&mut self, line: &[u8], delimiter: &Finder<'_>) {
        self.clear();
        self.bytes.extend_from_slice(line);
        self.gap = delimiter.needle().len();
        match delimiter.needle() {
            [byte] => self.ends.extend(memchr_iter(*byte, line)),
            _ => self.ends.extend(delimiter.find_iter(line)),
        }
        self.ends.push(line.len());
    }

    /// Takes a plain line.
    pub(crate) fn take_plain(&mut self, line: &Line<'_>) {
        self.clear();
        if line.is_quoted {
            (0..line.ends().len()).for_each(|at| self.push(line.field(at)));
            return;
        }
        self.bytes.extend_from_slice(line.text());
        self.gap = 1;
        self.ends.extend(line.ends());
    }

    /// These fields with what is between them, as they lie in a line that was taken whole and holds none of the bytes for
    /// which a field is quoted but the delimiter; nothing for any other record.
    pub(crate) fn run(&self, first: usize, last: usize) -> Option<&[u8]> {
        let run = (self.gap > 0).then(|| &self.bytes[self.start(first)..self.ends[last]])?;
        memchr3(b'"', b'\r', b'\n', run).is_none().then_some(run)
    }

    fn start(&self, at: usize) -> usize {
        if at == 0 { 0 } else { self.ends[at - 1] + self.gap }
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| self.get(at))
    }

    pub(crate) fn get(&self, at: usize) -> &[u8] {
        &self.bytes[self.start(at)..self.ends[at]]
    }

    pub(crate) fn push(&mut self, field: &[u8]) {
        self.bytes.extend_from_slice(field);
        self.end();
    }

    /// Appends to the field that is next.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn end(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// How often a byte is in them.
    pub(crate) fn count(&self, byte: u8) -> usize {
        memchr::memchr_iter(byte, &self.bytes).count()
    }

    /// Leaves only the first fields.
    pub(crate) fn truncate(&mut self, width: usize) {
        self.ends.truncate(width);
        self.bytes.truncate(self.ends.last().copied().unwrap_or(0));
    }
}
