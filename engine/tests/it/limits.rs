//! What a compressed file may grow into.

use engine::{EngineError, InflateLimits, Options};

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
