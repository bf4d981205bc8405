//! What became of a stage's files, as the consumer catalogued them.

use anyhow::Context as _;
use common::contract::{CatalogEntry, CatalogStatus};
use futures::TryStreamExt as _;
use indicatif::HumanCount;
use jiff::{Timestamp, ToSpan as _, civil::Date, tz::TimeZone};

use crate::deployed::{Deployed, StageArgs};
use crate::ending::{Ending, UsageError};
use crate::interrupt::unless_interrupted;
use crate::table;
use crate::terminal::Terminal;

const EXAMPLES: &str = "\
Examples:
  penstock catalog                             the last seven days of stage dev
  penstock catalog --failed --since 2026-11-01 what failed, and why
  penstock catalog --stage prod --json | jq .  every field, a JSON object a line

Many days, or questions that need more than a filter: Athena or DuckDB read the catalogue as a table (docs/catalogue.md).";

/// What is listed without --since.
const DAYS: i64 = 7;

/// Which entries.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    stage: StageArgs,
    /// The first day, in UTC [default: seven days ago]
    #[arg(long, value_name = "YYYY-MM-DD")]
    since: Option<String>,
    /// Only files that failed
    #[arg(long)]
    failed: bool,
    /// Only keys that contain this
    #[arg(long, value_name = "TEXT")]
    key: Option<String>,
    /// For programs: every field, a JSON object a line
    #[arg(long)]
    json: bool,
}

impl Args {
    fn wants(&self, entry: &CatalogEntry) -> bool {
        (!self.failed || entry.status == CatalogStatus::Failed)
            && self.key.as_ref().is_none_or(|part| entry.source_key.contains(part.as_str()))
    }

    fn first_day(&self, now: Timestamp) -> anyhow::Result<Date> {
        match &self.since {
            Some(day) => {
                let day = day.parse();
                Ok(day.map_err(|_unquoted| UsageError("--since is a day, such as 2026-11-01".into()))?)
            }
            None => Ok((now - (24 * DAYS).hours()).to_zoned_datetime(TimeZone::UTC).date()),
        }
    }
}

/// Lists the entries, a day after the other, each day's in the order of time.
pub async fn run(args: Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let since = args.first_day(Timestamp::now())?;
    Box::pin(unless_interrupted(list(&args, since, terminal))).await?;
    Ok(Ending::Done)
}

async fn list(args: &Args, since: Date, terminal: &Terminal) -> anyhow::Result<()> {
    let deployed = Deployed::find(&args.stage).await?;
    let (store, bucket) = (&*deployed.store, &deployed.outputs.output_bucket);
    let days = consumer::catalog::days(store, bucket, Some(since)).await?;
    let mut rows = Vec::new();
    for day in days {
        terminal.step(&format!("reading {day}"));
        let mut entries = Vec::new();
        let mut read = std::pin::pin!(consumer::catalog::entries(store, bucket, day));
        while let Some(entry) =
            read.try_next().await.with_context(|| format!("read the catalogue of {day}"))?
        {
            if args.wants(&entry) {
                entries.push(entry);
            }
        }
        entries.sort_by(|one, other| (one.time, &one.source_key).cmp(&(other.time, &other.source_key)));
        if args.json {
            for entry in &entries {
                terminal.print(&serde_json::to_string(entry)?)?;
            }
        } else {
            rows.extend(entries.iter().map(row));
        }
    }
    if !args.json {
        for line in table::lines(&HEADER, &rows) {
            terminal.print(&line)?;
        }
    }
    Ok(())
}

const HEADER: [&str; 7] = ["TIME", "STATUS", "ROWS IN", "OUT", "REJECTED", "SECONDS", "FILE"];

fn row(entry: &CatalogEntry) -> Vec<String> {
    let status = match entry.status {
        CatalogStatus::Processed => "processed",
        CatalogStatus::Failed => "failed",
        CatalogStatus::Superseded => "superseded",
    };
    let mut file = table::printable(&entry.source_key);
    if let Some(code) = &entry.error_code {
        let message = entry.error_message.as_deref().unwrap_or_default();
        file = format!("{file}  ({code}: {})", table::printable(message));
    }
    vec![
        entry.time.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        status.into(),
        HumanCount(entry.rows_in).to_string(),
        HumanCount(entry.rows_out).to_string(),
        HumanCount(entry.rows_rejected).to_string(),
        format!("{:.1}", entry.duration_ms as f64 / 1e3),
        file,
    ]
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(words: &[&str]) -> Args {
        Line::parse_from([&["catalog"], words].concat()).args
    }

    #[test]
    fn the_first_day_is_told_or_a_week_ago() {
        let now = "2026-11-08T23:00:00Z".parse().unwrap();
        let day = |words: &[&str]| args(words).first_day(now).map(|day| day.to_string());
        assert_eq!(day(&[]).unwrap(), "2026-11-01");
        assert_eq!(day(&["--since", "2026-10-31"]).unwrap(), "2026-10-31");
        for wrong in ["yesterday", "2026-13-01", "2026-11-01T00:00:00Z "] {
            assert!(day(&["--since", wrong]).unwrap_err().is::<UsageError>(), "{wrong}");
        }
    }

    #[test]
    fn an_entry_becomes_a_row() {
        let entry: CatalogEntry =
            serde_json::from_str(include_str!("../../common/tests/fixtures/catalog-entry.json")).unwrap();
        assert_eq!(
            row(&entry),
            ["2026-11-23 10:00:00", "processed", "3", "2", "1", "0.2", "in/orders.csv.gz"]
        );
        assert!(args(&[]).wants(&entry) && args(&["--key", "orders"]).wants(&entry));
        assert!(!args(&["--failed"]).wants(&entry) && !args(&["--key", "other"]).wants(&entry));
        let failed = CatalogEntry { source_key: "a\nb".into(), ..entry }.failed("not_csv", "none");
        assert_eq!(row(&failed)[6], "a?b  (not_csv: none)");
        assert!(args(&["--failed"]).wants(&failed));
    }
}
