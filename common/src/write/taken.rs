//! The parts that the store has taken, remembered in few bytes.

use crate::store::UploadedPart;

/// Numbers, checksums and `ETag`s of up to 10,000 parts.
///
/// All `ETag`s stand in one string: one allocation for each, made between those of the requests and kept to the end,
/// would scatter the heap of a long run.
#[derive(Default)]
pub(super) struct Taken {
    parts: Vec<Part>,
    etags: String,
}

struct Part {
    number: u32,
    crc64nvme: u64,
    /// Where its `ETag` begins in `etags`, and its length.
    start: u32,
    length: u32,
}

impl Taken {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn push(&mut self, part: &UploadedPart) {
        let short = |length: usize| u32::try_from(length).unwrap_or(u32::MAX);
        let (start, length) = (short(self.etags.len()), short(part.etag.len()));
        self.etags.push_str(&part.etag);
        self.parts.push(Part { number: part.number, crc64nvme: part.crc64nvme, start, length });
    }

    /// All of them, by number.
    pub(super) fn in_order(&self) -> Vec<UploadedPart> {
        let mut parts: Vec<UploadedPart> = self.parts.iter().map(|part| self.part(part)).collect();
        parts.sort_by_key(|part| part.number);
        parts
    }

    fn part(&self, part: &Part) -> UploadedPart {
        let (start, length) = (part.start as usize, part.length as usize);
        let etag = self.etags[start..start + length].to_owned();
        UploadedPart { number: part.number, etag, crc64nvme: part.crc64nvme }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_by_number_whatever_the_order_in_which_they_were_taken() {
        let part = |number: u32, etag: &str| UploadedPart {
            number,
            etag: etag.to_owned(),
            crc64nvme: u64::from(number) << 40,
        };
        let mut taken = Taken::default();
        for taken_part in [part(2, "bb"), part(3, ""), part(1, "ä-1")] {
            taken.push(&taken_part);
        }
        assert_eq!(taken.len(), 3);
        assert_eq!(taken.in_order(), [part(1, "ä-1"), part(2, "bb"), part(3, "")]);
    }
}
