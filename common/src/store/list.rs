//! What a bucket holds, a page at a time.

use async_trait::async_trait;

use super::s3::{S3Store, store_error};
use super::{MemoryStore, StoreError};

/// A bucket's keys, in order.
#[async_trait]
pub trait List: Send + Sync + 'static {
    /// The first keys that begin with `prefix` and come after `after`: at most a thousand, none at the end.
    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<String>, StoreError>;
}

#[async_trait]
impl List for S3Store {
    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let what = format!("list s3://{bucket}/{prefix}");
        let request = self.client().list_objects_v2().bucket(bucket).prefix(prefix);
        let request = request.set_start_after(Some(after.to_owned()).filter(|after| !after.is_empty()));
        let page = request.send().await.map_err(|error| store_error(what, error))?;
        Ok(page.contents.unwrap_or_default().into_iter().filter_map(|object| object.key).collect())
    }
}

/// Ten keys a page, so that tests see more than one.
#[async_trait]
impl List for MemoryStore {
    async fn list(&self, bucket: &str, prefix: &str, after: &str) -> Result<Vec<String>, StoreError> {
        let keys = self.keys(bucket, prefix).into_iter();
        Ok(keys.filter(|key| key.as_str() > after).take(10).collect())
    }
}
