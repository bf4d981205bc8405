//! Bzip2, xz and zip, whole and damaged. Whole ones are made by the tools of these names, or by Python's `zipfile`.

use std::io::Write as _;
use std::process::{Command, Stdio};

use engine::{Compression, EngineError, InflateLimits, Options};

use crate::harness::{gunzip, run, run_bad, run_chunked};

const TEXT: &[u8] = b"id,name\n1,a\n2,b\n3\n4,d\n";
const CLEAN: &[u8] = b"id,name\n1,a\n2,b\n4,d\n";

/// What a program makes of its standard input.
fn piped(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}");
    output.stdout
}

/// By Python's own modules, which are there wherever Python is.
fn packed(code: &str, input: &[u8]) -> Vec<u8> {
    let code = format!("import sys, bz2, lzma, zipfile, io\ntext = sys.stdin.buffer.read()\n{code}");
    piped("python3", &["-c", &code], input)
}

fn bzip2(input: &[u8]) -> Vec<u8> {
    packed("sys.stdout.buffer.write(bz2.compress(text))", input)
}

fn xz(input: &[u8]) -> Vec<u8> {
    packed("sys.stdout.buffer.write(lzma.compress(text))", input)
}

/// A zip of the files that Python expression names, each with its content.
fn zip(files: &str, method: &str) -> Vec<u8> {
    let code = format!(
        "out = io.BytesIO()\nwith zipfile.ZipFile(out, 'w', zipfile.{method}) as z:\n for n, t in {files}: z.writestr(n, t)\n\
         sys.stdout.buffer.write(out.getvalue())"
    );
    packed(&code, TEXT)
}

/// A zip written to a pipe, which says a file's length only behind it.
fn streamed_zip() -> Vec<u8> {
    let code = "class Pipe(io.RawIOBase):\n def writable(self): return True\n def write(self, b): return sys.stdout.buffer.write(b)\n\
                with zipfile.ZipFile(Pipe(), 'w', zipfile.ZIP_DEFLATED) as z: z.writestr('a.csv', text)";
    packed(code, TEXT)
}

#[test]
fn every_stream_is_read_whatever_the_chunks() {
    for (pack, compression) in
        [(bzip2 as fn(&[u8]) -> Vec<u8>, Compression::Bzip2), (xz as fn(&[u8]) -> Vec<u8>, Compression::Xz)]
    {
        let parts: Vec<u8> = TEXT.chunks(9).flat_map(pack).collect();
        for (sizes, threads) in [(&[][..], 1), (&[1][..], 1), (&[3, 0, 11][..], 2)] {
            let ran = run_chunked(&parts, sizes, &Options { threads, ..Options::default() }).unwrap();
            assert_eq!(gunzip(&ran.output), CLEAN);
            assert_eq!(ran.summary.members, TEXT.chunks(9).count() as u64);
            assert_eq!(ran.summary.input_bytes, parts.len() as u64);
            assert_eq!(ran.summary.input_compression, compression);
            assert_eq!(ran.summary.output_compression, Compression::Gzip);
        }
    }
}

#[test]
fn a_zip_of_one_file_is_read_whatever_the_chunks() {
    let files = [
        zip("[('a.csv', text)]", "ZIP_DEFLATED"),
        zip("[('folder/', b''), ('folder/a.csv', text)]", "ZIP_DEFLATED"),
        zip("[('a.csv', text)]", "ZIP_STORED"),
        streamed_zip(),
    ];
    for file in files {
        for sizes in [&[][..], &[1], &[3, 0, 11]] {
            let ran = run_chunked(&file, sizes, &Options::default()).unwrap();
            assert_eq!(gunzip(&ran.output), CLEAN);
            assert_eq!(ran.summary.members, 1);
            assert_eq!(ran.summary.input_bytes, file.len() as u64);
        }
    }
}

/// How the sizes of a zip's entry are told: before it, or behind it in 32 or 64 bits, with a signature or without.
#[derive(Clone, Copy, PartialEq)]
enum Sizes {
    Before,
    Behind32,
    Behind64,
    Unsigned32,
    Unsigned64,
}

/// An entry with what the directory says of it.
#[derive(Clone)]
struct Entry {
    bytes: Vec<u8>,
    /// The directory's record behind its first four bytes and up to the offset, and the name.
    record: Vec<u8>,
    name: String,
}

/// An entry as other programs write it.
fn entry(name: &str, content: &[u8], deflated: bool, sizes: Sizes) -> Entry {
    let mut packed = Vec::new();
    if deflated {
        let mut encoder = flate2::write::DeflateEncoder::new(&mut packed, flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap();
    } else {
        packed.extend_from_slice(content);
    }
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap();
    let header = |known: bool| {
        let flags = if sizes == Sizes::Before { 0 } else { 8 };
        let mut out = Vec::new();
        for short in [20, flags, if deflated { 8 } else { 0 }, 0, 0u16] {
            out.extend_from_slice(&short.to_le_bytes());
        }
        for long in [crc.sum(), length(&packed), length(content)] {
            out.extend_from_slice(&if known { long } else { 0 }.to_le_bytes());
        }
        out.extend_from_slice(&u16::try_from(name.len()).unwrap().to_le_bytes());
        out.extend_from_slice(&[0, 0]);
        out
    };
    let record = [&[20, 0][..], &header(true), &[0; 10]].concat();
    let mut bytes = [b"PK\x03\x04", &header(sizes == Sizes::Before)[..], name.as_bytes(), &packed].concat();
    if matches!(sizes, Sizes::Behind32 | Sizes::Behind64) {
        bytes.extend_from_slice(b"PK\x07\x08");
    }
    if sizes != Sizes::Before {
        bytes.extend_from_slice(&crc.sum().to_le_bytes());
        for size in [length(&packed), length(content)] {
            match sizes {
                Sizes::Behind64 | Sizes::Unsigned64 => {
                    bytes.extend_from_slice(&u64::from(size).to_le_bytes());
                }
                _ => bytes.extend_from_slice(&size.to_le_bytes()),
            }
        }
    }
    Entry { bytes, record, name: name.into() }
}

/// A zip whose directory lists the entries of `listed` by their places in `entries`.
fn listing(entries: &[&Entry], listed: &[usize]) -> Vec<u8> {
    let (mut out, mut offsets) = (Vec::new(), Vec::new());
    for entry in entries {
        offsets.push(u32::try_from(out.len()).unwrap());
        out.extend_from_slice(&entry.bytes);
    }
    let start = out.len();
    for at in listed {
        let Entry { record, name, .. } = entries[*at];
        let record = [b"PK\x01\x02", &record[..], &offsets[*at].to_le_bytes(), name.as_bytes()];
        out.extend_from_slice(&record.concat());
    }
    let size = u32::try_from(out.len() - start).unwrap();
    let count = u16::try_from(listed.len()).unwrap().to_le_bytes();
    out.extend_from_slice(b"PK\x05\x06\0\0\0\0");
    for part in
        [&count[..], &count, &size.to_le_bytes(), &u32::try_from(start).unwrap().to_le_bytes(), &[0, 0]]
    {
        out.extend_from_slice(part);
    }
    out
}

fn archive(entries: &[&Entry]) -> Vec<u8> {
    listing(entries, &(0..entries.len()).collect::<Vec<_>>())
}

#[test]
fn entries_that_are_none_of_the_data_are_passed_over_however_they_are_written() {
    let all = [Sizes::Before, Sizes::Behind32, Sizes::Behind64, Sizes::Unsigned32, Sizes::Unsigned64];
    for sizes in all {
        for deflated in [false, true] {
            let folder = entry("folder/", b"", deflated, sizes);
            let mac = entry("__MACOSX/folder/._a.csv", b"\0\x05\x16\x07 and so on", true, sizes);
            let view = entry("folder/.DS_Store", b"\0\0\0\x01Bud1 and so on", true, sizes);
            let file = entry("folder/a.csv", TEXT, true, sizes);
            let zip = archive(&[&folder, &folder, &mac, &file, &mac, &view, &folder]);
            for chunks in [&[][..], &[1], &[3, 0, 11]] {
                let ran = run_chunked(&zip, chunks, &Options::default()).unwrap();
                assert_eq!(gunzip(&ran.output), CLEAN);
                assert_eq!(ran.summary.input_bytes, zip.len() as u64);
            }
            let two = archive(&[&folder, &file, &folder, &file]);
            assert!(run_bad(&two).message.contains("more than one file"));
        }
    }
    let small = vec![b'x'; 100 << 10];
    let apple = |length| [&b"\0\x05\x16\x07"[..], &small.repeat(length)].concat();
    let large = entry("__MACOSX/._a.csv", &apple(30), true, Sizes::Behind32);
    assert!(run_bad(&archive(&[&large])).message.contains("more than one file"));
    let file = entry("a.csv", TEXT, true, Sizes::Before);
    let part = entry("__MACOSX/._a.csv", &apple(1), true, Sizes::Before);
    assert!(run_bad(&archive(&[&[&file], &[&part; 12][..]].concat())).message.contains("a zip with more"));
}

#[test]
fn a_file_of_data_is_never_passed_over_for_its_name() {
    let file = entry("a.csv", TEXT, true, Sizes::Before);
    for name in ["folder/", "__MACOSX/b.csv", "__MACOSX/._b.csv", ".DS_Store", "b.DS_Store"] {
        for deflated in [false, true] {
            let other = entry(name, TEXT, deflated, Sizes::Before);
            for zip in [archive(&[&other, &file]), archive(&[&file, &other])] {
                assert!(run_bad(&zip).message.contains("more than one file"), "{name}");
            }
        }
    }
}

#[test]
fn what_the_directory_does_not_say_the_same_of_fails_the_file() {
    let (folder, file) =
        (entry("folder/", b"", false, Sizes::Before), entry("a.csv", TEXT, true, Sizes::Before));
    let entries = [&folder, &file];
    for listed in [&[0][..], &[1], &[0, 0], &[0, 1, 1]] {
        assert_eq!(run_bad(&listing(&entries, listed)).code, "corrupt_zip", "{listed:?}");
    }
    let good = listing(&entries, &[1, 0]);
    assert_eq!(gunzip(&run(&good).output), CLEAN);
    let behind = [&good[..], &archive(&[&file])].concat();
    let bad = run_bad(&behind);
    assert_eq!((bad.code, bad.byte_offset), ("trailing_garbage", Some(good.len() as u64)));
    // The size before a file, where it is not the file's.
    let mut short = file.clone();
    short.bytes[22] ^= 1;
    assert_eq!(run_bad(&archive(&[&short])).code, "corrupt_zip");
}

#[test]
fn a_descriptor_that_does_not_fit_its_file_fails_it() {
    let good = entry("a.csv", TEXT, true, Sizes::Behind32);
    for at in good.bytes.len() - 12..good.bytes.len() {
        let mut bad = good.clone();
        bad.bytes[at] ^= 1;
        assert_eq!(run_bad(&archive(&[&bad])).code, "corrupt_zip", "byte {at}");
    }
}

#[test]
fn a_zip_that_is_none_of_one_csv_is_refused_with_the_reason() {
    for (file, reason) in [
        (zip("[('a.csv', text), ('b.csv', text)]", "ZIP_DEFLATED"), "more than one file"),
        (zip("[('[Content_Types].xml', text), ('xl/x', text)]", "ZIP_DEFLATED"), ".xlsx"),
        (zip("[('a.csv', text)]", "ZIP_BZIP2"), "another method"),
        (zip("[('folder/', b'')]", "ZIP_STORED"), "without a file"),
    ] {
        let bad = run_bad(&file);
        assert_eq!(bad.code, "unsupported_format");
        assert!(bad.message.contains(reason), "{}", bad.message);
    }
}

#[test]
fn a_cut_at_any_byte_fails_the_file() {
    for (whole, code) in [
        (bzip2(TEXT), "truncated_bzip2"),
        (xz(TEXT), "truncated_xz"),
        (zip("[('a.csv', text)]", "ZIP_DEFLATED"), "zip"),
        (zip("[('a.csv', text)]", "ZIP_STORED"), "zip"),
        (streamed_zip(), "zip"),
    ] {
        for cut in 10..whole.len() {
            let bad = run_bad(&whole[..cut]);
            assert!(bad.code.ends_with(code), "cut at {cut} of {}: {}", whole.len(), bad.code);
        }
    }
}

#[test]
fn a_flipped_bit_never_passes_as_other_rows() {
    for whole in [bzip2(TEXT), xz(TEXT), zip("[('a.csv', text)]", "ZIP_DEFLATED"), streamed_zip()] {
        for at in 48..whole.len() * 8 {
            let mut damaged = whole.clone();
            damaged[at / 8] ^= 1 << (at % 8);
            match run_chunked(&damaged, &[], &Options::default()) {
                Ok(ran) => assert_eq!(gunzip(&ran.output), CLEAN, "bit {at}"),
                Err(EngineError::BadFile(_)) => {}
                Err(error) => panic!("bit {at}: {error:?}"),
            }
        }
    }
}

#[test]
fn garbage_behind_the_last_stream_fails_the_file_and_zeros_do_not() {
    for whole in [bzip2(TEXT), xz(TEXT)] {
        assert_eq!(run(&[&whole[..], &[0; 8]].concat()).summary.counts.rows_in, 4);
        let bad = run_bad(&[&whole[..], b"x"].concat());
        assert_eq!((bad.code, bad.byte_offset), ("trailing_garbage", Some(whole.len() as u64)));
    }
}

#[test]
fn an_xz_window_beyond_the_limit_is_refused() {
    let file = packed("sys.stdout.buffer.write(lzma.compress(text, preset=9))", TEXT);
    let allowing = |max_window_log| Options {
        inflate: InflateLimits { max_window_log, ..InflateLimits::default() },
        ..Options::default()
    };
    assert!(run_chunked(&file, &[], &allowing(26)).is_ok());
    let Err(EngineError::BadFile(bad)) = run_chunked(&file, &[], &allowing(23)) else { panic!("it passed") };
    assert_eq!(bad.code, "xz_window_too_large");
}
