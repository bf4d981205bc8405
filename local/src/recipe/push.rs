//! `penstock recipe push`.

use std::path::PathBuf;

use aws_sdk_s3::config::Region;
use common::config::{RecipesPlace, s3_or_folder};
use common::store::S3Store;
use common::{aws, yaml::Fault};
use processor::recipes::{Push, RecipesError};

use super::paths;
use crate::ending::{Ending, UsageError};
use crate::interrupt::unless_interrupted;
use crate::terminal::Terminal;

/// What to push, and where to.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Recipes, or folders of them: all that are to be in force. A recipe that is not among them is so no longer
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The prefix that the processor has as RECIPES
    #[arg(long, value_name = "s3://BUCKET/PREFIX")]
    to: String,
    /// Where the bucket is [default: as the AWS CLI is configured]
    #[arg(long)]
    region: Option<String>,
}

pub(super) async fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let Some(RecipesPlace::Published { bucket, prefix }) = s3_or_folder(&args.to) else {
        return Err(UsageError("--to is s3://BUCKET/PREFIX".into()).into());
    };
    let push = match Push::of_files(&paths(&args.files)?) {
        Ok(push) => push,
        Err(RecipesError::Faults(faults)) => {
            faults.0.iter().map(Fault::to_string).try_for_each(|fault| terminal.print(&fault))?;
            terminal.note("nothing was pushed: the recipes in force stay");
            return Ok(Ending::Failed);
        }
        Err(error) => return Err(error.into()),
    };
    let (masking, parquet) = (push.masking().join(", "), push.parquet().join(", "));
    let pushed = Box::pin(unless_interrupted(async {
        let mut sdk = aws::sdk_config().await;
        if let Some(region) = &args.region {
            sdk = sdk.to_builder().region(Region::new(region.clone())).build();
        }
        anyhow::ensure!(sdk.region().is_some(), "no region is configured: give --region, or set AWS_REGION");
        let store = S3Store::new(aws::s3_client(&sdk));
        Ok(push.publish(&store, &bucket, &prefix).await?)
    }))
    .await?;
    for file in &pushed.pointer.files {
        let is_new = pushed.changed.contains(&file.name);
        terminal.print(&format!("{}  {}{}", file.sha256, file.name, if is_new { "  new" } else { "" }))?;
    }
    let gone =
        pushed.changed.iter().filter(|name| !pushed.pointer.files.iter().any(|file| file.name == **name));
    for name in gone {
        terminal.note(&format!("{name} is not in force any more"));
    }
    terminal.note(if pushed.changed.is_empty() {
        "these are in force already: nothing was changed"
    } else {
        "in force; a running function takes them within ten seconds, before its next event"
    });
    if !masking.is_empty() {
        terminal.note(&format!("these mask by a key, which the function must have (maskKeyArn): {masking}"));
    }
    if !parquet.is_empty() {
        terminal.note(&format!(
            "these write Parquet, for which the image must be built (--features processor/parquet): {parquet}"
        ));
    }
    Ok(Ending::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_wrong_is_refused_before_s3_is_asked() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.yml"), "match: a*\nselct: [a]\n").unwrap();
        let args = |to: &str| Args { files: vec![folder.path().into()], to: to.into(), region: None };
        let terminal = Terminal::default();
        assert_eq!(run(&args("s3://conf-bucket/recipes"), &terminal).await.unwrap(), Ending::Failed);
        for to in ["recipes/", "s3://C_/recipes"] {
            assert!(run(&args(to), &terminal).await.unwrap_err().is::<UsageError>(), "{to}");
        }
    }
}
