//! Generated files: their bytes, their places, and that the engine makes of them what is expected.

use std::collections::BTreeMap;

use bytes::Bytes;
use common::store::checksum_base64;
use engine::{Options, Sink, Summary};
use futures::stream;
use loadtest::generate::{Compression, Length, Profile, Reject, Spec, Text};
use proptest::prelude::*;
use serde_json::Value;

use crate::places::{COMPRESSIONS, packed, unpacked};

pub(crate) fn spec(profile: Profile, rows: u64, dirt: Option<&str>) -> Spec {
    Spec {
        profile,
        seed: 1,
        length: Length::Rows(rows),
        compression: Compression::None,
        dirt: dirt.map(|dirt| dirt.parse().unwrap()),
    }
}

/// A file's whole text.
pub(crate) fn whole(text: &Text) -> Vec<u8> {
    let mut bytes = text.header().to_vec();
    (0..text.cycles()).for_each(|cycle| text.write_cycle(cycle, &mut bytes));
    bytes
}

#[derive(Default)]
struct Kept(Vec<u8>);

impl Sink for Kept {
    async fn write(&mut self, chunk: Bytes) -> std::io::Result<()> {
        self.0.extend_from_slice(&chunk);
        Ok(())
    }
}

pub(crate) struct Cleaned {
    pub(crate) summary: Summary,
    pub(crate) output: Vec<u8>,
    rejects: Vec<Value>,
}

/// What the engine makes of a file, by the processor's defaults; of its output, the text.
fn clean(file: Vec<u8>, compression: Compression) -> Cleaned {
    let (mut output, mut rejects) = (Kept::default(), Kept::default());
    let input = stream::iter([Ok(Bytes::from(file))]);
    let options = Options::default();
    let run = engine::run(input, &mut output, &mut rejects, &options);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let summary = runtime.block_on(run).unwrap();
    let lines = String::from_utf8(rejects.0).unwrap();
    let rejects = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Cleaned { summary, output: unpacked(&output.0, compression), rejects }
}

/// Holds the engine to what is expected of a file, and the file to its own places.
pub(crate) fn check(spec: &Spec) -> Cleaned {
    let text = Text::new(spec).unwrap();
    let file = packed(&text, spec.compression, 2);
    if spec.compression == Compression::None {
        assert_eq!(file.len() as u64, text.bytes(), "{spec:?}");
    }
    let cleaned = clean(file, spec.compression);
    let expected: Vec<Reject> = text.rejects().collect();
    let found: Vec<(u64, u64, u64, u64, &str)> = cleaned
        .rejects
        .iter()
        .map(|reject| {
            let number = |name: &str| reject[name].as_u64().unwrap();
            let reason = reject["reason"].as_str().unwrap();
            (number("line"), number("lines"), number("byte_offset"), number("byte_length"), reason)
        })
        .collect();
    let wanted: Vec<_> = expected
        .iter()
        .map(|reject| (reject.line, 1, reject.byte_offset, reject.byte_length, reject.reason))
        .collect();
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted, "{:?}", spec.dirt);
    }
    assert_eq!(found.len(), wanted.len(), "{:?}", spec.dirt);

    let expectation = text.expect();
    let counts = cleaned.summary.counts;
    assert_eq!(
        (counts.rows_in, counts.rows_out, counts.rows_rejected),
        (expectation.rows_in, expectation.rows_out, expectation.rows_rejected)
    );
    let by_reason: BTreeMap<_, _> =
        cleaned.summary.by_reason.iter().map(|(reason, rows)| (reason.code(), *rows)).collect();
    assert_eq!(by_reason, expectation.by_reason);
    let hashes = text.hash_clean(1, false, |_| {});
    assert_eq!(hashes.output_bytes, cleaned.output.len() as u64, "{:?}", spec.dirt);
    assert_eq!(hashes.crc64nvme, checksum_base64(crc_fast::crc64_nvme(&cleaned.output)));
    cleaned
}

pub(crate) const PROFILES: [Profile; 5] =
    [Profile::Taxi, Profile::Orders, Profile::Wide, Profile::Narrow, Profile::Events];

#[test]
fn clean_files_come_out_as_they_are() {
    for profile in PROFILES {
        let spec = spec(profile, 3000, None);
        let cleaned = check(&spec);
        assert!(cleaned.output == whole(&Text::new(&spec).unwrap()));
    }
}

/// The first 512 KiB tell how a file is to be read and have but ragged rows: there are more rows than those.
fn rows_enough(profile: &Profile) -> u64 {
    match profile {
        Profile::Wide => 400,
        Profile::Narrow => 40_000,
        _ => 8000,
    }
}

#[test]
fn the_engine_makes_of_dirty_files_what_is_expected() {
    for profile in PROFILES {
        for dirt in ["1/4", "1/5:quotes", "2%:bytes", "1/11:ragged"] {
            let spec = spec(profile.clone(), rows_enough(&profile), Some(dirt));
            let cleaned = check(&spec);
            assert!(cleaned.summary.counts.rows_rejected > 0, "{spec:?}");
        }
    }
}

#[test]
fn every_dirt_in_every_profile_and_compression_comes_to_what_is_expected() {
    let grid = [
        ("1/7:ragged", &["too_few_fields", "too_many_fields"][..]),
        ("1/7:quotes", &["unclosed_quote"]),
        ("1/7:bytes", &["invalid_encoding"]),
        ("1/1000:huge", &["record_too_long", "unclosed_quote"]),
    ];
    for profile in PROFILES {
        for (dirt, reasons) in grid {
            let rows = if dirt.ends_with("huge") { huge_rows(&profile) } else { rows_enough(&profile) };
            for compression in COMPRESSIONS {
                let spec = Spec { compression, ..spec(profile.clone(), rows, Some(dirt)) };
                let cleaned = check(&spec);
                let found: Vec<&str> = cleaned.summary.by_reason.keys().map(|reason| reason.code()).collect();
                assert_eq!(found, reasons, "{spec:?}");
            }
        }
    }
}

/// Rows enough for two strata of a thousand behind the first 512 KiB.
fn huge_rows(profile: &Profile) -> u64 {
    match profile {
        Profile::Wide => 3000,
        profile => rows_enough(profile),
    }
}

#[test]
fn huge_fields_cost_their_own_rows() {
    for profile in [Profile::Taxi, Profile::Orders, Profile::Events] {
        let spec = spec(profile.clone(), rows_enough(&profile), Some("1/500:huge,quotes"));
        let cleaned = check(&spec);
        let reasons: Vec<&str> = cleaned.summary.by_reason.keys().map(|reason| reason.code()).collect();
        assert_eq!(reasons, ["record_too_long", "unclosed_quote"], "{profile:?}");
    }
}

#[test]
fn every_kind_of_dirt_is_in_a_file_of_all() {
    let text = Text::new(&spec(Profile::Taxi, 200_000, Some("1/250:ragged,quotes,bytes,huge"))).unwrap();
    let reasons: Vec<&str> = text.expect().by_reason.into_keys().collect();
    let all = ["invalid_encoding", "record_too_long", "too_few_fields", "too_many_fields", "unclosed_quote"];
    assert_eq!(reasons, all);
    assert_eq!(text.rejects().count() as u64, text.expect().rows_rejected);
}

fn any_profile() -> impl Strategy<Value = Profile> {
    prop::sample::select(PROFILES.to_vec())
}

fn any_dirt() -> impl Strategy<Value = Option<String>> {
    let kinds =
        prop::sample::select(vec!["ragged", "quotes", "bytes", "quotes,ragged", "bytes,quotes,ragged"]);
    prop::option::of((4u64..60, kinds).prop_map(|(one_in, kinds)| format!("1/{one_in}:{kinds}")))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the seed and the length, the engine makes of a file what is expected.
    #[test]
    fn what_is_expected_comes_true(
        profile in any_profile(),
        dirt in any_dirt(),
        seed in any::<u64>(),
        part in 0..1000u64,
    ) {
        let rows = rows_enough(&profile) * part / 1000;
        let spec = Spec { seed, ..spec(profile, rows, dirt.as_deref()) };
        check(&spec);
    }
}
