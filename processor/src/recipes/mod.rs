//! The recipes that there are, and which one is a file's.
//!
//! - `set`: recipes that hold together: each makes sense, and no key is two recipes' alike.
//! - `load`: one recipe's text into what the engine does by it.
//! - `published`: recipes under an `s3://` prefix, behind a pointer; `push`: how they come there.

mod load;
mod published;
mod push;
mod set;

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use common::config::RecipesPlace;
use common::store::Store;
use common::yaml::Faults;
use tokio::time::Instant;

pub use load::{Loaded, NamedText, load, load_file};
pub use published::{POINTER, Pointer, PublishedFile, object_name};
pub use push::{Push, Pushed};
pub use set::RecipeSet;

use crate::recipes::published::Published;

/// Why there are no recipes.
#[derive(Debug, thiserror::Error)]
pub enum RecipesError {
    /// A file or folder could not be read.
    #[error("read the recipes: {place}")]
    Read {
        /// What.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Recipes are wrong.
    #[error("the recipes are not usable:\n{0}")]
    Faults(#[from] Faults),
    /// The key is none.
    #[error("the mask key is malformed: {0}")]
    MaskKey(String),
    /// The key can't be had.
    #[error(transparent)]
    Secret(#[from] common::secrets::SecretError),
    /// A recipe masks by a key, and there is none.
    #[error(
        "the recipe `{recipe}` masks by `hash` or `tokenise`, and there is no key: set MASK_KEY_ARN, or MASK_KEY"
    )]
    NoMaskKey {
        /// The recipe.
        recipe: String,
    },
    /// Recipes that are right can't lie beside each other under a prefix.
    #[error("the recipes can't be published: {0}")]
    Unpublishable(String),
    /// Others were published while these were.
    #[error(
        "{pointer} was changed meanwhile by somebody else, and is as they left it: look at theirs, and push again"
    )]
    Overtaken {
        /// The pointer.
        pointer: common::contract::ObjectRef,
    },
    /// The bucket failed.
    #[error(transparent)]
    Document(#[from] common::document::DocumentError),
    /// What the pointer names is not there, or not what it says.
    #[error("the recipes under {prefix} are incomplete: {what}")]
    Incomplete {
        /// The prefix.
        prefix: String,
        /// What is wrong.
        what: String,
    },
}

/// How often the pointer is looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The recipes in force.
#[derive(Debug)]
pub struct Recipes {
    current: RwLock<Arc<RecipeSet>>,
    published: Option<tokio::sync::Mutex<Watched>>,
}

#[derive(Debug)]
struct Watched {
    published: Published,
    looked_at: Instant,
}

impl Default for Recipes {
    /// None but the default.
    fn default() -> Self {
        Self::fixed(RecipeSet::default())
    }
}

impl Recipes {
    /// Recipes that stay as they are.
    pub fn fixed(set: RecipeSet) -> Self {
        Self { current: RwLock::new(Arc::new(set)), published: None }
    }

    /// One recipe for every key.
    ///
    /// # Errors
    ///
    /// One that masks by a key, without a key.
    pub fn of_one(recipe: Loaded, has_mask_key: bool) -> Result<Self, RecipesError> {
        let set = RecipeSet::of_one(recipe);
        set.check_key(has_mask_key)?;
        Ok(Self::fixed(set))
    }

    /// The recipes that lie in this place.
    ///
    /// # Errors
    ///
    /// Any that is wrong keeps all from being used, with everything that is wrong.
    pub async fn open(
        place: &RecipesPlace,
        store: &dyn Store,
        has_mask_key: bool,
    ) -> Result<Self, RecipesError> {
        match place {
            RecipesPlace::None => Ok(Self::default()),
            RecipesPlace::Folder(path) => {
                let set = RecipeSet::of_folder(Path::new(path))?;
                set.check_key(has_mask_key)?;
                Ok(Self::fixed(set))
            }
            RecipesPlace::Published { bucket, prefix } => {
                let mut published = Published::new(bucket, prefix, has_mask_key);
                let set = published.read(store).await?.unwrap_or_default();
                let watched = Watched { published, looked_at: Instant::now() };
                Ok(Self { current: RwLock::new(Arc::new(set)), published: Some(watched.into()) })
            }
        }
    }

    /// Looks whether others have been published, and takes them if they hold together. Those that were stay where
    /// that fails.
    pub async fn refresh(&self, store: &dyn Store) {
        let Some(published) = &self.published else { return };
        let mut watched = published.lock().await;
        if watched.looked_at.elapsed() < LOOK_EVERY {
            return;
        }
        watched.looked_at = Instant::now();
        match watched.published.read(store).await {
            Ok(None) => {}
            Ok(Some(set)) => {
                tracing::info!(
                    recipes = set.names().collect::<Vec<_>>().join(", "),
                    "other recipes are in force"
                );
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
            }
            Err(error) => {
                let error = common::telemetry::chain(&error);
                tracing::error!(
                    error,
                    "the published recipes can't be taken: those from before stay in force"
                );
            }
        }
    }

    /// The recipe for a key.
    pub fn choose(&self, key: &str) -> Arc<Loaded> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).choose(key)
    }
}
