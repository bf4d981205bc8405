//! The files to send, checked before anything is started.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::ending::UsageError;
use crate::workspace;

/// Where the files go in the input bucket.
const PREFIX: &str = "demo/";
/// S3's limit for one PUT.
const LARGEST: u64 = 5 * 1024 * 1024 * 1024;
/// What the samples must come to.
const EXPECTED: &str = include_str!("../../samples/expected.json");

/// The rows of a sample, counted by other means than the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Expected {
    /// In the file.
    pub rows_in: u64,
    /// Clean.
    pub rows_out: u64,
    /// Set aside.
    pub rows_rejected: u64,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} rows in, {} out, {} rejected", self.rows_in, self.rows_out, self.rows_rejected)
    }
}

/// A file to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Input {
    /// Where it lies.
    pub path: PathBuf,
    /// Its key in the input bucket.
    pub key: String,
    /// Bytes.
    pub size: u64,
    /// What must come of it, where that is known.
    pub expected: Option<Expected>,
}

/// What must come of the samples, by file name.
pub fn expectations() -> serde_json::Result<BTreeMap<String, Expected>> {
    serde_json::from_str(EXPECTED)
}

/// Looks at the files named; at the samples, when none is.
pub(super) fn gather(files: &[PathBuf]) -> Result<Vec<Input>, UsageError> {
    let samples = if files.is_empty() { samples()? } else { Vec::new() };
    let files = if files.is_empty() { &samples } else { files };
    let mut keys = HashSet::new();
    let mut inputs = Vec::with_capacity(files.len());
    for path in files {
        let input = look_at(path)?;
        if !keys.insert(input.key.clone()) {
            let name = input.key.trim_start_matches(PREFIX);
            return Err(UsageError(format!("two files are named {name}: each needs a name of its own")));
        }
        inputs.push(input);
    }
    Ok(inputs)
}

/// The samples of the repository.
pub fn samples() -> Result<Vec<PathBuf>, UsageError> {
    let absent = |why: String| UsageError(format!("the samples are not there ({why}): name a file"));
    let folder = workspace::samples().ok_or_else(|| absent("the repository is gone".into()))?;
    let entries =
        std::fs::read_dir(&folder).map_err(|error| absent(format!("{}: {error}", folder.display())))?;
    let mut files: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| {
        let name = path.to_string_lossy();
        name.ends_with(".csv") || name.ends_with(".csv.gz")
    });
    files.sort();
    if files.is_empty() { Err(absent(format!("{} holds no CSV", folder.display()))) } else { Ok(files) }
}

fn look_at(path: &Path) -> Result<Input, UsageError> {
    let shown = path.display();
    let cannot = |error: std::io::Error| UsageError(format!("can't read {shown}: {error}"));
    let metadata = std::fs::metadata(path).map_err(cannot)?;
    if metadata.is_dir() {
        return Err(UsageError(format!("{shown} is a folder: name the files in it")));
    }
    if !metadata.is_file() {
        return Err(UsageError(format!("{shown} is not a regular file")));
    }
    if metadata.len() > LARGEST {
        return Err(UsageError(format!("{shown} is larger than 5 GiB, the most that one upload can hold")));
    }
    File::open(path).map_err(cannot)?;
    let name = path.file_name().and_then(|name| name.to_str());
    let name =
        name.ok_or_else(|| UsageError(format!("{shown} has a name that is not UTF-8, as S3 needs it")))?;
    let key = format!("{PREFIX}{name}");
    Ok(Input { path: path.to_owned(), size: metadata.len(), expected: expected(path, name), key })
}

/// What must come of a file, if it is one of the samples.
fn expected(path: &Path, name: &str) -> Option<Expected> {
    let folder = path.canonicalize().ok()?.parent()?.to_owned();
    let samples = workspace::samples()?.canonicalize().ok()?;
    if folder != samples {
        return None;
    }
    expectations().ok()?.get(name).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_has_an_expectation_that_adds_up() {
        let inputs = gather(&[]).unwrap();
        assert!(inputs.len() >= 2);
        for input in inputs {
            let Expected { rows_in, rows_out, rows_rejected } = input.expected.expect(&input.key);
            assert_eq!(rows_in, rows_out + rows_rejected, "{}", input.key);
        }
    }

    #[test]
    fn a_file_of_ones_own_has_a_key_and_no_expectation() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("time-zones.csv");
        std::fs::write(&path, "a,b\n").unwrap();
        let inputs = gather(std::slice::from_ref(&path)).unwrap();
        assert_eq!(inputs, [Input { path, key: "demo/time-zones.csv".into(), size: 4, expected: None }]);
    }

    #[test]
    fn what_cannot_be_sent_is_said_before_anything_starts() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("other");
        std::fs::create_dir(&other).unwrap();
        let (first, second) = (folder.path().join("x.csv"), other.join("x.csv"));
        std::fs::write(&first, "a\n").unwrap();
        std::fs::write(&second, "a\n").unwrap();
        let said = |files: &[&Path]| {
            let files: Vec<PathBuf> = files.iter().map(|path| (*path).to_owned()).collect();
            gather(&files).unwrap_err().to_string()
        };
        assert!(said(&[&first, &second]).starts_with("two files are named x.csv"));
        assert!(said(&[&first, &first]).starts_with("two files are named x.csv"));
        assert!(said(&[&other]).ends_with("is a folder: name the files in it"));
        assert!(said(&[&folder.path().join("absent.csv")]).starts_with("can't read"));
    }
}
