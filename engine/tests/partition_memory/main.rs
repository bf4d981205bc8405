//! How much memory a thousand partitions take, whatever the file's length and the format. A process of its own: other
//! tests' memory would hide it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that can't go on fails")]

use std::io;

use bytes::Bytes;
use engine::recipe::{Piece, Recipe, RecipeFile};
use engine::{Options, Sink, Summary};
use peak_alloc::PeakAlloc;
use serde_json::json;

const PARTITIONS: u64 = 1000;
const HELD_BYTES: usize = 4 * 1024 * 1024;

/// Counts what it is given, and lets it go.
#[derive(Default)]
struct Counted {
    bytes: u64,
    objects: u64,
}

impl Sink for Counted {
    async fn write(&mut self, _: Bytes) -> io::Result<()> {
        panic!("a partitioned output is no single one");
    }

    async fn write_piece(&mut self, piece: Piece) -> io::Result<()> {
        self.bytes += piece.length() as u64;
        self.objects += u64::from(piece.is_last);
        Ok(())
    }
}

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// So many rows, made while they are read, each with a number that tells its partition.
fn rows(count: u64, part: fn(u64, u64) -> u64) -> impl Iterator<Item = io::Result<Bytes>> {
    const AT_ONCE: u64 = 1000;
    let header = std::iter::once("id,name,part\n".to_owned());
    let blocks = (0..count / AT_ONCE).map(move |block| {
        let row = |row: u64| {
            let noise = row.wrapping_mul(0x9E37_79B9_7F4A_7C15);
            format!("{row},name of {noise:016x},{}\n", part(row, noise))
        };
        (block * AT_ONCE..(block + 1) * AT_ONCE).map(row).collect::<String>()
    });
    header.chain(blocks).map(|text| Ok(Bytes::from(text)))
}

/// A thousand, in no order.
fn mixed(_: u64, noise: u64) -> u64 {
    (noise >> 20) % PARTITIONS
}

/// One behind the other, each large enough for several pieces and row groups.
fn sorted(row: u64, _: u64) -> u64 {
    row / 20_000
}

fn run(count: u64, part: fn(u64, u64) -> u64, format: &str, compression: &str) -> (Summary, Counted) {
    let recipe = json!({
        "match": "**",
        "output": { "format": format, "compression": compression, "partition_by": ["part"] },
    });
    let recipe: RecipeFile = serde_json::from_value(recipe).unwrap();
    let mut options = Options::default();
    Recipe::new(&recipe, None).unwrap().apply(&mut options);
    options.partitions.held_bytes = HELD_BYTES;
    options.partitions.max_list_bytes = usize::MAX;
    options.partitions.piece_bytes = 128 * 1024;
    options.partitions.least_piece_bytes = 64 * 1024;
    options.row_group_bytes = 512 * 1024;
    let (mut clean, mut rejects) = (Counted::default(), Vec::new());
    let source = futures::stream::iter(rows(count, part));
    let summary = engine::run(source, &mut clean, &mut rejects, &options);
    (futures::executor::block_on(summary).unwrap(), clean)
}

#[test]
fn a_thousand_partitions_take_as_much_memory_of_a_long_file_as_of_a_short_one() {
    let with_parquet = cfg!(feature = "parquet").then_some([("parquet", "zstd"), ("parquet", "snappy")]);
    let texts = [("csv", "none"), ("csv", "gzip"), ("csv", "zstd"), ("tsv", "none"), ("ndjson", "none")];
    for (format, compression) in texts.into_iter().chain(with_parquet.into_iter().flatten()) {
        let peak = |rows, part, objects: &dyn Fn(u64) -> bool| {
            HEAP.reset_peak_usage();
            let before = HEAP.current_usage();
            let (summary, clean) = run(rows, part, format, compression);
            assert_eq!((summary.counts.rows_in, summary.counts.rows_out), (rows, rows));
            assert_eq!(summary.output_bytes, clean.bytes);
            assert!(objects(clean.objects), "{format} {compression}: {} objects", clean.objects);
            HEAP.peak_usage() - before
        };
        let few = peak(150_000, mixed, &|objects| objects > PARTITIONS);
        let many = peak(450_000, mixed, &|objects| objects > PARTITIONS);
        let large = peak(400_000, sorted, &|objects| objects == 20);
        for (peak, what) in [(few, "few rows"), (many, "many rows"), (large, "large partitions")] {
            // What is held, what is handed on, blocks and a compressor's tables.
            assert!(
                peak < 2 * HELD_BYTES,
                "{format} {compression}, {what}: {peak} bytes for {HELD_BYTES} held"
            );
        }
        assert!(many < few + few / 10, "{format} {compression}: {few} bytes, and {many} of many rows");
    }
}
