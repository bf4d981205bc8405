//! Objects and their identity.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::keys::printable_key;

/// An object in a bucket, at one version where the bucket keeps versions.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// The bucket's name.
    pub bucket: String,
    /// The object's key, decoded.
    pub key: String,
    /// The version, where one is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
}

impl ObjectRef {
    /// The current version of an object.
    pub fn new(bucket: impl Into<String>, key: impl Into<String>) -> Self {
        Self { bucket: bucket.into(), key: key.into(), version_id: None }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s3://{}/{}", self.bucket, printable_key(&self.key))?;
        if let Some(version) = &self.version_id {
            write!(f, "?versionId={version}")?;
        }
        Ok(())
    }
}

/// A run of bytes of an object: from `start`, `length` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Bytes; at least one.
    pub length: u64,
}

impl ByteRange {
    /// As the `Range` header of HTTP says it.
    pub fn header(&self) -> String {
        format!("bytes={}-{}", self.start, self.start + self.length - 1)
    }
}

/// What a file was made from, as S3's event tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The input bucket.
    pub bucket: String,
    /// The input key, decoded.
    pub key: String,
    /// Present where the bucket keeps versions.
    pub version_id: Option<String>,
    /// Without quotes.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// Orders the events of one key; absent in a replay.
    pub sequencer: Option<Sequencer>,
}

impl Source {
    /// The object, at its version.
    pub fn object(&self) -> ObjectRef {
        ObjectRef { bucket: self.bucket.clone(), key: self.key.clone(), version_id: self.version_id.clone() }
    }

    /// What tells its bytes from others under the same key: the version, or else the `ETag`.
    pub fn version(&self) -> &str {
        self.version_id.as_ref().unwrap_or(&self.etag)
    }

    /// Whether both are the same bytes of the same object.
    pub fn is_same(&self, other: &Self) -> bool {
        self.bucket == other.bucket && self.key == other.key && self.version() == other.version()
    }
}

/// S3's sequencer: hexadecimal, to be compared with an other of the same key only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sequencer(pub String);

impl Sequencer {
    /// Whether this event came after `other`. Shorter ones are padded on the right with zeros, as S3 asks.
    pub fn is_later_than(&self, other: &Self) -> bool {
        let width = self.0.len().max(other.0.len());
        let pad = |sequencer: &Self| format!("{:0<width$}", sequencer.0.to_ascii_uppercase());
        pad(self) > pad(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequencers_are_compared_padded_on_the_right() {
        let later = |a: &str, b: &str| Sequencer(a.into()).is_later_than(&Sequencer(b.into()));
        assert!(later("0055AED6DCD90281E6", "0055AED6DCD90281E5"));
        assert!(later("0055AED6DCD90281E501", "0055AED6DCD90281E5"));
        assert!(!later("0055AED6DCD90281E500", "0055AED6DCD90281E5"));
        assert!(later("1", "0FFFFF"));
        assert!(!later("AB", "ab"));
    }

    #[test]
    fn a_range_names_its_last_byte() {
        assert_eq!(ByteRange { start: 8, length: 8 }.header(), "bytes=8-15");
    }
}
