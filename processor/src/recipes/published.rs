//! Recipes under an `s3://` prefix. A pointer names the files in force, each by its hash; the files themselves never
//! change. So a set of recipes comes into force at once or not at all.

use std::path::Path;

use common::contract::{ObjectRef, hex};
use common::document;
use common::store::{Body, ErrorKind, Store, StoreError};
use futures::StreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::set::is_recipe;
use super::{RecipeSet, RecipesError};

/// The pointer's name under the prefix.
pub const POINTER: &str = "current.json";

/// The largest file that is read, as for any recipe.
pub(super) const MAX_BYTES: u64 = 256 * 1024;

/// Which files are in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointer {
    /// The files, by their names.
    pub files: Vec<PublishedFile>,
}

/// A file in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedFile {
    /// Its name.
    pub name: String,
    /// SHA-256 of its content, hexadecimal.
    pub sha256: String,
}

/// Where a file lies under the prefix.
pub fn object_name(file: &PublishedFile) -> String {
    format!("{}/{}", file.sha256, file.name)
}

/// A prefix, and which pointer was read last.
#[derive(Debug)]
pub(super) struct Published {
    bucket: String,
    prefix: String,
    etag: Option<String>,
    has_mask_key: bool,
}

impl Published {
    pub(super) fn new(bucket: &str, prefix: &str, has_mask_key: bool) -> Self {
        Self { bucket: bucket.to_owned(), prefix: prefix.to_owned(), etag: None, has_mask_key }
    }

    fn object(&self, name: &str) -> ObjectRef {
        ObjectRef::new(&self.bucket, format!("{}{name}", self.prefix))
    }

    /// The recipes, if the pointer is another than was read last. Without a pointer there are none.
    pub(super) async fn read(&mut self, store: &dyn Store) -> Result<Option<RecipeSet>, RecipesError> {
        let pointer = self.object(POINTER);
        let meta = store.head(&pointer).await.map_err(document::DocumentError::from)?;
        let Some(meta) = meta else {
            return Ok(self.etag.take().is_some().then(RecipeSet::default));
        };
        if self.etag.as_ref() == Some(&meta.etag) {
            return Ok(None);
        }
        let Some(found) = document::read::<Pointer>(store, &pointer).await? else { return Ok(None) };
        let mut files = Vec::new();
        for file in &found.value.files {
            files.push((file.name.clone(), self.file(store, file).await?));
        }
        let (recipes, others): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|(name, _)| is_recipe(Path::new(name)));
        let set = RecipeSet::new(&recipes, &|_, name| {
            let found = others.iter().find(|(other, _)| other == name).cloned();
            found.ok_or_else(|| format!("{name} is not published beside it"))
        })?;
        set.check_key(self.has_mask_key)?;
        self.etag = Some(found.etag);
        Ok(Some(set))
    }

    async fn file(&self, store: &dyn Store, file: &PublishedFile) -> Result<String, RecipesError> {
        let object = self.object(&object_name(file));
        let incomplete = |what: &str| RecipesError::Incomplete {
            prefix: format!("s3://{}/{}", self.bucket, self.prefix),
            what: format!("{} {what}", object.key),
        };
        let body = match store.get(&object, None, None).await {
            Ok(body) => body,
            Err(error) if error.kind == ErrorKind::NotFound => return Err(incomplete("is missing")),
            Err(error) => return Err(document::DocumentError::from(error).into()),
        };
        if body.meta.size > MAX_BYTES {
            return Err(incomplete("is too large"));
        }
        let bytes = whole(body).await.map_err(document::DocumentError::from)?;
        if hex(&Sha256::digest(&bytes)) != file.sha256 {
            return Err(incomplete("is not what its hash says"));
        }
        String::from_utf8(bytes).map_err(|_not_text| incomplete("is not UTF-8"))
    }
}

/// All that is read of an object that is known to be small.
pub(super) async fn whole(mut body: Body) -> Result<Vec<u8>, StoreError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = body.stream.next().await {
        bytes.extend_from_slice(&chunk?);
    }
    Ok(bytes)
}
