//! What is written: rejects, clean file, receipt.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use common::contract::{ObjectRef, Output, Receipt, Source};
use common::store::{Condition, ErrorKind, NewObject, Payload, Store, StoreError};
use common::write::{Finished, ObjectWriter, WritePlan};
use engine::Sink;
use futures::TryStreamExt as _;

use crate::decision::{META_EVENT_ID, META_SEQUENCER, META_SOURCE_BUCKET};

/// The largest receipt that is read back: far above any that is written.
const MAX_RECEIPT_BYTES: usize = 4 * 1024 * 1024;

/// The engine's sink into a multipart upload.
pub(crate) struct ObjectSink(pub(crate) ObjectWriter);

impl Sink for ObjectSink {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.0.write(chunk).await.map_err(io::Error::other)
    }
}

/// The store's error inside what a sink or stream of ours gave to the engine.
pub(crate) fn store_error(error: &io::Error) -> Option<&StoreError> {
    let mut inner: Option<&(dyn Error + 'static)> = error.get_ref().map(|error| error as _);
    while let Some(error) = inner {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        inner = error.source();
    }
    None
}

/// The clean file's writer. Its metadata decides where its receipt has not come yet.
pub(crate) fn clean_writer(
    store: Arc<dyn Store>,
    object: ObjectRef,
    source: &Source,
    event_id: &str,
    plan: WritePlan,
) -> ObjectWriter {
    let mut metadata = BTreeMap::from([
        (META_EVENT_ID.to_owned(), event_id.to_owned()),
        (META_SOURCE_BUCKET.to_owned(), source.bucket.clone()),
    ]);
    if let Some(sequencer) = &source.sequencer {
        metadata.insert(META_SEQUENCER.to_owned(), sequencer.0.clone());
    }
    ObjectWriter::new(store, NewObject { object, content_type: "text/csv", metadata }, plan)
}

/// The rejects' writer: its key has the event id, so twins write the same bytes to the same place.
pub(crate) fn rejects_writer(store: Arc<dyn Store>, object: ObjectRef, plan: WritePlan) -> ObjectWriter {
    let new = NewObject { object, content_type: "application/x-ndjson", metadata: BTreeMap::new() };
    ObjectWriter::new(store, new, plan)
}

/// A finished clean file, in the receipt's words.
pub(crate) fn output(object: &ObjectRef, finished: Finished) -> Output {
    Output {
        bucket: object.bucket.clone(),
        key: object.key.clone(),
        etag: finished.etag,
        size: finished.size,
        checksum_crc64nvme: finished.checksum_crc64nvme,
        parts: finished.parts,
    }
}

/// Reads a receipt and its `ETag`; nothing if there is none.
pub(crate) async fn read_receipt(
    store: &dyn Store,
    object: &ObjectRef,
) -> Result<Option<(Receipt, String)>, StoreError> {
    let body = match store.get(object, None, None).await {
        Ok(body) => body,
        Err(error) if error.kind == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let unreadable =
        |why: &str| StoreError::new(ErrorKind::Permanent, format!("read the receipt {object}: {why}"));
    let etag = body.meta.etag;
    let text = body.stream.try_fold(BytesMut::new(), |mut text, chunk| async move {
        if text.len() + chunk.len() > MAX_RECEIPT_BYTES {
            return Err(StoreError::new(ErrorKind::Permanent, "a receipt is too large to be one"));
        }
        text.extend_from_slice(&chunk);
        Ok(text)
    });
    let text = text.await?;
    if text.len() as u64 != body.meta.size {
        return Err(StoreError::new(
            ErrorKind::Transient,
            format!("read the receipt {object}: it ends early"),
        ));
    }
    let receipt =
        serde_json::from_slice(&text).map_err(|error| unreadable("not a receipt").caused_by(error))?;
    Ok(Some((receipt, etag)))
}

/// Writes the receipt: the commit.
pub(crate) async fn write_receipt(
    store: &dyn Store,
    object: &ObjectRef,
    receipt: &Receipt,
    condition: &Condition,
) -> Result<(), StoreError> {
    let text = serde_json::to_vec_pretty(receipt).map_err(|error| {
        StoreError::new(ErrorKind::Permanent, format!("write the receipt {object}")).caused_by(error)
    })?;
    let new =
        NewObject { object: object.clone(), content_type: "application/json", metadata: BTreeMap::new() };
    store.put(&new, Payload::new(text.into()), condition).await?;
    Ok(())
}
