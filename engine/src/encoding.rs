//! Which encoding the text has, and the text in UTF-8 with its place in the source.

use bytes::Bytes;
use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{CoderResult, Encoding, UTF_8, UTF_16BE, UTF_16LE};
use memchr::memchr2_iter;

use crate::BadFile;
use crate::rows::Mark;

/// An encoding, and how it was found.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub encoding: &'static Encoding,
    /// Bytes of the byte-order mark, 0 where there is none.
    pub bom: usize,
    /// Out of a hundred.
    pub confidence: u8,
}

/// Encodings that nothing here reads, by their byte-order marks.
const REFUSED_BOMS: &[(&[u8], &str)] =
    &[(b"\xff\xfe\x00\x00", "UTF-32 LE"), (b"\x00\x00\xfe\xff", "UTF-32 BE")];

/// Zero bytes tell UTF-16 within so many.
const UTF16_LOOK_BYTES: usize = 4096;

/// Tells the encoding from the text's first bytes, `whole` if there are no more. A byte-order mark is believed before
/// anybody else.
pub(crate) fn detect(sample: &[u8], whole: bool, told: Option<&'static Encoding>) -> Result<Found, BadFile> {
    if let Some((_, name)) = REFUSED_BOMS.iter().find(|(bom, _)| sample.starts_with(bom)) {
        return Err(BadFile::new("unsupported_encoding", format!("the file is {name}; convert it to UTF-8"))
            .at_byte(0));
    }
    if let Some((encoding, bom)) = Encoding::for_bom(sample) {
        return Ok(Found { encoding, bom, confidence: 100 });
    }
    let found = |encoding, confidence| Ok(Found { encoding, bom: 0, confidence });
    if let Some(encoding) = told {
        return found(encoding, 100);
    }
    if let Some(encoding) = utf16_without_mark(sample) {
        return found(encoding, 90);
    }
    match simdutf8::compat::from_utf8(sample) {
        // So much of it and nothing but ASCII says nothing of what may follow.
        Ok(_) if sample.is_ascii() && !whole => return found(UTF_8, 95),
        Ok(_) => return found(UTF_8, 100),
        Err(error) if error.error_len().is_none() && !whole => return found(UTF_8, 100),
        Err(_) => {}
    }
    if is_mostly_utf8(sample) {
        return found(UTF_8, 80);
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(sample, whole);
    // It gives no measure of its own; what it goes by is letters that are not ASCII.
    let confidence = match sample.iter().filter(|byte| !byte.is_ascii()).take(100).count() {
        0..10 => 50,
        10..100 => 70,
        _ => 80,
    };
    found(detector.guess(None, Utf8Detection::Deny), confidence)
}

/// Of ASCII in UTF-16, every other byte is zero; of any CSV in it, some are.
fn utf16_without_mark(sample: &[u8]) -> Option<&'static Encoding> {
    let look = &sample[..sample.len().min(UTF16_LOOK_BYTES)];
    let (units, _) = look.as_chunks::<2>();
    let high = units.iter().filter(|unit| unit[0] == 0 && unit[1] != 0).count();
    let low = units.iter().filter(|unit| unit[1] == 0 && unit[0] != 0).count();
    let both = units.iter().filter(|unit| **unit == [0, 0]).count();
    if high + low < 3 || both * 100 > units.len() || (high + low) * 3 < units.len() {
        return None;
    }
    match (low > 20 * high, high > 20 * low) {
        (true, _) => Some(UTF_16LE),
        (_, true) => Some(UTF_16BE),
        _ => None,
    }
}

/// Whether the text is UTF-8 with a few bytes amiss: then those rows are at fault, not the encoding. In text of another
/// encoding, what looks like UTF-8 is an accident.
fn is_mostly_utf8(sample: &[u8]) -> bool {
    let (mut characters, mut faults) = (0u64, 0u64);
    for chunk in sample.utf8_chunks() {
        characters += chunk.valid().chars().filter(|character| !character.is_ascii()).count() as u64;
        faults += u64::from(!chunk.invalid().is_empty());
    }
    characters >= 10 * faults
}

/// Decodes text block by block, and says of each line what it was decoded from.
pub(crate) struct Decoder {
    decoder: encoding_rs::Decoder,
    utf16: Option<Utf16>,
}

/// UTF-16's lines end with a unit of two bytes, which two blocks may share.
struct Utf16 {
    big_endian: bool,
    half: Option<u8>,
}

impl Decoder {
    /// Nothing for UTF-8, which is taken as it is.
    pub(crate) fn new(encoding: &'static Encoding) -> Option<Self> {
        if encoding == UTF_8 {
            return None;
        }
        let is_utf16 = encoding == UTF_16LE || encoding == UTF_16BE;
        let utf16 = is_utf16.then(|| Utf16 { big_endian: encoding == UTF_16BE, half: None });
        Some(Self { decoder: encoding.new_decoder_without_bom_handling(), utf16 })
    }

    /// Decodes the next block, or what is left when the `last` one was taken.
    pub(crate) fn decode(&mut self, block: &Bytes, last: bool, mut mark: impl FnMut(Mark)) -> Bytes {
        let mut text = String::new();
        let mut from = 0;
        for end in self.line_ends(block) {
            if end > from || last {
                mark(self.piece(&block.slice(from..end), last && end == block.len(), &mut text));
            }
            from = end;
        }
        text.into()
    }

    fn piece(&mut self, source: &Bytes, last: bool, text: &mut String) -> Mark {
        let start = text.len();
        let (mut read, mut is_bad) = (0, false);
        loop {
            let rest = &source[read..];
            // What it asks for is a bound; no text is longer than `usize` can say.
            text.reserve(self.decoder.max_utf8_buffer_length(rest.len()).unwrap_or(3 * rest.len() + 16));
            let (result, length, bad) = self.decoder.decode_to_string(rest, text, last);
            read += length;
            is_bad |= bad;
            if result == CoderResult::InputEmpty {
                return Mark { text_length: text.len() - start, source: source.clone(), is_bad };
            }
        }
    }

    /// Where the block's lines end, and the block itself.
    fn line_ends(&mut self, block: &[u8]) -> Vec<usize> {
        let mut ends: Vec<usize> = match &mut self.utf16 {
            None => memchr2_iter(b'\n', b'\r', block).map(|at| at + 1).collect(),
            Some(utf16) => utf16.line_ends(block),
        };
        if ends.last() != Some(&block.len()) {
            ends.push(block.len());
        }
        ends
    }
}

impl Utf16 {
    fn line_ends(&mut self, block: &[u8]) -> Vec<usize> {
        let big_endian = self.big_endian;
        let is_end = move |unit: [u8; 2]| {
            let unit = if big_endian { u16::from_be_bytes(unit) } else { u16::from_le_bytes(unit) };
            unit == u16::from(b'\n') || unit == u16::from(b'\r')
        };
        let mut ends = Vec::new();
        let mut from = 0;
        if let (Some(half), Some(first)) = (self.half, block.first()) {
            from = 1;
            self.half = None;
            if is_end([half, *first]) {
                ends.push(1);
            }
        }
        let (units, rest) = block[from.min(block.len())..].as_chunks::<2>();
        ends.extend((0..).zip(units).filter(|(_, unit)| is_end(**unit)).map(|(at, _)| from + 2 * at + 2));
        self.half = rest.first().copied().or(self.half);
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(sample: &[u8]) -> &'static str {
        detect(sample, true, None).unwrap().encoding.name()
    }

    fn utf16(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    #[test]
    fn encodings_are_told_apart() {
        assert_eq!(name(b"id,name\n"), "UTF-8");
        assert_eq!(name("id,naïve\n".as_bytes()), "UTF-8");
        assert_eq!(name(b"\xef\xbb\xbfid\n"), "UTF-8");
        assert_eq!(name(b"nom,ville\nAndr\xe9,Orl\xe9ans\nZo\xe9,Saint-\xc9tienne\n"), "windows-1252");
        assert_eq!(name(&utf16("id,name\n1,Zoé\n", u16::to_le_bytes)), "UTF-16LE");
        assert_eq!(name(&utf16("id,name\n1,Zoé\n", u16::to_be_bytes)), "UTF-16BE");
        assert_eq!(name(&utf16("\u{feff}名前,住所\n", u16::to_le_bytes)), "UTF-16LE");
        assert_eq!(detect(b"\xff\xfe\0\0", true, None).unwrap_err().code, "unsupported_encoding");
    }

    #[test]
    fn a_few_bytes_amiss_make_no_other_encoding() {
        let text = ["Zoé,café,naïve\n".repeat(10).as_bytes(), b"caf\xe9\n"].concat();
        assert_eq!(name(&text), "UTF-8");
    }

    #[test]
    fn text_and_marks_are_the_same_whatever_the_blocks() {
        let text = "a,é\r\nb,日本\n\n🦀\rend";
        for encoding in [UTF_16LE, UTF_16BE, encoding_rs::SHIFT_JIS, encoding_rs::GB18030] {
            let source = match encoding.name() {
                "UTF-16LE" => utf16(text, u16::to_le_bytes),
                "UTF-16BE" => utf16(text, u16::to_be_bytes),
                _ => encoding.encode(&text.replace(['é', '🦀'], "x")).0.into_owned(),
            };
            for size in 1..=source.len() {
                let mut decoder = Decoder::new(encoding).unwrap();
                let (mut utf8, mut marks) = (Vec::new(), Vec::new());
                for block in source.chunks(size) {
                    let block = Bytes::copy_from_slice(block);
                    utf8.extend_from_slice(&decoder.decode(&block, false, |mark| marks.push(mark)));
                }
                utf8.extend_from_slice(&decoder.decode(&Bytes::new(), true, |mark| marks.push(mark)));
                let expected = encoding.decode_without_bom_handling(&source).0;
                assert_eq!(String::from_utf8(utf8).unwrap(), expected, "{} {size}", encoding.name());
                assert_eq!(marks.iter().map(|mark| mark.text_length).sum::<usize>(), expected.len());
                assert_eq!(marks.iter().map(|mark| mark.source.len()).sum::<usize>(), source.len());
                assert!(marks.iter().all(|mark| !mark.is_bad));
            }
        }
    }
}
