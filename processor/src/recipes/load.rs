//! One recipe: from its text to what the engine does by it.

use std::path::Path;

use common::contract::{RecipeRef, hex};
use common::glob::Glob;
use common::yaml::{Document, Fault, Faults};
use engine::recipe::{Recipe, RecipeFile};
use sha2::{Digest as _, Sha256};

use super::RecipesError;

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

/// Reads a recipe's text. `file` is its name, from which it has its own.
///
/// # Errors
///
/// Everything that is wrong with it.
pub fn load(file: &str, text: &str) -> Result<Loaded, Faults> {
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
    let recipe = Recipe::new(&written).unwrap_or_else(|wrong| {
        faults.extend(wrong.into_iter().map(|fault| document.fault(&fault.pointer, fault.message)));
        Recipe::default()
    });
    if !faults.is_empty() {
        faults.sort();
        return Err(Faults(faults));
    }
    let reference = RecipeRef { name: name.to_owned(), sha256: hex(&Sha256::digest(text.as_bytes())) };
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
    Ok(load(&file, &text)?)
}
