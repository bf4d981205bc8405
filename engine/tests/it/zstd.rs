//! Zstd input, whole and damaged.

use engine::{Compression, EngineError, InflateLimits, Options};

use crate::harness::{run, run_bad, run_chunked, unzstd, zstd};

const TEXT: &[u8] = b"id,name\n1,a\n2,b\n3\n4,d\n";

/// A frame that says it is to be skipped.
const SKIPPED: &[u8] = b"\x50\x2a\x4d\x18\x03\0\0\0abc";

#[test]
fn every_frame_is_read_whatever_the_chunks() {
    let frames: Vec<u8> = TEXT.chunks(5).flat_map(zstd).chain(zstd(b"")).collect();
    for sizes in [&[][..], &[1], &[3, 0, 11]] {
        for threads in [1, 2] {
            let ran = run_chunked(&frames, sizes, &Options { threads, ..Options::default() }).unwrap();
            assert_eq!(unzstd(&ran.output), b"id,name\n1,a\n2,b\n4,d\n");
            assert_eq!(ran.summary.members, TEXT.chunks(5).count() as u64 + 1);
            assert_eq!(ran.summary.input_bytes, frames.len() as u64);
            assert_eq!(ran.summary.decompressed_bytes, TEXT.len() as u64);
            assert_eq!(ran.summary.output_compression, Compression::Zstd);
        }
    }
}

#[test]
fn frames_that_are_to_be_skipped_are() {
    let plain = Options { output_compression: Some(Compression::None), ..Options::default() };
    for file in [[SKIPPED, &zstd(TEXT)].concat(), [&zstd(TEXT)[..], SKIPPED].concat()] {
        assert_eq!(run_chunked(&file, &[], &plain).unwrap().output, b"id,name\n1,a\n2,b\n4,d\n");
    }
}

#[test]
fn a_cut_at_any_byte_fails_the_file() {
    let whole = zstd(TEXT);
    for cut in 4..whole.len() {
        let bad = run_bad(&whole[..cut]);
        assert_eq!((bad.code, bad.byte_offset), ("truncated_zstd", Some(cut as u64)), "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_never_passes_as_other_rows() {
    let whole = zstd(TEXT);
    let clean = unzstd(&run(&whole).output);
    for at in 32..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        match run_chunked(&damaged, &[], &Options::default()) {
            Ok(ran) => assert_eq!(unzstd(&ran.output), clean, "bit {at}"),
            Err(EngineError::BadFile(_)) => {}
            Err(error) => panic!("bit {at}: {error:?}"),
        }
    }
}

#[test]
fn what_follows_the_last_frame_is_padding_or_fails_the_file() {
    let whole = zstd(TEXT);
    assert_eq!(run(&[&whole[..], &[0; 1000]].concat()).summary.counts.rows_in, 4);
    let bad = run_bad(&[&whole[..], b"x"].concat());
    assert_eq!((bad.code, bad.byte_offset), ("trailing_garbage", Some(whole.len() as u64)));
}

#[test]
fn a_window_beyond_the_limit_is_refused_with_what_to_do() {
    let text = [&b"id,name\n"[..], &b"1,a\n".repeat(1_000_000)].concat();
    let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(21).unwrap();
    std::io::Write::write_all(&mut encoder, &text).unwrap();
    let file = encoder.finish().unwrap();
    let allowing = |max_window_log| Options {
        inflate: InflateLimits { max_window_log, ..InflateLimits::default() },
        ..Options::default()
    };
    assert_eq!(run_chunked(&file, &[], &allowing(21)).unwrap().summary.counts.rows_in, 1_000_000);
    let Err(EngineError::BadFile(bad)) = run_chunked(&file, &[], &allowing(20)) else { panic!("it passed") };
    assert_eq!(bad.code, "zstd_window_too_large");
    assert!(bad.message.contains("more than 1 MiB"), "{}", bad.message);
}
