//! Recipes into force: what is right is written under its hash, then the pointer is moved. What somebody wrote there by
//! other means, and is not what it should be, is put right.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use common::contract::{ObjectRef, hex};
use common::document::{self, Document, DocumentError};
use common::store::{Condition, ErrorKind, NewObject, Payload, Store, StoreError};
use sha2::{Digest as _, Sha256};

use super::load::{NamedText, on_disk};
use super::published::{MAX_BYTES, POINTER, Pointer, PublishedFile, object_name, whole};
use super::set::is_recipe;
use super::{RecipeSet, RecipesError};

/// Recipes that hold together, with the files that they name: what a pointer is to say.
#[derive(Debug)]
pub struct Push {
    files: Vec<(PublishedFile, String)>,
    /// Recipes that mask by a key.
    masking: Vec<String>,
    /// Recipes that write Parquet.
    parquet: Vec<String>,
}

/// What came of a push.
#[derive(Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The files that are in force now, by their names.
    pub pointer: Pointer,
    /// Those that are new, or gone, or another than before.
    pub changed: Vec<String>,
}

impl Push {
    /// Reads these recipes and what lies beside them, and looks at all of it as the processor will.
    ///
    /// # Errors
    ///
    /// What can't be read or published, and everything that is wrong.
    pub fn of_files(paths: &[PathBuf]) -> Result<Self, RecipesError> {
        let named = |path: &PathBuf| {
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let text = std::fs::read_to_string(path);
            let text =
                text.map_err(|source| RecipesError::Read { place: path.display().to_string(), source })?;
            Ok::<_, RecipesError>((path.display().to_string(), name, text))
        };
        let read = paths.iter().map(named).collect::<Result<Vec<_>, _>>()?;
        if let Some((path, ..)) = read.iter().find(|(_, name, _)| !is_recipe(Path::new(name))) {
            let what =
                format!("{path} is a recipe, and the processor knows those by .yml or .yaml: rename it");
            return Err(RecipesError::Unpublishable(what));
        }
        let texts: Vec<NamedText> = read.iter().map(|(path, _, text)| (path.clone(), text.clone())).collect();
        // What a recipe names is asked for while that is looked at.
        let beside = RefCell::new(Vec::new());
        let set = RecipeSet::new(&texts, &|recipe, name| {
            let (path, text) = on_disk(recipe, name)?;
            beside.borrow_mut().push((name.to_owned(), text.clone()));
            Ok((path, text))
        })?;
        if let Some((name, _)) = beside.borrow().iter().find(|(name, _)| is_recipe(Path::new(name))) {
            let what =
                format!("{name} is a schema, and the processor would take it for a recipe: end it in .json");
            return Err(RecipesError::Unpublishable(what));
        }
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for (name, text) in read.into_iter().map(|(_, name, text)| (name, text)).chain(beside.into_inner()) {
            if text.len() as u64 > MAX_BYTES {
                return Err(RecipesError::Unpublishable(format!("{name} has more than {MAX_BYTES} bytes")));
            }
            if files.get(&name).is_some_and(|other| *other != text) {
                let what = format!("two different files are called {name}: rename one of them");
                return Err(RecipesError::Unpublishable(what));
            }
            files.insert(name, text);
        }
        let masking = set.masking().map(ToOwned::to_owned).collect();
        let parquet = set.parquet().map(ToOwned::to_owned).collect();
        let hashed = |(name, text): (String, String)| {
            (PublishedFile { name, sha256: hex(&Sha256::digest(text.as_bytes())) }, text)
        };
        Ok(Self { files: files.into_iter().map(hashed).collect(), masking, parquet })
    }

    /// The recipes that need a key.
    pub fn masking(&self) -> &[String] {
        &self.masking
    }

    /// The recipes that need a processor which can write Parquet.
    pub fn parquet(&self) -> &[String] {
        &self.parquet
    }

    /// Writes the files that are not there yet, then moves the pointer, if nobody else has meanwhile.
    ///
    /// # Errors
    ///
    /// The store's. The recipes that were in force stay so.
    pub async fn publish(
        self,
        store: &dyn Store,
        bucket: &str,
        prefix: &str,
    ) -> Result<Pushed, RecipesError> {
        let object = |name: &str| ObjectRef::new(bucket, format!("{prefix}{name}"));
        let place = object(POINTER);
        let (condition, known) = pointed_at(store, &place).await?;
        let mut written = BTreeSet::new();
        for (file, text) in &self.files {
            let new = NewObject {
                object: object(&object_name(file)),
                content_type: "text/plain; charset=utf-8",
                metadata: BTreeMap::new(),
            };
            if write(store, &new, text).await? {
                written.insert(file.name.clone());
            }
        }
        let pointer = Pointer { files: self.files.into_iter().map(|(file, _)| file).collect() };
        let changed: BTreeSet<String> = changed(&known, &pointer).into_iter().chain(written).collect();
        if !changed.is_empty() {
            document::write(store, &place, &pointer, &condition).await.map_err(|error| match error.kind {
                ErrorKind::Precondition | ErrorKind::Conflict => RecipesError::Overtaken { pointer: place },
                _ => failed(error),
            })?;
        }
        Ok(Pushed { pointer, changed: changed.into_iter().collect() })
    }
}

fn failed(error: StoreError) -> RecipesError {
    RecipesError::Document(DocumentError::Store(error))
}

/// What the pointer says now, and under which condition it may be moved. One that nobody can read says nothing, and is
/// written over.
async fn pointed_at(store: &dyn Store, place: &ObjectRef) -> Result<(Condition, Pointer), RecipesError> {
    let before: Option<Document<Pointer>> = match document::read(store, place).await {
        Err(DocumentError::Unreadable(_)) => {
            let meta = store.head(place).await.map_err(failed)?;
            meta.map(|meta| Document { value: Pointer::default(), etag: meta.etag })
        }
        found => found?,
    };
    Ok(match before {
        Some(found) => (Condition::IfMatch(found.etag), found.value),
        None => (Condition::IfAbsent, Pointer::default()),
    })
}

/// Writes a file under its hash, unless it lies there; whether it was written.
async fn write(store: &dyn Store, new: &NewObject, text: &str) -> Result<bool, RecipesError> {
    let payload = || Payload::new(text.to_owned().into_bytes().into());
    match store.put(new, payload(), &Condition::IfAbsent).await {
        Ok(_) => return Ok(true),
        Err(error) if error.kind == ErrorKind::Precondition => {}
        Err(error) => return Err(failed(error)),
    }
    // Its name is its hash, so it is the same one, unless somebody has changed it: no function takes that.
    let found = store.get(&new.object, None, None).await.map_err(failed)?;
    let condition = Condition::IfMatch(found.meta.etag.clone());
    if found.meta.size == text.len() as u64 && whole(found).await.map_err(failed)? == text.as_bytes() {
        return Ok(false);
    }
    store.put(new, payload(), &condition).await.map_err(failed)?;
    Ok(true)
}

/// The names of files that one pointer has and the other has not, or has otherwise.
fn changed(before: &Pointer, after: &Pointer) -> BTreeSet<String> {
    let lacks = |pointer: &Pointer, file: &PublishedFile| !pointer.files.contains(file);
    let gone = before.files.iter().filter(|file| lacks(after, file));
    let new = after.files.iter().filter(|file| lacks(before, file));
    gone.chain(new).map(|file| file.name.clone()).collect()
}
