//! What holds for every input.

use engine::{
    Comment, EngineError, Escape, InvalidBytes, Options, Policies, Quote, Ragged, StrayQuotes, Terminator,
    Told,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::against_csv;
use crate::harness::{gunzip, gzip, run_chunked, unzstd, zstd};

/// Text made of what CSV is sensitive to.
pub(crate) fn csvish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        6 => Just(b",".to_vec()),
        4 => Just(b"\n".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        4 => Just(b"\"".to_vec()),
        1 => Just(b"\"\"".to_vec()),
        1 => Just(b"\xef\xbb\xbf".to_vec()),
        1 => Just(b"\xff".to_vec()),
        1 => Just(b"\\".to_vec()),
        8 => "[a-c ]{0,3}".prop_map(String::into_bytes),
        3 => "\"[a,\n]{0,4}\"".prop_map(String::into_bytes),
    ];
    vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn told() -> Options {
    Options { told: Told::rfc4180(), ..Options::default() }
}

/// Any dialect, and the policies that mend most.
pub(crate) fn any_dialect() -> impl Strategy<Value = Options> {
    let quotes = [Quote::Byte(b'"'), Quote::Byte(b'a'), Quote::None];
    let escapes = [Escape::Doubled, Escape::None, Escape::Byte(b'\\')];
    let terminators = [Terminator::Any, Terminator::Lf, Terminator::CrLf, Terminator::Cr];
    let delimiters = [&b","[..], b" ", b", ", b",,", b"b"];
    let comments = [Comment::None, Comment::Prefix(b"b".to_vec())];
    let told = (
        prop::sample::select(delimiters.to_vec()).prop_map(<[u8]>::to_vec),
        prop::sample::select(quotes.to_vec()),
        prop::sample::select(escapes.to_vec()),
        prop::sample::select(terminators.to_vec()),
        prop::sample::select(comments.to_vec()),
        0u64..3,
        0u64..3,
    );
    let policies = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (told, policies).prop_map(|(told, (ragged, repair, replace, trim))| {
        let (delimiter, quote, escape, terminator, comment, header_lines, preamble_lines) = told;
        let told = Told {
            delimiter: Some(delimiter),
            quote: Some(quote),
            escape: Some(escape),
            terminator: Some(terminator),
            comment: Some(comment),
            header_lines: Some(header_lines),
            preamble_lines: Some(preamble_lines),
            ..Told::default()
        };
        let policies = Policies {
            ragged: Ragged { pad: ragged, truncate_empty: ragged },
            stray_quotes: if repair { StrayQuotes::Repair } else { StrayQuotes::Reject },
            invalid_bytes: if replace { InvalidBytes::Replace } else { InvalidBytes::Reject },
            trim,
            ..Policies::default()
        };
        Options { max_record_bytes: 24, told, policies, ..Options::default() }
    })
}

fn small() -> Options {
    Options { max_record_bytes: 24, told: Told::rfc4180(), ..Options::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn agrees_with_csv(input in csvish()) {
        if !input.starts_with(b"\"") {
            against_csv::agrees(&[b"x,y\n", &input[..]].concat());
        }
    }

    #[test]
    fn any_chunking_gives_the_same(
        input in csvish(),
        sizes in vec(0usize..9, 1..5),
        block in 1usize..40,
        threads in 1usize..3,
    ) {
        let input = [b"x,y\n", &input[..]].concat();
        let whole = run_chunked(&input, &[], &small()).unwrap();
        let chunked = run_chunked(&input, &sizes, &Options { block_bytes: block, ..small() }).unwrap();
        prop_assert_eq!(&whole.output, &chunked.output);
        prop_assert_eq!(&whole.rejects, &chunked.rejects);
        prop_assert_eq!(&whole.summary, &chunked.summary);

        let options = Options { block_bytes: block, threads, ..small() };
        let zipped = run_chunked(&gzip(&input), &sizes, &options).unwrap();
        prop_assert_eq!(&whole.output, &gunzip(&zipped.output));
        prop_assert_eq!(whole.summary.spans, zipped.summary.spans);
        let zipped = run_chunked(&zstd(&input), &sizes, &options).unwrap();
        prop_assert_eq!(&whole.output, &unzstd(&zipped.output));
        prop_assert_eq!(whole.summary.spans, zipped.summary.spans);
    }

    #[test]
    fn any_dialect_gives_the_same_whatever_the_chunks_and_parses_back(
        input in csvish(),
        options in any_dialect(),
        sizes in vec(0usize..9, 1..5),
        block in 1usize..40,
    ) {
        let outcome = |sizes: &[usize], block_bytes| {
            match run_chunked(&input, sizes, &Options { block_bytes, ..options.clone() }) {
                Ok(ran) => Ok((ran.output, ran.rejects, ran.summary)),
                Err(EngineError::BadFile(bad)) => Err(bad),
                Err(error) => panic!("{error:?}"),
            }
        };
        let whole = outcome(&[], 1 << 20);
        prop_assert_eq!(&whole, &outcome(&sizes, block));
        if let Ok((output, _, summary)) = whole {
            prop_assert_eq!(summary.spans.total(), input.len() as u64);
            let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&output[..]);
            let rows = reader.byte_records().collect::<Result<Vec<_>, _>>().unwrap().len() as u64;
            prop_assert_eq!(rows, summary.counts.rows_out + u64::from(summary.dialect.header));
        }
    }

    #[test]
    fn a_clean_file_passes_through_unchanged(input in csvish()) {
        let input = [b"x,y\n", &input[..]].concat();
        let once = run_chunked(&input, &[], &small()).unwrap();
        let twice = run_chunked(&once.output, &[], &told()).unwrap();
        prop_assert_eq!(&once.output, &twice.output);
        prop_assert_eq!(twice.summary.counts.rows_rejected, 0);
    }

    #[test]
    fn rejects_name_their_bytes(input in csvish()) {
        let input = [b"x,y\n", &input[..]].concat();
        let ran = run_chunked(&input, &[], &told()).unwrap();
        for reject in &ran.rejects {
            let start = usize::try_from(reject["byte_offset"].as_u64().unwrap()).unwrap();
            let length = usize::try_from(reject["byte_length"].as_u64().unwrap()).unwrap();
            if reject["raw_encoding"] == "utf8" {
                prop_assert_eq!(reject["raw"].as_str().unwrap().as_bytes(), &input[start..start + length]);
            }
            let newlines = input[..start].split(|byte| *byte == b'\n').count() as u64;
            let returns = input[..start].iter().enumerate()
                .filter(|(at, byte)| **byte == b'\r' && input.get(at + 1) != Some(&b'\n')).count() as u64;
            let line = reject["line"].as_u64().unwrap();
            prop_assert!(line >= newlines && line <= newlines + returns);
        }
    }

    #[test]
    fn nothing_panics(input in vec(any::<u8>(), 0..200), sizes in vec(0usize..50, 1..4), block in 1usize..300) {
        match run_chunked(&input, &sizes, &Options { block_bytes: block, ..small() }) {
            Ok(ran) => prop_assert!(ran.summary.adds_up()),
            Err(EngineError::BadFile(_)) => {}
            Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn larger_blocks_and_runs_handed_on_as_they_lie_give_the_same(
        rows in vec(csvish(), 0..8),
        sizes in vec(0usize..20_000, 1..5),
        block in 1000usize..20_000,
    ) {
        let input = [b"x,y\n", &rows.join(&b"a,b\n".repeat(2000)[..]).repeat(3)[..]].concat();
        let whole = run_chunked(&input, &[], &told()).unwrap();
        let chunked =
            run_chunked(&input, &sizes, &Options { block_bytes: block, ..told() }).unwrap();
        prop_assert!(whole.output == chunked.output);
        prop_assert_eq!(&whole.rejects, &chunked.rejects);
        prop_assert_eq!(&whole.summary, &chunked.summary);
    }
}
