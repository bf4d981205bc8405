//! What the rows become, on its way to the sinks.

use bytes::{Bytes, BytesMut};

use crate::recipe::Piece;

/// Shorter runs are copied: handing one on costs more than copying it.
const MIN_SLICE_BYTES: usize = 4 * 1024;

/// Clean text and rejects, as [`Rows`](crate::rows::Rows) appends them.
#[derive(Default)]
pub(crate) struct Outputs {
    /// Clean text in order, ahead of `text`.
    pieces: Vec<Bytes>,
    /// The clean text that was written anew or copied.
    pub text: BytesMut,
    /// Pieces of a partitioned output's objects, in order.
    pub partitioned: Vec<Piece>,
    /// Rejects, one JSON object a line.
    pub rejects: BytesMut,
    /// The buffer that is being read, if runs of it may be handed on as they lie there.
    pub source: Option<Bytes>,
}

impl Outputs {
    /// Appends a run of the buffer being read: the bytes themselves stay where they are, if the run is long enough.
    pub(crate) fn keep(&mut self, run: &[u8]) {
        match &self.source {
            Some(source) if run.len() >= MIN_SLICE_BYTES => {
                let slice = source.slice_ref(run);
                self.close_text();
                self.pieces.push(slice);
            }
            _ => self.text.extend_from_slice(run),
        }
    }

    /// Appends bytes that have been made, which are not copied again.
    pub(crate) fn append(&mut self, bytes: Bytes) {
        self.close_text();
        self.pieces.push(bytes);
    }

    /// The clean text so far, in order. What was copied stays to gather more, unless that is `least` bytes or more.
    pub(crate) fn take_pieces(&mut self, least: usize) -> Vec<Bytes> {
        if self.text.len() >= least {
            self.close_text();
        }
        std::mem::take(&mut self.pieces)
    }

    /// The rejects so far, if they are `least` bytes or more.
    pub(crate) fn take_rejects(&mut self, least: usize) -> Option<Bytes> {
        (self.rejects.len() >= least.max(1)).then(|| self.rejects.split().freeze())
    }

    fn close_text(&mut self) {
        if !self.text.is_empty() {
            self.pieces.push(self.text.split().freeze());
        }
    }
}
