//! Inputs of the simulated S3, made from what their metadata says.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use common::sim::Input;

use crate::generate::{Compression, Spec, Text};

/// A file's plain text.
struct Plain(Text);

impl Input for Plain {
    fn size(&self) -> u64 {
        self.0.bytes()
    }

    fn read(&self, offset: u64, length: u64) -> Bytes {
        let mut text = self.0.read(offset);
        text.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        text
    }
}

/// The object that carries this metadata; nothing where it describes none.
pub(crate) fn make(metadata: &BTreeMap<String, String>) -> Option<Arc<dyn Input>> {
    let spec = Spec::from_metadata(metadata, None).ok()?;
    if spec.compression != Compression::None {
        return None;
    }
    Some(Arc::new(Plain(Text::new(&spec).ok()?)))
}
