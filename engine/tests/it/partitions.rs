//! Outputs that are partitioned by what rows have in some columns.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use engine::recipe::{PartitionLimits, Piece};
use engine::{Compression, EngineError, Options, Sink, Summary};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Chunks, gunzip, parsed, unzstd};
use crate::recipes::options;

/// Those that this build writes.
const FORMATS: [&str; 3] = ["csv", "ndjson", if cfg!(feature = "parquet") { "parquet" } else { "tsv" }];

/// The objects of a partitioned output.
#[derive(Default)]
struct Objects {
    limits: PartitionLimits,
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq)]
struct Object {
    path: String,
    sequence: u32,
    bytes: Vec<u8>,
    compression: Compression,
    pieces: usize,
    ended: bool,
}

impl Sink for Objects {
    async fn write(&mut self, _: Bytes) -> io::Result<()> {
        panic!("a partitioned output is no single one");
    }

    async fn write_piece(&mut self, piece: Piece) -> io::Result<()> {
        assert!(piece.is_last || piece.length() >= self.limits.least_piece_bytes);
        self.pieces.push(piece);
        Ok(())
    }
}

impl Objects {
    /// Put together, in the order of their numbers, which is that of their first pieces.
    fn objects(&self) -> Vec<Object> {
        let mut objects: Vec<Object> = Vec::new();
        for piece in &self.pieces {
            let at = piece.object as usize;
            assert!(at <= objects.len(), "a number is left out");
            if at == objects.len() {
                let (path, sequence) = (piece.path.to_string(), piece.sequence);
                let (bytes, compression) = (Vec::new(), piece.compression);
                objects.push(Object { path, sequence, bytes, compression, pieces: 0, ended: false });
            }
            let object = &mut objects[at];
            assert!(!object.ended && *object.path == *piece.path && object.sequence == piece.sequence);
            object.bytes.extend(piece.chunks.concat());
            object.pieces += 1;
            object.ended = piece.is_last;
        }
        assert!(objects.iter().all(|object| object.ended));
        // Each partition's are numbered from 0, without a gap.
        let mut next: BTreeMap<&str, u32> = BTreeMap::new();
        for object in &objects {
            let next = next.entry(&object.path).or_default();
            assert_eq!(object.sequence, *next, "{}", object.path);
            *next += 1;
        }
        objects
    }
}

struct Ran {
    objects: Vec<Object>,
    rejects: Vec<Value>,
    summary: Summary,
}

fn run(input: &[u8], sizes: &[usize], options: &Options) -> Result<Ran, EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut output = Objects { limits: options.partitions, ..Objects::default() };
    let mut rejects = Vec::new();
    let summary =
        runtime.block_on(engine::run(Chunks::new(input, sizes), &mut output, &mut rejects, options))?;
    let objects = output.objects();
    assert_eq!(summary.output_bytes, objects.iter().map(|object| object.bytes.len() as u64).sum::<u64>());
    Ok(Ran { objects, rejects: parsed(&rejects), summary })
}

fn partitioned(input: &str, written: Value) -> Ran {
    run(input.as_bytes(), &[], &options(written)).unwrap()
}

/// Paths and texts.
fn texts(ran: &Ran) -> Vec<(&str, &str)> {
    ran.objects
        .iter()
        .map(|object| (object.path.as_str(), std::str::from_utf8(&object.bytes).unwrap()))
        .collect()
}

#[test]
fn rows_go_where_their_values_say_and_the_columns_stand_in_the_path_alone() {
    let input =
        "id,country,day,amount\n1,DE,2026-11-25,5\n2,FR,2026-11-25,6\n3,DE,2026-11-25,7\n4,DE,2026-11-26,8\n";
    let ran = partitioned(input, json!({ "output": { "partition_by": ["country", "day"] } }));
    assert_eq!(
        texts(&ran),
        [
            ("country=DE/day=2026-11-25", "id,amount\n1,5\n3,7\n"),
            ("country=FR/day=2026-11-25", "id,amount\n2,6\n"),
            ("country=DE/day=2026-11-26", "id,amount\n4,8\n"),
        ]
    );
    assert_eq!((ran.summary.counts.rows_in, ran.summary.counts.rows_out), (4, 4));
}

#[test]
fn columns_are_those_of_the_output_and_values_as_it_writes_them() {
    let recipe = json!({
        "schema": { "fields": [{ "name": "when", "type": "date", "format": "%d.%m.%Y" }, { "name": "mail" }] },
        "rename": { "when": "day" },
        "cast": "all",
        "derive": [{ "name": "large", "value": "int(id) > 1" }],
        "mask": { "mail": "redact" },
        "output": { "format": "ndjson", "partition_by": ["day", "large", "mail"] },
    });
    let ran = partitioned("id,when,mail\n1,24.12.2026,a@b\n2,,c@d\n", recipe);
    assert_eq!(
        texts(&ran),
        [
            ("day=2026-12-24/large=false/mail=%2A%2A%2A", "{\"id\":\"1\"}\n"),
            ("day=__HIVE_DEFAULT_PARTITION__/large=true/mail=%2A%2A%2A", "{\"id\":\"2\"}\n"),
        ]
    );
}

#[test]
fn no_value_and_an_empty_one_are_hives_default_partition() {
    let ran = partitioned(
        "id,c\n1,\n2,x/y\n3,__HIVE_DEFAULT_PARTITION__\n",
        json!({ "output": { "partition_by": ["c"] } }),
    );
    assert_eq!(texts(&ran), [("c=__HIVE_DEFAULT_PARTITION__", "id\n1\n3\n"), ("c=x%2Fy", "id\n2\n")]);
}

#[test]
fn a_file_without_rows_has_no_objects() {
    for (input, format) in ["id,c\n", ""].iter().flat_map(|input| FORMATS.map(|format| (*input, format))) {
        let ran = partitioned(input, json!({ "output": { "format": format, "partition_by": ["c"] } }));
        assert_eq!((ran.objects.len(), ran.summary.output_bytes), (0, 0), "{input:?} {format}");
    }
}

#[test]
fn a_value_without_room_in_a_key_costs_its_row() {
    let mut options = options(json!({ "output": { "partition_by": ["c"] } }));
    options.partitions.max_path_bytes = 10;
    let ran = run(b"id,c\n1,12345678\n2,123456789\n3,////\n", &[], &options).unwrap();
    assert_eq!(texts(&ran), [("c=12345678", "id\n1\n")]);
    let told: Vec<_> = ran
        .rejects
        .iter()
        .map(|it| (it["line"].clone(), it["column"].clone(), it["reason"].clone()))
        .collect();
    let reject = |line: u64| (json!(line), json!("c"), json!("partition_too_long"));
    assert_eq!(told, [reject(3), reject(4)]);
    // Each name by itself, where names have a limit.
    let mut named = crate::recipes::options(json!({ "output": { "partition_by": ["c", "d"] } }));
    named.partitions.max_name_bytes = 10;
    let ran = run("id,c,d\n1,12345678,12345678\n2,12345678,1234567/\n3,öööö,ööööö\n".as_bytes(), &[], &named)
        .unwrap();
    assert_eq!(texts(&ran), [("c=12345678/d=12345678", "id\n1\n")]);
    assert_eq!(ran.summary.counts.rows_rejected, 2);
    let fails = json!({ "schema": { "fields": [{ "name": "id" }] }, "on_violation": "fail", "output": { "partition_by": ["c"] } });
    let mut options = crate::recipes::options(fails);
    options.partitions.max_path_bytes = 10;
    let Err(EngineError::BadFile(bad)) = run(b"id,c\n1,123456789\n", &[], &options) else {
        panic!("processed")
    };
    assert_eq!((bad.code, bad.line), ("partition_too_long", Some(2)));
}

#[test]
fn more_objects_than_can_be_listed_fail_the_file() {
    let mut options = options(json!({ "output": { "partition_by": ["id"] } }));
    options.partitions.listed_bytes = 100;
    options.partitions.max_list_bytes = 1000;
    let different = |rows: u32| text(0..rows, |row| format!("{row},x\n"));
    assert_eq!(run(different(9).as_bytes(), &[], &options).unwrap().objects.len(), 9);
    let Err(EngineError::BadFile(bad)) = run(different(11).as_bytes(), &[], &options) else {
        panic!("processed")
    };
    assert_eq!((bad.code, bad.line), ("too_many_objects", Some(12)));
    // Few partitions, but many objects of them.
    options.partitions.held_bytes = 1;
    let text = text(0..100, |row| format!("{},x\n", row % 3));
    let Err(EngineError::BadFile(bad)) = run(text.as_bytes(), &[], &options) else { panic!("processed") };
    assert_eq!(bad.code, "too_many_objects");
}

#[test]
fn nothing_but_columns_to_partition_by_is_refused() {
    let options = options(json!({ "output": { "partition_by": ["b", "a"] } }));
    let Err(EngineError::BadFile(bad)) = run(b"a,b\n1,2\n", &[], &options) else { panic!("processed") };
    assert_eq!(bad.code, "no_columns");
    let options = crate::recipes::options(json!({ "output": { "partition_by": ["c"] } }));
    let Err(EngineError::BadFile(bad)) = run(b"a,b\n1,2\n", &[], &options) else { panic!("processed") };
    assert_eq!(bad.code, "missing_column");
}

#[test]
fn a_sink_for_one_object_takes_no_partition() {
    let options = options(json!({ "output": { "partition_by": ["c"] } }));
    let refused = crate::harness::run_chunked(b"id,c\n1,2\n", &[], &options).map(|_| ());
    assert!(matches!(refused, Err(EngineError::Output(error)) if error.kind() == io::ErrorKind::Unsupported));
}

fn text(rows: std::ops::Range<u32>, row: impl Fn(u32) -> String) -> String {
    std::iter::once("id,c\n".to_owned()).chain(rows.map(row)).collect()
}

/// A large object comes in pieces, and is one object however its rows lie among others'.
#[test]
fn partitions_that_are_large_enough_are_one_object_each() {
    let mut options = options(json!({ "output": { "partition_by": ["c"], "compression": "none" } }));
    let limits = PartitionLimits {
        held_bytes: 1 << 20,
        piece_bytes: 128 << 10,
        least_piece_bytes: 64 << 10,
        ..options.partitions
    };
    options.partitions = limits;
    let text = text(0..200_000, |row| format!("{row} and something more,{}\n", row % 4));
    let ran = run(text.as_bytes(), &[], &options).unwrap();
    assert_eq!(ran.objects.len(), 4);
    assert!(ran.objects.iter().all(|object| object.pieces > 3));
    // At most so many pieces, then another object.
    options.partitions.max_pieces = 3;
    let ran = run(text.as_bytes(), &[], &options).unwrap();
    assert!(ran.objects.len() >= 8 && ran.objects.iter().all(|object| object.pieces <= 3));
}

/// Sorted rows leave a partition for good: it is handed on whole.
#[test]
fn partitions_that_come_one_after_the_other_are_one_object_each() {
    let mut options = options(json!({ "output": { "partition_by": ["c"] } }));
    options.partitions.held_bytes = 1 << 20;
    let text = text(0..100_000, |row| format!("{row} and something more,{}\n", row / 500));
    assert_eq!(run(text.as_bytes(), &[], &options).unwrap().objects.len(), 200);
}

fn lines(object: &Object) -> Vec<String> {
    let text = match object.compression {
        Compression::Gzip => gunzip(&object.bytes),
        Compression::Zstd => unzstd(&object.bytes),
        _ => object.bytes.clone(),
    };
    String::from_utf8(text).unwrap().lines().map(str::to_owned).collect()
}

fn parquet_ids(object: &Object) -> Vec<String> {
    let reader = SerializedFileReader::new(Bytes::copy_from_slice(&object.bytes)).unwrap();
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the limits, and however the input comes: each partition has its rows, in their order, and the bytes are
    /// the same.
    #[test]
    fn every_row_is_in_its_partition_in_order(
        values in prop::collection::vec(0..40_u32, 1..2000),
        held in 1_000..200_000_usize,
        least in 1..20_000_usize,
        format in prop::sample::select(FORMATS.to_vec()),
        compression in prop::sample::select(vec!["none", "gzip", "zstd"]),
        sizes in prop::collection::vec(1..5000_usize, 1..4),
    ) {
        let recipe = json!({ "output": { "format": format, "compression": compression, "partition_by": ["c"] } });
        let mut options = options(recipe);
        options.partitions.held_bytes = held;
        options.partitions.least_piece_bytes = least;
        options.partitions.piece_bytes = 2 * least;
        options.partitions.max_list_bytes = usize::MAX;
        options.row_group_bytes = 4096;
        let text = std::iter::once("id,c\n".to_owned())
            .chain(values.iter().enumerate().map(|(row, value)| format!("{row},{value}\n")))
            .collect::<String>();
        let mut expected: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (row, value) in values.iter().enumerate() {
            let line = match format {
                "csv" | "tsv" => row.to_string(),
                "ndjson" => format!("{{\"id\":\"{row}\"}}"),
                _ => format!("{{id: \"{row}\"}}"),
            };
            expected.entry(format!("c={value}")).or_default().push(line);
        }
        let ran = run(text.as_bytes(), &[], &options).unwrap();
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for object in &ran.objects {
            let rows = match format {
                "parquet" => parquet_ids(object),
                "csv" | "tsv" => {
                    let mut lines = lines(object);
                    prop_assert_eq!(lines.remove(0), "id");
                    lines
                }
                _ => lines(object),
            };
            prop_assert!(!rows.is_empty());
            found.entry(object.path.clone()).or_default().extend(rows);
        }
        prop_assert_eq!(found, expected);
        let again = run(text.as_bytes(), &sizes, &options).unwrap();
        prop_assert_eq!(again.objects, ran.objects);
    }
}
