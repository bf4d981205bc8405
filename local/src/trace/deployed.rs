//! A file's trace from a deployed stage's X-Ray.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, bail};
use aws_sdk_xray::primitives::DateTime;
use aws_sdk_xray::types::{Trace, TraceSummary};
use common::aws;
use common::contract::{CatalogEntry, ObjectRef, Receipt, catalog_key, failure_receipt_key, receipt_key};
use common::document;
use common::receiver::ReceivedSpan;
use common::store::{S3Store, Store};
use common::trace::xray_id;
use opentelemetry::TraceId;

use super::segment;
use crate::stack::Outputs;

/// How far back X-Ray is searched in one question.
const SEARCHED: Duration = Duration::from_hours(6);

/// The spans of a file's last trace: found by its receipt and what the consumer catalogued of it, else by X-Ray's search.
pub(super) async fn trace(key: &str, stage: &str, region: Option<&str>) -> anyhow::Result<Vec<ReceivedSpan>> {
    let sdk = aws::sdk_config_in(region.map(str::to_owned)).await;
    if sdk.region().is_none() {
        bail!("no region is configured: give --region");
    }
    let stack = format!("penstock-{stage}");
    let cloudformation = aws_sdk_cloudformation::Client::new(&sdk);
    let bucket = Box::pin(Outputs::of_stack(&cloudformation, &stack)).await?.output_bucket;
    let store = S3Store::new(aws::s3_client(&sdk));
    let xray = aws_sdk_xray::Client::new(&sdk);
    let id = match catalogued(&store, &bucket, key).await? {
        Some(id) => id,
        None => searched(&xray, key).await?.with_context(|| {
            format!(
                "no trace of {key}: the consumer has not catalogued it in s3://{bucket}, and X-Ray's search finds none of \
                 the last {} hours",
                SEARCHED.as_secs() / 3600
            )
        })?,
    };
    let trace = whole(&xray, &id).await?;
    let mut spans = Vec::new();
    for part in trace.segments() {
        let document = part.document().unwrap_or_default();
        spans.extend(segment::spans(document).with_context(|| format!("read a segment of trace {id}"))?);
    }
    Ok(spans)
}

/// The trace that the consumer has noted of the file's receipt.
async fn catalogued(store: &dyn Store, bucket: &str, key: &str) -> anyhow::Result<Option<String>> {
    let place = |key| ObjectRef::new(bucket, key);
    let receipt = place(receipt_key(key).unwrap_or_else(|_| failure_receipt_key(key)));
    let Some(receipt) = document::read::<Receipt>(store, &receipt).await? else { return Ok(None) };
    let (id, at) = (receipt.value.event_id, receipt.value.timing.finished_at);
    let entry = document::read::<CatalogEntry>(store, &place(catalog_key(&id, at))).await?;
    let trace_id = entry.and_then(|entry| entry.value.trace_id);
    Ok(trace_id.and_then(|id| TraceId::from_hex(&id).ok()).map(xray_id))
}

/// The last trace with the file's key among its annotations.
async fn searched(xray: &aws_sdk_xray::Client, key: &str) -> anyhow::Result<Option<String>> {
    if key.contains(['"', '\\']) {
        // X-Ray's search knows no escapes.
        return Ok(None);
    }
    let now = SystemTime::now();
    // With the dots, or without, as X-Ray and its collectors used to have them.
    let filter = format!("annotation[aws.s3.key] = \"{key}\" OR annotation[aws_s3_key] = \"{key}\"");
    let mut pages = xray
        .get_trace_summaries()
        .start_time(DateTime::from(now - SEARCHED))
        .end_time(DateTime::from(now))
        .filter_expression(filter)
        .into_paginator()
        .send();
    let mut last: Option<String> = None;
    while let Some(page) = pages.next().await {
        let page = page.context("search X-Ray")?;
        let ids = page.trace_summaries().iter().filter_map(TraceSummary::id);
        // An id begins with its time.
        last = ids.map(str::to_owned).chain(last).max();
    }
    Ok(last)
}

async fn whole(xray: &aws_sdk_xray::Client, id: &str) -> anyhow::Result<Trace> {
    let mut pages = xray.batch_get_traces().trace_ids(id).into_paginator().send();
    let mut whole: Option<Trace> = None;
    while let Some(page) = pages.next().await {
        let page = page.with_context(|| format!("get trace {id} from X-Ray"))?;
        for trace in page.traces.unwrap_or_default() {
            match &mut whole {
                Some(whole) => {
                    whole.segments.get_or_insert_default().extend(trace.segments.unwrap_or_default());
                }
                None => whole = Some(trace),
            }
        }
    }
    let whole = whole.filter(|trace| !trace.segments().is_empty());
    whole.with_context(|| {
        format!("X-Ray has no trace {id}: it keeps them for 30 days, and gets none where spans go elsewhere")
    })
}
