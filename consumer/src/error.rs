//! Why a message was not done. Whatever the reason, it goes back to the queue, and after its last receive to the
//! dead-letter queue.

use common::contract::{ObjectRef, ParseEventError};
use common::document::{DocumentError, Unreadable};
use common::store::StoreError;
use common::topic::PublishError;
use jiff::Timestamp;

/// Why a message was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    /// The record is empty.
    #[error("the message has no body")]
    NoBody,
    /// The body is not one of ours.
    #[error(transparent)]
    NotAnEvent(#[from] ParseEventError),
    /// The body is one of ours, but says what can't be.
    #[error("the event contradicts itself: {0}")]
    Contradiction(&'static str),
    /// Somebody else is at it.
    #[error("claimed by {owner} until {until}")]
    Busy {
        /// The claim's owner.
        owner: String,
        /// The claim's end.
        until: Timestamp,
    },
    /// The event came, but its receipt is not there.
    #[error("{0} does not exist")]
    NoReceipt(ObjectRef),
    /// Another event's output lies where this one's was, and its receipt has not come yet.
    #[error("the output is being replaced by event {0}")]
    BeingReplaced(String),
    /// The file is not what its receipt says.
    #[error("the file is not as its receipt says: {what}")]
    Mismatch {
        /// What differs.
        what: String,
        /// Why nobody could be told of it.
        #[source]
        unsent: Option<PublishError>,
    },
    /// What lies there can't be read as what it should be.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The alert was not taken.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The invocation ends before the message could be done.
    #[error("the invocation's time is up")]
    OutOfTime,
}

impl MessageError {
    /// Whether the same message may succeed when it comes again. The one place that decides it.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Busy { .. }
            | Self::NoReceipt(_)
            | Self::BeingReplaced(_)
            | Self::Publish(_)
            | Self::OutOfTime => true,
            Self::NoBody
            | Self::NotAnEvent(_)
            | Self::Contradiction(_)
            | Self::Mismatch { .. }
            | Self::Unreadable(_) => false,
        }
    }
}

impl From<DocumentError> for MessageError {
    fn from(error: DocumentError) -> Self {
        match error {
            DocumentError::Store(error) => Self::Store(error),
            DocumentError::Unreadable(error) => Self::Unreadable(error),
        }
    }
}
