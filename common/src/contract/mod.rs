//! The contracts: object names, the receipt, the event, the catalogue entry.

mod catalog;
mod column;
mod event;
mod keys;
mod object;
mod receipt;

pub use catalog::{CatalogEntry, CatalogStatus, Claim};
pub use column::Column;
pub use event::{
    EVENT_TYPE_FAILED, EVENT_TYPE_PROCESSED, EventData, FileEvent, Location, ParseEventError, event_id,
    json_fault,
};
pub use keys::{
    KeyTooLong, META_EVENT_ID, META_SEQUENCER, META_SOURCE_BUCKET, META_SOURCE_KEY_SHA256,
    META_SOURCE_VERSION, catalog_key, claim_key, clean_key, failure_receipt_key, hex, is_partition_key,
    key_sha256, partition_key, partition_prefix, partition_room, printable_key, receipt_key, rejects_key,
};
pub use object::{ByteRange, ObjectRef, Sequencer, Source};
pub use receipt::{
    ByteCounts, ByteSpans, Compression, Confidence, Counts, Dialect, Failure, Output, Receipt, RecipeRef,
    Rejects, RenamedColumn, SCHEMA_VERSION, Status, Timing,
};
