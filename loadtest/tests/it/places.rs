//! Every byte of a file has one place, however it is come by: in one go, from anywhere, on any number of threads,
//! compressed or not.

use std::io::Read as _;

use loadtest::generate::{Compression, Length, Profile, Spec, Text, pack};
use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::generated::{PROFILES, spec, whole};

pub(crate) const COMPRESSIONS: [Compression; 4] =
    [Compression::None, Compression::Gzip, Compression::Zstd, Compression::Bgzip];

pub(crate) fn packed(text: &Text, compression: Compression, threads: usize) -> Vec<u8> {
    let (mut file, mut rows) = (Vec::new(), 0);
    pack(text, compression, threads, |bytes, made| {
        assert!(made >= rows && made <= text.rows());
        rows = made;
        file.extend_from_slice(&bytes);
        Ok(bytes)
    })
    .unwrap();
    assert_eq!(rows, text.rows());
    file
}

pub(crate) fn unpacked(file: &[u8], compression: Compression) -> Vec<u8> {
    let mut text = Vec::new();
    match compression {
        Compression::None => text.extend_from_slice(file),
        // A reader of one member only.
        Compression::Gzip => drop(flate2::read::GzDecoder::new(file).read_to_end(&mut text).unwrap()),
        Compression::Bgzip => drop(flate2::read::MultiGzDecoder::new(file).read_to_end(&mut text).unwrap()),
        Compression::Zstd => zstd::stream::copy_decode(file, &mut text).unwrap(),
    }
    text
}

#[test]
fn a_file_has_the_same_bytes_however_it_is_made() {
    for (profile, rows) in [(Profile::Taxi, 30_000), (Profile::Orders, 1), (Profile::Wide, 0)] {
        let spec = spec(profile, rows, Some("1/1000:ragged,huge"));
        let text = Text::new(&spec).unwrap();
        let plain = whole(&text);
        for compression in COMPRESSIONS {
            let one = packed(&text, compression, 1);
            assert!(unpacked(&one, compression) == plain, "{compression:?}");
            assert!(packed(&text, compression, 3) == one, "{compression:?}");
        }
    }
}

/// `SAMv1`, 4.1: an extra field says how long each block is, and an empty one ends the file.
#[test]
fn bgzip_is_made_of_blocks_that_say_their_length() {
    let text = Text::new(&spec(Profile::Taxi, 30_000, None)).unwrap();
    let file = packed(&text, Compression::Bgzip, 1);
    let (mut at, mut blocks) = (0, 0);
    while at < file.len() {
        assert_eq!(file[at..at + 4], [0x1f, 0x8b, 8, 4]);
        assert_eq!(file[at + 10..at + 16], [6, 0, b'B', b'C', 2, 0]);
        at += usize::from(u16::from_le_bytes([file[at + 16], file[at + 17]])) + 1;
        blocks += 1;
    }
    assert_eq!(at, file.len());
    assert_eq!(blocks, whole(&text).len().div_ceil(0xff00).max(1) + extra_blocks(&text));
    assert_eq!(file[file.len() - 28..][16..18], [0x1b, 0]);
}

/// Blocks that a piece's end cuts short, and the empty one.
fn extra_blocks(text: &Text) -> usize {
    let mut pieces = 0;
    let mut blocks = 0;
    pack(text, Compression::None, 1, |bytes, _| {
        if !bytes.is_empty() {
            pieces += 1;
            blocks += bytes.len().div_ceil(0xff00);
        }
        Ok(bytes)
    })
    .unwrap();
    assert!(pieces > 1);
    blocks - whole(text).len().div_ceil(0xff00) + 1
}

#[test]
fn a_size_is_reached_by_as_few_rows_as_can_be() {
    for profile in PROFILES {
        for (size, dirt) in [(1, None), (1_000_000, None), (3_000_000, Some("1/1000:huge"))] {
            let spec = Spec { length: Length::Bytes(size), ..spec(profile.clone(), 0, dirt) };
            let text = Text::new(&spec).unwrap();
            assert!(text.bytes() >= size);
            let less = Spec { length: Length::Rows(text.rows().saturating_sub(1)), ..spec };
            assert!(text.rows() == 0 || Text::new(&less).unwrap().bytes() < size);
        }
    }
}

/// What `sim` serves: no more is made of 64 GiB than is read.
#[test]
fn the_last_row_of_a_huge_file_is_there_at_once() {
    let spec = Spec {
        length: Length::Bytes(64 << 30),
        ..spec(Profile::Orders, 0, Some("0.01%:ragged,quotes,bytes,huge"))
    };
    let text = Text::new(&spec).unwrap();
    let last = text.offset(text.rows() - 1);
    let row = text.read(last);
    assert_eq!(last + row.len() as u64, text.bytes());
    let serial = (99_999_999_999 + text.rows()).to_string();
    assert!(row.starts_with(serial.as_bytes()));
    assert!(row.ends_with(b"\n"));
    assert!(text.read(text.bytes()).is_empty());
    assert!(text.rejects().next().is_some());
}

/// A change of these is a change of all files: `VERSION` in `spec.rs` goes with it.
#[test]
fn the_bytes_are_those_of_every_machine() {
    const GOLDEN: [&str; 5] =
        ["bbe475909d5dbd52", "242b942f0fa037c0", "2e58ab9e39494595", "f97ff18b59e4f484", "adb8e4ded1664971"];
    let hashes = PROFILES.map(|profile| {
        let text = Text::new(&spec(profile, 5000, Some("1/50"))).unwrap();
        let hash = Sha256::digest(whole(&text));
        common::contract::hex(&hash[..8])
    });
    assert_eq!(hashes, GOLDEN);
}

#[test]
fn another_seed_gives_other_rows() {
    let one = spec(Profile::Taxi, 100, None);
    let other = Spec { seed: 2, ..one.clone() };
    assert_ne!(whole(&Text::new(&one).unwrap()), whole(&Text::new(&other).unwrap()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    /// Offsets and lines, which are computed, are those that counting gives.
    #[test]
    fn rows_begin_where_they_are_said_to(seed in any::<u64>(), one_in in 4u64..40, rows in 1u64..3000) {
        for profile in [Profile::Orders, Profile::Narrow] {
            let dirt = format!("1/{one_in}:ragged");
            let text = Text::new(&Spec { seed, ..spec(profile, rows, Some(&dirt)) }).unwrap();
            let file = whole(&text);
            for row in (0..rows).step_by(97).chain([rows - 1]) {
                let offset = usize::try_from(text.offset(row)).unwrap();
                let serial = (100_000_000_000 + row).to_string();
                // The serial's first two digits are never spoiled by these.
                prop_assert!(file[offset..].starts_with(&serial.as_bytes()[..2]));
                let lines = memchr::memchr_iter(b'\n', &file[..offset]).count() as u64;
                prop_assert_eq!(text.line(row), lines + 1);
                let read = text.read(text.offset(row));
                prop_assert!(file[offset..].starts_with(&read));
            }
        }
    }
}
