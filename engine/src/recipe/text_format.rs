//! What a text can be asked to look like.

/// A format of Table Schema's strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TextFormat {
    Default,
    Email,
    Uri,
    Uuid,
    /// Base64.
    Binary,
}

impl TextFormat {
    pub(super) fn new(format: Option<&str>) -> Result<Self, String> {
        match format {
            None => Ok(Self::Default),
            Some("email") => Ok(Self::Email),
            Some("uri") => Ok(Self::Uri),
            Some("uuid") => Ok(Self::Uuid),
            Some("binary") => Ok(Self::Binary),
            Some(other) => {
                Err(format!("a string has no format `{other}`: known are `email`, `uri`, `uuid`, `binary`"))
            }
        }
    }

    /// Whether a text has the format.
    pub(super) fn is_met(self, text: &[u8]) -> bool {
        match self {
            Self::Default => true,
            Self::Email => is_email(text),
            Self::Uri => is_uri(text),
            Self::Uuid => is_uuid(text),
            Self::Binary => is_base64(text),
        }
    }
}

/// RFC 5322's dot-atom before the `@`, a host's name of two labels or more behind it.
fn is_email(text: &[u8]) -> bool {
    let Some(at) = text.iter().rposition(|byte| *byte == b'@') else { return false };
    let (local, host) = (&text[..at], &text[at + 1..]);
    let is_atom = |atom: &[u8]| {
        !atom.is_empty()
            && atom.iter().all(|byte| {
                byte.is_ascii_alphanumeric() || !byte.is_ascii() || b"!#$%&'*+/=?^_`{|}~-".contains(byte)
            })
    };
    let is_label = |label: &[u8]| {
        (1..=63).contains(&label.len())
            && label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-' || !byte.is_ascii())
            && !label.starts_with(b"-")
            && !label.ends_with(b"-")
    };
    let labels = || host.split(|byte| *byte == b'.');
    (1..=64).contains(&local.len())
        && local.split(|byte| *byte == b'.').all(is_atom)
        && host.len() <= 253
        && labels().count() >= 2
        && labels().all(is_label)
        && labels().next_back().is_some_and(|last| last.len() >= 2 && !last.iter().all(u8::is_ascii_digit))
}

/// A scheme, a colon, and nothing that RFC 3986 has no place for.
fn is_uri(text: &[u8]) -> bool {
    let Some(colon) = text.iter().position(|byte| *byte == b':') else { return false };
    let is_scheme = text[0].is_ascii_alphabetic()
        && text[..colon].iter().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte));
    let mut rest = &text[colon + 1..];
    while let Some(first) = rest.first() {
        let length = match first {
            b'%' if rest.len() > 2 && rest[1..3].iter().all(u8::is_ascii_hexdigit) => 3,
            byte if byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=".contains(byte) => 1,
            _ => return false,
        };
        rest = &rest[length..];
    }
    is_scheme
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// Groups of four, the last one filled up. What is of no alphabet is skipped, as mail does.
fn is_base64(text: &[u8]) -> bool {
    let is_of_it = |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let digits = text.iter().filter(is_of_it).count();
    let filling = text.iter().rev().take_while(|byte| **byte == b'=').count();
    match digits % 4 {
        0 => filling == 0,
        2 => filling >= 2,
        3 => filling >= 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_met_or_not() {
        for (format, right, wrong) in [
            (
                TextFormat::Email,
                &["a@b.de", "first.last+tag@sub.example.com"][..],
                &["a", "a@b", "@b.de", "a b@c.de", "a@b..de", ".a@b.de", "a@-b.de"][..],
            ),
            (
                TextFormat::Uri,
                &["https://example.com/a?b=c#d", "mailto:a@b.de", "urn:isbn:1", "file:///a%20b"],
                &["example.com", "a b:c", "http://a b", "://x", "1a:b", "x:%zz"],
            ),
            (
                TextFormat::Uuid,
                &["123e4567-e89b-12d3-a456-426614174000"],
                &["123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"],
            ),
            (TextFormat::Binary, &["YQ==", "YWI=", "YWJj", ""], &["YQ", "YWJ", "Y"]),
        ] {
            for text in right {
                assert!(format.is_met(text.as_bytes()), "{format:?} {text}");
            }
            for text in wrong {
                assert!(!format.is_met(text.as_bytes()), "{format:?} {text}");
            }
        }
    }
}
