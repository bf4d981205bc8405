//! A bus of `EventBridge`: programs that react.

use async_trait::async_trait;
use aws_sdk_eventbridge::error::ProvideErrorMetadata as _;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;

use common::topic::is_refusal;

use super::{Notice, SendError, Target};

/// `source` of everything that is put.
const SOURCE: &str = "penstock";

/// A bus that is told.
pub(crate) struct BusTarget {
    client: aws_sdk_eventbridge::Client,
    bus: String,
}

impl BusTarget {
    /// Puts events on the bus of this name or ARN.
    pub(crate) fn new(client: aws_sdk_eventbridge::Client, bus: String) -> Self {
        Self { client, bus }
    }
}

#[async_trait]
impl Target for BusTarget {
    async fn send(&self, notice: &Notice) -> Result<(), SendError> {
        let mut detail = notice.data.clone();
        if let Some(detail) = detail.as_object_mut() {
            detail.insert("id".into(), notice.id.as_str().into());
            detail.insert("text".into(), notice.text.as_str().into());
        }
        let entry = PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(SOURCE)
            .detail_type(notice.kind.name())
            .time(DateTime::from_secs(notice.time.as_second()))
            .detail(detail.to_string())
            .build();
        let answer = self.client.put_events().entries(entry).send().await.map_err(|error| {
            if is_refusal(error.code()) { SendError::permanent(error) } else { SendError::transient(error) }
        })?;
        // An event that was not taken is no error of the request.
        match answer.entries().iter().find_map(|entry| entry.error_code()) {
            Some(code) => Err(not_taken(code)),
            None => Ok(()),
        }
    }
}

/// Why an event was not taken.
fn not_taken(code: &str) -> SendError {
    // As the API's reference has them.
    let for_good = [
        "InvalidAccountIdException",
        "InvalidArgument",
        "MalformedDetail",
        "NotAuthorizedForDetailTypeException",
        "NotAuthorizedForSourceException",
        "RedactionFailure",
    ];
    let why = format!("the bus did not take the event: {code}");
    if is_refusal(Some(code)) || for_good.contains(&code) {
        SendError::permanent(why)
    } else {
        SendError::transient(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_bus_will_never_take_is_told_from_what_it_may() {
        for code in ["InternalFailure", "ThrottlingException", "SomethingNew"] {
            assert!(not_taken(code).is_transient, "{code}");
        }
        for code in ["AccessDeniedException", "MalformedDetail", "NotAuthorizedForSourceException"] {
            assert!(!not_taken(code).is_transient, "{code}");
        }
    }
}
