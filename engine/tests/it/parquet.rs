//! Clean files in Parquet, read back by the crate's own reader.

use engine::recipe::{Recipe, RecipeFile};
use engine::{EngineError, Options};
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::schema::printer::print_schema;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Chunks, Ran, run_chunked};
use crate::recipes::{options, ran, reasons};

fn reader(bytes: &[u8]) -> SerializedFileReader<bytes::Bytes> {
    SerializedFileReader::new(bytes::Bytes::copy_from_slice(bytes)).unwrap()
}

/// The rows, as the reader shows them.
fn rows(ran: &Ran) -> Vec<String> {
    let reader = reader(&ran.output);
    reader.get_row_iter(None).unwrap().map(|row| row.unwrap().to_string()).collect()
}

fn typed() -> Value {
    json!({ "missingValues": ["", "NA"], "fields": [
        { "name": "i", "type": "integer" },
        { "name": "n", "type": "number", "decimalChar": "," },
        { "name": "b", "type": "boolean" },
        { "name": "d", "type": "date", "format": "%d.%m.%Y" },
        { "name": "t", "type": "time" },
        { "name": "at", "type": "datetime" },
        { "name": "local", "type": "datetime", "format": "%Y-%m-%d %H:%M" },
        { "name": "y", "type": "year" },
        { "name": "ym", "type": "yearmonth" },
        { "name": "s", "type": "string" },
    ] })
}

const HEADER: &str = "i,n,b,d,t,at,local,y,ym,s,free\n";

#[test]
fn columns_have_the_schemas_types_and_missing_values_are_null() {
    let text = format!(
        "{HEADER}-7,\"1,50\",TRUE,25.11.2026,12:00:00.5,2026-11-25T12:00:00+01:00,1969-12-31 23:59,2026,2026-1,ä,NA\n\
         NA,,NA,NA,,,NA,,,NA,\n"
    );
    let ran = ran(&text, json!({ "schema": typed(), "output": { "format": "parquet" } }));
    assert_eq!((ran.summary.counts.rows_out, ran.summary.output_compression.name()), (2, "none"));
    assert_eq!(ran.summary.output_bytes, ran.output.len() as u64);
    let mut schema = Vec::new();
    print_schema(&mut schema, reader(&ran.output).metadata().file_metadata().schema());
    let schema = String::from_utf8(schema).unwrap();
    assert_eq!(
        schema,
        "message rows {
  OPTIONAL INT64 i;
  OPTIONAL DOUBLE n;
  OPTIONAL BOOLEAN b;
  OPTIONAL INT32 d (DATE);
  OPTIONAL INT64 t (TIME(MICROS,false));
  OPTIONAL INT64 at (TIMESTAMP(MICROS,true));
  OPTIONAL INT64 local (TIMESTAMP(MICROS,false));
  OPTIONAL INT32 y;
  OPTIONAL BYTE_ARRAY ym (STRING);
  OPTIONAL BYTE_ARRAY s (STRING);
  OPTIONAL BYTE_ARRAY free (STRING);
}
"
    );
    assert_eq!(
        rows(&ran),
        [
            "{i: -7, n: 1.5, b: true, d: 2026-11-25, t: 12:00:00.500000, at: 2026-11-25 11:00:00.000000 +00:00, \
             local: 1969-12-31 23:59:00.000000 +00:00, y: 2026, ym: \"2026-01\", s: \"ä\", free: \"NA\"}",
            "{i: null, n: null, b: null, d: null, t: null, at: null, local: null, y: null, ym: null, s: null, free: \"\"}",
        ]
    );
}

#[test]
fn what_has_no_room_in_its_column_is_rejected_and_nothing_is_rounded() {
    let row = |i: &str, t: &str, at: &str| format!("{i},,,,{t},{at},,,,,\n");
    let text = [
        HEADER.to_owned(),
        row("9223372036854775807", "", ""),
        row("9223372036854775808", "", ""),
        row("123456789012345678901234567890123456789012", "", ""),
        row("", "12:00:00Z", ""),
        row("", "12:00:00.0000001", ""),
        row("", "", "2026-11-25T12:00:00.123456Z"),
        row("", "", "2026-11-25T12:00:00.1234567Z"),
    ]
    .concat();
    let written = json!({ "schema": typed(), "output": { "format": "parquet" } });
    let kept = ran(&text, written.clone());
    let rejected: Vec<_> = reasons(&kept).into_iter().map(|(line, column, _)| (line, column)).collect();
    assert_eq!(rejected, [(3, Some("i")), (4, Some("i")), (5, Some("t")), (6, Some("t")), (8, Some("at"))]);
    assert!(reasons(&kept).iter().all(|(.., reason)| *reason == "wrong_type"));
    assert_eq!(rows(&kept).len(), 2);
    let mut strict = written;
    strict["on_violation"] = json!("fail");
    match run_chunked(text.as_bytes(), &[], &options(strict)) {
        Err(EngineError::BadFile(bad)) => assert_eq!((bad.code, bad.line), ("wrong_type", Some(3))),
        other => panic!("{:?}", other.map(|ran| ran.summary)),
    }
}

#[test]
fn derived_columns_have_the_types_that_they_are_given() {
    let derive = |kind: Value| {
        let mut derive =
            json!([{ "name": "x", "value": "a == '' ? null : (a == 'f' ? 2.5 : (a == 't' ? 'text' : 3))" }]);
        if !kind.is_null() {
            derive[0]["type"] = kind;
        }
        ran(
            "a,z\n,1\nf,1\ni,1\nt,1\n",
            json!({ "derive": derive, "drop": ["z"], "output": { "format": "parquet" } }),
        )
    };
    let number = derive(json!("number"));
    assert_eq!(rows(&number), ["{a: \"\", x: null}", "{a: \"f\", x: 2.5}", "{a: \"i\", x: 3.0}"]);
    assert_eq!(reasons(&number), [(5, Some("x"), "expression")]);
    assert_eq!(
        reasons(&derive(json!("integer"))),
        [(3, Some("x"), "expression"), (5, Some("x"), "expression")]
    );
    // Without a type they are texts.
    assert_eq!(
        rows(&derive(Value::Null))[1..],
        ["{a: \"f\", x: \"2.5\"}", "{a: \"i\", x: \"3\"}", "{a: \"t\", x: \"text\"}"]
    );
    let json = ran(
        "a\ni\n",
        json!({ "derive": [{ "name": "x", "value": "3", "type": "number" }], "output": { "format": "ndjson" } }),
    );
    assert_eq!(json.output, b"{\"a\":\"i\",\"x\":3}\n");
}

#[test]
fn nothing_leaks_around_a_mask_into_a_file_of_columns() {
    let text = "id,mail\n1,secret-a\n2,secret-b\n3,\n";
    let schema =
        json!({ "fields": [{ "name": "id", "type": "integer" }, { "name": "mail", "type": "string" }] });
    let mask = json!({ "mail": { "truncate": 2 }, "id": "redact" });
    let masked = ran(
        text,
        json!({ "schema": schema, "mask": mask, "output": { "format": "parquet", "compression": "none" } }),
    );
    assert_eq!(
        rows(&masked),
        ["{id: \"***\", mail: \"se\"}", "{id: \"***\", mail: \"se\"}", "{id: \"***\", mail: null}"]
    );
    // Statistics of columns among it.
    assert!(!masked.output.windows(6).any(|window| window == b"secret"));
}

fn many(rows: usize) -> String {
    let row = |at: usize| format!("{at},word {},\"{},5\"\n", at % 7, at % 100);
    format!("id,word,n\n{}", (0..rows).map(row).collect::<String>())
}

fn of_many(compression: &str) -> Value {
    let fields =
        json!([{ "name": "id", "type": "integer" }, { "name": "n", "type": "number", "decimalChar": "," }]);
    json!({ "schema": { "fields": fields }, "output": { "format": "parquet", "compression": compression } })
}

#[test]
fn every_compression_is_read_back() {
    let text = many(3000);
    let mut sizes = Vec::new();
    for compression in ["none", "snappy", "gzip", "zstd"] {
        let ran = ran(&text, of_many(compression));
        let read = rows(&ran);
        assert_eq!(read.len(), 3000, "{compression}");
        assert_eq!(read[2999], "{id: 2999, word: \"word 3\", n: 99.5}");
        let column = reader(&ran.output).metadata().row_group(0).column(0).compression().to_string();
        assert!(column.to_lowercase().starts_with(if compression == "none" {
            "uncompressed"
        } else {
            compression
        }));
        sizes.push(ran.output.len());
    }
    assert!(sizes[1..].iter().all(|size| *size < sizes[0]), "{sizes:?}");
}

/// Keeps each chunk for itself.
#[derive(Default)]
struct Pieces(Vec<usize>);

impl engine::Sink for Pieces {
    async fn write(&mut self, chunk: bytes::Bytes) -> std::io::Result<()> {
        self.0.push(chunk.len());
        Ok(())
    }
}

#[test]
fn a_row_group_is_handed_on_when_it_is_full() {
    let text = many(5000);
    let options = Options { row_group_bytes: 20_000, ..options(of_many("none")) };
    let whole = run_chunked(text.as_bytes(), &[], &options).unwrap();
    let found = reader(&whole.output);
    // 10 bytes of a number, 16 and more of a word.
    let groups = found.metadata().row_groups();
    assert!((8..12).contains(&groups.len()), "{}", groups.len());
    assert!(groups.iter().all(|group| group.num_rows() < 700));
    assert_eq!(rows(&whole).len(), 5000);
    let mut pieces = Pieces::default();
    let run = async {
        engine::run(Chunks::new(text.as_bytes(), &[1000]), &mut pieces, &mut Vec::new(), &options).await
    };
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(run).unwrap();
    assert!(pieces.0.len() >= groups.len() && pieces.0.iter().all(|piece| *piece < 20_000), "{:?}", pieces.0);
}

#[test]
fn more_row_groups_than_can_be_remembered_fail_the_file() {
    let options = Options { row_group_bytes: 4000, ..options(of_many("none")) };
    match run_chunked(many(5000).as_bytes(), &[], &options) {
        Err(EngineError::BadFile(bad)) => assert_eq!(bad.code, "too_many_row_groups"),
        other => panic!("{:?}", other.map(|ran| ran.summary)),
    }
    // Row groups twice as large are half as many, and twice as much of them is remembered.
    let longer = Options { row_group_bytes: 8000, ..options.clone() };
    let found = run_chunked(many(5000).as_bytes(), &[], &longer).unwrap();
    let groups = reader(&found.output).metadata().num_row_groups();
    assert!((15..60).contains(&groups), "{groups}");
    // One is always written.
    let few = Options { row_group_bytes: 1, ..options };
    assert_eq!(rows(&run_chunked(many(1).as_bytes(), &[], &few).unwrap()).len(), 1);
}

#[test]
fn a_file_without_rows_has_columns_and_one_without_columns_fails() {
    let none = ran("id,word,n\n", of_many("zstd"));
    let found = reader(&none.output);
    assert_eq!((rows(&none).len(), found.metadata().file_metadata().schema_descr().num_columns()), (0, 3));
    let written = json!({ "output": { "format": "parquet" } });
    match run_chunked(b"", &[], &options(written)) {
        Err(EngineError::BadFile(bad)) => assert_eq!(bad.code, "no_columns"),
        other => panic!("{:?}", other.map(|ran| ran.summary)),
    }
}

#[test]
fn keys_that_a_file_of_columns_has_not_are_refused() {
    let wrong = |mut written: Value| {
        written["match"] = json!("**");
        let file: RecipeFile = serde_json::from_value(written).unwrap();
        Recipe::new(&file, None).unwrap_err().into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
    };
    let output = |key: &str, value: Value| json!({ "output": { "format": "parquet", key: value } });
    assert_eq!(wrong(output("header", json!(false))), ["/output/header"]);
    assert_eq!(wrong(output("delimiter", json!(";"))), ["/output/delimiter"]);
    assert_eq!(wrong(output("quoting", json!("all"))), ["/output/quoting"]);
    assert_eq!(
        wrong(json!({ "output": { "format": "ndjson", "compression": "snappy" } })),
        ["/output/compression"]
    );
    let warns =
        json!({ "schema": { "fields": [] }, "on_violation": "warn", "output": { "format": "parquet" } });
    assert_eq!(wrong(warns), ["/on_violation"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// However the bytes come, the file is the same, and has the rows that CSV has.
    #[test]
    fn chunks_change_nothing(
        rows in prop::collection::vec("[0-9a]{0,2},(\"[a,\"\"\n]{0,4}\"|[b;]{0,3}),[0-9,]{0,3}\r?\n", 0..40),
        sizes in prop::collection::vec(0usize..12, 1..4),
    ) {
        let input = format!("id,t,n\n{}", rows.concat());
        let written = |format: &str| json!({
            "ragged": ["pad", "truncate-empty"],
            "schema": { "fields": [{ "name": "id", "type": "integer" }, { "name": "n", "type": "integer" }] },
            "output": { "format": format },
        });
        let of = |format: &str| Options { block_bytes: 16, ..options(written(format)) };
        let columns = of("parquet");
        let whole = run_chunked(input.as_bytes(), &[], &columns).unwrap();
        let cut = run_chunked(input.as_bytes(), &sizes, &columns).unwrap();
        prop_assert_eq!(&whole.output, &cut.output);
        let lines = run_chunked(input.as_bytes(), &[], &of("ndjson")).unwrap();
        let told = |line: &str| {
            let row: Value = serde_json::from_str(line).unwrap();
            format!("{{id: {}, t: \"{}\", n: {}}}", row["id"], row["t"].as_str().unwrap(), row["n"])
        };
        let lines: Vec<String> = String::from_utf8(lines.output).unwrap().lines().map(told).collect();
        prop_assert_eq!(self::rows(&whole), lines);
    }
}
