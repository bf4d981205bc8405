//! One recipe: from its text to what the engine does by it.

use std::path::Path;

use common::contract::{RecipeRef, hex};
use common::glob::Glob;
use common::yaml::{Document, Fault, Faults};
use engine::recipe::{Recipe, RecipeFault, RecipeFile, SchemaWord, TableSchema};
use sha2::{Digest as _, Sha256};

use super::RecipesError;

/// A file's path, and its text.
pub type NamedText = (String, String);

/// The recipe of a file that none matches.
pub(crate) const DEFAULT_NAME: &str = "default";

/// A recipe, ready for use.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What receipts call it.
    pub reference: RecipeRef,
    /// The keys that it is for.
    pub globs: Vec<Glob>,
    /// What the engine does by it.
    pub recipe: Recipe,
}

impl Default for Loaded {
    /// Normalise, keep all. Its content is empty, so that is what is hashed.
    fn default() -> Self {
        let reference = RecipeRef { name: DEFAULT_NAME.into(), sha256: hex(&Sha256::digest(b"")) };
        Self { reference, globs: Vec::new(), recipe: Recipe::default() }
    }
}

/// Reads a recipe's text. `file` is its name, from which it has its own; `beside` reads a file that lies beside it.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn load(
    file: &str,
    text: &str,
    beside: &dyn Fn(&str) -> Result<NamedText, String>,
) -> Result<Loaded, Faults> {
    let document = Document::parse(file, text)?;
    let name = Path::new(file).file_stem().and_then(|stem| stem.to_str()).unwrap_or(file);
    let written: RecipeFile = document.decode()?;
    let mut faults: Vec<Fault> = Vec::new();
    if name == DEFAULT_NAME {
        faults.push(
            document
                .fault("", "a file without a recipe of its own has `default`: give this one another name"),
        );
    }
    let mut globs = Vec::new();
    for (at, pattern) in written.matches.0.iter().enumerate() {
        match Glob::parse(pattern) {
            Ok(glob) => globs.push(glob),
            Err(error) => faults.push(document.fault(&format!("/match/{at}"), error.to_string())),
        }
    }
    let mut hash = Sha256::new_with_prefix(text.as_bytes());
    let mut schema = None;
    if let Some(SchemaWord::File(name)) = &written.schema {
        match beside(name) {
            Ok((path, text)) => {
                hash.update(b"\0");
                hash.update(text.as_bytes());
                let document = Document::parse(&path, &text)?;
                schema = Some((document.decode_known::<TableSchema>()?, document));
            }
            Err(why) => faults.push(document.fault("/schema", why)),
        }
    }
    let recipe = Recipe::new(&written, schema.as_ref().map(|(schema, _)| schema)).unwrap_or_else(|wrong| {
        for RecipeFault { pointer, message } in wrong {
            let in_schema = schema.as_ref().zip(pointer.strip_prefix("/schema"));
            faults.push(match in_schema {
                Some(((_, schema), pointer)) => schema.fault(pointer, message),
                None => document.fault(&pointer, message),
            });
        }
        Recipe::default()
    });
    if !faults.is_empty() {
        faults.sort();
        return Err(Faults(faults));
    }
    let reference = RecipeRef { name: name.to_owned(), sha256: hex(&hash.finalize()) };
    Ok(Loaded { reference, globs, recipe })
}

/// Reads a recipe's file.
///
/// # Errors
///
/// A file that can't be read, and everything that is wrong with it.
pub fn load_file(path: &Path) -> Result<Loaded, RecipesError> {
    let file = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|source| RecipesError::Read { place: file.clone(), source })?;
    Ok(load(&file, &text, &|name| on_disk(&file, name))?)
}

/// A file beside a recipe's on this machine: its path and its text.
pub(super) fn on_disk(recipe: &str, name: &str) -> Result<NamedText, String> {
    let path = Path::new(recipe).with_file_name(name);
    let shown = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok((shown, text)),
        Err(error) => Err(format!("{shown} can't be read: {error}")),
    }
}
