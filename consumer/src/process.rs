//! One message, from claim to catalogue. Each step may fail, and the invocation may die between any two: what makes
//! a repeat harmless is their order.
//!
//! 1. An event that is in the catalogue is done.
//! 2. The claim: from here on, nobody else acts on the event.
//! 3. The file is verified.
//! 4. People are told, where there is something to tell: at most once for each claim taken.
//! 5. The catalogue entry. A crash before it means that all is done again, and people may be told again: they may
//!    hear twice, always of the same event, but never not at all.

use common::contract::{CatalogEntry, CatalogStatus, Claim, FileEvent, Status};
use common::store::Store;
use common::topic::{self, Message, PublishError, Topic};
use common::trace::in_span;
use jiff::Timestamp;
use opentelemetry::trace::{SpanBuilder, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, TraceId};

use crate::alert::{self, AlertKind};
use crate::catalog;
use crate::claim::{self, Held};
use crate::error::MessageError;
use crate::verify::{self, Verdict};

/// What became of a message that needs not come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was done now.
    Now(CatalogStatus),
    /// It had been done before.
    Before,
}

/// One message at work.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) alerts: Option<&'a dyn Topic>,
    /// The output bucket.
    pub(crate) bucket: &'a str,
    pub(crate) event: &'a FileEvent,
    pub(crate) trace_id: TraceId,
    /// Names this attempt, and no other, of this invocation or any.
    pub(crate) owner: String,
    /// When the claim ends.
    pub(crate) claim_until: Timestamp,
}

impl Work<'_> {
    /// Does what the message asks for, or says why it has to come again.
    pub(crate) async fn run(self) -> Result<Done, MessageError> {
        if self.is_done().await? {
            return Ok(Done::Before);
        }
        let claim = Claim {
            event_id: self.event.id.clone(),
            owner: self.owner.clone(),
            expires_at: self.claim_until,
        };
        let mut held = claim::take(self.store, self.bucket, claim).await?;
        let result = self.act(&mut held).await;
        if result.is_err() {
            held.release(self.store).await;
        }
        result
    }

    async fn act(&self, held: &mut Held) -> Result<Done, MessageError> {
        // Whoever held it before may have finished since the first look.
        if held.taken_over && self.is_done().await? {
            return Ok(Done::Before);
        }
        let status = match in_span(SpanBuilder::from_name("verify"), self.verify()).await? {
            Verdict::Unsound(what) => {
                let alert = alert::mismatch(self.event, &what, self.trace_id);
                let unsent = self.tell(held, AlertKind::Mismatch, alert).await.err();
                return Err(MessageError::Mismatch { what, unsent });
            }
            Verdict::Superseded => CatalogStatus::Superseded,
            Verdict::Sound if self.event.data.receipt.status == Status::Failed => {
                self.report_failure();
                self.tell(held, AlertKind::Failed, alert::failed(self.event, self.trace_id)).await?;
                CatalogStatus::Failed
            }
            Verdict::Sound => CatalogStatus::Processed,
        };
        let superseded = status == CatalogStatus::Superseded;
        let entry = CatalogEntry::new(self.event, superseded, Some(self.trace_id.to_string()));
        let record = catalog::record(self.store, self.bucket, self.event, &entry);
        in_span(SpanBuilder::from_name("catalogue"), record).await?;
        Ok(Done::Now(status))
    }

    async fn verify(&self) -> Result<Verdict, MessageError> {
        let verdict = verify::verify(self.store, self.event).await?;
        Context::map_current(|context| {
            context.span().set_attribute(KeyValue::new("penstock.verdict", verdict.name()));
        });
        Ok(verdict)
    }

    async fn is_done(&self) -> Result<bool, MessageError> {
        Ok(catalog::is_done(self.store, self.bucket, self.event).await?)
    }

    /// Publishes an alert, unless it is known that this very alert went out already.
    async fn tell(&self, held: &mut Held, kind: AlertKind, alert: Message) -> Result<(), PublishError> {
        let Some(topic) = self.alerts.filter(|_| held.notified() != Some(kind)) else { return Ok(()) };
        in_span(SpanBuilder::from_name("notify"), topic::publish(topic, alert)).await?;
        held.remember(kind);
        Ok(())
    }

    fn report_failure(&self) {
        let error = self.event.data.receipt.error.as_ref();
        tracing::warn!(
            code = error.map(|error| error.code.as_str()),
            message_for_people = error.map(|error| error.message.as_str()),
            line_number = error.and_then(|error| error.line),
            byte_offset = error.and_then(|error| error.byte_offset),
            "the file failed"
        );
    }
}
