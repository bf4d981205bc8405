//! How a store fails.

use std::error::Error;

/// What to do about an error depends on this alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// No such object, version or upload.
    NotFound,
    /// The object is not what the condition asked for: 412.
    Precondition,
    /// Another write to the same key is under way: 409. Read again and decide again.
    Conflict,
    /// Not allowed: the configuration is wrong.
    Forbidden,
    /// May succeed when tried again: 500, 503, resets, time-outs, torn bodies.
    Transient,
    /// The object would be larger than can be written.
    TooLarge,
    /// Anything else: trying again gives the same answer.
    Permanent,
}

/// A failed operation, naming what was tried on which object.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct StoreError {
    /// What to do about it.
    pub kind: ErrorKind,
    /// `put part 7 of s3://bucket/key`.
    pub what: String,
    /// What the layer below said.
    #[source]
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StoreError {
    /// An error without a cause below it.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self { kind, what: what.into(), source: None }
    }

    /// The same, with what the layer below said.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Whether the same call may succeed when tried again.
    pub fn is_transient(&self) -> bool {
        self.kind == ErrorKind::Transient
    }
}
