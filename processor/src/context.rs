//! What lives as long as the function.

use std::sync::Arc;

use common::config::{MaskKeyPlace, ProcessorConfig, Secret};
use common::read::ReadPlan;
use common::secrets::Secrets;
use common::store::Store;
use common::topic::Topic;
use common::write::WritePlan;
use engine::InflateLimits;
use engine::recipe::MaskKey;

use crate::budget::Budget;
use crate::recipes::{Loaded, Recipes, RecipesError};

/// Everything that processing a file needs, built once.
pub struct Processor {
    /// Both buckets.
    pub store: Arc<dyn Store>,
    /// Where events go.
    pub topic: Arc<dyn Topic>,
    /// Where clean files, rejects and receipts go.
    pub output_bucket: String,
    /// The metrics' dimension.
    pub function: String,
    /// The rules applied to files.
    pub recipes: Recipes,
    /// What the engine is told of every file, before its recipe's say.
    pub options: engine::Options,
    /// How input is fetched.
    pub read: ReadPlan,
    /// How the clean file is written.
    pub write: WritePlan,
    /// How the rejects are written.
    pub write_rejects: WritePlan,
    /// Where metrics' lines go.
    pub emit: fn(&str),
}

impl Processor {
    /// A processor as configured: the memory budget decides how much is in flight.
    pub fn new(
        config: &ProcessorConfig,
        function: String,
        store: Arc<dyn Store>,
        topic: Arc<dyn Topic>,
    ) -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        let Budget { read, write, write_rejects, partitions, threads, max_window_log } =
            Budget::of(config.memory_budget_mib, cpus);
        let inflate = InflateLimits {
            max_text_bytes: config.max_decompressed_bytes,
            max_ratio: config.max_compression_ratio,
            max_window_log,
        };
        Self {
            store,
            topic,
            output_bucket: config.output_bucket.clone(),
            function,
            recipes: Recipes::default(),
            options: engine::Options {
                threads,
                inflate,
                row_group_bytes: row_group_bytes(write.max_part_bytes),
                partitions,
                ..engine::Options::default()
            },
            read,
            write,
            write_rejects,
            emit: common::metrics::emit,
        }
    }

    /// Reads the recipes from where they are configured to lie, and the mask key.
    ///
    /// # Errors
    ///
    /// Any that is wrong, with everything that is wrong: the function must not start then.
    pub async fn with_recipes(
        mut self,
        config: &ProcessorConfig,
        secrets: &dyn Secrets,
    ) -> Result<Self, RecipesError> {
        let key = match &config.mask_key {
            None => None,
            Some(MaskKeyPlace::Here(key)) => Some(key.clone()),
            Some(MaskKeyPlace::Secret(arn)) => Some(Secret(secrets.secret(arn).await?)),
        };
        self.options.mask_key = key.as_ref().map(mask_key).transpose()?;
        self.recipes = Recipes::open(&config.recipes, &*self.store, self.options.mask_key.is_some()).await?;
        Ok(self)
    }

    /// Takes one recipe for all files, whatever keys it is for, and the mask key.
    ///
    /// # Errors
    ///
    /// A key that is none, and a recipe that wants one where there is none.
    pub fn with_recipe(mut self, recipe: Loaded, key: Option<&Secret>) -> Result<Self, RecipesError> {
        self.options.mask_key = key.map(mask_key).transpose()?;
        self.recipes = Recipes::of_one(recipe, self.options.mask_key.is_some())?;
        Ok(self)
    }

    /// What the engine is told of a file with this recipe.
    pub(crate) fn options(&self, recipe: &Loaded) -> engine::Options {
        let mut options = self.options.clone();
        recipe.recipe.apply(&mut options);
        options
    }
}

fn mask_key(key: &Secret) -> Result<MaskKey, RecipesError> {
    MaskKey::new(key.0.as_bytes()).map_err(RecipesError::MaskKey)
}

/// The values of a row group of Parquet: half the largest part, which is a sixteenth of the memory budget. What they are
/// encoded to and the bytes that are handed on come on top.
fn row_group_bytes(max_part_bytes: u64) -> usize {
    const MOST: u64 = 64 * 1024 * 1024;
    usize::try_from((max_part_bytes / 2).min(MOST)).unwrap_or(usize::MAX)
}
