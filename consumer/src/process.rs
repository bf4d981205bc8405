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
//! in this order, for the same reason. So does one of whose file somebody can never be told; that is catalogued as what it
//! is. A copy that was corrupted on its way is set aside without an entry: the true message is still to come.
//!
//! Whatever hangs is ended in time to give the claim back, and with it what is known of who was told.

use aws_lambda_events::event::sqs::SqsMessage;
use common::contract::{
    CatalogEntry, CatalogStatus, Claim, FileEvent, ObjectRef, Receipt, Status, catalog_key,
};
use common::document::{self, Document, DocumentError};
use common::queue::Queues;
use common::store::Store;
use common::telemetry::chain;
use common::trace::in_span;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use opentelemetry::trace::{SpanBuilder, TraceContextExt as _};
use opentelemetry::{Context, KeyValue, TraceId};
use tokio::time::Instant;

use crate::catalog;
use crate::claim::{self, Held};
use crate::dead_letter;
use crate::error::MessageError;
use crate::invocation::Ends;
use crate::notify::{self, NoticeKind, Notifier, NotifyError};
use crate::verify::{self, Verdict};

/// What a claim remembers of a message that was set aside.
const SET_ASIDE: &str = "dead letter";

/// From this receive on, a receipt that is still missing, or an output that is still being replaced, is a fault.
const PATIENCE: u64 = 3;

/// What became of a message that needs not come again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Done {
    /// It was done now.
    Now(CatalogStatus),
    /// It had been done before.
    Before,
    /// It is in the dead-letter queue.
    SetAside(Entry),
}

/// Whether a message that was set aside has its entry in the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// The event is done.
    Made,
    /// The message was a corrupted copy.
    None,
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
    /// How often the queue has handed it out, this time included.
    pub(crate) receives: u64,
    /// How often it does, at most.
    pub(crate) max_receives: u32,
    pub(crate) event: &'a FileEvent,
    pub(crate) trace_id: TraceId,
    /// Names this attempt, and no other, of this invocation or any.
    pub(crate) owner: String,
    /// When the claim ends.
    pub(crate) claim_until: Timestamp,
    /// When its steps end, where there is an end.
    pub(crate) ends: Option<Ends>,
}

/// Does the work, unless its time is up first.
pub(crate) async fn within<T>(
    end: Option<Instant>,
    work: impl Future<Output = Result<T, MessageError>>,
) -> Result<T, MessageError> {
    match end {
        Some(end) => tokio::time::timeout_at(end, work).await.unwrap_or(Err(MessageError::OutOfTime)),
        None => work.await,
    }
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
        let Some(mut held) = claim::take(self.store, self.bucket, claim).await? else {
            return Ok(Done::Before);
        };
        let acting = self.ends.map(|ends| ends.acting);
        let mut result = within(acting, self.act(&mut held)).await;
        if let Err(error) = &result
            && error.is_final(self.is_late())
        {
            result = within(acting, self.set_aside(&mut held, error)).await;
        }
        match result {
            Err(_) | Ok(Done::SetAside(Entry::None)) => held.release(self.store).await,
            Ok(_) => held.finish(self.store, Some(catalog_key(&self.event.id, self.event.time))).await,
        }
        result
    }

    /// Whether at most one receive is left: the one that is needed, should this one fail at setting the message aside.
    fn is_late(&self) -> bool {
        self.receives >= u64::from(self.max_receives).saturating_sub(1).max(1)
    }

    async fn act(&self, held: &mut Held) -> Result<Done, MessageError> {
        // Whoever held it before may have finished since the first look.
        if held.taken_over && self.is_done().await? {
            return Ok(Done::Before);
        }
        let verdict = match in_span(SpanBuilder::from_name("verify"), self.verify()).await {
            // What was to be there in a moment is there no more.
            Err(error @ (MessageError::NoReceipt(_) | MessageError::BeingReplaced(_)))
                if self.receives >= PATIENCE =>
            {
                Verdict::Unsound(error.to_string())
            }
            verdict => verdict?,
        };
        let status = match verdict {
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

    /// Tells everybody who is to hear of it, at the same time, but nobody of whom it is known that he was told already. One
    /// that could not be told is the error, if possible one that may yet be; the others have been told all the same.
    async fn tell(&self, held: &mut Held, problem: Option<&str>) -> Result<(), NotifyError> {
        let notice = notify::of_event(self.event, problem, self.trace_id, self.notifier.console());
        let wanted = self.notifier.wanted(self.event, notice.kind).into_iter();
        let unheard = wanted.filter(|target| !held.was_sent(&remembered(target, notice.kind)));
        let end = self.ends.map(|ends| ends.telling);
        let notice = &notice;
        let telling = unheard.map(|target| {
            let attributes = vec![
                KeyValue::new("penstock.notify.target", target.to_owned()),
                KeyValue::new("penstock.notify.type", notice.kind.name()),
            ];
            let builder = SpanBuilder::from_name("notify").with_attributes(attributes);
            async move { (target, in_span(builder, self.notifier.tell_before(end, target, notice)).await) }
        });
        let mut telling: FuturesUnordered<_> = telling.collect();
        let mut untold: Option<NotifyError> = None;
        while let Some((target, told)) = telling.next().await {
            match told {
                // At once: the others may not come back before the time is up.
                Ok(()) => held.remember(remembered(target, notice.kind)),
                Err(error) if error.is_transient() => untold = Some(error),
                Err(error) => drop(untold.get_or_insert(error)),
            }
        }
        untold.map_or(Ok(()), Err)
    }

    /// Sends the message to the dead-letter queue, unless it is known to be there, and catalogues the event.
    async fn set_aside(&self, held: &mut Held, error: &MessageError) -> Result<Done, MessageError> {
        tracing::error!(
            error = chain(error),
            reason = error.code(),
            "the message goes to the dead-letter queue"
        );
        let is_copy = matches!(error, MessageError::Contradiction(_)) && self.has_sound_receipt().await?;
        let sent = format!("{SET_ASIDE} {}", error.code());
        if !held.was_sent(&sent) {
            let letter = dead_letter::letter(self.record, error);
            in_span(SpanBuilder::from_name("set aside"), self.queues.send(self.dlq_url, letter)).await?;
            held.remember(sent);
        }
        if is_copy {
            return Ok(Done::SetAside(Entry::None));
        }
        let mut entry = CatalogEntry::new(self.event, false, Some(self.trace_id.to_string()));
        // That somebody could not be told says nothing of the file.
        if !matches!(error, MessageError::Notify(_)) {
            entry = entry.failed(error.code(), &error.to_string());
        }
        self.catalogue(&entry).await?;
        Ok(Done::SetAside(Entry::Made))
    }

    /// Whether the event's own receipt is there and adds up: then it is this copy of the message that was corrupted.
    async fn has_sound_receipt(&self) -> Result<bool, MessageError> {
        let object = ObjectRef::new(self.bucket, &self.event.data.receipt_object.key);
        match document::read::<Receipt>(self.store, &object).await {
            Ok(found) => Ok(found.is_some_and(|Document { value: receipt, .. }| {
                receipt.event_id == self.event.id && (receipt.status == Status::Failed || receipt.adds_up())
            })),
            Err(DocumentError::Unreadable(_)) => Ok(false),
            Err(DocumentError::Store(error)) => Err(error.into()),
        }
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
