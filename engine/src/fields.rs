//! A record's fields.

/// The fields of one record, in buffers that are used again for the next.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        (0..self.ends.len()).map(|at| self.get(at))
    }

    pub(crate) fn get(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.bytes[start..self.ends[at]]
    }

    pub(crate) fn push(&mut self, field: &[u8]) {
        self.bytes.extend_from_slice(field);
        self.end();
    }

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
