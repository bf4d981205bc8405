//! What stands before each entry of a zip.

/// A local file header behind its first four bytes, without its name and its extra fields.
pub(super) const HEADER_BYTES: usize = 26;

/// As it is, and deflated.
pub(super) const METHOD_STORED: u16 = 0;
pub(super) const METHOD_DEFLATED: u16 = 8;

const ENCRYPTED: u16 = 1;
const SIZES_BEHIND: u16 = 1 << 3;

/// Where a size of 64 bits is in a field of its own.
const IN_EXTRA: u32 = u32::MAX;
const ZIP64: u16 = 1;

/// An entry's header.
pub(super) struct Header {
    flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    /// Bytes unpacked, unless that stands behind the entry.
    pub(super) size: u64,
    name: Vec<u8>,
}

fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The 32 bits at a place.
pub(super) fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Header {
    /// How long the name and the extra fields are.
    pub(super) fn lengths(fixed: &[u8; HEADER_BYTES]) -> (usize, usize) {
        (usize::from(short(fixed, 22)), usize::from(short(fixed, 24)))
    }

    pub(super) fn new(fixed: &[u8; HEADER_BYTES], name: Vec<u8>, extra: &[u8]) -> Self {
        let size = match long(fixed, 18) {
            IN_EXTRA => size_in(extra).unwrap_or(IN_EXTRA.into()),
            size => size.into(),
        };
        Self { flags: short(fixed, 2), method: short(fixed, 4), crc: long(fixed, 10), size, name }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.flags & ENCRYPTED != 0
    }

    /// Whether checksum and sizes stand behind the entry, as whoever wrote it did not know them yet.
    pub(super) fn sizes_are_behind(&self) -> bool {
        self.flags & SIZES_BEHIND != 0
    }

    pub(super) fn is_folder(&self) -> bool {
        self.name.ends_with(b"/")
    }

    /// Whether the entry is none of the data: a folder, or what macOS adds to a file.
    pub(super) fn is_passed_over(&self) -> bool {
        self.is_folder() || self.name.starts_with(b"__MACOSX/") || self.name.ends_with(b".DS_Store")
    }

    pub(super) fn is_of_office(&self) -> bool {
        self.name == b"[Content_Types].xml" || self.name == b"mimetype" || self.name.starts_with(b"xl/")
    }
}

/// The unpacked size, which is the first of the 64-bit field's.
fn size_in(extra: &[u8]) -> Option<u64> {
    let mut rest = extra;
    while let Some((head, behind)) = rest.split_at_checked(4) {
        let (field, next) = behind.split_at_checked(usize::from(short(head, 2)))?;
        if short(head, 0) == ZIP64 {
            return field.first_chunk::<8>().map(|size| u64::from_le_bytes(*size));
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_64_bits_is_found_among_the_other_fields() {
        let zip64 = [&b"\x01\0\x10\0"[..], &5_000_000_000u64.to_le_bytes(), &7u64.to_le_bytes()].concat();
        assert_eq!(size_in(&zip64), Some(5_000_000_000));
        assert_eq!(size_in(&[&b"UT\x05\0\x01abcd"[..], &zip64].concat()), Some(5_000_000_000));
        for none in [&b""[..], b"UT\x05\0\x01abcd", b"\x01\0\x04\0abcd", b"\x01\0\xff\0ab", b"\x01"] {
            assert_eq!(size_in(none), None, "{none:?}");
        }
    }
}
