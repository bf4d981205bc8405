//! The rows that computed objects are made of.

use std::io::Write as _;

use anyhow::Context as _;
use bytes::Bytes;
use common::sim::Repeated;

/// Bytes of text that are computed once and repeated: more than any window of a compressor, so that repeating them
/// does not flatter it.
const BODY_BYTES: usize = 4 * 1024 * 1024;

const HEADER: &[u8] = b"trip_id,pickup_at,passengers,distance_km,from_zone,to_zone,fare,tip,note\n";

/// A CSV of at least `bytes` bytes of text, gzipped or not. The same for the same arguments, on every machine.
pub fn trips(bytes: u64, gzip: bool) -> anyhow::Result<Trips> {
    let mut body = Vec::with_capacity(BODY_BYTES + 256);
    let mut rows_in_body = 0u64;
    let mut random = fastrand::Rng::with_seed(1);
    while body.len() < BODY_BYTES {
        let (minute, note) = (random.u32(0..1440), ["", "card", "cash", "no show"][random.usize(0..4)]);
        writeln!(
            body,
            "{:08x},2026-{:02}-{:02}T{:02}:{:02}:00Z,{},{}.{:02},{},{},{}.{:02},{}.{:02},{note}",
            random.u32(..),
            random.u32(1..13),
            random.u32(1..29),
            minute / 60,
            minute % 60,
            random.u32(1..7),
            random.u32(0..40),
            random.u32(0..100),
            random.u32(1..266),
            random.u32(1..266),
            random.u32(3..90),
            random.u32(0..100),
            random.u32(0..15),
            random.u32(0..100),
        )
        .context("compute rows")?;
        rows_in_body += 1;
    }
    let times = bytes.div_ceil(body.len() as u64).max(1);
    let text = Repeated { head: Bytes::from_static(HEADER), body: body.into(), times };
    let object = if gzip { gzipped(&text)? } else { text.clone() };
    Ok(Trips { text_bytes: text.size(), rows: rows_in_body * times, object })
}

/// Rows, and the object that holds them.
#[derive(Debug, Clone)]
pub struct Trips {
    /// Rows, without the header.
    pub rows: u64,
    /// Bytes of text.
    pub text_bytes: u64,
    /// The object, compressed or not.
    pub object: Repeated,
}

/// One gzip member for the head, and one for each repetition of the body.
fn gzipped(text: &Repeated) -> anyhow::Result<Repeated> {
    let member = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).map(Bytes::from).context("compress rows")
    };
    Ok(Repeated { head: member(&text.head)?, body: member(&text.body)?, times: text.times })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_arguments_give_the_same_rows() {
        let (once, twice) = (trips(1, false).unwrap(), trips(10 << 20, false).unwrap());
        assert_eq!(once.object.body, twice.object.body);
        assert_eq!(twice.rows, once.rows * twice.object.times);
        let lines = memchr::memchr_iter(b'\n', &once.object.body).count() as u64;
        assert_eq!(lines, once.rows);
        assert!(trips(1, true).unwrap().object.size() < once.object.size());
    }
}
