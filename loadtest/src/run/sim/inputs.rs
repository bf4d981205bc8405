//! Inputs of the simulated S3, made from what their metadata says.

use std::collections::BTreeMap;
use std::sync::Arc;

use common::sim::Input;

use crate::generate::{Compression, Spec, Text};

/// The object that carries this metadata; nothing where it describes none.
pub(crate) fn make(metadata: &BTreeMap<String, String>) -> Option<Arc<dyn Input>> {
    let spec = Spec::from_metadata(metadata, None).ok()?;
    if spec.compression != Compression::None {
        return None;
    }
    Some(Arc::new(Text::new(&spec).ok()?))
}
