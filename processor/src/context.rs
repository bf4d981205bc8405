//! What lives as long as the function.

use std::sync::Arc;

use common::config::ProcessorConfig;
use common::contract::{RecipeRef, hex};
use common::read::ReadPlan;
use common::store::Store;
use common::topic::Topic;
use common::write::WritePlan;
use sha2::{Digest as _, Sha256};

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
    /// The rules applied to every file.
    pub recipe: RecipeRef,
    /// What the engine is told.
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

const MIB: u64 = 1024 * 1024;

/// The smallest part that S3 takes, but for the last.
const MIN_PART_BYTES: u64 = 5 * MIB;

impl Processor {
    /// A processor as configured: the memory budget decides how much is in flight.
    pub fn new(
        config: &ProcessorConfig,
        function: String,
        store: Arc<dyn Store>,
        topic: Arc<dyn Topic>,
    ) -> Self {
        let (read, write, write_rejects) = plans(config.memory_budget_mib);
        Self {
            store,
            topic,
            output_bucket: config.output_bucket.clone(),
            function,
            recipe: default_recipe(),
            options: engine::Options::default(),
            read,
            write,
            write_rejects,
            emit: common::metrics::emit,
        }
    }
}

/// The recipe of a file that none matches: normalise, keep all. Its content is empty, so that is what is hashed.
pub fn default_recipe() -> RecipeRef {
    RecipeRef { name: "default".into(), sha256: hex(&Sha256::digest(b"")) }
}

/// The one place that turns the memory budget into ranges and parts.
///
/// Input takes `range × (in flight + 1)`, output `part × (in flight + 1)`, rejects as much as two small parts at the
/// worst. Half of the budget is left to the program, the engine's blocks and the allocator.
fn plans(budget_mib: u64) -> (ReadPlan, WritePlan, WritePlan) {
    let (range_mib, reads, part_mib, parts) = match budget_mib {
        0..256 => (4, 2, 5, 1),
        256..1024 => (8, 2, 8, 2),
        _ => (8, 3, 8, 3),
    };
    // Parts grow late, and to no more than a sixteenth of the budget.
    let max_part_bytes = (budget_mib * MIB / 16).clamp(part_mib * MIB, 128 * MIB);
    let read = ReadPlan { range_bytes: range_mib * MIB, max_in_flight: reads, ..ReadPlan::default() };
    let write =
        WritePlan { part_bytes: part_mib * MIB, max_part_bytes, in_flight: parts, ..WritePlan::default() };
    let rejects =
        WritePlan { part_bytes: MIN_PART_BYTES, max_part_bytes, in_flight: 1, ..WritePlan::default() };
    (read, write, rejects)
}
