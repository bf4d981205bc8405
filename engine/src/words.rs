//! How people say what a dialect is, on a command line and in a recipe.

use encoding_rs::Encoding;

use crate::dialect::{Comment, Escape, Quote};
use crate::policy::MaxRejects;

/// The longest delimiter, in bytes.
const MAX_DELIMITER_BYTES: usize = 16;

/// Text with `\t`, `\\` and `\xHH` for what is hard to type.
fn unescaped(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        bytes.extend_from_slice(&rest.as_bytes()[..at]);
        rest = &rest[at + 1..];
        let (byte, length) = match rest.as_bytes() {
            [b't', ..] => (b'\t', 1),
            [b'\\', ..] => (b'\\', 1),
            [b'0', ..] => (0, 1),
            [b'x', ..] => {
                let byte = rest.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
                (byte.ok_or("\\x wants two hexadecimal digits")?, 3)
            }
            // One alone is meant as it stands.
            _ => (b'\\', 0),
        };
        bytes.push(byte);
        rest = &rest[length..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(bytes)
}

/// What stands between fields: `;`, `\t`, `\x01`, `, `.
///
/// # Errors
///
/// Says what is wrong with the text, for people; so do the others.
pub fn delimiter(text: &str) -> Result<Vec<u8>, String> {
    let bytes = unescaped(text)?;
    match bytes.len() {
        0 => Err("it is empty".into()),
        _ if bytes.contains(&0) => Err(ZERO.into()),
        1..=MAX_DELIMITER_BYTES if !bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) => Ok(bytes),
        1..=MAX_DELIMITER_BYTES => Err("it has a line's end".into()),
        _ => Err(format!("it is longer than {MAX_DELIMITER_BYTES} bytes")),
    }
}

/// A file with zero bytes at its start is a binary one, or in UTF-16.
const ZERO: &str = "a zero byte can't be told: a file that has them is taken for a binary one";

fn one_byte(text: &str) -> Result<u8, String> {
    match unescaped(text)?[..] {
        [0] => Err(ZERO.into()),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r') => Ok(byte),
        _ => Err("one character of ASCII is wanted".into()),
    }
}

/// What stands around fields: a character, or `none`.
pub fn quote(text: &str) -> Result<Quote, String> {
    if text == "none" { Ok(Quote::None) } else { one_byte(text).map(Quote::Byte) }
}

/// How a quote stands inside quotes: `doubled`, `none`, `backslash` or a character.
pub fn escape(text: &str) -> Result<Escape, String> {
    match text {
        "doubled" => Ok(Escape::Doubled),
        "none" => Ok(Escape::None),
        "backslash" => Ok(Escape::Byte(b'\\')),
        _ => one_byte(text).map(Escape::Byte),
    }
}

/// What begins a comment, or `none`.
pub fn comment(text: &str) -> Result<Comment, String> {
    match (text, unescaped(text)?) {
        ("none", _) => Ok(Comment::None),
        (_, prefix) if prefix.is_empty() => Err("it is empty".into()),
        (_, prefix) => Ok(Comment::Prefix(prefix)),
    }
}

/// An encoding, by one of its names.
pub fn encoding(label: &str) -> Result<&'static Encoding, String> {
    Encoding::for_label_no_replacement(label.as_bytes())
        .ok_or_else(|| "no encoding has this name; utf-8, utf-16le and windows-1252 are some".into())
}

/// The most rejects: a number of rows, or a share such as `0.5%`.
pub fn max_rejects(text: &str) -> Result<MaxRejects, String> {
    let wrong = || "a number of rows is wanted, or a share such as 0.5%".to_owned();
    match text.strip_suffix('%') {
        None => text.parse().map(MaxRejects::Rows).map_err(|_not_a_number| wrong()),
        Some(share) => match share.trim().parse() {
            Ok(share) if (0.0..=100.0).contains(&share) => Ok(MaxRejects::Percent(share)),
            _ => Err(wrong()),
        },
    }
}

/// The longest record: bytes, or a size such as `16MiB`.
pub fn max_record_bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: usize = match &text[digits.len()..] {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        unit => return Err(format!("{unit:?} is none of KiB, MiB, GiB, KB, MB, GB")),
    };
    match digits.parse::<usize>().ok().and_then(|number| number.checked_mul(unit)) {
        Some(bytes) if (1..=1 << 30).contains(&bytes) => Ok(bytes),
        Some(_) => Err("from 1 byte to 1 GiB".into()),
        None => Err(format!("{digits:?} is not a whole number")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_hard_to_type_can_be_spelled() {
        for (text, bytes) in [
            (";", &b";"[..]),
            ("\\t", b"\t"),
            (", ", b", "),
            ("\\x01", b"\x01"),
            ("§", "§".as_bytes()),
            ("\\", b"\\"),
        ] {
            assert_eq!(delimiter(text).unwrap(), bytes, "{text}");
        }
        for text in ["", "\n", "\\xZZ", "seventeen letters"] {
            assert!(delimiter(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_others_are_read_as_they_are_said() {
        assert_eq!(quote("none"), Ok(Quote::None));
        assert_eq!(quote("'"), Ok(Quote::Byte(b'\'')));
        assert!(quote("''").is_err() && quote("ä").is_err() && quote("\\xe4").is_err());
        assert_eq!(escape("backslash"), Ok(Escape::Byte(b'\\')));
        assert_eq!(comment("#"), Ok(Comment::Prefix(b"#".to_vec())));
        assert_eq!(encoding("latin1").map(Encoding::name), Ok("windows-1252"));
        assert!(encoding("klingon").is_err());
        assert_eq!(max_rejects("0.5%"), Ok(MaxRejects::Percent(0.5)));
        assert_eq!(max_rejects("7"), Ok(MaxRejects::Rows(7)));
        assert!(max_rejects("101%").is_err() && max_rejects("-1").is_err());
        assert_eq!(max_record_bytes("16MiB"), Ok(16 << 20));
        assert!(
            max_record_bytes("2GiB").is_err()
                && max_record_bytes("0").is_err()
                && max_record_bytes("x").is_err()
        );
    }
}
