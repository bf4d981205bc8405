//! Recipes that hold together.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::glob::Choice;
use common::yaml::{Document, Fault, Faults};
use engine::recipe::FormatWord;

use super::load::{NamedText, on_disk};
use super::{Loaded, RecipesError, load};

/// Recipes of which each makes sense, and no key is two's alike.
#[derive(Debug, Clone, Default)]
pub struct RecipeSet {
    recipes: Vec<Arc<Loaded>>,
    choice: Option<Choice<usize>>,
    default: Arc<Loaded>,
}

impl RecipeSet {
    /// The recipes of these files: their names and texts. `beside` reads a file that lies beside a recipe's.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with any of them.
    pub fn new(
        files: &[NamedText],
        beside: &dyn Fn(&str, &str) -> Result<NamedText, String>,
    ) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut recipes: Vec<Arc<Loaded>> = Vec::new();
        let mut sources = Vec::new();
        for (file, text) in files {
            match load(file, text, &|name| beside(file, name)) {
                Ok(loaded) => {
                    let twin = recipes.iter().position(|other| other.reference.name == loaded.reference.name);
                    if let Some(twin) = twin {
                        let (other, _): &(String, String) = sources[twin];
                        faults.push(at(
                            file,
                            text,
                            "",
                            format!("{other} has the same name: rename one of them"),
                        ));
                    }
                    recipes.push(Arc::new(loaded));
                    sources.push(&files[files.iter().position(|(name, _)| name == file).unwrap_or_default()]);
                }
                Err(wrong) => faults.extend(wrong.0),
            }
        }
        let entries = recipes
            .iter()
            .enumerate()
            .flat_map(|(owner, loaded)| loaded.globs.iter().map(move |glob| (glob.clone(), owner)));
        let choice = match Choice::new(entries) {
            Ok(choice) => Some(choice),
            Err(rivals) => {
                let (one, other) = rivals.owners;
                let (file, text) = sources[one.max(other)];
                let (first, _) = sources[one.min(other)];
                let glob = if one > other { &rivals.first } else { &rivals.second };
                let globs = &recipes[one.max(other)].globs;
                let index = globs.iter().position(|ours| ours == glob).unwrap_or_default();
                faults.push(at(
                    file,
                    text,
                    &format!("/match/{index}"),
                    format!("{rivals} (the other one is {first}'s)"),
                ));
                None
            }
        };
        if !faults.is_empty() {
            faults.sort();
            return Err(Faults(faults));
        }
        Ok(Self { recipes, choice, default: Arc::default() })
    }

    /// This recipe for every key, whatever it says of keys.
    pub fn of_one(recipe: Loaded) -> Self {
        let recipe = Arc::new(recipe);
        Self { recipes: vec![Arc::clone(&recipe)], choice: None, default: recipe }
    }

    /// The recipes of a folder.
    ///
    /// # Errors
    ///
    /// What can't be read, and everything that is wrong with any of them.
    pub fn of_folder(folder: &Path) -> Result<Self, RecipesError> {
        Self::of_files(&Self::files_of(folder)?)
    }

    /// The recipes in these files.
    ///
    /// # Errors
    ///
    /// What can't be read, and everything that is wrong with any of them.
    pub fn of_files(paths: &[PathBuf]) -> Result<Self, RecipesError> {
        let text = |path: &PathBuf| std::fs::read_to_string(path).map_err(|source| unreadable(path, source));
        let files: Result<Vec<_>, RecipesError> =
            paths.iter().map(|path| Ok((path.display().to_string(), text(path)?))).collect();
        Ok(Self::new(&files?, &on_disk)?)
    }

    /// A folder's recipes: its `.yml` and `.yaml` files, not those of folders in it.
    ///
    /// # Errors
    ///
    /// A folder that can't be read.
    pub fn files_of(folder: &Path) -> Result<Vec<PathBuf>, RecipesError> {
        let entries = std::fs::read_dir(folder).map_err(|source| unreadable(folder, source))?;
        let mut paths = Vec::new();
        for entry in entries {
            let path = entry.map_err(|source| unreadable(folder, source))?.path();
            if is_recipe(&path) && path.is_file() {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// The recipe for a key.
    pub fn choose(&self, key: &str) -> Arc<Loaded> {
        let chosen = self.choice.as_ref().and_then(|choice| choice.choose(key));
        Arc::clone(chosen.map_or(&self.default, |&at| &self.recipes[at]))
    }

    /// Whether those that mask by a key have one.
    pub(super) fn check_key(&self, has_mask_key: bool) -> Result<(), RecipesError> {
        match self.masking().next() {
            Some(recipe) if !has_mask_key => Err(RecipesError::NoMaskKey { recipe: recipe.to_owned() }),
            _ => Ok(()),
        }
    }

    /// The names of those that mask by a key.
    pub(super) fn masking(&self) -> impl Iterator<Item = &str> {
        let masking = self.recipes.iter().filter(|loaded| loaded.recipe.needs_mask_key());
        masking.map(|loaded| loaded.reference.name.as_str())
    }

    /// The names of those that write Parquet.
    pub(super) fn parquet(&self) -> impl Iterator<Item = &str> {
        let parquet = self.recipes.iter().filter(|loaded| loaded.recipe.format == FormatWord::Parquet);
        parquet.map(|loaded| loaded.reference.name.as_str())
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.recipes.iter().map(|loaded| loaded.reference.name.as_str())
    }
}

/// Whether a file of this name is a recipe.
pub(super) fn is_recipe(path: &Path) -> bool {
    path.extension().is_some_and(|suffix| suffix == "yml" || suffix == "yaml")
}

fn unreadable(path: &Path, source: io::Error) -> RecipesError {
    RecipesError::Read { place: path.display().to_string(), source }
}

/// A fault at a place in a text that has been parsed before.
fn at(file: &str, text: &str, pointer: &str, message: String) -> Fault {
    match Document::parse(file, text) {
        Ok(document) => document.fault(pointer, message),
        Err(_) => Fault { file: file.to_owned(), line: 1, column: 1, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(files: &[(&str, &str)]) -> Result<RecipeSet, String> {
        let files: Vec<(String, String)> =
            files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        RecipeSet::new(&files, &|_, name| Err(format!("{name} is not there")))
            .map_err(|faults| faults.to_string())
    }

    #[test]
    fn a_key_has_the_most_specific_recipe_or_the_default() {
        let set = set(&[
            ("orders.yml", "match: orders/**\ndelimiter: ';'\n"),
            ("eu.yml", "match: [orders/eu/*.csv, eu/*]\n"),
        ])
        .unwrap();
        let name = |key| set.choose(key).reference.name.clone();
        assert_eq!(
            [name("orders/x.csv"), name("orders/eu/x.csv"), name("eu/x"), name("x")],
            ["orders", "eu", "eu", "default"]
        );
        assert_eq!(set.choose("orders/x.csv").recipe.told.delimiter.as_deref(), Some(&b";"[..]));
        assert_ne!(set.choose("x").reference.sha256, set.choose("eu/x").reference.sha256);
    }

    #[test]
    fn everything_wrong_with_all_files_is_told_at_once() {
        let wrong = set(&[
            ("a.yml", "match: a*\ndelimeter: ;\n"),
            ("b.yml", "match: ''\nquote: xx\n"),
            ("c.yml", "match: ['x/?.csv', '/y']\ndelimiter: \"'\"\nquote: \"'\"\n"),
        ]);
        assert_eq!(
            wrong.unwrap_err(),
            "\
a.yml:2:1: unknown key `delimeter`: did you mean `delimiter`?
b.yml:2:8: `quote`: \"xx\" can't be: one character of ASCII is wanted
c.yml:1:20: the pattern begins with `/`, which no key does: leave it out
c.yml:3:8: the delimiter begins with the quote or the escape: give three that differ"
        );
        let rivals = set(&[("a.yml", "match: a*\n"), ("b.yml", "match:\n  - x\n  - '*b'\n")]);
        assert!(rivals.unwrap_err().starts_with("b.yml:3:5: `"));
        assert!(
            set(&[("a.yml", "match: a\n"), ("a.yaml", "match: b\n")]).unwrap_err().contains("the same name")
        );
        assert!(set(&[("default.yml", "match: a\n")]).unwrap_err().contains("another name"));
    }
}
