//! Rows of a rejects file, one after another.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use crc_fast::{CrcAlgorithm, Digest};
use engine::{CUT_BYTES, Replayed};

/// JSON may take six bytes for one, of which UTF-16 may take two, and more beside it.
const BYTES_FOR_ONE: u64 = 12;
const BYTES_BESIDE: u64 = 64 * 1024;

/// The rows of a rejects file. Ends where one can't be read, and keeps why.
pub(super) struct Rejects {
    reader: BufReader<File>,
    path: PathBuf,
    line: Vec<u8>,
    number: u64,
    max_line_bytes: u64,
    error: Option<anyhow::Error>,
    crc: Digest,
}

impl Rejects {
    pub(super) fn open(path: &Path, max_record_bytes: usize) -> anyhow::Result<Self> {
        let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
        Ok(Self {
            reader: BufReader::new(file),
            path: path.to_owned(),
            line: Vec::new(),
            number: 0,
            max_line_bytes: BYTES_FOR_ONE * max_record_bytes.max(CUT_BYTES) as u64 + BYTES_BESIDE,
            error: None,
            crc: Digest::new(CrcAlgorithm::Crc64Nvme),
        })
    }

    /// The checksum of what was read; why the rows ended, if not with the file.
    pub(super) fn finish(self) -> anyhow::Result<u64> {
        self.error.map_or(Ok(self.crc.finalize()), Err)
    }

    /// The next row; nothing at the end.
    fn read(&mut self) -> anyhow::Result<Option<Replayed>> {
        loop {
            self.line.clear();
            self.number += 1;
            let place = || format!("{}, line {}", self.path.display(), self.number);
            let mut line = self.reader.by_ref().take(self.max_line_bytes);
            let length =
                line.read_until(b'\n', &mut self.line).with_context(|| format!("read {}", place()))?;
            if length == 0 {
                return Ok(None);
            }
            self.crc.update(&self.line);
            anyhow::ensure!(
                (length as u64) < self.max_line_bytes || self.line.ends_with(b"\n"),
                "{}: it is longer than --max-record-bytes allows",
                place()
            );
            if self.line.trim_ascii().is_empty() {
                continue;
            }
            let row = Replayed::parse(&self.line).map_err(|fault| anyhow::anyhow!("{}: {fault}", place()))?;
            return Ok(Some(row));
        }
    }
}

impl Iterator for Rejects {
    type Item = Replayed;

    fn next(&mut self) -> Option<Replayed> {
        match self.read() {
            Ok(row) => row,
            Err(error) => {
                self.error = Some(error);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> (usize, Option<String>) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut rejects = Rejects::open(file.path(), 100).unwrap();
        let count = rejects.by_ref().count();
        (count, rejects.finish().err().map(|error| error.to_string()))
    }

    #[test]
    fn the_longest_line_that_a_run_writes_is_read() {
        let raw = "\\u0000".repeat(2 * CUT_BYTES);
        let line = format!("{{\"line\":2,\"byte_offset\":8,\"raw\":\"{raw}\"}}\n");
        assert_eq!(rows(&line), (1, None));
    }

    #[test]
    fn what_is_no_row_of_a_rejects_file_is_named_by_its_line() {
        let row = r#"{"line":2,"byte_offset":8,"raw":"1,a\n"}"#;
        assert_eq!(rows(&format!("{row}\n\n{row}")), (2, None));
        for (line, why) in [
            ("{", "not JSON"),
            (r#"{"line":2,"raw":""}"#, "lacks"),
            (r#"{"line":2,"byte_offset":8,"raw":"%","raw_encoding":"base64"}"#, "base64"),
            (r#"{"line":2,"byte_offset":8,"raw":"","raw_encoding":"cut"}"#, "byte_length"),
            (r#"{"line":2,"byte_offset":8,"raw":"","raw_encoding":"cut","byte_length":9}"#, "checksum"),
            (r#"{"line":18446744073709551615,"byte_offset":8,"raw":""}"#, "larger than any file"),
            (r#"{"line":2,"byte_offset":8,"raw":"","raw_encoding":"rot13"}"#, "raw_encoding"),
            (&"x".repeat(1_000_000), "--max-record-bytes"),
        ] {
            let (count, error) = rows(&format!("{row}\n{line}\n{row}\n"));
            let error = error.unwrap();
            assert_eq!(count, 1);
            assert!(error.contains("line 2: ") && error.contains(why), "{error}");
        }
    }
}
