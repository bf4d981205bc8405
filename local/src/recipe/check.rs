//! `penstock recipe check`.

use std::path::PathBuf;

use anyhow::Context as _;
use processor::recipes::{RecipeSet, RecipesError};

use super::paths;
use crate::ending::Ending;
use crate::terminal::Terminal;

/// What to check.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recipes, or folders of them. Those of one command are to hold together: no key may be two's alike
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the faults as a JSON array on standard output
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let paths = paths(&args.files)?;
    let faults = match RecipeSet::of_files(&paths) {
        Ok(_) => Vec::new(),
        Err(RecipesError::Faults(faults)) => faults.0,
        Err(error) => return Err(error.into()),
    };
    if args.json {
        terminal.print(&serde_json::to_string_pretty(&faults).context("write the faults")?)?;
    } else {
        for fault in &faults {
            terminal.print(&fault.to_string())?;
        }
    }
    let count = paths.len();
    if faults.is_empty() {
        terminal.note(&format!("{count} recipe{} right", if count == 1 { " is" } else { "s are" }));
        Ok(Ending::Done)
    } else {
        let errors = faults.len();
        terminal.note(&format!("{errors} error{} in {count} recipe{}", plural(errors), plural(count)));
        Ok(Ending::Failed)
    }
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}
