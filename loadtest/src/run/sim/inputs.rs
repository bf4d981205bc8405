//! Inputs of the simulated S3, made from what their metadata says.

use std::sync::Arc;

use common::sim::Input;
use common::store::NewObject;

use super::INPUT_BUCKET;
use crate::generate::{Compression, Spec, Text};

/// The file that this object stands for; nothing where it is none of the run's inputs.
pub(crate) fn make(new: &NewObject) -> Option<Arc<dyn Input>> {
    let spec = Spec::from_metadata(&new.metadata, None).ok()?;
    if new.object.bucket != INPUT_BUCKET || spec.compression != Compression::None {
        return None;
    }
    Some(Arc::new(Text::new(&spec).ok()?))
}
