//! Text that is not UTF-8: the same rows whatever the chunks, and every byte of the source accounted for.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{Encoding, Options, Told};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::{Ran, run, run_chunked};

fn encode(text: &str, label: &str) -> Vec<u8> {
    match label {
        "utf-16le" => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        "utf-16be" => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
        _ => Encoding::for_label(label.as_bytes()).unwrap().encode(text).0.into_owned(),
    }
}

/// Text that all of the encodings below have, or that becomes a character reference in those that don't.
fn csvish() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        5 => Just(",".to_owned()),
        4 => Just("\n".to_owned()),
        2 => Just("\r\n".to_owned()),
        1 => Just("\r".to_owned()),
        2 => Just("\"".to_owned()),
        3 => Just("\"é,\n\"".to_owned()),
        6 => "[a-cé日🦀 ]{0,3}",
    ];
    vec(piece, 0..50).prop_map(|pieces| format!("x,y\n{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn decoded_rows_are_those_of_the_same_text_in_utf8(
        text in csvish(),
        label in prop::sample::select(&["utf-16le", "utf-16be", "windows-1252", "shift_jis", "gb18030", "koi8-r"][..]),
        sizes in vec(0usize..9, 1..5),
        block in 1usize..40,
    ) {
        let source = encode(&text, label);
        let encoding = Encoding::for_label(label.as_bytes());
        let text = encoding.unwrap().decode_without_bom_handling(&source).0.into_owned();
        let told = |encoding| Options {
            told: Told { encoding, ..Told::rfc4180() },
            max_record_bytes: 64,
            block_bytes: block,
            ..Options::default()
        };
        let plain = run_chunked(text.as_bytes(), &[], &told(Some(engine::Encoding::for_label(b"utf-8").unwrap()))).unwrap();
        let Ran { output, rejects, summary } = run_chunked(&source, &sizes, &told(encoding)).unwrap();
        prop_assert_eq!(&output, &plain.output);
        prop_assert_eq!(&summary.by_reason, &plain.summary.by_reason);
        prop_assert_eq!(summary.spans.total(), source.len() as u64);
        for (ours, theirs) in rejects.iter().zip(&plain.rejects) {
            let at = |name: &str| usize::try_from(ours[name].as_u64().unwrap()).unwrap();
            let bytes = &source[at("byte_offset")..at("byte_offset") + at("byte_length")];
            let raw = ours["raw"].as_str().unwrap();
            let raw = if ours["raw_encoding"] == "utf8" { raw.into() } else { STANDARD.decode(raw).unwrap() };
            prop_assert_eq!(&raw[..], bytes);
            let decoded = encoding.unwrap().decode_without_bom_handling(bytes).0;
            prop_assert_eq!(&decoded[..], theirs["raw"].as_str().unwrap());
        }
    }

    #[test]
    fn bytes_that_an_encoding_does_not_have_cost_their_row_whatever_the_chunks(
        source in vec(prop_oneof![Just(b','), Just(b'\n'), Just(b'\r'), Just(b'a'), Just(0x81), Just(0xff), Just(b'"')], 0..80),
        label in prop::sample::select(&["utf-16le", "shift_jis", "gb18030", "euc-kr", "utf-8"][..]),
        sizes in vec(0usize..9, 1..5),
    ) {
        let header = encode("x,y\n", label);
        let source = [&header[..], &source].concat();
        let options = Options {
            told: Told { encoding: Encoding::for_label(label.as_bytes()), ..Told::rfc4180() },
            max_record_bytes: 64,
            ..Options::default()
        };
        let whole = run_chunked(&source, &[], &options).unwrap();
        let chunked = run_chunked(&source, &sizes, &options).unwrap();
        prop_assert_eq!(&whole.output, &chunked.output);
        prop_assert_eq!(&whole.rejects, &chunked.rejects);
        prop_assert_eq!(&whole.summary, &chunked.summary);
        let has_replaced = whole.output.windows(3).any(|bytes| bytes == "\u{fffd}".as_bytes());
        prop_assert!(!has_replaced);
    }

    #[test]
    fn what_is_found_does_not_depend_on_chunks(source in vec(any::<u8>(), 0..300), text in csvish(), sizes in vec(0usize..50, 1..5)) {
        for source in [source, text.into_bytes()] {
            let found = |sizes: &[usize]| run_chunked(&source, sizes, &Options::default()).map(|ran| (ran.output, ran.summary)).map_err(|error| error.to_string());
            prop_assert_eq!(found(&[]), found(&sizes));
        }
    }
}

#[test]
fn utf16_is_found_with_and_without_its_mark() {
    let text = "id;name\r\n1;Zoé\r\n2;\"a;b\"\r\n3\r\n";
    for (label, mark) in
        [("utf-16le", "\u{feff}"), ("utf-16be", "\u{feff}"), ("utf-16le", ""), ("utf-16be", "")]
    {
        let source = encode(&format!("{mark}{text}"), label);
        let ran = run(&source);
        assert_eq!(std::str::from_utf8(&ran.output).unwrap(), "id,name\n1,Zoé\n2,a;b\n");
        assert_eq!(
            (ran.summary.dialect.encoding.as_str(), ran.summary.dialect.bom),
            (label, !mark.is_empty())
        );
        assert_eq!(ran.summary.spans.skipped, 2 * mark.encode_utf16().count() as u64);
        assert_eq!(ran.rejects[0]["byte_offset"], source.len() - 6);
    }
}

#[test]
fn latin_text_is_found() {
    let text = "nom;ville;prix\nAndré;Orléans;5,20 €\nZoé;Saint-Étienne;3,10 €\nFrançois;Besançon;7,00 €\n";
    let ran = run(&encode(text, "windows-1252"));
    assert_eq!(
        std::str::from_utf8(&ran.output).unwrap(),
        "nom,ville,prix\nAndré,Orléans,\"5,20 €\"\nZoé,Saint-Étienne,\"3,10 €\"\nFrançois,Besançon,\"7,00 €\"\n"
    );
    assert_eq!(ran.summary.dialect.encoding, "windows-1252");
}
