//! A clean file against what it must be: by its checksum where S3 has one of the text, else byte by byte.

use std::io;
use std::sync::Arc;

use anyhow::Context as _;
use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use bytes::Bytes;
use common::contract::{ObjectRef, Receipt};
use common::store::{ErrorKind, Store};
use futures::TryStreamExt as _;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_util::io::StreamReader;

use super::locate::departure;
use crate::generate::{Compression, Text};
use crate::report::document::ProblemKind;

/// Read at once.
const BLOCK_BYTES: usize = 256 * 1024;
/// What is kept of the texts around the place where they differ.
const AROUND_BYTES: usize = 64 * 1024;

/// What is wrong with an output, and where in its text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: ProblemKind,
    pub(crate) byte_offset: Option<u64>,
    pub(crate) what: String,
}

/// Everything that is wrong with the only output of a receipt.
pub(crate) async fn faults(
    store: &dyn Store,
    receipt: &Receipt,
    text: &Arc<Text>,
    compression: Compression,
    threads: usize,
) -> anyhow::Result<Vec<Fault>> {
    let fault = |kind, what: String| Ok(vec![Fault { kind, byte_offset: None, what }]);
    let [output] = &receipt.outputs[..] else {
        return fault(ProblemKind::Wrong, format!("the receipt names {} outputs", receipt.outputs.len()));
    };
    let object = ObjectRef::new(&output.bucket, &output.key);
    let Some(meta) = store.head(&object).await? else {
        return fault(ProblemKind::Lost, format!("{} is not there", output.key));
    };
    if meta.etag != output.etag || meta.size != output.size {
        return fault(ProblemKind::Wrong, format!("{} is not the object that the receipt names", output.key));
    }
    if compression == Compression::None {
        let made = Arc::clone(text);
        let hashes = tokio::task::spawn_blocking(move || made.hash_clean(threads, false, |_| {}));
        let hashes = hashes.await.context("the thread that makes rows died")?;
        let stored = meta.checksum_crc64nvme.as_deref();
        if stored == Some(&hashes.crc64nvme) && meta.size == hashes.output_bytes {
            return Ok(Vec::new());
        }
    }
    compare(store, &object, text, compression).await
}

/// Reads the output to where it departs from what it must be.
async fn compare(
    store: &dyn Store,
    object: &ObjectRef,
    text: &Text,
    compression: Compression,
) -> anyhow::Result<Vec<Fault>> {
    let body = match store.get(object, None, None).await {
        Ok(body) => body,
        // A simulated store keeps no large output.
        Err(error) if error.kind == ErrorKind::NotFound => {
            let what = "its checksum is not that of what it must be, and its bytes were not kept".into();
            return Ok(vec![Fault { kind: ProblemKind::Wrong, byte_offset: None, what }]);
        }
        Err(error) => return Err(error.into()),
    };
    let raw = StreamReader::new(body.stream.map_err(io::Error::other));
    let mut reader: Box<dyn AsyncRead + Send + Unpin> = match compression {
        Compression::None => Box::new(raw),
        Compression::Gzip | Compression::Bgzip => {
            let mut decoder = GzipDecoder::new(raw);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
        Compression::Zstd => {
            let mut decoder = ZstdDecoder::new(raw);
            decoder.multiple_members(true);
            Box::new(decoder)
        }
    };
    let mut expected = Expected::new(text);
    let (mut before, mut offset) = (Vec::new(), 0_u64);
    loop {
        let found = block(&mut reader).await.with_context(|| format!("read {object}"))?;
        let wanted = expected.take(found.len().max(1));
        let same = found.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
        if same == found.len() && same == wanted.len() {
            if found.is_empty() {
                return Ok(Vec::new());
            }
            offset += same as u64;
            keep(&mut before, &found);
            continue;
        }
        let mut found = found;
        let mut wanted = wanted;
        found.extend_from_slice(&block(&mut reader).await.with_context(|| format!("read {object}"))?);
        wanted.extend_from_slice(&expected.take(BLOCK_BYTES));
        keep(&mut before, &found[..same]);
        let line = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let begun = before.split_off(line);
        let rest = |text: &[u8]| {
            let end = text.len().min(same + AROUND_BYTES);
            [&begun[..], &text[same.min(text.len())..end]].concat()
        };
        let departed = departure(&before, &rest(&wanted), &rest(&found));
        let byte_offset = Some(offset + same as u64 - begun.len() as u64);
        return Ok(vec![Fault { kind: departed.kind, byte_offset, what: departed.what }]);
    }
}

/// Keeps the last of what was the same.
fn keep(before: &mut Vec<u8>, more: &[u8]) {
    before.extend_from_slice(&more[more.len().saturating_sub(AROUND_BYTES)..]);
    let over = before.len().saturating_sub(AROUND_BYTES);
    before.drain(..over);
}

/// The next block; less than a whole one only at the end.
async fn block(reader: &mut (dyn AsyncRead + Send + Unpin)) -> io::Result<Vec<u8>> {
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    let mut limited = reader.take(BLOCK_BYTES as u64);
    while limited.read_buf(&mut block).await? > 0 {}
    Ok(block)
}

/// The clean text, as it must come out.
struct Expected<'a> {
    text: &'a Text,
    cycle: u64,
    ready: Bytes,
    scratch: Vec<u8>,
}

impl<'a> Expected<'a> {
    fn new(text: &'a Text) -> Self {
        Self { text, cycle: 0, ready: Bytes::copy_from_slice(text.header()), scratch: Vec::new() }
    }

    /// The next bytes; fewer than asked for only at the end.
    fn take(&mut self, length: usize) -> Vec<u8> {
        let mut taken = Vec::with_capacity(length.min(BLOCK_BYTES));
        while taken.len() < length {
            if self.ready.is_empty() {
                if self.cycle == self.text.cycles() {
                    break;
                }
                let mut made = Vec::new();
                self.text.write_clean_cycle(self.cycle, &mut self.scratch, &mut made);
                (self.ready, self.cycle) = (made.into(), self.cycle + 1);
                continue;
            }
            let next = self.ready.split_to(self.ready.len().min(length - taken.len()));
            taken.extend_from_slice(&next);
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use common::store::{Condition, MemoryStore, NewObject, Payload};

    use super::*;
    use crate::generate::{Length, Profile, Spec};

    fn text() -> Text {
        let spec = Spec {
            profile: Profile::Taxi,
            seed: 1,
            length: Length::Bytes(2 << 20),
            compression: Compression::None,
            dirt: Some("0.01".parse().unwrap()),
        };
        Text::new(&spec).unwrap()
    }

    /// What is found of an output that `spoil` makes of the right one.
    async fn found(compression: Compression, spoil: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<Fault> {
        let text = text();
        let clean = Expected::new(&text).take(usize::MAX >> 1);
        let store = MemoryStore::new();
        let object = ObjectRef::new("out", "clean/x.csv");
        let new = NewObject { object: object.clone(), content_type: "", metadata: [].into() };
        store.put(&new, Payload::new(spoil(clean).into()), &Condition::Always).await.unwrap();
        compare(&store, &object, &text, compression).await.unwrap()
    }

    /// Where the line with this number begins and ends.
    fn line(text: &[u8], number: usize) -> std::ops::Range<usize> {
        let mut ends = memchr::memchr_iter(b'\n', text);
        let start = ends.nth(number - 2).unwrap() + 1;
        start..ends.next().unwrap() + 1
    }

    #[tokio::test]
    async fn what_is_right_has_no_fault_also_where_it_is_compressed() {
        assert_eq!(found(Compression::None, |clean| clean).await, []);
        let packed = |clean: Vec<u8>| {
            // Two members, as any compressor may make them.
            let mut all = Vec::new();
            for half in clean.chunks(clean.len() / 2 + 1) {
                let mut member = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                member.write_all(half).unwrap();
                all.extend(member.finish().unwrap());
            }
            all
        };
        assert_eq!(found(Compression::Gzip, packed).await, []);
    }

    #[tokio::test]
    async fn a_lost_row_is_found_where_it_should_be() {
        for number in [2, 1000, 9000] {
            let mut at = 0;
            let faults = found(Compression::None, |mut clean| {
                let range = line(&clean, number);
                at = range.start as u64;
                clean.drain(range);
                clean
            });
            let [fault] = &faults.await[..] else { unreachable!("one fault") };
            assert_eq!(
                (fault.kind, fault.byte_offset),
                (ProblemKind::Lost, Some(at)),
                "{number}: {}",
                fault.what
            );
        }
    }

    #[tokio::test]
    async fn a_doubled_row_is_found_behind_itself() {
        let mut at = 0;
        let faults = found(Compression::None, |clean| {
            let range = line(&clean, 5000);
            at = range.end as u64;
            [&clean[..range.end], &clean[range.clone()], &clean[range.end..]].concat()
        });
        let [fault] = &faults.await[..] else { unreachable!("one fault") };
        assert_eq!((fault.kind, fault.byte_offset), (ProblemKind::Doubled, Some(at)), "{}", fault.what);
    }

    #[tokio::test]
    async fn a_changed_byte_and_a_missing_end_are_found() {
        let mut at = 0;
        let faults = found(Compression::None, |mut clean| {
            let range = line(&clean, 7000);
            at = range.start as u64;
            clean[range.start + 3] ^= 1;
            clean
        });
        let [fault] = &faults.await[..] else { unreachable!("one fault") };
        assert_eq!((fault.kind, fault.byte_offset), (ProblemKind::Wrong, Some(at)));
        let faults = found(Compression::None, |mut clean| {
            let range = line(&clean, 7000);
            at = range.start as u64;
            clean.truncate(range.start);
            clean
        });
        let [fault] = &faults.await[..] else { unreachable!("one fault") };
        assert_eq!((fault.kind, fault.byte_offset), (ProblemKind::Lost, Some(at)));
    }
}
