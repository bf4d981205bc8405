//! Why a message was not done. It comes back, later each time, and goes to the dead-letter queue after its last receive;
//! at once, and with its reason, where it is known that nothing can help it.

use common::contract::{ObjectRef, ParseEventError};
use common::document::{DocumentError, Unreadable};
use common::queue::QueueError;
use common::store::StoreError;
use jiff::Timestamp;

use crate::notify::NotifyError;

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
        unsent: Option<NotifyError>,
    },
    /// What lies there can't be read as what it should be.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Somebody who was to be told was not.
    #[error(transparent)]
    Notify(#[from] NotifyError),
    /// The dead-letter queue did not take the message.
    #[error(transparent)]
    Queue(#[from] QueueError),
    /// The invocation ends before the message could be done.
    #[error("the invocation's time is up")]
    OutOfTime,
}

impl MessageError {
    /// Whether the same message may succeed when it comes again. The one place that decides it.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Notify(error) => error.is_transient(),
            Self::Busy { .. }
            | Self::NoReceipt(_)
            | Self::BeingReplaced(_)
            | Self::Queue(_)
            | Self::OutOfTime => true,
            Self::NoBody
            | Self::NotAnEvent(_)
            | Self::Contradiction(_)
            | Self::Mismatch { .. }
            | Self::Unreadable(_) => false,
        }
    }

    /// Whether it is known that no further receive can help. An event that can never have been right is one; a file that is
    /// not as its receipt says may be mended, so it is one only when it is found so still at its last receives (`is_late`), and
    /// all were told who can be; somebody who can never be told is the third.
    ///
    /// All else goes by way of the queue's own redrive, which catalogues nothing: once its cause is mended, the message can
    /// be put back, and is done.
    pub(crate) fn is_final(&self, is_late: bool) -> bool {
        match self {
            Self::Contradiction(_) => true,
            Self::Mismatch { unsent, .. } => {
                is_late && !unsent.as_ref().is_some_and(NotifyError::is_transient)
            }
            Self::Notify(error) => !error.is_transient(),
            _ => false,
        }
    }

    /// Its stable name, for dead letters and the catalogue.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::NoBody | Self::NotAnEvent(_) => "not_an_event",
            Self::Contradiction(_) => "contradiction",
            Self::Busy { .. } => "busy",
            Self::NoReceipt(_) => "no_receipt",
            Self::BeingReplaced(_) => "being_replaced",
            Self::Mismatch { .. } => "mismatch",
            Self::Unreadable(_) => "unreadable",
            Self::Store(_) => "store",
            Self::Notify(_) => "notify",
            Self::Queue(_) => "queue",
            Self::OutOfTime => "out_of_time",
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
