//! Rejected rows, once more.

use engine::recipe::{Recipe, RecipeFile};
use engine::{EngineError, Escape, Options, Policies, Ragged, Replayed, StrayQuotes, Told};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::corpus::engine_check::is_same_reject;
use crate::harness::{Chunks, Ran, gzip, parsed, run_chunked};
use crate::properties::{any_dialect, csvish};

fn replay(source: &[u8], rejects: &[Value], options: &Options) -> Result<Ran, EngineError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut rows = rejects.iter().map(|line| Replayed::parse(line.to_string().as_bytes()).unwrap());
    let (mut output, mut rejects) = (Vec::new(), Vec::new());
    let source = Chunks::new(source, &[7, 0, 100]);
    let running = engine::replay(source, &mut rows, &mut output, &mut rejects, options);
    let summary = runtime.block_on(running)?;
    Ok(Ran { output, rejects: parsed(&rejects), summary })
}

fn text(ran: &Ran) -> &str {
    std::str::from_utf8(&ran.output).unwrap()
}

fn recipe_of(written: Value) -> Recipe {
    let file: RecipeFile = serde_json::from_value(written).unwrap();
    Recipe::new(&file, None).unwrap()
}

/// A reject but for what people are told.
fn facts(reject: &Value) -> Vec<Value> {
    ["line", "lines", "byte_offset", "byte_length", "raw", "raw_encoding"]
        .map(|name| reject[name].clone())
        .to_vec()
}

#[test]
fn rows_are_mended_by_hand_or_by_another_policy() {
    let source = b"preamble\n\nid,day,name\n1,2020-01-01,a\n2,2020-01-02\n3,2020-01-03,b\n4,2020-01-04,d,e\n5,2020-01-05,f\n";
    let first = run_chunked(source, &[], &Options::default()).unwrap();
    assert_eq!(first.rejects.len(), 2);
    let again = replay(source, &first.rejects, &Options::default()).unwrap();
    assert_eq!((text(&again), &again.rejects), ("id,day,name\n", &first.rejects));
    let ragged = Ragged { pad: true, truncate_empty: false };
    let pad = Options { policies: Policies { ragged, ..Policies::default() }, ..Options::default() };
    let padded = replay(source, &first.rejects, &pad).unwrap();
    assert_eq!((text(&padded), padded.rejects.len()), ("id,day,name\n2,2020-01-02,\n", 1));
    let mut mended = first.rejects.clone();
    mended[1]["raw"] = "4,2020-01-04,\"d,e\"".into();
    let ran = replay(source, &mended, &pad).unwrap();
    assert_eq!(text(&ran), "id,day,name\n2,2020-01-02,\n4,2020-01-04,\"d,e\"\n");
    assert!(ran.summary.adds_up() && ran.summary.counts.rows_in == 2);
    assert_eq!(ran.summary.spans.header + ran.summary.spans.skipped, 22);
}

#[test]
fn rows_of_another_dialect_are_read_below_the_files_header() {
    let source = b"id,name,size\n1,a,2\n2;b;3\n3,c,4\n4;d;5\n";
    let first = run_chunked(source, &[], &Options::default()).unwrap();
    let told = Told { delimiter: Some(b";".to_vec()), ..Told::default() };
    let header_delimiter = Some(b",".to_vec());
    let options = Options { told, header_delimiter, ..Options::default() };
    let ran = replay(source, &first.rejects, &options).unwrap();
    assert_eq!(text(&ran), "id,name,size\n2,b,3\n4,d,5\n");
    // Without it, the header is what the run had.
    let options = Options { header_delimiter: None, ..options };
    assert_eq!(text(&replay(source, &first.rejects, &options).unwrap()), "\"id,name,size\"\n");
}

#[test]
fn rows_of_another_dialect_are_written_in_the_recipes() {
    let source = b"id;name;size\n1;a;2\n2,b,3\n3;c;4\n4,d,5\n";
    let semicolon = Told { delimiter: Some(b";".to_vec()), ..Told::default() };
    let first = run_chunked(source, &[], &Options { told: semicolon, ..Options::default() }).unwrap();
    for filter in [None, Some("true")] {
        let recipe = recipe_of(json!({
            "match": "**", "select": ["size", "id", "name"], "filter": filter, "output": { "delimiter": ";" },
        }));
        let told = Told { delimiter: Some(b",".to_vec()), ..Told::default() };
        let mut options = Options { header_delimiter: Some(b";".to_vec()), ..Options::default() };
        recipe.apply(&mut options);
        options.told = told;
        let ran = replay(source, &first.rejects, &options).unwrap();
        assert_eq!(text(&ran), "size;id;name\n3;2;b\n5;4;d\n", "{filter:?}");
    }
}

#[test]
fn a_row_that_is_cut_is_read_from_the_source_again() {
    let long = "x".repeat(200_000);
    let source = format!("id,name\n1,a\n2,{long}\n3,b\n4\n5,{long}\n");
    let short = Options { max_record_bytes: 1000, told: Told::rfc4180(), ..Options::default() };
    for source in [source.clone().into_bytes(), gzip(source.as_bytes())] {
        let first = run_chunked(&source, &[], &short).unwrap();
        let encodings: Vec<_> = first.rejects.iter().map(|reject| &reject["raw_encoding"]).collect();
        assert_eq!(encodings, ["cut", "utf8", "cut"]);
        let again = replay(&source, &first.rejects, &short).unwrap();
        assert_eq!(again.rejects, first.rejects);
        let output_compression = Some(engine::Compression::None);
        let longer = Options { max_record_bytes: 1 << 20, output_compression, ..short.clone() };
        let ran = replay(&source, &first.rejects, &longer).unwrap();
        assert_eq!(text(&ran), format!("id,name\n2,{long}\n5,{long}\n"));
        assert_eq!(facts(&ran.rejects[0]), facts(&first.rejects[1]));
    }
    let first = run_chunked(source.as_bytes(), &[], &short).unwrap();
    for (other, code) in
        [(source.replace("2,x", "2,y"), "not_the_source"), ("id,name\n".into(), "not_the_source")]
    {
        match replay(other.as_bytes(), &first.rejects, &short) {
            Err(EngineError::BadFile(bad)) => assert_eq!(bad.code, code),
            other => panic!("{:?}", other.map(|ran| ran.summary)),
        }
    }
    // Other bytes behind those that the rejects have.
    let other = format!("id,name\n1,a\n2,{}y\n3,b\n4\n5,{long}\n", &long[1..]);
    assert!(matches!(
        replay(other.as_bytes(), &first.rejects, &short),
        Err(EngineError::BadFile(bad)) if bad.code == "not_the_source"
    ));
    let backwards: Vec<Value> = first.rejects.iter().rev().cloned().collect();
    match replay(source.as_bytes(), &backwards, &short) {
        Err(EngineError::BadFile(bad)) => assert_eq!(bad.code, "replay_out_of_order"),
        other => panic!("{:?}", other.map(|ran| ran.summary)),
    }
}

#[test]
fn bytes_of_another_encoding_make_the_round_trip() {
    let source = b"nom,prix\nAndr\xe9,5\nZo\xe9\n\xc9t\xe9,3\n";
    let latin = Told { encoding: engine::Encoding::for_label(b"latin1"), ..Told::rfc4180() };
    let options = Options { told: latin, ..Options::default() };
    let first = run_chunked(source, &[], &options).unwrap();
    let again = replay(source, &first.rejects, &options).unwrap();
    assert_eq!(again.rejects, first.rejects);
    let ragged = Ragged { pad: true, truncate_empty: false };
    let ran = replay(
        source,
        &first.rejects,
        &Options { policies: Policies { ragged, ..Policies::default() }, ..options },
    )
    .unwrap();
    assert_eq!(text(&ran), "nom,prix\nZoé,\n");
}

#[test]
fn a_row_that_is_withheld_is_read_from_its_own_source_alone() {
    let source = "id,name\n1,a\n2\n3,b\n44\n";
    let recipe = json!({ "match": "**", "rejects": "place" });
    let mut options = Options { told: Told::rfc4180(), ..Options::default() };
    options.work = recipe_of(recipe).work;
    let first = run_chunked(source.as_bytes(), &[], &options).unwrap();
    assert!(
        first.rejects.iter().all(|reject| reject["raw"] == "" && reject["checksum"].as_u64() < Some(256))
    );
    let again = replay(source.as_bytes(), &first.rejects, &options).unwrap();
    assert_eq!(again.rejects, first.rejects);
    let other = source.replace("2\n", "5\n");
    match replay(other.as_bytes(), &first.rejects, &options) {
        Err(EngineError::BadFile(bad)) => assert_eq!(bad.code, "not_the_source"),
        other => panic!("{:?}", other.map(|ran| ran.summary)),
    }
}

#[test]
fn a_row_that_another_one_kept_out_is_refused() {
    let source = b"id,name\n1,a\n1,b\n2\n";
    let field = json!({ "name": "id", "constraints": { "unique": true } });
    let fields = json!([field, { "name": "name" }]);
    let mut options = Options { told: Told::rfc4180(), ..Options::default() };
    options.work = recipe_of(json!({ "match": "**", "schema": { "fields": fields } })).work;
    let first = run_chunked(source, &[], &options).unwrap();
    assert_eq!(first.rejects[0]["reason"], "unique");
    match replay(source, &first.rejects, &options) {
        Err(EngineError::BadFile(bad)) => assert_eq!((bad.code, bad.line), ("replay_of_duplicate", Some(3))),
        other => panic!("{:?}", other.map(|ran| ran.summary)),
    }
    assert_eq!(replay(source, &first.rejects[1..], &options).unwrap().summary.counts.rows_rejected, 1);
    // Without the recipe, any two rows may be alike.
    let plain = Options { work: None, ..options };
    assert_eq!(text(&replay(source, &first.rejects, &plain).unwrap()), "id,name\n1,b\n");
}

#[test]
fn a_correction_is_written_in_the_files_encoding() {
    let latin =
        "nom,prix\nAndré,5\nZoe\nÉté,3\n".chars().map(|c| u8::try_from(u32::from(c)).unwrap()).collect();
    let utf16: Vec<u8> =
        "\u{feff}nom,prix\nAndré,5\nZoe\nÉté,3\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    for (source, has_all) in [(latin, false), (utf16, true)] {
        let told = Told {
            encoding: (!has_all).then(|| engine::Encoding::for_label(b"latin1").unwrap()),
            ..Told::rfc4180()
        };
        let options = Options { told, ..Options::default() };
        let first = run_chunked(&source, &[], &options).unwrap();
        assert_eq!(first.rejects[0]["raw_encoding"], "base64");
        let corrected = |raw: &str| {
            let mut reject = first.rejects[0].clone();
            (reject["raw"], reject["raw_encoding"]) = (raw.into(), "utf8".into());
            replay(&source, &[reject], &options)
        };
        assert_eq!(text(&corrected("Zoé,4\n").unwrap()), "nom,prix\nZoé,4\n");
        match corrected("日本,4\n") {
            Ok(ran) => assert!(has_all && text(&ran) == "nom,prix\n日本,4\n"),
            Err(EngineError::BadFile(bad)) => assert!(!has_all && bad.code == "not_in_encoding"),
            Err(error) => panic!("{error:?}"),
        }
    }
}

#[test]
fn a_long_row_that_was_mended_keeps_its_mending() {
    let source = format!("id,name\n1,a\n2,\"{}\n3,b\n", "x".repeat(100_000));
    let options = Options { told: Told::rfc4180(), ..Options::default() };
    let first = run_chunked(source.as_bytes(), &[], &options).unwrap();
    assert_eq!(first.rejects[0]["raw_encoding"], "cut");
    let mut mended = first.rejects[0].clone();
    // Still without the quote that closes.
    let raw = format!("2,\"{}\n", "y".repeat(100_000));
    (mended["raw"], mended["raw_encoding"]) = (raw.clone().into(), "utf8".into());
    let again = replay(source.as_bytes(), &[mended], &options).unwrap();
    assert_eq!((&again.rejects[0]["raw"], &again.rejects[0]["raw_encoding"]), (&raw.into(), &"utf8".into()));
}

#[test]
fn a_file_without_a_header_has_the_same_columns() {
    let source = b"1,2,3\n4,5\n6,7,8\n9,10,11\n";
    let told = Told { header_lines: Some(0), ..Told::default() };
    let options = Options { told, ..Options::default() };
    let first = run_chunked(source, &[], &options).unwrap();
    let mut mended = first.rejects.clone();
    mended[0]["raw"] = "4,5,6".into();
    assert_eq!(text(&replay(source, &mended, &options).unwrap()), "column_1,column_2,column_3\n4,5,6\n");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Replayed as they are, the same rows are rejected, byte for byte and at the same place.
    #[test]
    fn what_is_rejected_is_rejected_again(
        input in csvish(),
        rows in vec(csvish(), 0..4),
        options in any_dialect(),
    ) {
        let input = [&b"x,y\n1,2\n"[..], &input, &rows.join(&b'\n')].concat();
        // What mends a row by looking at the rest of the file may mend it alone.
        let policies = Policies { stray_quotes: StrayQuotes::Reject, ..options.policies };
        let options = Options { policies, ..options };
        let Ok(first) = run_chunked(&input, &[], &options) else { return Ok(()) };
        // A line that ends with an escape is another one alone.
        let escapes = matches!(options.told.escape, Some(Escape::Byte(_)));
        if first.summary.dialect.header && !escapes {
            let again = replay(&input, &first.rejects, &options).unwrap();
            prop_assert_eq!(again.rejects.len(), first.rejects.len());
            for (first, again) in first.rejects.iter().zip(&again.rejects) {
                prop_assert!(is_same_reject(first, again), "{}, and replayed: {}", first, again);
            }
            prop_assert_eq!(again.summary.counts.rows_out, 0);
        }
    }
}
