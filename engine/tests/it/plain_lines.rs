//! Rows that a recipe takes as they lie, against the same rows read with care: both must say the same.

use engine::{Comment, Escape, Options, Policies, Quote, Ragged, Terminator, Told};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::harness::{Chunks, Ran, run_chunked};
use crate::recipes::options;
use crate::rows::Held;

/// A type of each kind that a glance knows; nothing that wants values.
fn plain_recipe(delimiter: &str) -> Value {
    json!({
        "schema": { "fields": [
            { "name": "id", "type": "integer", "constraints": { "maximum": 500 } },
            { "name": "day", "type": "date" },
            { "name": "price", "type": "number", "constraints": { "minimum": 0, "exclusiveMaximum": 90 } },
            { "name": "t", "type": "string", "constraints": { "maxLength": 3 } },
        ] },
        "select": ["t", "id", "day", "price"], "rename": { "t": "text" }, "output": { "delimiter": delimiter },
    })
}

/// The same rows: looked at in passing; with every value read, which a filter wants; and each record found by itself, which
/// comments want.
fn three_ways(input: &[u8], sizes: &[usize], recipe: &Value, base: &Options) -> [Ran; 3] {
    let mut filtered = recipe.clone();
    filtered["filter"] = json!("true");
    let never = Comment::Prefix(vec![1, 2]);
    [(recipe, Comment::None), (&filtered, Comment::None), (&filtered, never)].map(|(recipe, comment)| {
        let told = Told { comment: Some(comment), ..base.told.clone() };
        let work = options(recipe.clone()).work;
        run_chunked(input, sizes, &Options { told, work, ..base.clone() }).unwrap()
    })
}

fn assert_alike(rans: &[Ran; 3]) {
    for other in &rans[1..] {
        assert_eq!(String::from_utf8_lossy(&rans[0].output), String::from_utf8_lossy(&other.output));
        assert_eq!(rans[0].rejects, other.rejects);
        let mut summary = other.summary.clone();
        summary.dialect.comment.clone_from(&rans[0].summary.dialect.comment);
        assert_eq!(rans[0].summary, summary);
    }
}

const ROW: &str =
    "[0-9]{1,3};20(25|26)-0[1-3]-[0-3][0-9];-?[0-9]{0,2}(\\.[0-9])?;([aé,]{0,4}|\"[a;]{0,3}\")\r?\n";
const ODD_ROW: &str = "[0-9]{1,2};;'1;'\n|1;2\n|\n|7;;9;\\\\;\n|8;;8;¡\n|1;; 2; b\n|3;;3;a\r4;;4;b\n|two words\n\
    |\"1\";\"\";\"3\";\"[a;]{0,2}\"\n|5;;5;\"\n|5;;5;a\"\n|\"6\";;6;\"a\"\"b\"\n|6;;6;x;;\n|7\n|8;;8;\"a\nb\"\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn both_say_the_same(
        rows in prop::collection::vec(prop_oneof![3 => ROW, 1 => ODD_ROW], 0..40),
        sizes in prop::collection::vec(0usize..200, 1..4),
        delimiter in prop::sample::select(vec![";", ","]),
        quote in prop::sample::select(vec![Quote::Byte(b'"'), Quote::Byte(b'\''), Quote::None]),
        escape in prop::sample::select(vec![Escape::Doubled, Escape::Byte(b'\\')]),
        terminator in prop_oneof![6 => Just(Terminator::Any), 1 => Just(Terminator::Lf)],
        footnotes in prop::sample::select(vec![None, Some(0)]),
        trim in prop_oneof![6 => Just(false), 1 => Just(true)],
        ragged in (any::<bool>(), any::<bool>()).prop_map(|(pad, truncate_empty)| Ragged { pad, truncate_empty }),
        on_violation in prop::sample::select(vec!["reject", "warn"]),
        max_record_bytes in prop::sample::select(vec![24, 1000]),
        replaces in any::<bool>(),
    ) {
        let text = format!("id;day;price;t\n{}", rows.concat());
        let text = if delimiter == "," { text.replace(',', "x").replace(';', ",") } else { text };
        // A byte that UTF-8 doesn't have.
        let input: Vec<u8> = text.replace('¡', "\u{1}").bytes().map(|byte| if byte == 1 { 0xff } else { byte }).collect();
        let told = Told {
            delimiter: Some(delimiter.into()),
            quote: Some(quote),
            escape: Some(escape),
            terminator: Some(terminator),
            footnote_lines: footnotes,
            ..Told::rfc4180()
        };
        let invalid_bytes = if replaces { engine::InvalidBytes::Replace } else { engine::InvalidBytes::Reject };
        let policies = Policies { trim, invalid_bytes, ragged, ..Policies::default() };
        let base = Options { told, policies, max_record_bytes, block_bytes: 64, ..Options::default() };
        let mut recipe = plain_recipe(delimiter);
        recipe["on_violation"] = json!(on_violation);
        assert_alike(&three_ways(&input, &sizes, &recipe, &base));
    }
}

#[test]
fn a_quote_that_means_nothing_in_the_file_is_quoted_in_the_output() {
    for quote in [Quote::None, Quote::Byte(b'\'')] {
        let told = Told { quote: Some(quote), ..Told::rfc4180() };
        let rans = three_ways(
            b"id,day,price,t\n1,,1,\"a\n2,,2,b\n",
            &[],
            &plain_recipe(","),
            &Options { told, ..Options::default() },
        );
        assert_eq!(rans[0].output, b"text,id,day,price\n\"\"\"a\",1,,1\nb,2,,2\n");
        assert_alike(&rans);
    }
}

#[test]
fn notes_below_the_table_are_told_from_rows_below_a_blank_line() {
    let base = Options { told: Told { footnote_lines: None, ..Told::rfc4180() }, ..Options::default() };
    let recipe = plain_recipe(",");
    for (below, footnotes) in [("made by hand\n", 1), ("made by hand\n3,,3,c\n", 0)] {
        let input = format!("id,day,price,t\n1,,1,a\n2,,2,b\n\n{below}");
        let rans = three_ways(input.as_bytes(), &[], &recipe, &base);
        assert_eq!(rans[0].summary.dialect.footnote_lines, footnotes, "{below}");
        assert_eq!(rans[0].rejects.len(), 1);
        assert_alike(&rans);
    }
}

#[test]
fn comments_are_no_rows() {
    let told = Told { comment: Some(Comment::Prefix(b"#".into())), ..Told::rfc4180() };
    let base = Options { told, ..options(plain_recipe(",")) };
    let ran = run_chunked(b"id,day,price,t\n1,,1,a\n#2,,2,b\n3,,3,c\n", &[], &base).unwrap();
    assert_eq!(ran.output, b"text,id,day,price\na,1,,1\nc,3,,3\n");
    assert_eq!(ran.summary.counts.rows_in, 2);
}

#[test]
fn a_filter_is_asked_though_a_glance_would_do() {
    let mut recipe = plain_recipe(",");
    recipe["filter"] = json!("id > 1");
    let ran = run_chunked(b"id,day,price,t\n1,,1,a\n2,,2,b\n", &[], &options(recipe)).unwrap();
    assert_eq!(ran.output, b"text,id,day,price\nb,2,,2\n");
    assert_eq!(ran.summary.counts.rows_filtered, 1);
}

#[tokio::test]
async fn rejects_that_are_many_come_in_pieces() {
    let input = [&b"id,day,price,t\n"[..], &b"x,,1,a\n".repeat(30_000)].concat();
    let (mut clean, mut rejects) = (Held::default(), Held::default());
    let stream = Chunks::new(&input, &[usize::MAX]);
    let options = options(plain_recipe(","));
    let summary = engine::run(stream, &mut clean, &mut rejects, &options).await.unwrap();
    assert_eq!(summary.counts.rows_rejected, 30_000);
    let largest = rejects.0.iter().map(bytes::Bytes::len).max().unwrap();
    assert!(rejects.0.len() > 2 && largest < 2 << 20, "{} pieces, one of {largest} bytes", rejects.0.len());
}
