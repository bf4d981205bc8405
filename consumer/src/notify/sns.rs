//! A topic of SNS: people's mail, and whoever subscribes.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use common::topic::{self, Message, Topic};

use super::{Notice, SendError, Target};

/// A topic that is told.
pub struct SnsTarget {
    topic: Arc<dyn Topic>,
}

impl SnsTarget {
    /// Publishes to `topic`.
    pub fn new(topic: Arc<dyn Topic>) -> Self {
        Self { topic }
    }
}

#[async_trait]
impl Target for SnsTarget {
    async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let mut attributes = BTreeMap::from([("type".to_owned(), notice.kind.name().to_owned())]);
        attributes.extend(notice.event_id.iter().map(|id| ("event_id".to_owned(), id.clone())));
        let message =
            Message { subject: Some(notice.subject.clone()), body: notice.text.clone(), attributes };
        topic::publish(&*self.topic, message).await.map_err(|error| {
            if error.is_transient() { SendError::transient(error) } else { SendError::permanent(error) }
        })
    }
}
