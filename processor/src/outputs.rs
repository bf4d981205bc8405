//! What is written beside the receipt: rejects and clean file.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::contract::{
    META_EVENT_ID, META_SEQUENCER, META_SOURCE_BUCKET, META_SOURCE_KEY_SHA256, META_SOURCE_VERSION,
    ObjectRef, Output, Source, key_sha256,
};
use common::store::{NewObject, Store, StoreError};
use common::trace::{Step, Tally, Waited};
use common::write::{Finished, ObjectWriter, WritePlan};
use engine::recipe::{FormatWord, Piece};
use engine::{Compression, Sink};

use crate::partitions::PartitionWriter;

/// The engine's sink into a multipart upload.
pub(crate) struct ObjectSink<'a> {
    pub(crate) writer: ObjectWriter,
    pub(crate) tally: &'a Tally,
    /// How long the engine had to wait for room.
    pub(crate) waited: &'a Waited,
}

impl Sink for ObjectSink<'_> {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        write(&mut self.writer, self.tally, self.waited, chunk).await
    }
}

async fn write(writer: &mut ObjectWriter, tally: &Tally, waited: &Waited, chunk: Bytes) -> io::Result<()> {
    if writer.size() == 0 && chunk.starts_with(b"\x1f\x8b") {
        writer.set_content_type(GZIP);
    } else if writer.size() == 0 && chunk.starts_with(b"\x28\xb5\x2f\xfd") {
        writer.set_content_type(ZSTD);
    }
    tally.moved(Step::Written, chunk.len() as u64);
    waited.during(writer.write(chunk)).await.map_err(io::Error::other)
}

/// The clean file on its way: one object, or many.
pub(crate) enum CleanWriter {
    One(Box<ObjectWriter>),
    Partitioned(Box<PartitionWriter>),
}

impl CleanWriter {
    /// Waits until all of it has arrived: nothing but making it visible is left.
    pub(crate) async fn drain(&mut self) -> Result<(), StoreError> {
        match self {
            Self::One(writer) => writer.drain().await,
            Self::Partitioned(writer) => writer.drain().await,
        }
    }

    /// How long it takes to make it visible, by a slow reckoning, where that is more than a request or two.
    pub(crate) fn time_to_finish(&self) -> Duration {
        match self {
            Self::One(_) => Duration::ZERO,
            Self::Partitioned(writer) => writer.time_to_finish(),
        }
    }

    /// Gives up what is not visible.
    pub(crate) async fn abort(self) -> Result<(), StoreError> {
        match self {
            Self::One(writer) => writer.abort().await,
            Self::Partitioned(writer) => writer.abort().await,
        }
    }
}

/// The engine's sink for a clean file.
pub(crate) struct CleanSink<'a> {
    pub(crate) writer: CleanWriter,
    pub(crate) tally: &'a Tally,
    pub(crate) waited: &'a Waited,
}

impl Sink for CleanSink<'_> {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        match &mut self.writer {
            CleanWriter::One(writer) => write(writer, self.tally, self.waited, chunk).await,
            CleanWriter::Partitioned(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    async fn write_piece(&mut self, piece: Piece) -> io::Result<()> {
        match &mut self.writer {
            CleanWriter::One(_) => Err(io::ErrorKind::Unsupported.into()),
            CleanWriter::Partitioned(writer) => {
                self.tally.moved(Step::Written, piece.length() as u64);
                self.waited.during(writer.write(piece)).await.map_err(io::Error::other)
            }
        }
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
    format: FormatWord,
    plan: WritePlan,
) -> ObjectWriter {
    let (content_type, metadata) =
        (content_type(format, Compression::None), clean_metadata(source, event_id));
    ObjectWriter::new(store, NewObject { object, content_type, metadata }, plan)
}

const GZIP: &str = "application/gzip";
const ZSTD: &str = "application/zstd";

/// The MIME type of what has this format, compressed or not.
pub(crate) fn content_type(format: FormatWord, compression: Compression) -> &'static str {
    match (compression, format) {
        (Compression::Gzip, _) => GZIP,
        (Compression::Zstd, _) => ZSTD,
        (_, FormatWord::Csv) => "text/csv",
        (_, FormatWord::Tsv) => "text/tab-separated-values",
        (_, FormatWord::Ndjson) => "application/x-ndjson",
        (_, FormatWord::Parquet) => "application/vnd.apache.parquet",
    }
}

/// What says of a clean object which file it was made from.
pub(crate) fn clean_metadata(source: &Source, event_id: &str) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::from([
        (META_EVENT_ID.to_owned(), event_id.to_owned()),
        (META_SOURCE_BUCKET.to_owned(), source.bucket.clone()),
        (META_SOURCE_VERSION.to_owned(), source.version().to_owned()),
        (META_SOURCE_KEY_SHA256.to_owned(), key_sha256(&source.key)),
    ]);
    if let Some(sequencer) = &source.sequencer {
        metadata.insert(META_SEQUENCER.to_owned(), sequencer.0.clone());
    }
    metadata
}

/// The rejects' writer: its key has the event id, so twins write the same bytes to the same place. The sequencer is not in
/// the metadata: a replay of the same event has none.
pub(crate) fn rejects_writer(
    store: Arc<dyn Store>,
    object: ObjectRef,
    source: &Source,
    event_id: &str,
    plan: WritePlan,
) -> ObjectWriter {
    let metadata = BTreeMap::from([
        (META_EVENT_ID.to_owned(), event_id.to_owned()),
        (META_SOURCE_VERSION.to_owned(), source.version().to_owned()),
    ]);
    let new = NewObject { object, content_type: "application/x-ndjson", metadata };
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
