//! Small CSVs, in memory. By csv-async, as the product has it: another reader would build half of its dependencies anew.

use anyhow::Context as _;
use csv_async::{AsyncReaderBuilder, StringRecord};
use futures::{FutureExt as _, TryStreamExt as _};

/// All records of a text, the header included; all have as many fields.
pub(crate) fn parse(text: &str) -> anyhow::Result<Vec<StringRecord>> {
    let mut reader = AsyncReaderBuilder::new().has_headers(false).create_reader(text.as_bytes());
    // Memory has never to be waited for.
    let records = reader.records().try_collect().now_or_never();
    records.context("a text in memory had to be waited for")?.map_err(anyhow::Error::from)
}

/// A field as a CSV has it: in quotes where it needs them.
pub(crate) fn field(value: &str) -> String {
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let values = ["plain", "a,b", "a \"quote\"", "two\nlines", ""];
        let line = values.map(field).join(",");
        let records = parse(&format!("a,b,c,d,e\n{line}\n")).unwrap();
        assert_eq!(records.len(), 2);
        assert!(records[1].iter().eq(values));
        assert!(parse("a,b\n1\n").is_err());
    }
}
