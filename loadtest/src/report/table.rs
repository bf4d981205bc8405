//! A line a file, as CSV.

use std::io::Write;

use anyhow::Context as _;

use super::document::{FileRun, Run};

/// Writes a run's files.
pub fn write(run: &Run, output: impl Write) -> anyhow::Result<()> {
    let mut writer = csv::Writer::from_writer(output);
    for file in &run.files {
        writer.serialize::<&FileRun>(file).context("write the table")?;
    }
    writer.flush().context("write the table")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::document::tests::run;

    #[test]
    fn every_file_is_a_line_that_reads_back() {
        let run = run(3);
        let mut text = Vec::new();
        write(&run, &mut text).unwrap();
        let read: Vec<FileRun> =
            csv::Reader::from_reader(&text[..]).deserialize().map(Result::unwrap).collect();
        assert_eq!(read, run.files);
    }
}
