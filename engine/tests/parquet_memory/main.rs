//! What a Parquet file's end costs until it is written. A process of its own: other tests' memory would hide it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use std::fmt::Write as _;
use std::io;

use bytes::Bytes;
use engine::recipe::{Recipe, RecipeFile};
use engine::{Options, Sink};
use peak_alloc::PeakAlloc;
use serde_json::json;

const COLUMNS: usize = 200;

/// Of which 128 make a row group: ten bytes for each number.
const ROW_GROUP_BYTES: usize = 128 * COLUMNS * 10;

/// Counts what it is given, and lets it go.
#[derive(Default)]
struct Counted(u64);

impl Sink for Counted {
    async fn write(&mut self, chunk: Bytes) -> io::Result<()> {
        self.0 += chunk.len() as u64;
        Ok(())
    }
}

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

fn line(field: impl Fn(usize) -> String) -> String {
    (0..COLUMNS).fold(String::new(), |mut line, column| {
        let between = if column == 0 { "" } else { "," };
        write!(line, "{between}{}", field(column)).unwrap();
        line
    }) + "\n"
}

/// Writes so many row groups of numbers.
fn run(row_groups: usize) {
    let fields: Vec<_> =
        (0..COLUMNS).map(|column| json!({ "name": format!("c{column}"), "type": "integer" })).collect();
    let recipe = json!({ "match": "**", "schema": { "fields": fields }, "output": { "format": "parquet" } });
    let recipe: RecipeFile = serde_json::from_value(recipe).unwrap();
    let mut options = Options { row_group_bytes: ROW_GROUP_BYTES, ..Options::default() };
    Recipe::new(&recipe, None).unwrap().apply(&mut options);
    let header = std::iter::once(line(|column| format!("c{column}")));
    let rows = (0..row_groups * 128).map(|row| line(|column| (row * column % 1009).to_string()));
    let source = futures::stream::iter(header.chain(rows).map(|line| Ok(Bytes::from(line))));
    let (mut clean, mut rejects) = (Counted::default(), Counted::default());
    let run = engine::run(source, &mut clean, &mut rejects, &options);
    let summary = futures::executor::block_on(run).unwrap();
    assert_eq!(summary.counts.rows_out, row_groups as u64 * 128);
    assert_eq!(clean.0, summary.output_bytes);
}

#[test]
fn a_column_of_a_row_group_costs_as_much_as_it_takes_in_the_files_end() {
    let peak = |row_groups| {
        HEAP.reset_peak_usage();
        run(row_groups);
        HEAP.peak_usage()
    };
    let few = peak(2);
    // As structures, as the crate's own writer has them, they would be 4 MiB.
    let row_groups = 22;
    let each = (peak(row_groups) - few) / ((row_groups - 2) * COLUMNS);
    assert!(each < 350, "{each} bytes for each column of each row group");
}
