//! Where LocalStack's S3 is known to answer otherwise than AWS.

use std::sync::Arc;

use anyhow::ensure;
use common::store::{Condition, ErrorKind, Fault, FaultyStore, Operation, Payload, Store as _};
use common::write::{ObjectWriter, WritePlan};

use crate::objects::{bytes, new, object};
use crate::server::LocalStack;

const MIB: usize = 1024 * 1024;

/// AWS answers a repeated completion as it did the first time. LocalStack has forgotten the upload, as AWS has after a
/// while: what was written is there all the same.
pub(crate) async fn repeated(localstack: Arc<LocalStack>) -> anyhow::Result<()> {
    let store = localstack.store();
    let upload = store.create_upload(&new("repeated")).await?;
    let payload = Payload::new(bytes(100));
    let parts = [store.upload_part(&upload, 1, payload.clone()).await?];
    let written = store.complete_upload(&upload, &parts, payload.crc64nvme, &Condition::IfAbsent).await?;
    let again = store.complete_upload(&upload, &parts, payload.crc64nvme, &Condition::Always).await;
    let kind = again.err().map(|error| error.kind);
    ensure!(kind == Some(ErrorKind::NotFound), "a deviation that this test names is gone: {kind:?}");
    let meta = store.head(&object("repeated")).await?;
    ensure!(meta.as_ref().is_some_and(|meta| meta.etag == written.etag), "the object is now {meta:?}");
    Ok(())
}

/// So a completion whose answer was lost is answered with an error when it is made again, and recognised.
pub(crate) async fn lost(localstack: Arc<LocalStack>) -> anyhow::Result<()> {
    let faulty = Arc::new(FaultyStore::new(Arc::new(localstack.store())));
    faulty.plan(Operation::CompleteUpload, Fault::After(ErrorKind::Transient));
    let part_bytes = 5 * MIB as u64;
    let plan = WritePlan { part_bytes, max_part_bytes: part_bytes, in_flight: 2, ..WritePlan::default() };
    let mut writer = ObjectWriter::new(faulty.clone(), new("lost"), plan);
    let content = bytes(11 * MIB);
    writer.write(content.clone()).await?;
    let finished = writer.finish(&Condition::IfAbsent).await?;
    ensure!(faulty.pending() == 0, "no answer was lost");
    ensure!(finished.parts == 3, "there were {} parts", finished.parts);
    let meta = faulty.head(&object("lost")).await?;
    let meta = meta.ok_or_else(|| anyhow::anyhow!("the object is not there"))?;
    ensure!(meta.etag == finished.etag && meta.size == content.len() as u64, "the object is {meta:?}");
    let checksum = Payload::new(content).checksum();
    ensure!(meta.checksum_crc64nvme.as_ref() == Some(&checksum), "{meta:?} has not {checksum}");
    Ok(())
}
