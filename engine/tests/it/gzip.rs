//! Compressed input, whole and damaged.

use engine::{Compression, EngineError, Options};

use crate::harness::{gunzip, gzip, run, run_bad, run_chunked};

const TEXT: &[u8] = b"id,name\n1,a\n2,b\n3\n4,d\n";

#[test]
fn every_member_is_read_whatever_the_chunks() {
    let parts: Vec<u8> = TEXT.chunks(5).flat_map(gzip).chain(gzip(b"")).collect();
    let members = TEXT.chunks(5).count() as u64 + 1;
    for sizes in [&[][..], &[1], &[3, 0, 11]] {
        let ran = run_chunked(&parts, sizes, &Options::default()).unwrap();
        assert_eq!(gunzip(&ran.output), b"id,name\n1,a\n2,b\n4,d\n");
        assert_eq!(ran.summary.members, members);
        assert_eq!(ran.summary.input_bytes, parts.len() as u64);
        assert_eq!(ran.summary.decompressed_bytes, TEXT.len() as u64);
        assert_eq!(ran.summary.output_bytes, ran.output.len() as u64);
    }
}

#[test]
fn zeros_behind_the_last_member_are_padding() {
    let padded = [gzip(TEXT), vec![0; 1000]].concat();
    assert_eq!(run(&padded).summary.counts.rows_in, 4);
}

#[test]
fn anything_else_behind_the_last_member_fails_the_file() {
    let whole = gzip(TEXT);
    for garbage in [&b"x"[..], b"\nabc", b"\x00\x00garbage"] {
        let bad = run_bad(&[&whole[..], garbage].concat());
        assert_eq!(bad.code, "trailing_garbage");
        let zeros = garbage.iter().take_while(|byte| **byte == 0).count();
        assert_eq!(bad.byte_offset, Some((whole.len() + zeros) as u64));
    }
}

#[test]
fn a_cut_at_any_byte_fails_the_file() {
    let whole = gzip(TEXT);
    for cut in 2..whole.len() {
        let bad = run_bad(&whole[..cut]);
        assert_eq!((bad.code, bad.byte_offset), ("truncated_gzip", Some(cut as u64)), "cut at {cut}");
    }
}

#[test]
fn a_flipped_bit_never_passes_as_other_rows() {
    let whole = gzip(TEXT);
    let clean = run(&whole).output;
    for at in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        match run_chunked(&damaged, &[], &Options::default()) {
            // Flags, time, and the name of the system that wrote it do not touch the rows.
            Ok(ran) if at / 8 >= 2 => assert_eq!(gunzip(&ran.output), gunzip(&clean), "bit {at}"),
            // Without its magic it is taken for text, and is none.
            Ok(ran) => panic!("bit {at} of the magic: {:?}", ran.summary),
            Err(EngineError::BadFile(_)) => {}
            Err(error) => panic!("bit {at}: {error:?}"),
        }
    }
}

#[test]
fn the_output_keeps_the_inputs_compression_unless_told() {
    let plain = Options { output_compression: Some(Compression::None), ..Options::default() };
    let gzipped = Options { output_compression: Some(Compression::Gzip), ..Options::default() };
    let expected = run(TEXT).output;
    assert_eq!(gunzip(&run(&gzip(TEXT)).output), expected);
    assert_eq!(run_chunked(&gzip(TEXT), &[], &plain).unwrap().output, expected);
    assert_eq!(gunzip(&run_chunked(TEXT, &[], &gzipped).unwrap().output), expected);
}
