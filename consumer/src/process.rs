//! One message, from claim to catalogue. Each step may fail, and the invocation may die between any two: what makes
//! a repeat harmless is their order.
//!
//! 1. An event that is in the catalogue is done.
//! 2. The claim: from here on, nobody else acts on the event.
//! 3. The file is verified.
//! 4. People and programs are told, where there is something to tell: each at most once for each claim taken.
//! 5. The catalogue entry. A crash before it means that all is done again, and people may be told again: they may
//!    hear twice, always of the same event, but never not at all.
//!
//! A message that nothing can help goes to the dead-letter queue instead, with its reason, and is catalogued as failed:
//! in this order, for the same reason.

use aws_lambda_events::event::sqs::SqsMessage;
use common::contract::{CatalogEntry, CatalogStatus, Claim, FileEvent, Status};
use common::queue::Queues;
use common::store::Store;
use common::telemetry::chain;
use common::trace::in_span;
use futures::future::join_all;
use jiff::Timestamp;
use opentelemetry::trace::{SpanBuilder, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, TraceId};

use crate::catalog;
use crate::claim::{self, Held};
use crate::dead_letter;
use crate::error::MessageError;
use crate::notify::{self, NoticeKind, Notifier, NotifyError};
use crate::verify::{self, Verdict};

/// What a claim remembers of a message that was set aside.
const SET_ASIDE: &str = "dead letter";

/// What became of a message that needs not come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was done now.
    Now(CatalogStatus),
    /// It had been done before.
    Before,
    /// It is in the dead-letter queue.
    SetAside,
}

/// One message at work.
pub(crate) struct Work<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) queues: &'a dyn Queues,
    pub(crate) notifier: &'a Notifier,
    /// The output bucket.
    pub(crate) bucket: &'a str,
    pub(crate) dlq_url: &'a str,
    /// The message as it came.
    pub(crate) record: &'a SqsMessage,
    /// Whether the queue won't hand it out again.
    pub(crate) is_last: bool,
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
        let mut result = self.act(&mut held).await;
        if let Err(error) = &result
            && error.is_final(self.is_last)
        {
            result = self.set_aside(&mut held, error).await;
        }
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
                let unsent = self.tell(held, Some(&what)).await.err();
                return Err(MessageError::Mismatch { what, unsent });
            }
            Verdict::Superseded => CatalogStatus::Superseded,
            Verdict::Sound => {
                let status = match self.event.data.receipt.status {
                    Status::Processed => CatalogStatus::Processed,
                    Status::Failed => CatalogStatus::Failed,
                };
                if status == CatalogStatus::Failed {
                    self.report_failure();
                }
                self.tell(held, None).await?;
                status
            }
        };
        let superseded = status == CatalogStatus::Superseded;
        self.catalogue(&CatalogEntry::new(self.event, superseded, Some(self.trace_id.to_string()))).await?;
        Ok(Done::Now(status))
    }

    async fn verify(&self) -> Result<Verdict, MessageError> {
        let verdict = verify::verify(self.store, self.bucket, self.event).await?;
        Context::map_current(|context| {
            context.span().set_attribute(KeyValue::new("penstock.verdict", verdict.name()));
        });
        Ok(verdict)
    }

    async fn is_done(&self) -> Result<bool, MessageError> {
        Ok(catalog::is_done(self.store, self.bucket, self.event).await?)
    }

    async fn catalogue(&self, entry: &CatalogEntry) -> Result<(), MessageError> {
        let record = catalog::record(self.store, self.bucket, self.event, entry);
        Ok(in_span(SpanBuilder::from_name("catalogue"), record).await?)
    }

    /// Tells everybody who is to hear of it, at the same time, but nobody of whom it is known that he was told already. The
    /// first that could not be told is the error; the others have been told all the same.
    async fn tell(&self, held: &mut Held, problem: Option<&str>) -> Result<(), NotifyError> {
        let notice = notify::of_event(self.event, problem, self.trace_id, self.notifier.console());
        let wanted = self.notifier.wanted(self.event, notice.kind).into_iter();
        let unheard: Vec<&str> =
            wanted.filter(|target| !held.was_sent(&remembered(target, notice.kind))).collect();
        let telling = unheard.iter().map(|target| {
            let attributes = vec![
                KeyValue::new("penstock.notify.target", (*target).to_owned()),
                KeyValue::new("penstock.notify.type", notice.kind.name()),
            ];
            let builder = SpanBuilder::from_name("notify").with_attributes(attributes);
            in_span(builder, self.notifier.tell(target, &notice))
        });
        let mut first_error = None;
        for (target, told) in unheard.iter().zip(join_all(telling).await) {
            match told {
                Ok(()) => held.remember(remembered(target, notice.kind)),
                Err(error) => drop(first_error.get_or_insert(error)),
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Sends the message to the dead-letter queue, unless it is known to be there, and catalogues the event as failed.
    async fn set_aside(&self, held: &mut Held, error: &MessageError) -> Result<Done, MessageError> {
        tracing::error!(
            error = chain(error),
            reason = error.code(),
            "the message goes to the dead-letter queue"
        );
        if !held.was_sent(SET_ASIDE) {
            let letter = dead_letter::letter(self.record, error);
            in_span(SpanBuilder::from_name("set aside"), self.queues.send(self.dlq_url, letter)).await?;
            held.remember(SET_ASIDE.into());
        }
        let entry = CatalogEntry::new(self.event, false, Some(self.trace_id.to_string()));
        self.catalogue(&entry.failed(error.code(), &error.to_string())).await?;
        Ok(Done::SetAside)
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

/// What a claim remembers of a notice: of one event there may be two, if it was found damaged first.
fn remembered(target: &str, kind: NoticeKind) -> String {
    format!("{target} {}", kind.short())
}
