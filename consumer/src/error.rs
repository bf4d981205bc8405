//! Why a message was not done. Whatever the reason, it goes back to the queue, and after its last receive to the
//! dead-letter queue.

use common::contract::{ObjectRef, ParseEventError};
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
    #[error("read the message's body: {0}")]
    NotAnEvent(String),
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

/// An object that is not the document it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unreadable {
    /// Larger than a document may be.
    #[error("{object} has {size} bytes, more than the {limit} that are read")]
    TooLarge {
        /// The object.
        object: ObjectRef,
        /// Its bytes.
        size: u64,
        /// The most that are read.
        limit: u64,
    },
    /// Not JSON, or not of the shape that is expected.
    #[error("{object} is malformed: {place}")]
    Malformed {
        /// The object.
        object: ObjectRef,
        /// Where.
        place: String,
    },
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

impl From<ParseEventError> for MessageError {
    fn from(error: ParseEventError) -> Self {
        Self::NotAnEvent(match error {
            ParseEventError::Json(error) => place(&error),
            ParseEventError::Unknown(_) => error.to_string(),
        })
    }
}

/// Where and how JSON is wrong. Its own message would quote values, which no log may hold.
pub(crate) fn place(error: &serde_json::Error) -> String {
    let kind = match error.classify() {
        serde_json::error::Category::Eof => "it ends early",
        serde_json::error::Category::Data => "not of the shape expected",
        serde_json::error::Category::Syntax | serde_json::error::Category::Io => "not JSON",
    };
    format!("{kind}, line {} column {}", error.line(), error.column())
}
