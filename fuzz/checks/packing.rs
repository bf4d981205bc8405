//! Compresses and decompresses bytes in memory.

use std::io::{Read as _, Write as _};

use engine::Compression;

/// A file in two members or frames.
pub(crate) fn wrapped(file: &[u8], compression: Compression) -> Vec<u8> {
    let (front, back) = file.split_at(file.len() / 2);
    let pack = |text: &[u8]| match compression {
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        _ => zstd::encode_all(text, 1).unwrap(),
    };
    [pack(front), pack(back)].concat()
}

/// What an output holds.
pub(crate) fn unwrapped(output: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::Gzip => {
            let mut text = Vec::new();
            flate2::read::MultiGzDecoder::new(output).read_to_end(&mut text).unwrap();
            text
        }
        _ => zstd::decode_all(output).unwrap(),
    }
}
