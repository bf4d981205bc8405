//! Parquet, NDJSON and partitions as others read them: DuckDB and pyarrow find the values that stand in the input. `just
//! reference` installs both and runs this.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use bytes::Bytes;
use engine::recipe::{FormatWord, PartitionLimits, Piece, Recipe, RecipeFile, suffix};
use engine::{Options, Sink, Told};
use serde_json::{Value, json};

/// The input's columns: `values.py` reads the same texts by the same types.
fn fields() -> Value {
    json!([
        { "name": "id", "type": "integer" },
        { "name": "amount", "type": "number" },
        { "name": "ok", "type": "boolean" },
        { "name": "day", "type": "date" },
        { "name": "clock", "type": "time" },
        { "name": "at", "type": "datetime" },
        { "name": "local", "type": "datetime", "format": "%Y-%m-%dT%H:%M:%S" },
        { "name": "year", "type": "year" },
        { "name": "month", "type": "yearmonth" },
        { "name": "word", "type": "string" },
        { "name": "place", "type": "string" },
    ])
}

const ROWS: i64 = 3000;

/// What Hive escapes, what it doesn't, and what a reader may take for something else.
const PLACES: [&str; 10] = [
    "Bad Homburg",
    "Köln 日本 😀",
    "a/b=c:d\\e",
    "100 % %2F",
    "a+b",
    "it's \"q\"",
    " x ",
    "*?[1]#^{}\t\u{1}",
    "007",
    "..",
];

/// Rows with every type's ends, and holes in every column.
fn input() -> String {
    let mut text = "id,amount,ok,day,clock,at,local,year,month,word,place\n".to_owned();
    for at in 0..ROWS {
        let id = match at % 5 {
            0 => i64::MAX - at,
            1 => i64::MIN + at,
            _ => at,
        };
        let amount = ["0.1", "-1e300", "123456.75", "3", "-0.0"][usize::try_from(at % 5).unwrap()];
        let (month, day, minute) = (at % 12 + 1, at % 28 + 1, at % 60);
        let year = [1, 1583, 1969, 1970, 2026, 9999][usize::try_from(at % 6).unwrap()];
        let fields = [
            id.to_string(),
            amount.to_owned(),
            (at % 2 == 0).to_string(),
            format!("{year:04}-{month:02}-{day:02}"),
            format!("23:{minute:02}:59.{:06}", at * 331),
            format!("{:04}-{month:02}-{day:02}T12:{minute:02}:00.5+0{}:30", year.clamp(1500, 2500), at % 9),
            format!("{:04}-{month:02}-{day:02}T23:{minute:02}:59", year.clamp(1500, 2500)),
            format!("{year:04}"),
            format!("{year:04}-{month:02}"),
            ["ä \"quoted\", 😀", "word", "line\nbreak", "NULL"][usize::try_from(at % 4).unwrap()].to_owned(),
            PLACES[usize::try_from(at / 7).unwrap() % PLACES.len()].to_owned(),
        ];
        let row = fields.iter().enumerate().map(|(column, field)| {
            let is_hole = (at + i64::try_from(column).unwrap()) % 11 == 0;
            if is_hole { String::new() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
        });
        writeln!(text, "{}", row.collect::<Vec<_>>().join(",")).unwrap();
    }
    text
}

/// What a recipe with this output makes of the input.
async fn write(output: Value, clean: &mut impl Sink) {
    let format = output["format"].clone();
    let recipe = json!({ "match": "**", "schema": { "fields": fields() }, "cast": "all", "output": output });
    let file: RecipeFile = serde_json::from_value(recipe).unwrap();
    // Some row groups, rather than one.
    let mut options = Options { row_group_bytes: 64 * 1024, ..Options::default() };
    // Some pieces of an object, and some objects of a partition; of Parquet a file takes more.
    let held_bytes = if format == "parquet" { 450 * 1024 } else { 220 * 1024 };
    let (piece_bytes, least_piece_bytes) = (4096, 1200);
    options.partitions = PartitionLimits { held_bytes, piece_bytes, least_piece_bytes, ..options.partitions };
    Recipe::new(&file, None).unwrap().apply(&mut options);
    options.told = Told::rfc4180();
    let mut rejects = Vec::new();
    let input = futures::stream::iter([Ok(Bytes::from(input()))]);
    let summary = engine::run(input, clean, &mut rejects, &options).await.unwrap();
    assert_eq!(
        i64::try_from(summary.counts.rows_out).unwrap(),
        ROWS,
        "{}",
        String::from_utf8_lossy(&rejects)
    );
}

/// A folder of partitions.
struct Folder {
    root: PathBuf,
    format: FormatWord,
    objects: u32,
    pieces: u32,
}

impl Sink for Folder {
    async fn write(&mut self, _: Bytes) -> io::Result<()> {
        panic!("a partitioned output is no single one");
    }

    async fn write_piece(&mut self, piece: Piece) -> io::Result<()> {
        let folder = self.root.join(&*piece.path);
        std::fs::create_dir_all(&folder)?;
        let name = format!("part-{:04}{}", piece.sequence, suffix(self.format, piece.compression));
        let mut file = std::fs::File::options().append(true).create(true).open(folder.join(name))?;
        (self.objects, self.pieces) = (self.objects.max(piece.object + 1), self.pieces + 1);
        file.write_all(&piece.chunks.concat())
    }
}

/// Partitions by a text and a year, in every format.
async fn write_partitions(folder: &Path) {
    for (format, name, compression) in [
        (FormatWord::Csv, "csv", "none"),
        (FormatWord::Csv, "csv", "gzip"),
        (FormatWord::Csv, "csv", "zstd"),
        (FormatWord::Ndjson, "ndjson", "none"),
        (FormatWord::Ndjson, "ndjson", "zstd"),
        (FormatWord::Parquet, "parquet", "gzip"),
        (FormatWord::Parquet, "parquet", "zstd"),
    ] {
        let root = folder.join(format!("{name}-{compression}"));
        let mut clean = Folder { root, format, objects: 0, pieces: 0 };
        let output = json!({ "format": name, "compression": compression, "partition_by": ["place", "year"] });
        write(output, &mut clean).await;
        // Each place, and none, with each year, and none; no row has neither.
        let partitions = (u32::try_from(PLACES.len()).unwrap() + 1) * 7 - 1;
        assert!(clean.objects > partitions, "{name}, {compression}: {} objects", clean.objects);
        // What is compressed is less than a piece.
        assert!(compression != "none" || clean.pieces > clean.objects, "{name}: {} pieces", clean.pieces);
    }
}

#[tokio::test]
async fn duckdb_and_pyarrow_read_the_inputs_typed_values() {
    #[allow(clippy::disallowed_methods, reason = "the test's own")]
    let python = std::env::var("REFERENCE_PYTHON").expect("REFERENCE_PYTHON: run `just reference`");
    let folder = std::env::temp_dir().join(format!("penstock-columns-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("input.csv"), input()).unwrap();
    let mut clean = Vec::new();
    write(json!({ "format": "ndjson" }), &mut clean).await;
    std::fs::write(folder.join("rows.ndjson"), clean).unwrap();
    for compression in ["none", "snappy", "gzip", "zstd"] {
        let output = json!({ "format": "parquet", "compression": compression });
        let mut clean = Vec::new();
        write(output, &mut clean).await;
        std::fs::write(folder.join(format!("{compression}.parquet")), clean).unwrap();
    }
    write_partitions(&folder).await;
    let ran = Command::new(python).arg("tests/reference/values.py").arg(&folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout).trim(),
        "DuckDB and pyarrow read the input's values of 5 files and 7 folders of partitions"
    );
}
