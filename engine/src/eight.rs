//! Up to eight digits at once: what numbers, days and times mostly have.

const ZEROS: u64 = u64::from_le_bytes(*b"00000000");

/// A byte's 1 in each of eight.
const ONES: u64 = 0x0101_0101_0101_0101;

/// A text of one to eight bytes, behind as many `0` as it takes to be eight. The first byte is the lowest.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Eight {
    bytes: u64,
    length: usize,
}

impl Eight {
    /// The text that ends where `bytes` do, and has this length.
    pub(crate) fn ending(bytes: &[u8], length: usize) -> Option<Self> {
        let last = u64::from_le_bytes(*bytes.last_chunk()?);
        if !(1..=8).contains(&length) {
            return None;
        }
        let text = u64::MAX << (8 * (8 - length));
        Some(Self { bytes: (last & text) | (ZEROS & !text), length })
    }

    /// The integer that it is, if it is nothing but digits.
    pub(crate) fn integer(self) -> Option<u32> {
        number(self.bytes)
    }

    /// The decimal that it is, if it is nothing but digits, or has a point among them. It is what the standard library
    /// reads: with so few digits both numbers are exact, and so is their quotient, rounded once.
    pub(crate) fn decimal(self) -> Option<f64> {
        const POWERS: [f64; 8] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7];
        let without_points = self.bytes ^ (ONES * u64::from(b'.'));
        // The lowest of these bits is of the first byte that is a point; those above may be of none.
        let points = without_points.wrapping_sub(ONES) & !without_points & (ONES << 7);
        if points == 0 {
            return number(self.bytes).map(f64::from);
        }
        let at = points.trailing_zeros() / 8;
        let before = self.bytes & !(u64::MAX << (8 * at));
        let behind = self.bytes & ((u64::MAX << (8 * at)) << 8);
        let number = number(behind | (before << 8) | u64::from(b'0'))?;
        (self.length > 1).then(|| f64::from(number) / POWERS[7 - at as usize])
    }
}

/// The number that eight digits are.
fn number(bytes: u64) -> Option<u32> {
    let digits = DIGITS.read(bytes)?;
    let twos = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let fours = |twos: u64| twos & 0x0000_00ff_0000_00ff;
    let number = fours(twos)
        .wrapping_mul(100 + (1_000_000 << 32))
        .wrapping_add(fours(twos >> 16).wrapping_mul(1 + (10_000 << 32)));
    u32::try_from(number >> 32).ok()
}

/// Eight bytes: which of them are digits, and what the others are.
pub(crate) struct Shape {
    text: u64,
    /// What makes more than four bits of a byte that is more than 9, where there are to be digits.
    sixes: u64,
    /// Bits that are not to be there.
    wrong: u64,
}

const DIGITS: Shape = Shape::of(*b"00000000");

impl Shape {
    /// That of a text, whose `0` stand for digits.
    pub(crate) const fn of(text: [u8; 8]) -> Self {
        let (mut sixes, mut wrong) = ([0; 8], [0xff; 8]);
        let mut at = 0;
        while at < 8 {
            if text[at] == b'0' {
                (sixes[at], wrong[at]) = (6, 0xf0);
            }
            at += 1;
        }
        Self {
            text: u64::from_le_bytes(text),
            sixes: u64::from_le_bytes(sixes),
            wrong: u64::from_le_bytes(wrong),
        }
    }

    fn read(&self, bytes: u64) -> Option<u64> {
        let digits = bytes ^ self.text;
        // What would carry into the next byte is wrong by itself.
        ((digits | digits.wrapping_add(self.sixes)) & self.wrong == 0).then_some(digits)
    }

    /// What the digits are, and 0 for what is none; nothing if the bytes have another shape.
    pub(crate) fn digits(&self, bytes: [u8; 8]) -> Option<[u8; 8]> {
        self.read(u64::from_le_bytes(bytes)).map(u64::to_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn eight(text: &str) -> Option<Eight> {
        Eight::ending(format!("12345678{text}").as_bytes(), text.len())
    }

    #[test]
    fn the_edges() {
        for text in ["0", "7", "42", "00000000", "99999999", "12345678"] {
            assert_eq!(eight(text).unwrap().integer(), text.parse().ok(), "{text}");
        }
        for text in ["0.1", "35.38", ".5", "5.", "0000.000", "1234567.", ".1234567", "9"] {
            assert_eq!(eight(text).unwrap().decimal(), text.parse().ok(), "{text}");
        }
        for text in [".", "..", "1..", "-1", "+1", "1e5", " 1", "1/", "1:", "\u{ff}"] {
            assert_eq!(eight(text).and_then(Eight::decimal), None, "{text}");
            assert_eq!(eight(text).and_then(Eight::integer), None, "{text}");
        }
        assert!(eight("").is_none() && eight("123456789").is_none());
        assert!(Eight::ending(b"1234567", 7).is_none());
    }

    #[test]
    fn shapes_are_kept_to() {
        let day = Shape::of(*b"0000-00-");
        assert_eq!(day.digits(*b"2026-12-"), Some([2, 0, 2, 6, 0, 1, 2, 0]));
        for text in [b"2026-12/", b"2026,12-", b"202/-12-", b"202:-12-", b"2026-1 -"] {
            assert_eq!(day.digits(*text), None, "{text:?}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(5000))]

        /// What is read is what the standard library reads.
        #[test]
        fn numbers_are_right(text in "[0-9./:-]{1,8}|[0-9]{0,4}\\.[0-9]{0,3}") {
            let Some(eight) = eight(&text) else { return Ok(()) };
            let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
            let expected = text.parse::<f64>().ok().filter(|_| is_plain);
            prop_assert_eq!(eight.decimal().map(f64::to_bits), expected.map(f64::to_bits));
            let expected = text.parse::<u32>().ok();
            prop_assert_eq!(eight.integer(), expected);
        }
    }
}
