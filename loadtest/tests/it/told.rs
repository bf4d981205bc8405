//! `loadtest generate` and `loadtest expect` from outside: what a file was made from, and what must become of it.

use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::run::loadtest;

const FILE: [&str; 6] = ["--rows", "20000", "--dirty", "1%", "--profile", "orders"];

fn done(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(arguments: &[&str]) -> String {
    let output = loadtest(arguments).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?} {said}");
    said
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_document_of_a_file_tells_what_must_become_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, told) = (folder.path().join("orders.csv"), folder.path().join("orders.json"));
    let made = done(&loadtest(&["generate", "--json", "-o", text(&file)]).args(FILE).output().unwrap());
    assert_eq!(made["bytes"], file.metadata().unwrap().len());
    std::fs::write(&told, made.to_string()).unwrap();
    let by_arguments = done(&loadtest(&["expect", "--json"]).args(FILE).output().unwrap());
    assert!(by_arguments["rows_rejected"].as_u64().unwrap() > 50);
    assert_eq!(made["text_bytes"], by_arguments["text_bytes"]);
    assert_eq!(done(&loadtest(&["expect", text(&told), "--json"]).output().unwrap()), by_arguments);
    // What is expected tells what of.
    std::fs::write(&told, by_arguments.to_string()).unwrap();
    assert_eq!(done(&loadtest(&["expect", text(&told), "--json"]).output().unwrap()), by_arguments);

    // The file itself does not say, nor does one that is not there; both say what does.
    for path in [text(&file), "absent.csv"] {
        let said = refused(&["expect", path]);
        assert!(said.contains(path) && said.contains("loadtest generate --json"), "{said}");
    }
    assert!(refused(&["expect", text(&told), "--size", "1GB"]).contains("cannot be used with"));
    assert!(refused(&["expect", "s3://bucket"]).contains("s3://bucket/key"));
    assert!(refused(&["generate", "--json"]).contains("--output"));
}

#[test]
fn a_file_that_is_interrupted_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trips.csv.zst");
    let arguments =
        ["generate", "--size", "1TiB", "--compression", "zstd", "--threads", "1", "-o", text(&file)];
    let mut child = loadtest(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    // Until it is whole it has another name.
    while folder.path().read_dir().unwrap().next().is_none() {
        assert_eq!(child.try_wait().unwrap(), None);
        std::thread::yield_now();
    }
    let id = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(folder.path().read_dir().unwrap().count(), 0);
}
