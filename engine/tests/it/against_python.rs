//! The engine against Python's `csv`, told the same dialect.

use std::io::Write as _;
use std::process::{Command, Stdio};

use engine::{Escape, Options, Quote, Told};
use serde_json::{Value, json};

use crate::harness::{Ran, run_chunked};

/// Reads each case by its dialect, and writes the rows.
const PYTHON: &str = r#"
import csv, io, json, sys
csv.field_size_limit(1 << 30)
for line in sys.stdin:
    case = json.loads(line)
    reader = csv.reader(io.StringIO(case["text"], newline=""), delimiter=case["delimiter"], quotechar=case["quote"],
                        doublequote=case.get("escape") is None, escapechar=case.get("escape"),
                        strict=case.get("strict", False))
    try:
        print(json.dumps([row for row in reader if row]))
    except csv.Error:
        print("[]")
"#;

pub(crate) fn by_python(cases: &[Value]) -> Vec<Vec<Vec<String>>> {
    let mut python = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed");
    let mut stdin = python.stdin.take().unwrap();
    let lines: Vec<String> = cases.iter().map(|case| format!("{case}\n")).collect();
    let writer = std::thread::spawn(move || stdin.write_all(lines.concat().as_bytes()));
    let output = python.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success());
    output
        .stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

pub(crate) fn rows(output: &[u8]) -> Vec<Vec<String>> {
    let reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(output);
    reader.into_records().map(|record| record.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// Text of pieces that CSV is sensitive to. Behind a backslash stands only what it takes the meaning from: of anything
/// else, Python drops the backslash.
fn text(random: &mut fastrand::Rng, delimiter: char, quote: char, escape: Option<char>) -> String {
    let mut text = format!("x{delimiter}y\n");
    for _ in 0..random.usize(0..40) {
        match random.u8(0..16) {
            0..4 => text.push(delimiter),
            4..7 => text.push_str(["\n", "\r\n", "\r"][random.usize(0..3)]),
            7 => text.push(quote),
            8 => match escape {
                None => text.extend([quote, quote]),
                Some(escape) => text.extend([escape, [escape, quote, delimiter][random.usize(0..3)]]),
            },
            9..11 => text.extend([quote, 'a', delimiter, '\n', quote]),
            _ => text.push_str(["a", "b c", " ", "é", ","][random.usize(0..5)]),
        }
    }
    text
}

#[test]
fn python_agrees_on_the_rows_that_are_kept() {
    let mut random = fastrand::Rng::with_seed(7);
    let (mut cases, mut told) = (Vec::new(), Vec::new());
    for _ in 0..4000 {
        let delimiter = [',', ';', '\t', '|'][random.usize(0..4)];
        let quote = ['"', '\''][random.usize(0..2)];
        let escape = [None, Some('\\')][random.usize(0..2)];
        let text = text(&mut random, delimiter, quote, escape);
        cases.push(json!({ "text": text, "delimiter": delimiter, "quote": quote, "escape": escape }));
        let byte = |character: char| u8::try_from(character).unwrap();
        told.push(Told {
            delimiter: Some(vec![byte(delimiter)]),
            quote: Some(Quote::Byte(byte(quote))),
            escape: Some(escape.map_or(Escape::Doubled, |escape| Escape::Byte(byte(escape)))),
            ..Told::rfc4180()
        });
    }
    let mut compared = 0;
    for ((case, told), theirs) in cases.iter().zip(told).zip(by_python(&cases)) {
        let input = case["text"].as_str().unwrap().as_bytes();
        let Ran { output, rejects, .. } =
            run_chunked(input, &[], &Options { told, ..Options::default() }).unwrap();
        // Where a quote never closes, they are meant to differ.
        if rejects.iter().any(|reject| reject["reason"] == "unclosed_quote") {
            continue;
        }
        let kept: Vec<_> = theirs.into_iter().filter(|row| row.len() == 2).collect();
        assert_eq!(rows(&output), kept, "{case}");
        compared += 1;
    }
    assert!(compared > 1000, "{compared} compared");
}
