//! A file into the input bucket, as the root of its trace.

use aws_sdk_s3::primitives::ByteStream;
use local::upload::{Uploaded, upload_with};

use super::plan::Planned;
use crate::generate::Text;

/// Makes a file and puts it.
pub(crate) async fn upload(
    s3: &aws_sdk_s3::Client,
    bucket: &str,
    file: &Planned,
) -> anyhow::Result<Uploaded> {
    let text = Text::new(&file.spec)?;
    let mut object = Vec::new();
    object.extend_from_slice(text.header());
    for cycle in 0..text.cycles() {
        text.write_cycle(cycle, &mut object);
    }
    upload_with(s3, bucket, &file.key, file.spec.metadata(&text), ByteStream::from(object)).await
}
