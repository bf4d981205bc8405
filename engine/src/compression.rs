//! What the first bytes say the input is.

use crate::BadFile;

/// How a stream of bytes is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 8878, any number of frames.
    Zstd,
    /// Any number of streams. Input alone: the output is gzip.
    Bzip2,
    /// Any number of streams. Input alone: the output is gzip.
    Xz,
    /// With one file in it, stored or deflated. Input alone: the output is gzip.
    Zip,
}

impl Compression {
    /// The name that the receipt and the command line use.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Bzip2 => "bzip2",
            Self::Xz => "xz",
            Self::Zip => "zip",
        }
    }

    /// The name of one of the parts that such a file is made of.
    pub(crate) fn member(self) -> &'static str {
        match self {
            Self::None => "part",
            Self::Gzip => "gzip member",
            Self::Zstd => "zstd frame",
            Self::Bzip2 => "bzip2 stream",
            Self::Xz => "xz stream",
            Self::Zip => "zip entry",
        }
    }

    /// What an output is compressed as if nothing else is asked for.
    pub(crate) fn of_output(self) -> Self {
        match self {
            Self::None | Self::Gzip | Self::Zstd => self,
            Self::Bzip2 | Self::Xz | Self::Zip => Self::Gzip,
        }
    }
}

/// How many of the first bytes [`detect`] wants to see.
pub(crate) const SNIFF_BYTES: usize = 512;

/// Formats that are recognised only to be refused by name; each by its magic bytes.
const REFUSED: &[(&[u8], &str)] = &[
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x1f\x9d", "compress (.Z)"),
    (b"PK\x05\x06", "an empty zip"),
    (b"PAR1", "Parquet"),
    (b"Obj\x01", "Avro"),
    (b"ORC", "ORC"),
    (b"%PDF-", "PDF"),
    (b"\x89PNG\r\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\xd0\xcf\x11\xe0", "an old Office document (such as .xls)"),
    (b"SQLite format 3\x00", "SQLite"),
    (b"\x7fELF", "an ELF program"),
];

/// Tells from the first bytes, never from the name, how the input is compressed.
pub(crate) fn detect(head: &[u8]) -> Result<Compression, BadFile> {
    if head.starts_with(b"\x1f\x8b") {
        return Ok(Compression::Gzip);
    }
    let skippable = matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]);
    if skippable || head.starts_with(b"\x28\xb5\x2f\xfd") {
        return Ok(Compression::Zstd);
    }
    let bzip2 = matches!(head, [b'B', b'Z', b'h', b'1'..=b'9', block @ ..]
        if block.starts_with(b"1AY&SY") || block.starts_with(b"\x17\x72\x45\x38\x50\x90"));
    if bzip2 {
        return Ok(Compression::Bzip2);
    }
    if head.starts_with(b"\xfd7zXZ\0") {
        return Ok(Compression::Xz);
    }
    if head.starts_with(b"PK\x03\x04") {
        return Ok(Compression::Zip);
    }
    if let Some((_, name)) =
        REFUSED.iter().find(|(magic, _)| head.starts_with(magic) && plausible(magic, head))
    {
        return Err(BadFile::new(
            "unsupported_format",
            format!("the file is {name}, not CSV: plain, gzip, zstd, bzip2, xz, or a zip of one file"),
        )
        .at_byte(0));
    }
    Ok(Compression::None)
}

/// Letters alone may as well begin a CSV's header (`ORCID,name`): then a byte that no text has must follow soon.
fn plausible(magic: &[u8], head: &[u8]) -> bool {
    let binary = |byte: &u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    !magic.is_ascii() || magic == b"%PDF-" || magic.iter().any(binary) || head.iter().any(binary)
}

/// Refuses what is no text, from the first plain bytes.
pub(crate) fn check_text(head: &[u8]) -> Result<(), BadFile> {
    let Some(at) = memchr::memchr(0, head) else { return Ok(()) };
    Err(BadFile::new("not_csv", "a zero byte near the start: this is a binary file").at_byte(at as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compression_is_found_by_its_magic_and_text_is_plain() {
        assert_eq!(detect(b"\x1f\x8b\x08\x00").unwrap(), Compression::Gzip);
        assert_eq!(detect(b"\x28\xb5\x2f\xfd\x24").unwrap(), Compression::Zstd);
        assert_eq!(detect(b"\x5d\x2a\x4d\x18\0").unwrap(), Compression::Zstd);
        assert_eq!(detect(b"BZh91AY&SY\0").unwrap(), Compression::Bzip2);
        assert_eq!(detect(b"\xfd7zXZ\0\0\x04").unwrap(), Compression::Xz);
        assert_eq!(detect(b"PK\x03\x04\x14\0").unwrap(), Compression::Zip);
        assert_eq!(detect(b"id,name\n").unwrap(), Compression::None);
        assert_eq!(detect(b"").unwrap(), Compression::None);
    }

    #[test]
    fn headers_that_begin_with_a_magic_word_are_text() {
        for head in ["ORCID,name\n0000-0001,José\n", "PAR1,PAR2\n", "BZh,x\n"].map(str::as_bytes) {
            assert_eq!(detect(head).unwrap(), Compression::None);
        }
    }

    #[test]
    fn other_formats_are_refused_by_name() {
        let refused = detect(b"7z\xbc\xaf\x27\x1c\0\x04").unwrap_err();
        assert_eq!(refused.code, "unsupported_format");
        assert!(refused.message.contains("7z"));
        assert!(detect(b"%PDF-1.7\n").unwrap_err().message.contains("PDF"));
        assert_eq!(check_text(b"a,\x00b").unwrap_err().byte_offset, Some(2));
    }
}
