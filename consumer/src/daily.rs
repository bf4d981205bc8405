//! The digest's invocation: once a day, by a schedule, and once only.

use std::time::Duration;

use common::contract::Claim;
use futures::future::join_all;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};
use serde::Deserialize;

use crate::claim;
use crate::digest::{self, Digest};
use crate::error::MessageError;
use crate::handler::Consumer;
use crate::invocation::Invocation;

/// What is kept of the invocation's time for telling people.
const TIME_TO_TELL: Duration = Duration::from_secs(10);

/// What the schedule sends: `{"penstock": "digest"}`, and a day for whoever wants another than yesterday.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Request {
    penstock: String,
    #[serde(default)]
    day: Option<Date>,
}

impl Request {
    /// Whether it asks for a digest.
    pub(crate) fn is_digest(&self) -> bool {
        self.penstock == "digest"
    }
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Sent {
    /// Everybody who wants it has it.
    Now,
    /// It had been sent.
    Before,
    /// Nobody wants it.
    ToNobody,
}

/// Sends the digest of a day, by default of yesterday, to whoever has not had it.
pub(crate) async fn send(
    consumer: &Consumer,
    request: &Request,
    invocation: &Invocation,
) -> Result<Sent, MessageError> {
    let now = Timestamp::now();
    let day = request.day.unwrap_or_else(|| yesterday(now));
    let notifier = consumer.notifier.current();
    let readers = notifier.digest_readers();
    if readers.is_empty() {
        tracing::warn!("nobody is to get the digest: there is no alert topic, and the rules name none");
        return Ok(Sent::ToNobody);
    }
    let claim = Claim {
        event_id: digest::id(day),
        // A retry has its request's id, so that alone would take what another has done for its own.
        owner: format!("digest/{}/{:016x}", invocation.request_id, fastrand::u64(..)),
        expires_at: invocation.claim_until(now, consumer.claim_lease),
    };
    let (store, bucket) = (&*consumer.store, &consumer.output_bucket);
    let Some(mut held) = claim::take(store, bucket, claim).await? else { return Ok(Sent::Before) };
    let end = invocation.ends(now).map(|ends| ends.telling);
    let within = invocation.time_left(now).map(|left| left.saturating_sub(TIME_TO_TELL).max(left / 2));
    let sent = async {
        let digest = Digest::of_day(store, bucket, day, within).await;
        let digest = digest.map_err(MessageError::from)?;
        let notice = digest.notice(day, consumer.prices);
        let unheard: Vec<&str> = readers.into_iter().filter(|reader| !held.was_sent(reader)).collect();
        let telling = unheard.iter().map(|reader| notifier.tell_before(end, reader, &notice));
        let mut first_error = None;
        for (reader, told) in unheard.iter().zip(join_all(telling).await) {
            match told {
                Ok(()) => held.remember((*reader).to_owned()),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        first_error.map_or(Ok(digest.is_whole()), |error| Err(MessageError::from(error)))
    };
    match sent.await {
        Ok(true) => held.finish(store, None).await,
        Ok(false) => {
            tracing::warn!(day = %day, "the digest is of a part of the day: whoever asks for it again gets it again");
            held.forget();
            held.release(store).await;
        }
        Err(error) => {
            held.release(store).await;
            return Err(error);
        }
    }
    tracing::info!(day = %day, "the digest is sent");
    Ok(Sent::Now)
}

fn yesterday(now: Timestamp) -> Date {
    let today = now.to_zoned_datetime(TimeZone::UTC).date();
    today.yesterday().unwrap_or(today)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yesterday_is_utcs() {
        let day = |now: &str| yesterday(now.parse().unwrap()).to_string();
        assert_eq!(day("2026-03-01T00:00:00Z"), "2026-02-28");
        assert_eq!(day("2026-03-01T23:59:59Z"), "2026-02-28");
    }

    #[test]
    fn what_the_schedule_sends_is_read() {
        let read = |text| serde_json::from_str::<Request>(text);
        assert!(read(r#"{"penstock": "digest"}"#).unwrap().is_digest());
        let asked = read(r#"{"penstock": "digest", "day": "2026-11-01"}"#).unwrap();
        assert_eq!(asked.day.unwrap().to_string(), "2026-11-01");
        assert!(!read(r#"{"penstock": "other"}"#).unwrap().is_digest());
        assert!(read(r#"{"Records": []}"#).is_err());
    }
}
