//! `penstock recipe`: recipes looked at before they meet a file.

mod check;
mod init;
mod push;

use std::path::PathBuf;

use anyhow::Context as _;
use processor::recipes::{RecipeSet, RecipesError};

use crate::ending::Ending;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  penstock recipe check recipes/                  everything that is wrong with all of them, with its place
  penstock recipe check orders.yml --json         the same, for programs
  penstock recipe init orders.csv > orders.yml     a recipe to begin with
  penstock process orders.csv --recipe orders.yml what a recipe makes of a file
  penstock recipe push recipes/ --to s3://conf/recipes
  penstock recipe schema > recipe.schema.json     for completion in an editor

Every key is explained in docs/recipes.md.
Exit codes: 0 right, 1 wrong or unreadable, 2 wrong usage.";

/// What to do with recipes.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Say everything that is wrong with recipes, each with file, line, column and what to do
    Check(check::Args),
    /// Write a recipe for files like this one, with the types that its values seem to have
    Init(init::Args),
    /// Bring recipes into force under an s3:// prefix, if all of them are right
    Push(push::Args),
    /// Print the JSON Schema of a recipe, for editors
    Schema,
}

/// Does what the command line asks.
pub(crate) async fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    match &args.command {
        Command::Check(args) => check::run(args, terminal),
        Command::Init(args) => init::run(args, terminal).await,
        Command::Push(args) => push::run(args, terminal).await,
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&engine::recipe::json_schema());
            terminal.print(&schema.context("write the schema")?)?;
            Ok(Ending::Done)
        }
    }
}

/// Recipes, and those of folders.
fn paths(given: &[PathBuf]) -> Result<Vec<PathBuf>, RecipesError> {
    let mut paths = Vec::new();
    for path in given {
        if path.is_dir() {
            paths.extend(RecipeSet::files_of(path)?);
        } else {
            paths.push(path.clone());
        }
    }
    Ok(paths)
}
