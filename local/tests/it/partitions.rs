//! `penstock process` with a recipe that partitions the output.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const INPUT: &str = "id,city,day\n1,Köln,2026-11-25\n2,a/b,2026-11-25\n3,,2026-11-26\n4,Köln,2026-11-25\n5\n";

/// A folder with an input, and a recipe with this output.
fn place(output: &str) -> TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("in.csv"), INPUT).unwrap();
    let recipe = format!("match: '**'\nheader_lines: 1\noutput: {output}\n");
    fs::write(place.path().join("r.yml"), recipe).unwrap();
    place
}

fn penstock(place: &TempDir, line: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_penstock"));
    command.current_dir(place.path()).arg("process").args(line.split(' ')).stdin(Stdio::null());
    command
}

fn run(place: &TempDir, line: &str) -> Output {
    penstock(place, line).output().unwrap()
}

/// The files below a folder, by their names behind it.
fn files(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
            found.insert(name, String::from_utf8_lossy(&fs::read(&path).unwrap()).into_owned());
        }
    }
    found
}

fn names(place: &TempDir) -> Vec<String> {
    let entries = fs::read_dir(place.path()).unwrap();
    let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_output_is_a_folder_of_partitions() {
    let place = place("{ partition_by: [day, city] }");
    let ran = run(&place, "in.csv --recipe r.yml -o out.gz/ --rejects bad.ndjson --json");
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let said = text(&ran.stderr);
    assert!(said.contains("5 rows in, 4 out in 3 objects of 3 partitions, 1 rejected"), "{said}");
    let found = files(&place.path().join("out.gz"));
    let expected = [
        ("day=2026-11-25/city=Köln/part-0000.csv", "id\n1\n4\n"),
        ("day=2026-11-25/city=a%2Fb/part-0000.csv", "id\n2\n"),
        ("day=2026-11-26/city=__HIVE_DEFAULT_PARTITION__/part-0000.csv", "id\n3\n"),
    ];
    assert_eq!(found, expected.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
    assert_eq!(names(&place), ["bad.ndjson", "in.csv", "out.gz", "r.yml"]);
    // The receipt lists each.
    let receipt: Value = serde_json::from_slice(&ran.stdout).unwrap();
    let listed: Vec<_> = receipt["outputs"].as_array().unwrap().iter().collect();
    assert_eq!(listed.len(), 3);
    for output in listed {
        let key = output["key"].as_str().unwrap();
        let content = &found[key.strip_prefix("out.gz/").unwrap()];
        assert_eq!(output["size"], content.len());
        let crc = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc64Nvme, content.as_bytes());
        assert_eq!(output["checksum_crc64nvme"], common::store::checksum_base64(crc));
    }
    assert_eq!(receipt["bytes"]["output"], found.values().map(String::len).sum::<usize>());

    // Never into a folder that has files; the empty one is taken.
    let again = run(&place, "in.csv --recipe r.yml -o out.gz");
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("out.gz is not empty"), "{}", text(&again.stderr));
    fs::remove_dir_all(place.path().join("out.gz")).unwrap();
    fs::create_dir(place.path().join("out.gz")).unwrap();
    assert!(run(&place, "in.csv --recipe r.yml -o out.gz").status.success());
    assert_eq!(files(&place.path().join("out.gz")), found);
}

#[test]
fn format_and_compression_are_the_recipes_and_flags_go_before_it() {
    let place = place("{ format: ndjson, compression: zstd, partition_by: [city] }");
    assert!(run(&place, "in.csv --recipe r.yml -o a").status.success());
    let found = files(&place.path().join("a"));
    assert_eq!(found.len(), 3);
    assert!(found.keys().all(|name| name.ends_with("/part-0000.ndjson.zst")), "{found:?}");
    assert!(run(&place, "in.csv --recipe r.yml -o b --output-compression none").status.success());
    let found = files(&place.path().join("b"));
    assert_eq!(found["city=a%2Fb/part-0000.ndjson"], "{\"id\":\"2\",\"day\":\"2026-11-25\"}\n");
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_done() {
    let place = place("{ partition_by: [city] }");
    fs::write(place.path().join("file"), "kept").unwrap();
    let before = names(&place);
    for (line, why) in [
        ("in.csv --recipe r.yml -o -", "name a folder"),
        ("in.csv --recipe r.yml -o file", "file is not a folder"),
        ("in.csv --recipe r.yml -o out --rejects out/bad", "beside it"),
        ("in.csv --recipe r.yml -o . --receipt ./receipt", "not empty"),
    ] {
        let ran = run(&place, line);
        assert_eq!(ran.status.code(), Some(2), "{line}: {}", text(&ran.stderr));
        assert!(text(&ran.stderr).contains(why), "{line}: {}", text(&ran.stderr));
        assert!(ran.stdout.is_empty());
    }
    let ran = run(&place, "in.csv --recipe r.yml -o absent/out");
    assert_eq!(ran.status.code(), Some(1));
    assert!(text(&ran.stderr).contains("there is no folder absent"), "{}", text(&ran.stderr));
    assert_eq!(names(&place), before);
}

#[test]
fn rows_are_counted_and_shown_without_a_folder() {
    let place = place("{ partition_by: [city] }");
    let ran = run(&place, "in.csv --recipe r.yml");
    assert!(text(&ran.stderr).contains("3 objects of 3 partitions"), "{}", text(&ran.stderr));
    let shown = run(&place, "in.csv --recipe r.yml --limit 2");
    assert!(text(&shown.stdout).contains("id  city  day"), "{}", text(&shown.stdout));
    assert_eq!(names(&place), ["in.csv", "r.yml"]);
}

#[test]
fn rejected_rows_are_replayed_into_a_folder() {
    let place = place("{ partition_by: [city] }");
    assert!(run(&place, "in.csv --recipe r.yml -o out --rejects bad.ndjson").status.success());
    let ran = run(&place, "in.csv --recipe r.yml --replay bad.ndjson --ragged pad -o more");
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert!(
        text(&ran.stderr).contains("1 out in 1 object of 1 partition, 0 rejected"),
        "{}",
        text(&ran.stderr)
    );
    let expected = ("city=__HIVE_DEFAULT_PARTITION__/part-0000.csv".to_owned(), "id,day\n5,\n".to_owned());
    assert_eq!(files(&place.path().join("more")), [expected].into());
}

/// A value that no folder's name can hold costs its row, not the run.
#[test]
fn a_value_without_room_in_a_folders_name_costs_its_row() {
    let place = place("{ partition_by: [city] }");
    // `city=` and 250 bytes are 255.
    let (fits, long) = ("ö".repeat(125), format!("{}o", "ö".repeat(125)));
    fs::write(place.path().join("in.csv"), format!("id,city\n1,{fits}\n2,{long}\n")).unwrap();
    let ran = run(&place, "in.csv --recipe r.yml -o out --rejects bad.ndjson");
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    assert!(text(&ran.stderr).contains("1 partition_too_long"), "{}", text(&ran.stderr));
    let found = files(&place.path().join("out"));
    assert_eq!(found, [(format!("city={fits}/part-0000.csv"), "id\n1\n".to_owned())].into());
}

/// Thousands of partitions with a few open files: none is open longer than a piece is written.
#[test]
fn there_may_be_more_partitions_than_open_files() {
    let place = place("{ partition_by: [id] }");
    let rows = (0..3000).fold("id,x\n".to_owned(), |text, row| format!("{text}{row},y\n"));
    fs::write(place.path().join("in.csv"), rows).unwrap();
    let mut shell = Command::new("sh");
    shell.current_dir(place.path()).stdin(Stdio::null());
    shell.args(["-c", "ulimit -n 64 && exec \"$0\" process in.csv --recipe r.yml -o out"]);
    let ran = shell.arg(env!("CARGO_BIN_EXE_penstock")).output().unwrap();
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let found = files(&place.path().join("out"));
    assert_eq!(found.len(), 3000);
    assert_eq!(found["id=2999/part-0000.csv"], "x\ny\n");
}

#[test]
fn a_file_that_fails_leaves_no_folder() {
    let place = place("{ partition_by: [city] }");
    fs::write(place.path().join("in.csv"), b"id,city\n1,a\n\x1f\x8b").unwrap();
    let ran = run(&place, "in.csv --recipe r.yml -o out --max-rejects 0");
    assert_eq!(ran.status.code(), Some(1), "{}", text(&ran.stderr));
    assert_eq!(names(&place), ["in.csv", "r.yml"]);
}

/// Pieces have been written when the signal comes, and all of them go.
#[test]
fn an_interrupted_run_leaves_nothing() {
    for (output, signal, code) in [
        ("{ partition_by: [city] }", Signal::INT, 130),
        ("{ partition_by: [city] }", Signal::TERM, 143),
        ("{ format: tsv }", Signal::INT, 130),
    ] {
        let place = place(output);
        let mut child = penstock(&place, "- --recipe r.yml -o out");
        let mut child = child.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        // More than a piece, and no end.
        input.write_all(b"id,city\n").unwrap();
        let row = format!("{},a\n", "x".repeat(1000));
        for _ in 0..20_000 {
            input.write_all(row.as_bytes()).unwrap();
        }
        let is_written = || {
            let hidden = names(&place).into_iter().find(|name| name.starts_with(".penstock-"));
            hidden.is_some_and(|name| {
                let path = place.path().join(name);
                path.is_file() || !files(&path).is_empty()
            })
        };
        while !is_written() {
            assert!(child.try_wait().unwrap().is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(10));
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(code), "{output}");
        drop(input);
        assert_eq!(names(&place), ["in.csv", "r.yml"], "{output}");
    }
}
