//! Recipes into force: what is right is written under its hash, then the pointer is moved.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use common::contract::{ObjectRef, hex};
use common::document::{self, Document};
use common::store::{Condition, ErrorKind, NewObject, Payload, Store};
use sha2::{Digest as _, Sha256};

use super::load::{NamedText, on_disk};
use super::published::{MAX_BYTES, POINTER, Pointer, PublishedFile, object_name};
use super::{RecipeSet, RecipesError};

/// Recipes that hold together, with the files that they name: what a pointer is to say.
#[derive(Debug)]
pub struct Push {
    files: Vec<(PublishedFile, String)>,
    /// Recipes that mask by a key.
    masking: Vec<String>,
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
        let texts: Vec<NamedText> = read.iter().map(|(path, _, text)| (path.clone(), text.clone())).collect();
        // What a recipe names is asked for while that is looked at.
        let beside = RefCell::new(Vec::new());
        let set = RecipeSet::new(&texts, &|recipe, name| {
            let (path, text) = on_disk(recipe, name)?;
            beside.borrow_mut().push((name.to_owned(), text.clone()));
            Ok((path, text))
        })?;
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
        let hashed = |(name, text): (String, String)| {
            (PublishedFile { name, sha256: hex(&Sha256::digest(text.as_bytes())) }, text)
        };
        Ok(Self { files: files.into_iter().map(hashed).collect(), masking })
    }

    /// The recipes that need a key.
    pub fn masking(&self) -> &[String] {
        &self.masking
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
        let failed = |error| RecipesError::Document(document::DocumentError::Store(error));
        let before: Option<Document<Pointer>> = document::read(store, &place).await?;
        for (file, text) in &self.files {
            let new = NewObject {
                object: object(&object_name(file)),
                content_type: "text/plain; charset=utf-8",
                metadata: BTreeMap::new(),
            };
            let payload = Payload::new(text.clone().into_bytes().into());
            match store.put(&new, payload, &Condition::IfAbsent).await {
                Ok(_) => {}
                // Its name is its hash, so it is the same one.
                Err(error) if error.kind == ErrorKind::Precondition => {}
                Err(error) => return Err(failed(error)),
            }
        }
        let pointer = Pointer { files: self.files.into_iter().map(|(file, _)| file).collect() };
        let (condition, known) = match before {
            Some(found) => (Condition::IfMatch(found.etag), found.value),
            None => (Condition::IfAbsent, Pointer::default()),
        };
        let changed = changed(&known, &pointer);
        if !changed.is_empty() {
            document::write(store, &place, &pointer, &condition).await.map_err(|error| match error.kind {
                ErrorKind::Precondition | ErrorKind::Conflict => RecipesError::Overtaken { pointer: place },
                _ => failed(error),
            })?;
        }
        Ok(Pushed { pointer, changed })
    }
}

/// The names of files that one pointer has and the other has not, or has otherwise.
fn changed(before: &Pointer, after: &Pointer) -> Vec<String> {
    let lacks = |pointer: &Pointer, file: &PublishedFile| !pointer.files.contains(file);
    let gone = before.files.iter().filter(|file| lacks(after, file));
    let new = after.files.iter().filter(|file| lacks(before, file));
    let mut names: Vec<String> = gone.chain(new).map(|file| file.name.clone()).collect();
    names.sort();
    names.dedup();
    names
}
