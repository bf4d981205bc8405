//! What can go wrong with a whole file. A bad row is a rejection, not an error.

use std::io;

/// Why a file can never be processed as it is: trying again gives the same answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadFile {
    /// Stable, for machines: `corrupt_gzip`, `not_csv`, …
    pub code: &'static str,
    /// For people: what is wrong and what to do. Never a value from the file.
    pub message: String,
    /// The 1-based line of the decompressed text, where one is known.
    pub line: Option<u64>,
    /// The offset into the input object (compressed, if it is), where one is known.
    pub byte_offset: Option<u64>,
}

impl BadFile {
    /// A failure of the whole file, with no place in it yet.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), line: None, byte_offset: None }
    }

    pub(crate) fn at_byte(mut self, byte_offset: u64) -> Self {
        self.byte_offset = Some(byte_offset);
        self
    }

    pub(crate) fn at_line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }
}

/// How [`run`](crate::run()) fails.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The file itself is bad.
    #[error("the file can't be processed")]
    BadFile(#[from] BadFile),
    /// The bytes could not be fetched. `source` is the reader's own error.
    #[error("read the input at byte {byte_offset}")]
    Input {
        /// How far the input was read.
        byte_offset: u64,
        /// What the reader said.
        source: io::Error,
    },
    /// The clean rows could not be written.
    #[error("write the output")]
    Output(#[source] io::Error),
    /// The rejected rows could not be written.
    #[error("write the rejects")]
    Rejects(#[source] io::Error),
    /// The engine contradicted itself. Nothing must be committed; please report it.
    #[error("internal: {0}")]
    Internal(String),
}
