//! The engine against the `csv` crate, which it does not use.

use engine::{Options, Told};

use crate::harness::run_chunked;

/// What `csv` makes of the input: rows as wide as the header, written again.
fn by_csv(input: &[u8]) -> (Vec<u8>, u64) {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(input);
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    let (mut width, mut rejected) = (None, 0);
    for record in reader.byte_records() {
        let record = record.unwrap();
        if *width.get_or_insert(record.len()) == record.len() {
            writer.write_byte_record(&record).unwrap();
        } else {
            rejected += 1;
        }
    }
    (writer.into_inner().unwrap(), rejected)
}

/// Fails unless both agree. A quote that never closes, and bytes that are not UTF-8, are where they
/// are meant to differ.
pub(crate) fn agrees(input: &[u8]) {
    let options = Options { told: Told::rfc4180(), ..Options::default() };
    let ran = run_chunked(input, &[], &options).unwrap();
    let not_csvs = ["unclosed_quote", "invalid_encoding"].map(serde_json::Value::from);
    if ran.rejects.iter().all(|reject| !not_csvs.contains(&reject["reason"])) {
        let (output, rejected) = by_csv(input);
        assert_eq!(String::from_utf8_lossy(&ran.output), String::from_utf8_lossy(&output));
        assert_eq!(ran.summary.counts.rows_rejected, rejected);
    }
}

#[test]
fn agrees_on_odd_files() {
    for input in [
        "a,b\n\"1\",\"2\"\n",
        "a,b\n\"1\"x,2\n1\"2,3\n",
        "a,b\r1,2\r3,4",
        "a,b\r\n\"1\r\n2\",3\r\n",
        "a,b\n,\n\"\",\"\"\n",
        "a\n\"\"\n\nb\n",
        "a,b\n \"1\",2\n",
        "a,b\n\"x\"\"y\",\"\"\"\"\n",
        "\n\n\r\na,b\n\n1,2\n\r\r3,4",
        "a,b\n\"1\" ,2\n",
        "a,b\n\"1\"\"2\"3\"\",x\n",
    ] {
        agrees(input.as_bytes());
    }
}

#[test]
fn agrees_on_the_samples() {
    let samples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../local/samples");
    let mut seen = 0;
    for entry in std::fs::read_dir(samples).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "csv") {
            agrees(&std::fs::read(path).unwrap());
            seen += 1;
        }
    }
    assert!(seen > 0);
}
