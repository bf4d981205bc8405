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

/// What macOS's own entries begin with: attributes of a file, and how a folder is shown.
const APPLE_DOUBLE: &[u8] = b"\0\x05\x16\x07";
const DS_STORE: &[u8] = b"\0\0\0\x01Bud1";

/// An entry's header.
pub(super) struct Header {
    flags: u16,
    pub(super) method: u16,
    pub(super) crc: u32,
    /// Unless that stands behind the entry.
    pub(super) sizes: Sizes,
    pub(super) name: Vec<u8>,
}

/// An entry's bytes in the zip, and unpacked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sizes {
    pub(super) packed: u64,
    pub(super) size: u64,
}

impl Sizes {
    /// From the fields of 32 bits, and the extra fields where those are too small; the same of an offset.
    pub(super) fn and_offset(size: u32, packed: u32, offset: u32, extra: &[u8]) -> (Self, u64) {
        let mut longs = long_fields(extra).chunks_exact(8);
        let [size, packed, offset] = [size, packed, offset].map(|value| match value {
            IN_EXTRA => longs.next().map_or(IN_EXTRA.into(), |bytes| quad(bytes, 0)),
            value => value.into(),
        });
        (Self { packed, size }, offset)
    }
}

/// The 16 bits at a place.
pub(super) fn short(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

/// The 32 bits at a place.
pub(super) fn long(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The 64 bits at a place.
pub(super) fn quad(bytes: &[u8], at: usize) -> u64 {
    u64::from(long(bytes, at)) | u64::from(long(bytes, at + 4)) << 32
}

impl Header {
    /// How long the name and the extra fields are.
    pub(super) fn lengths(fixed: &[u8; HEADER_BYTES]) -> (usize, usize) {
        (usize::from(short(fixed, 22)), usize::from(short(fixed, 24)))
    }

    pub(super) fn new(fixed: &[u8; HEADER_BYTES], name: Vec<u8>, extra: &[u8]) -> Self {
        let (sizes, _) = Sizes::and_offset(long(fixed, 18), long(fixed, 14), 0, extra);
        Self { flags: short(fixed, 2), method: short(fixed, 4), crc: long(fixed, 10), sizes, name }
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

    /// Whether the entry is called as what is none of the data: a folder, or what macOS adds.
    pub(super) fn may_be_passed_over(&self) -> bool {
        self.is_folder() || self.is_mac_attributes() || self.is_mac_folder_view()
    }

    /// Whether the content, of which `start` are the first bytes, is what the name says.
    pub(super) fn is_passed_over(&self, start: &[u8], size: u64) -> bool {
        if self.is_folder() {
            return size == 0;
        }
        (self.is_mac_attributes() && start.starts_with(APPLE_DOUBLE))
            || (self.is_mac_folder_view() && start.starts_with(DS_STORE))
    }

    fn is_mac_attributes(&self) -> bool {
        self.name.starts_with(b"__MACOSX/") && self.file_name().starts_with(b"._")
    }

    fn is_mac_folder_view(&self) -> bool {
        self.file_name() == b".DS_Store"
    }

    fn file_name(&self) -> &[u8] {
        self.name.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    pub(super) fn is_of_office(&self) -> bool {
        self.name == b"[Content_Types].xml" || self.name == b"mimetype" || self.name.starts_with(b"xl/")
    }
}

/// Those of 64 bits, in their order.
fn long_fields(extra: &[u8]) -> &[u8] {
    let mut rest = extra;
    while let Some((head, behind)) = rest.split_at_checked(4) {
        let Some((field, next)) = behind.split_at_checked(usize::from(short(head, 2))) else { break };
        if short(head, 0) == ZIP64 {
            return field;
        }
        rest = next;
    }
    &[]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_64_bits_is_found_among_the_other_fields() {
        let zip64 = [&b"\x01\0\x10\0"[..], &5_000_000_000u64.to_le_bytes(), &7u64.to_le_bytes()].concat();
        let resolved = |size, packed, extra: &[u8]| {
            let (Sizes { size, packed }, offset) = Sizes::and_offset(size, packed, 9, extra);
            (size, packed, offset)
        };
        let time = b"UT\x05\0\x01abcd";
        assert_eq!(resolved(IN_EXTRA, IN_EXTRA, &zip64), (5_000_000_000, 7, 9));
        assert_eq!(resolved(3, IN_EXTRA, &[&time[..], &zip64].concat()), (3, 5_000_000_000, 9));
        for none in [&b""[..], time, b"\x01\0\x04\0abcd", b"\x01\0\xff\0ab", b"\x01"] {
            assert_eq!(resolved(IN_EXTRA, 7, none), (IN_EXTRA.into(), 7, 9), "{none:?}");
        }
    }
}
