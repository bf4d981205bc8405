//! `penstock recipe init`: a recipe to begin with.

use std::fmt::Write as _;
use std::path::PathBuf;

use engine::Options;
use engine::recipe::{FieldWord, Guess};

use crate::ending::Ending;
use crate::process::{Excerpt, Input, excerpt};
use crate::terminal::Terminal;

/// Rows that are looked at.
const ROWS: usize = 10_000;

/// What to begin with.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file like those that the recipe is for; its first 10,000 rows are looked at
    sample: PathBuf,
}

pub(super) async fn run(args: &Args, terminal: &Terminal) -> anyhow::Result<Ending> {
    let input = Input::open(&args.sample, terminal)?;
    let found = excerpt(input, &Options::default(), ROWS).await?;
    let file = args.sample.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    terminal.print(written(&file, &found).trim_end())?;
    Ok(Ending::Done)
}

/// The recipe's text.
fn written(file: &str, found: &Excerpt) -> String {
    let suffix = file.split_once('.').map(|(_, suffix)| format!("*.{suffix}"));
    let pattern = suffix.unwrap_or_else(|| "*".into());
    let mut text = format!(
        "\
# yaml-language-server: $schema=recipe.schema.json
# What a clean file is. Try it: penstock process {file} --recipe THIS_FILE --limit 20

# The keys that it is for: the most specific pattern wins.
match: {}

# A row that violates the schema is rejected; `warn` keeps and counts it, `fail` fails the file.
on_violation: reject
schema:
  # As the first {} rows suggest.
  fields:
",
        quoted(&format!("**/{pattern}")),
        found.rows.len()
    );
    for (at, name) in found.names.iter().enumerate() {
        let mut guess = Guess::default();
        for field in found.rows.iter().filter_map(|row| row.get(at)) {
            guess.see(field.as_bytes());
        }
        let FieldWord { kind, format, decimal_char, group_char, .. } = guess.field(name);
        let mut keys = vec![format!("name: {}", quoted(name)), format!("type: {}", kind.name())];
        let given = [("format", format), ("decimalChar", decimal_char), ("groupChar", group_char)];
        keys.extend(given.into_iter().filter_map(|(key, word)| Some(format!("{key}: {}", quoted(&word?)))));
        if guess.is_complete() {
            keys.push("constraints: { required: true }".into());
        }
        // Memory takes all that is written to it.
        writeln!(text, "    - {{ {} }}", keys.join(", ")).unwrap_or_default();
    }
    text.push_str(
        "
# In this order, each if you want it:
# select: [column, …]
# rename: { old: new }
# cast: all
# derive: [{ name: total, value: price * quantity }]
# filter: total > 0.0
# mask: { email: hash }
# output: { format: ndjson, compression: gzip, partition_by: [country] }
",
    );
    text
}

/// A text as YAML has it in quotes.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use processor::recipes::load;

    use super::*;
    use crate::process::excerpt_of;

    #[test]
    fn what_is_written_is_a_recipe() {
        let rows = [["1", "2026-11-25", "1,50", ""], ["2", "2026-11-26", "2,5", "x: #y"]];
        let found = excerpt_of(&["id", "a day", "price", "it's \"q\""], &rows);
        let text = written("orders.csv", &found);
        let loaded = load("orders.yml", &text, &|_| Err("nothing".into())).unwrap();
        assert!(loaded.globs[0].matches("in/2026/orders.csv"));
        assert!(text.contains("{ name: \"id\", type: integer, constraints: { required: true } }"), "{text}");
        assert!(text.contains("{ name: \"a day\", type: date, constraints: { required: true } }"), "{text}");
        assert!(text.contains("type: number, decimalChar: \",\""), "{text}");
        assert!(text.contains("{ name: \"it's \\\"q\\\"\", type: string }"), "{text}");
    }
}
