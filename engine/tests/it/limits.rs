//! What a compressed file may grow into.

use engine::{EngineError, Escape, InflateLimits, Options, Terminator, Told};

use crate::harness::{gzip, run_chunked, zstd};

const MIB: usize = 1024 * 1024;

fn bomb(bytes: usize) -> Vec<u8> {
    [&b"id\n"[..], &b"0\n".repeat(bytes / 2)].concat()
}

fn code(file: &[u8], limits: InflateLimits) -> Option<(&'static str, u64)> {
    let options = |threads| Options { inflate: limits, threads, ..Options::default() };
    let outcomes = [1, 2].map(|threads| match run_chunked(file, &[], &options(threads)) {
        Ok(_) => None,
        Err(EngineError::BadFile(bad)) => Some((bad.code, bad.byte_offset.unwrap())),
        Err(error) => panic!("{error:?}"),
    });
    assert_eq!(outcomes[0], outcomes[1], "the threads decide");
    outcomes[0]
}

#[test]
fn a_bomb_is_stopped_by_its_ratio() {
    let limits = InflateLimits { max_ratio: 50, ..InflateLimits::default() };
    for file in [gzip(&bomb(65 * MIB)), zstd(&bomb(65 * MIB))] {
        let (code, byte) = code(&file, limits).unwrap();
        assert_eq!(code, "decompression_bomb");
        assert!(byte <= file.len() as u64);
    }
    assert_eq!(code(&gzip(&bomb(63 * MIB)), limits), None, "a small file harms nobody");
}

#[test]
fn a_bomb_is_stopped_by_its_size() {
    let limits = InflateLimits { max_text_bytes: 1000, ..InflateLimits::default() };
    assert_eq!(code(&gzip(&bomb(1000)), limits).map(|(code, _)| code), Some("decompressed_too_large"));
    assert_eq!(code(&gzip(&bomb(996)), limits), None);
    // Plain text grows into nothing.
    assert_eq!(code(&bomb(10_000), limits), None);
}

#[test]
fn a_record_beyond_the_limit_is_never_two_rows() {
    let lf = Told { terminator: Some(Terminator::Lf), ..Told::rfc4180() };
    let escaped = Told { escape: Some(Escape::Byte(b'\\')), ..Told::rfc4180() };
    for (told, file, rejected) in [
        (lf, &b"a\nxxxxxxx\ryyy\n"[..], 1),
        (escaped.clone(), b"a\nxxxxxx\\\ryyy\n", 1),
        // Here the escape is escaped, and the `\r` ends the line.
        (escaped, b"a\nxxxxx\\\\\ryyy\n", 0),
        (Told::rfc4180(), b"a\nxxxxxxx\ryyy\n", 0),
    ] {
        let options = Options { max_record_bytes: 8, told, ..Options::default() };
        for sizes in [&[][..], &[1], &[3, 0, 7]] {
            let ran = run_chunked(file, sizes, &options).unwrap();
            assert_eq!(ran.summary.counts.rows_rejected, rejected, "{file:?}");
            if rejected == 0 {
                assert_eq!(ran.summary.counts.rows_out, 2);
            }
        }
    }
}
