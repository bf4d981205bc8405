//! The fuzzers' corpus, replayed; and Python's `csv` on whatever is valid in it.

use std::fs;
use std::path::{Path, PathBuf};

use engine::{Compression, Escape, Options, Quote, Reason, Told};
use serde_json::json;

use crate::against_python::{by_python, rows};
use crate::harness::run_chunked;

#[path = "../../../fuzz/checks/dialect.rs"]
mod dialect_check;
#[path = "../../../fuzz/checks/engine.rs"]
pub(crate) mod engine_check;
#[path = "../../../fuzz/checks/packing.rs"]
mod packing;
#[path = "../../../fuzz/checks/partitions.rs"]
mod partitions;
#[path = "../../../fuzz/checks/recipes.rs"]
mod recipes;
#[path = "../../../fuzz/checks/running.rs"]
mod running;

fn files(folder: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(folder);
    let paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<_> = paths.map(|path| (path.clone(), fs::read(&path).unwrap())).collect();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files
}

#[test]
fn what_the_fuzzers_check_holds_of_their_corpus() {
    for (_, data) in files("fuzz/corpus/engine") {
        engine_check::holds(&data);
    }
    for (_, data) in files("fuzz/corpus/dialect") {
        dialect_check::holds(&data);
    }
}

#[test]
fn the_fuzzers_corpus_has_what_recipes_do() {
    let (mut filtered, mut withheld, mut duplicates) = (0, 0, 0);
    for (_, data) in files("fuzz/corpus/engine") {
        let Some(case) = engine_check::case(&data) else { continue };
        let Ok(ran) = running::run(case.file, &[], &case.options) else { continue };
        filtered += ran.summary.counts.rows_filtered;
        withheld += u64::from(memchr::memmem::find(&ran.rejects, b"\"cut\"").is_some());
        duplicates += ran.summary.by_reason.get(&Reason::PrimaryKey).copied().unwrap_or_default();
    }
    assert!(filtered > 0 && withheld > 0 && duplicates > 0, "{filtered} {withheld} {duplicates}");
}

#[test]
fn python_reads_the_same_rows_in_what_is_clean() {
    let mut clean = Vec::new();
    for (_, data) in files("fuzz/corpus/engine") {
        let Some(case) = engine_check::case(&data) else { continue };
        let options = Options { output_compression: Some(Compression::None), ..case.options };
        if let Ok(ran) = running::run(case.file, &[], &options)
            && !ran.output.contains(&0)
        {
            clean.push(String::from_utf8(ran.output).unwrap());
        }
    }
    let cases: Vec<_> =
        clean.iter().map(|text| json!({ "text": text, "delimiter": ",", "quote": "\"" })).collect();
    assert!(cases.len() > 5);
    for (text, theirs) in clean.iter().zip(by_python(&cases)) {
        assert_eq!(theirs, rows(text.as_bytes()), "{text}");
    }
}

/// By Python: no quote out of place, and every row as wide as the first.
#[test]
fn python_agrees_on_every_file_that_is_valid() {
    let mut texts = Vec::new();
    let samples = files("local/samples").into_iter().map(|(_, data)| data);
    let fuzzed =
        files("fuzz/corpus/engine").into_iter().filter_map(|(_, data)| data.get(8..).map(<[u8]>::to_vec));
    let found =
        files("fuzz/corpus/dialect").into_iter().filter_map(|(_, data)| data.get(1..).map(<[u8]>::to_vec));
    for data in samples.chain(fuzzed).chain(found) {
        if let Ok(text) = String::from_utf8(data)
            && !text.contains('\0')
            && !text.starts_with('\u{feff}')
        {
            texts.push(text);
        }
    }
    let cases: Vec<_> = texts
        .iter()
        .map(|text| json!({ "text": text, "delimiter": ",", "quote": "\"", "strict": true }))
        .collect();
    let (mut compared, mut found) = (0, 0);
    for (text, theirs) in texts.iter().zip(by_python(&cases)) {
        let width = theirs.first().map_or(0, Vec::len);
        // An empty list is Python's refusal.
        if width == 0 || theirs.iter().any(|row| row.len() != width) {
            continue;
        }
        let options = Options { told: Told::rfc4180(), ..Options::default() };
        let Ok(ran) = run_chunked(text.as_bytes(), &[], &options) else { panic!("{text} is refused") };
        assert_eq!(ran.summary.counts.rows_rejected, 0, "{text}");
        let header = ran.summary.dialect.renamed.is_empty();
        assert_eq!(rows(&ran.output)[usize::from(!header)..], theirs[usize::from(!header)..], "{text}");
        compared += 1;
        // Told nothing, the same, where that is what is found.
        let Ok(ran) = run_chunked(text.as_bytes(), &[], &Options::default()) else { continue };
        let dialect = &ran.summary.dialect;
        let is_same = dialect.delimiter == b","
            && dialect.quote == Quote::Byte(b'"')
            && dialect.escape == Escape::Doubled
            && (dialect.preamble_lines, dialect.comment_lines) == (0, 0)
            && dialect.header_lines < 2;
        if is_same {
            assert_eq!(ran.summary.counts.rows_rejected, 0, "{text}");
            let ours = rows(&ran.output);
            assert_eq!(ours[1..], theirs[usize::try_from(dialect.header_lines).unwrap()..], "{text}");
            found += 1;
        }
    }
    assert!(compared > 10 && found > 5, "{compared} compared, {found} of them found");
}
