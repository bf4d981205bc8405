//! Parquet and NDJSON as others read them: DuckDB and pyarrow find the values that stand in the input. `just reference`
//! installs both and runs this.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that can't go on fails")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use engine::recipe::{Recipe, RecipeFile};
use engine::{Options, Told};
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
    ])
}

const ROWS: i64 = 3000;

/// Rows with every type's ends, and holes in every column.
fn input() -> String {
    let mut text = "id,amount,ok,day,clock,at,local,year,month,word\n".to_owned();
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
        ];
        let row = fields.iter().enumerate().map(|(column, field)| {
            let is_hole = (at + i64::try_from(column).unwrap()) % 11 == 0;
            if is_hole { String::new() } else { format!("\"{}\"", field.replace('"', "\"\"")) }
        });
        writeln!(text, "{}", row.collect::<Vec<_>>().join(",")).unwrap();
    }
    text
}

async fn write(folder: &Path, output: Value, name: &str) {
    let recipe = json!({ "match": "**", "schema": { "fields": fields() }, "cast": "all", "output": output });
    let file: RecipeFile = serde_json::from_value(recipe).unwrap();
    // Some row groups, rather than one.
    let mut options = Options { row_group_bytes: 64 * 1024, ..Options::default() };
    Recipe::new(&file, None).unwrap().apply(&mut options);
    options.told = Told::rfc4180();
    let (mut clean, mut rejects) = (Vec::new(), Vec::new());
    let input = futures::stream::iter([Ok(Bytes::from(input()))]);
    let summary = engine::run(input, &mut clean, &mut rejects, &options).await.unwrap();
    assert_eq!(
        i64::try_from(summary.counts.rows_out).unwrap(),
        ROWS,
        "{}",
        String::from_utf8_lossy(&rejects)
    );
    std::fs::write(folder.join(name), clean).unwrap();
}

#[tokio::test]
async fn duckdb_and_pyarrow_read_the_inputs_typed_values() {
    #[allow(clippy::disallowed_methods, reason = "the test's own")]
    let python = std::env::var("REFERENCE_PYTHON").expect("REFERENCE_PYTHON: run `just reference`");
    let folder = std::env::temp_dir().join(format!("penstock-columns-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("input.csv"), input()).unwrap();
    write(&folder, json!({ "format": "ndjson" }), "rows.ndjson").await;
    for compression in ["none", "snappy", "gzip", "zstd"] {
        let output = json!({ "format": "parquet", "compression": compression });
        write(&folder, output, &format!("{compression}.parquet")).await;
    }
    let ran = Command::new(python).arg("tests/reference/values.py").arg(&folder).output().unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout).trim(),
        "DuckDB and pyarrow read the input's values of 5 files"
    );
}
