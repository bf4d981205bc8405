//! Recipes from outside: schemas, transforms, masks, formats.

use engine::recipe::{MaskKey, Recipe, RecipeFile};
use engine::{EngineError, Options, Told};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Ran, run_chunked};

fn recipe(written: Value) -> Recipe {
    let mut written = written;
    written["match"] = json!("**");
    let file: RecipeFile = serde_json::from_value(written).unwrap();
    Recipe::new(&file, None).unwrap()
}

pub(crate) fn options(written: Value) -> Options {
    let mut options =
        Options { mask_key: Some(MaskKey::new(b"sixteen bytes or more").unwrap()), ..Options::default() };
    recipe(written).apply(&mut options);
    options.told = Told::rfc4180();
    options
}

pub(crate) fn ran(input: &str, written: Value) -> Ran {
    run_chunked(input.as_bytes(), &[], &options(written)).unwrap()
}

fn output(ran: &Ran) -> &str {
    std::str::from_utf8(&ran.output).unwrap()
}

pub(crate) fn reasons(ran: &Ran) -> Vec<(u64, Option<&str>, &str)> {
    let told = |reject: &'_ Value| reject["line"].as_u64().unwrap();
    ran.rejects
        .iter()
        .map(|reject| (told(reject), reject["column"].as_str(), reject["reason"].as_str().unwrap()))
        .collect()
}

/// `compare.py` holds Frictionless itself to the same file.
#[test]
fn the_rows_that_frictionless_finds_wrong_are_rejected() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("../table-schema/cases.json")).unwrap();
    assert!(cases.len() >= 60);
    for case in cases {
        let mut field = case["field"].clone();
        field["name"] = json!("x");
        let mut schema = json!({ "fields": [{ "name": "id", "type": "any" }, field] });
        for (key, value) in case["schema"].as_object().into_iter().flatten() {
            schema[key] = value.clone();
        }
        let row = |(at, value): (usize, &Value)| {
            format!("{at},\"{}\"\n", value.as_str().unwrap().replace('"', "\"\""))
        };
        let rows: String = case["values"].as_array().unwrap().iter().enumerate().map(row).collect();
        let text = format!("id,x\n{rows}");
        let ran = ran(&text, json!({ "schema": schema }));
        let rejected: Vec<u64> = reasons(&ran).iter().map(|(line, ..)| line - 2).collect();
        let wrong: Vec<u64> =
            case["wrong"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap()).collect();
        assert_eq!(rejected, wrong, "{}", case["name"]);
    }
}

const ORDERS: &str = "id,name,price,n\n1,a,\"1,50\",2\n2,\"b \"\"c\"\"\",x,3\n3,,\"0,5\",\n4,d,\"2,0\",1\n";

fn schema() -> Value {
    json!({ "fields": [
        { "name": "id", "type": "integer", "constraints": { "required": true } },
        { "name": "price", "type": "number", "decimalChar": "," },
        { "name": "n", "type": "integer" },
    ] })
}

#[test]
fn behind_a_value_that_is_only_counted_the_others_are_the_rows_own() {
    let fields = json!([{ "name": "a", "type": "integer" }, { "name": "d", "type": "date" }]);
    let ran = ran(
        "a,d\n1,2026-01-01\nx,2027-2-2\n2,2028-3-3\n",
        json!({ "schema": { "fields": fields }, "on_violation": "warn", "cast": "all" }),
    );
    assert_eq!(output(&ran), "a,d\n1,2026-01-01\nx,2027-02-02\n2,2028-03-03\n");
    assert_eq!(ran.summary.warnings.values().sum::<u64>(), 1);
}

#[test]
fn transforms_come_in_their_order() {
    let ran = ran(
        ORDERS,
        json!({
            "schema": schema(), "drop": ["id"], "rename": { "price": "amount" }, "cast": ["amount"],
            "derive": [{ "name": "total", "value": "amount * double(n)" }, { "name": "twice", "value": "total * 2.0" }],
            "filter": "total < 3.0", "mask": { "name": { "truncate": 1 } },
        }),
    );
    assert_eq!(output(&ran), "name,amount,n,total,twice\nd,2.0,1,2,4\n");
    assert_eq!(reasons(&ran), [(3, Some("price"), "wrong_type"), (4, Some("total"), "expression")]);
    let counts = ran.summary.counts;
    assert_eq!((counts.rows_in, counts.rows_out, counts.rows_rejected, counts.rows_filtered), (4, 1, 2, 1));
}

#[test]
fn violations_are_rejected_counted_or_fail_the_file() {
    let written = |on: &str| json!({ "schema": schema(), "on_violation": on, "cast": "all" });
    let warned = ran(ORDERS, written("warn"));
    // What is only counted stays as it was.
    assert!(output(&warned).contains("2,\"b \"\"c\"\"\",x,3\n"));
    assert_eq!(warned.summary.warnings.values().sum::<u64>(), 1);
    assert_eq!(warned.summary.counts.rows_out, 4);
    let failed = run_chunked(ORDERS.as_bytes(), &[], &options(written("fail")));
    let Err(EngineError::BadFile(bad)) = failed else { panic!("{:?}", failed.map(|ran| ran.summary)) };
    assert_eq!((bad.code, bad.line), ("wrong_type", Some(3)));
}

#[test]
fn ndjson_has_the_values_types() {
    let ran = ran(
        "id,price,text\n01,\"1,5\",\"a\"\"b\"\n2,,\n",
        json!({ "schema": { "fields": [
            { "name": "id", "type": "integer" }, { "name": "price", "type": "number", "decimalChar": "," },
        ] }, "output": { "format": "ndjson" } }),
    );
    let rows: Vec<Value> = output(&ran).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[0], json!({ "id": 1, "price": 1.5, "text": "a\"b" }));
    assert_eq!(rows[1], json!({ "id": 2, "price": null, "text": "" }));
}

#[test]
fn tsv_delimiters_quotes_and_headers_are_as_asked() {
    let input = "a,b\n1,x\ty\n";
    let of = |written| output(&ran(input, json!({ "output": written }))).to_owned();
    assert_eq!(of(json!({ "format": "tsv" })), "a\tb\n1\t\"x\ty\"\n");
    assert_eq!(of(json!({ "delimiter": ";", "quoting": "all" })), "\"a\";\"b\"\n\"1\";\"x\ty\"\n");
    assert_eq!(of(json!({ "header": false })), "1,x\ty\n");
}

#[test]
fn nothing_leaks_around_a_mask() {
    let input = "id,mail\n1,secret-a\n2,secret-b,x\n3,secret-c\n\"4,secret-d\n";
    let masked = json!({
        "schema": { "fields": [{ "name": "id", "type": "integer", "constraints": { "maximum": 2 } }] },
        "derive": [{ "name": "n", "value": "1 / (id - 1)" }],
        "mask": { "mail": "hash" },
    });
    let kept = ran(input, masked.clone());
    let told = |ran: &Ran| format!("{} {:?} {:?}", output(ran), ran.rejects, ran.summary);
    assert!(!told(&kept).contains("secret"), "{}", told(&kept));
    assert_eq!(kept.summary.counts.rows_rejected, 4);
    assert!(
        kept.rejects.iter().all(|reject| reject["raw"] == "" && reject["byte_length"].as_u64().unwrap() > 0)
    );
    let mut raw = masked;
    raw["rejects"] = json!("raw");
    assert!(told(&ran(input, raw)).contains("secret-b"));
}

#[test]
fn formulas_are_neutralized_in_what_is_written() {
    let written = json!({ "neutralize_formulas": true, "derive": [{ "name": "b", "value": "'=' + a" }], "rename": { "x": "y" } });
    assert_eq!(output(&ran("a,x\n1,-2\n2,=3\n", written)), "a,y,b\n1,-2,'=1\n2,'=3,'=2\n");
}

#[test]
fn a_file_without_a_column_that_the_recipe_names_fails() {
    for written in [
        json!({ "select": ["nope"] }),
        json!({ "drop": ["nope"] }),
        json!({ "rename": { "nope": "x" } }),
        json!({ "mask": { "nope": "redact" } }),
        json!({ "filter": "nope == '1'" }),
        json!({ "schema": { "fields": [{ "name": "nope" }] } }),
    ] {
        match run_chunked(b"a,b\n1,2\n", &[], &options(written.clone())) {
            Err(EngineError::BadFile(bad)) => {
                assert!(bad.code == "missing_column" && bad.message.contains("`nope`"), "{bad:?}");
            }
            other => panic!("{written} {:?}", other.map(|ran| ran.summary)),
        }
    }
    let twins = json!({ "rename": { "a": "b" } });
    assert!(
        matches!(run_chunked(b"a,b\n1,2\n", &[], &options(twins)), Err(EngineError::BadFile(bad)) if bad.code == "duplicate_column")
    );
}

#[test]
fn a_recipe_that_says_nothing_of_rows_leaves_them_as_they_lie() {
    assert!(recipe(json!({ "delimiter": ";", "max_rejects": "1%" })).work.is_none());
    assert!(recipe(json!({ "output": { "compression": "zstd" } })).work.is_none());
    assert!(recipe(json!({ "select": ["a"] })).work.is_some());
}

#[test]
fn outputs_are_named_after_their_format() {
    let name = |written: Value, input: &str| recipe(written).output_name(input);
    assert_eq!(name(json!({}), "in/a.csv.gz"), "in/a.csv.gz");
    assert_eq!(name(json!({ "output": { "header": false } }), "in/a.csv.gz"), "in/a.csv.gz");
    assert_eq!(name(json!({ "output": { "format": "ndjson" } }), "in/a.csv.gz"), "in/a.ndjson");
    assert_eq!(
        name(json!({ "output": { "format": "tsv", "compression": "gzip" } }), "in/A.TXT"),
        "in/A.tsv.gz"
    );
    if cfg!(feature = "parquet") {
        let written = json!({ "output": { "format": "parquet", "compression": "gzip" } });
        assert_eq!(name(written, "in/a.csv.gz"), "in/a.parquet");
    }
    assert_eq!(name(json!({ "output": { "compression": "zstd" } }), "in/.csv"), "in/.csv.csv.zst");
}

#[test]
fn what_makes_no_sense_is_refused_with_its_place() {
    let wrong = |mut written: Value| {
        written["match"] = json!("**");
        let file: RecipeFile = serde_json::from_value(written).unwrap();
        let faults = Recipe::new(&file, None).unwrap_err();
        faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
    };
    let field = |more: Value| {
        let mut field = json!({ "name": "x" });
        field.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "schema": { "fields": [field] } })
    };
    assert_eq!(wrong(json!({ "footnote_lines": 1001 })), ["/footnote_lines"]);
    assert_eq!(wrong(field(json!({ "type": "date", "format": "any" }))), ["/schema/fields/0/format"]);
    assert_eq!(
        wrong(field(json!({ "constraints": { "pattern": "(" } }))),
        ["/schema/fields/0/constraints/pattern"]
    );
    assert_eq!(
        wrong(field(json!({ "type": "integer", "constraints": { "minimum": "x", "pattern": "a" } }))),
        ["/schema/fields/0/constraints/pattern", "/schema/fields/0/constraints/minimum"]
    );
    assert_eq!(
        wrong(json!({ "filter": "a >", "derive": [{ "name": "b", "value": "all(a)" }] })),
        ["/derive/0/value", "/filter"]
    );
    assert_eq!(
        wrong(json!({ "select": ["a"], "drop": ["b"], "rename": { "c": "d" } })),
        ["/drop/0", "/rename/c"]
    );
    assert_eq!(wrong(json!({ "output": { "format": "ndjson", "delimiter": ";" } })), ["/output/delimiter"]);
    assert_eq!(wrong(json!({ "cast": ["a"], "schema": { "fields": [] } })), ["/cast/0"]);
    assert_eq!(wrong(json!({ "on_violation": "warn" })), ["/on_violation"]);
}

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_refuses_a_recipe_for_it() {
    let file: RecipeFile =
        serde_json::from_value(json!({ "match": "**", "output": { "format": "parquet" } })).unwrap();
    let faults = Recipe::new(&file, None).unwrap_err();
    assert_eq!(faults[0].pointer, "/output/format");
    assert!(faults[0].message.contains("cargo feature"), "{}", faults[0].message);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However the bytes come, the output is the same, and the sums add up (or `run` says so).
    #[test]
    fn chunks_change_nothing(
        rows in prop::collection::vec("[0-9a]{0,2},(\"[a,\"\"\n]{0,4}\"|[b;]{0,3}),[0-9,]{0,3}\r?\n", 0..20),
        sizes in prop::collection::vec(0usize..12, 1..4),
    ) {
        let input = format!("id,t,n\n{}", rows.concat());
        let options = options(json!({
            "ragged": ["pad", "truncate-empty"],
            "schema": { "fields": [{ "name": "id", "type": "integer", "constraints": { "unique": true } }, { "name": "n", "type": "integer" }] },
            "select": ["n", "t"], "filter": "n == null || n < 50", "mask": { "t": { "partial": { "first": 1 } } }, "rejects": "raw",
        }));
        let options = Options { block_bytes: 16, ..options };
        let whole = run_chunked(input.as_bytes(), &[], &options).unwrap();
        let cut = run_chunked(input.as_bytes(), &sizes, &options).unwrap();
        prop_assert_eq!(&whole.output, &cut.output);
        prop_assert_eq!(&whole.rejects, &cut.rejects);
        prop_assert!(whole.output.split(|byte| *byte == b'\n').count() as u64 > whole.summary.counts.rows_out);
    }
}
