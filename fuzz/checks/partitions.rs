//! The rows of a file, partitioned by its first column.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use engine::recipe::{PartitionLimits, Piece, Recipe, RecipeFile};
use engine::{EngineError, Options, Sink};
use serde_json::json;

use super::running::Ran;

/// A partitioned output's objects: their paths, and their texts.
#[derive(Debug, Default, PartialEq)]
struct Objects(Vec<(String, Vec<u8>)>);

impl Sink for Objects {
    async fn write(&mut self, _: Bytes) -> io::Result<()> {
        panic!("a partitioned output is no single one");
    }

    async fn write_piece(&mut self, piece: Piece) -> io::Result<()> {
        let at = piece.object as usize;
        if at == self.0.len() {
            self.0.push((piece.path.to_string(), Vec::new()));
        }
        let (path, text) = &mut self.0[at];
        assert_eq!(**path, *piece.path, "an object of two partitions");
        text.extend(piece.chunks.concat());
        Ok(())
    }
}

/// Partitioned, with so little room that objects end early, the same rows come out, each where it belongs, in order.
pub(crate) fn hold_the_same_rows(ran: &Ran, file: &[u8], held_bytes: usize, options: &Options) {
    let mut rows = rows_of(&ran.output);
    let names = if ran.summary.dialect.header { rows.remove(0) } else { vec!["column_1".into()] };
    if rows.first().is_none_or(|row| row.len() < 2) {
        return;
    }
    let recipe = json!({ "match": "**", "output": { "partition_by": [names[0]] } });
    let recipe: RecipeFile = serde_json::from_value(recipe).expect("a recipe");
    let limits = PartitionLimits {
        held_bytes,
        piece_bytes: 64,
        least_piece_bytes: 32,
        max_path_bytes: usize::MAX,
        max_list_bytes: usize::MAX,
        ..PartitionLimits::default()
    };
    let work = Recipe::new(&recipe, None).expect("a sound recipe").work;
    let options = Options { work, partitions: limits, ..options.clone() };
    let (mut objects, mut rejects) = (Objects::default(), Vec::new());
    let source = futures::stream::iter([Ok(Bytes::copy_from_slice(file))]);
    let running = engine::run(source, &mut objects, &mut rejects, &options);
    let summary = match futures::executor::block_on(running) {
        Ok(summary) => summary,
        Err(error @ EngineError::BadFile(_)) => panic!("only partitioned it fails: {error:?}"),
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(summary.counts, ran.summary.counts);
    assert!(rejects == ran.rejects, "partitioned, other rows are rejected");
    let mut expected: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for mut row in rows {
        let value = row.remove(0);
        let value = if value.is_empty() { "__HIVE_DEFAULT_PARTITION__".into() } else { value };
        expected.entry(value).or_default().push(row);
    }
    let mut found: BTreeMap<String, Vec<Vec<String>>> = BTreeMap::new();
    for (path, text) in &objects.0 {
        let value = unescaped(path.split_once('=').expect("a column's name").1);
        found.entry(value).or_default().extend(rows_of(text).into_iter().skip(1));
    }
    assert!(found == expected, "partitioned, other rows come out: {objects:?}");
}

fn rows_of(text: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text);
    let rows = reader.records().map(|row| row.expect("the output has ragged rows"));
    rows.map(|row| row.iter().map(str::to_owned).collect()).collect()
}

/// A value of a path, without its escapes.
fn unescaped(text: &str) -> String {
    let mut pieces = text.split('%');
    let mut value = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (number, rest) = piece.split_at(2);
        value.push(char::from(u8::from_str_radix(number, 16).expect("two digits")));
        value.push_str(rest);
    }
    value
}
