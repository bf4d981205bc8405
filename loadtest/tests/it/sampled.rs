//! Rows like those of a sample.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use loadtest::generate::{Profile, Sample, Spec, Text};

use crate::generated::{check, spec, whole};

fn sample(text: &str) -> anyhow::Result<Sample> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(text.as_bytes())?;
    Sample::read(file.path())
}

/// Invoices, some with a comma, a quote or a line's end in their text.
fn invoices() -> String {
    let mut text = String::from("invoice,day,customer,text,amount\n");
    for row in 0..400 {
        let said = match row % 8 {
            0 => "\"two, as ever\"",
            1 => "\"a \"\"small\"\" one\"",
            2 => "\"first\nsecond\"",
            3 => "",
            _ => "übliche Lieferung",
        };
        let customer = ["Müller", "Olsen", "王"][row % 3];
        writeln!(
            text,
            "INV-{:04},2026-01-{:02},{customer},{said},{}.{:02}",
            row * 7,
            row % 28 + 1,
            row * 13,
            row % 100
        )
        .unwrap();
    }
    text
}

fn spec_of(sample: &Sample, rows: u64, dirt: Option<&str>) -> Spec {
    spec(Profile::Sample(sample.clone().into()), rows, dirt)
}

#[test]
fn rows_are_like_those_of_the_sample() {
    let sample = sample(&invoices()).unwrap();
    let spec = spec_of(&sample, 2000, None);
    check(&spec);
    let text = whole(&Text::new(&spec).unwrap());
    let mut reader = csv::Reader::from_reader(&text[..]);
    assert_eq!(reader.headers().unwrap(), vec!["invoice", "day", "customer", "text", "amount"]);
    let (mut rows, mut customers, mut broken) = (0, BTreeMap::<String, u32>::new(), 0);
    for record in reader.records() {
        let record = record.unwrap();
        rows += 1;
        assert!(record[0].starts_with("INV-") && record[0].len() == 8);
        assert!(record[1].starts_with("2026-01-"));
        assert!(record[4].split_once('.').is_some_and(|(_, cents)| cents.len() == 2), "{}", &record[4]);
        *customers.entry(record[2].to_owned()).or_default() += 1;
        broken += u32::from(record[3].contains('\n'));
    }
    assert_eq!(rows, 2000);
    assert!(
        customers.len() == 3 && customers.values().all(|rows| (400..1000).contains(rows)),
        "{customers:?}"
    );
    assert!(broken > 10);
}

#[test]
fn a_sample_can_have_dirt_too() {
    let sample = sample(&invoices()).unwrap();
    for dirt in ["1/4:ragged", "1/6", "1/9:quotes,bytes"] {
        let cleaned = check(&spec_of(&sample, 20_000, Some(dirt)));
        assert!(cleaned.summary.counts.rows_rejected > 0);
    }
}

#[test]
fn a_spec_is_known_again_by_an_objects_metadata() {
    let sample = sample(&invoices()).unwrap();
    let spec = spec_of(&sample, 2000, Some("1/100:quotes,bytes"));
    let metadata = spec.metadata(&Text::new(&spec).unwrap());
    assert_eq!(Spec::from_metadata(&metadata, Some(&sample)).unwrap(), spec);
    let error = Spec::from_metadata(&metadata, None).unwrap_err().to_string();
    assert!(error.contains("--from"), "{error}");
    let other = self::sample("aaaaa,b\n11111,22\n").unwrap();
    assert!(Spec::from_metadata(&metadata, Some(&other)).is_err());
}

#[test]
fn what_is_no_sample_is_refused() {
    for (text, why) in [
        ("", "empty"),
        ("a,b\n", "no rows"),
        ("a,a\n1,2\n", "a name of its own"),
        ("a,b\n1\n", "found record"),
    ] {
        let error = format!("{:#}", sample(text).unwrap_err());
        assert!(error.contains(why), "{error}");
    }
    let short = sample("a,b\n1,2\n").unwrap();
    let error = Text::new(&spec_of(&short, 10, Some("1/4"))).unwrap_err().to_string();
    assert!(error.contains("five bytes"), "{error}");
}
