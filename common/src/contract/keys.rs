//! Where things lie in the output bucket.

use std::borrow::Cow;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

/// Metadata of a clean file: the event that it belongs to.
pub const META_EVENT_ID: &str = "penstock-event-id";
/// Metadata of a clean file: the sequencer of its source.
pub const META_SEQUENCER: &str = "penstock-sequencer";
/// Metadata of a clean file: the bucket of its source.
pub const META_SOURCE_BUCKET: &str = "penstock-source-bucket";

/// Metadata of a clean file: the version of its source, or the `ETag` where the bucket keeps no versions.
pub const META_SOURCE_VERSION: &str = "penstock-source-version";

/// Metadata of a clean file: SHA-256 of its source's key, hexadecimal.
pub const META_SOURCE_KEY_SHA256: &str = "penstock-source-key-sha256";

/// S3's limit on a key, in bytes of UTF-8.
const MAX_KEY_BYTES: usize = 1024;

/// An input key that leaves no room for our prefixes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the key has {length} bytes, which leaves no room for {prefix:?} within S3's {MAX_KEY_BYTES}")]
pub struct KeyTooLong {
    length: usize,
    prefix: &'static str,
}

/// `clean/<input key>`.
pub fn clean_key(input_key: &str) -> Result<String, KeyTooLong> {
    fitting(format!("clean/{input_key}"), input_key, "clean/")
}

/// `rejects/<input key>.<event id>.ndjson`.
pub fn rejects_key(input_key: &str, event_id: &str) -> Result<String, KeyTooLong> {
    fitting(format!("rejects/{input_key}.{event_id}.ndjson"), input_key, "rejects/….<event id>.ndjson")
}

/// `receipts/<input key>.json`.
pub fn receipt_key(input_key: &str) -> Result<String, KeyTooLong> {
    fitting(format!("receipts/{input_key}.json"), input_key, "receipts/….json")
}

/// Where the receipt of a file lies whose key is too long for any of the above.
pub fn failure_receipt_key(input_key: &str) -> String {
    format!("receipts/sha256/{}.json", hex(&Sha256::digest(input_key.as_bytes())))
}

/// What [`META_SOURCE_KEY_SHA256`] holds for a key.
pub fn key_sha256(key: &str) -> String {
    hex(&Sha256::digest(key.as_bytes()))
}

/// `clean/<input key>/<path>/<event id>-NNNN<suffix>`: an object of a partition, such as `country=DE/year=2026`.
pub fn partition_key(input_key: &str, path: &str, event_id: &str, sequence: u32, suffix: &str) -> String {
    format!("{}{path}/{event_id}-{sequence:04}{suffix}", partition_prefix(input_key))
}

/// `clean/<input key>/`: where the objects of a partitioned output lie.
pub fn partition_prefix(input_key: &str) -> String {
    format!("clean/{input_key}/")
}

/// A key as people and logs are shown it: without the values that a partition's path has.
pub fn printable_key(key: &str) -> Cow<'_, str> {
    let name = key.rsplit_once('/').filter(|(_, name)| key.starts_with("clean/") && is_partition_name(name));
    let Some((folders, name)) = name else { return key.into() };
    let mut rest = folders;
    while let Some((before, folder)) = rest.rsplit_once('/')
        && folder.contains('=')
    {
        rest = before;
    }
    if rest.len() == folders.len() { key.into() } else { format!("{rest}/…/{name}").into() }
}

/// `<event id>-NNNN…`
fn is_partition_name(name: &str) -> bool {
    let Some((id, rest)) = name.split_once('-') else { return false };
    let sequence = rest.split('.').next().unwrap_or_default();
    id.len() == EVENT_ID_BYTES
        && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        && sequence.len() >= 4
        && sequence.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a key is one that [`partition_key`] makes of this input key: another input's may begin with it.
pub fn is_partition_key(key: &str, input_key: &str) -> bool {
    let Some((folders, name)) =
        key.strip_prefix(&partition_prefix(input_key)).and_then(|rest| rest.rsplit_once('/'))
    else {
        return false;
    };
    folders.split('/').all(|folder| folder.contains('=')) && is_partition_name(name)
}

/// Bytes that are left for a partition's path in the keys of its objects.
pub fn partition_room(input_key: &str) -> Result<usize, KeyTooLong> {
    /// `/<event id>-NNNNN.ndjson.zst`
    const NAME_BYTES: usize = 1 + EVENT_ID_BYTES + 6 + 11;
    /// Of which something can be made at all.
    const LEAST: usize = 64;
    let room = MAX_KEY_BYTES.checked_sub(partition_prefix(input_key).len() + NAME_BYTES);
    room.filter(|room| *room >= LEAST)
        .ok_or(KeyTooLong { length: input_key.len(), prefix: "clean/…/column=value/<event id>-NNNN" })
}

/// Characters of an event's id, hexadecimal.
pub(super) const EVENT_ID_BYTES: usize = 32;

/// `claims/<event id>.json`.
pub fn claim_key(event_id: &str) -> String {
    format!("claims/{event_id}.json")
}

/// `catalog/dt=YYYY-MM-DD/<event id>.json`; the date (UTC) is the receipt's, never the clock's.
pub fn catalog_key(event_id: &str, receipt_time: Timestamp) -> String {
    format!("catalog/dt={}/{event_id}.json", receipt_time.strftime("%Y-%m-%d"))
}

fn fitting(key: String, input_key: &str, prefix: &'static str) -> Result<String, KeyTooLong> {
    if key.len() > MAX_KEY_BYTES {
        return Err(KeyTooLong { length: input_key.len(), prefix });
    }
    Ok(key)
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap_or_default();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_carry_the_input_key_as_it_is() {
        assert_eq!(clean_key("in/a b+ä%.csv").unwrap(), "clean/in/a b+ä%.csv");
        assert_eq!(receipt_key("x.csv").unwrap(), "receipts/x.csv.json");
        assert_eq!(rejects_key("x.csv", "e1").unwrap(), "rejects/x.csv.e1.ndjson");
        let time: Timestamp = "2026-11-23T23:59:59.5Z".parse().unwrap();
        assert_eq!(catalog_key("e1", time), "catalog/dt=2026-11-23/e1.json");
    }

    #[test]
    fn a_partitions_objects_are_told_from_other_inputs() {
        let id = "0123456789abcdef0123456789abcdef";
        let key = partition_key("in/a.csv", "country=DE/day=x%2Fy", id, 12, ".csv.gz");
        assert_eq!(key, format!("clean/in/a.csv/country=DE/day=x%2Fy/{id}-0012.csv.gz"));
        assert!(is_partition_key(&key, "in/a.csv"));
        assert!(is_partition_key(&partition_key("a", "b=c", id, 12_345, ".parquet"), "a"));
        for other in [
            "clean/in/a.csv".to_owned(),
            "clean/in/a.csv/b.csv".into(),
            format!("clean/in/a.csv/{id}-0000.csv"),
            format!("clean/in/a.csv/b.csv/c=1/{id}-0000.csv"),
            "clean/in/a.csv/c=1/2026-0000.csv".into(),
            format!("clean/in/b.csv/c=1/{id}-0000.csv"),
            format!("clean/in/a.csv/c=1/{id}-x.csv"),
        ] {
            assert!(!is_partition_key(&other, "in/a.csv"), "{other}");
        }
        let long = partition_room(&"k".repeat(800)).unwrap();
        let path = "p".repeat(long);
        for suffix in [".csv.zst", ".ndjson.gz", ".ndjson.zst", ".parquet"] {
            assert!(partition_key(&"k".repeat(800), &path, id, 99_999, suffix).len() <= MAX_KEY_BYTES);
        }
        assert_eq!(
            printable_key(&partition_key("in/a=1/b.csv", "c=secret/d=e", id, 0, ".csv")),
            format!("clean/in/a=1/b.csv/…/{id}-0000.csv")
        );
        assert_eq!(printable_key("clean/in/a=1/b.csv"), "clean/in/a=1/b.csv");
        assert!(partition_room(&"k".repeat(950)).is_err());
    }

    #[test]
    fn a_key_without_room_is_named() {
        assert!(receipt_key(&"k".repeat(1010)).is_ok());
        assert!(receipt_key(&"k".repeat(1011)).is_err());
        assert_eq!(failure_receipt_key(&"k".repeat(1024)).len(), "receipts/sha256/.json".len() + 64);
    }
}
