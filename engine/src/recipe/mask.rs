//! Values made unreadable.

use hmac::{Hmac, KeyInit as _, Mac as _};
use schemars::JsonSchema;
use serde::Deserialize;
use sha2::Sha256;

/// How a column's values are made unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum MaskWord {
    /// Every value becomes `***`, also where there is none.
    Redact,
    /// HMAC-SHA-256 under the mask key, in hexadecimal: equal values stay equal.
    Hash,
    /// A surrogate such as `tok_3k5…` under the mask key: shorter than the hash, and no less stable.
    Tokenise,
    /// The first so many characters stay.
    Truncate(u32),
    /// All but a few characters become `*`; all of them where so many would stay.
    Partial(PartialWord),
}

/// Which characters stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartialWord {
    /// The first so many.
    #[serde(default)]
    pub first: u32,
    /// The last so many.
    #[serde(default)]
    pub last: u32,
}

/// The key of hashes and surrogates. It is never shown.
#[derive(Clone)]
pub struct MaskKey(Hmac<Sha256>);

impl std::fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MaskKey")
    }
}

/// A key shorter than this can be tried out.
const MIN_KEY_BYTES: usize = 16;

impl MaskKey {
    /// A key of these bytes.
    ///
    /// # Errors
    ///
    /// Fewer than 16.
    pub fn new(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() < MIN_KEY_BYTES {
            return Err(format!("the mask key has {} bytes, and needs {MIN_KEY_BYTES}", bytes.len()));
        }
        Hmac::new_from_slice(bytes).map(Self).map_err(|error| error.to_string())
    }
}

/// What surrogates are spelled with: no letter that looks like a digit.
const TOKEN_ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl MaskWord {
    /// Whether it needs a key.
    pub(super) fn needs_key(self) -> bool {
        matches!(self, Self::Hash | Self::Tokenise)
    }

    /// Appends what a value becomes. No value stays none, but for `redact`.
    pub(super) fn write(self, text: &[u8], key: Option<&MaskKey>, out: &mut Vec<u8>) {
        if text.is_empty() && self != Self::Redact {
            return;
        }
        match (self, key) {
            (Self::Hash, Some(key)) => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let digits = |byte: u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
                out.extend(digest(key, 0, text).into_iter().flat_map(digits));
            }
            (Self::Tokenise, Some(key)) => {
                out.extend_from_slice(b"tok_");
                let digest = digest(key, 1, text);
                let bits = digest.iter().take(16).fold(0u128, |bits, byte| (bits << 8) | u128::from(*byte));
                for at in (0..26).rev() {
                    let digit = usize::try_from((bits >> (5 * at)) & 31).unwrap_or_default();
                    out.push(TOKEN_ALPHABET[digit]);
                }
            }
            // A recipe that needs a key is not begun without one.
            (Self::Redact | Self::Hash | Self::Tokenise, _) => out.extend_from_slice(b"***"),
            (Self::Truncate(length), _) => out.extend_from_slice(&text[..end_of(text, length as usize)]),
            (Self::Partial(PartialWord { first, last }), _) => {
                partial(text, first as usize, last as usize, out);
            }
        }
    }
}

/// `domain` keeps a surrogate from being the beginning of a hash.
fn digest(key: &MaskKey, domain: u8, text: &[u8]) -> [u8; 32] {
    let mut mac = key.0.clone();
    if domain > 0 {
        mac.update(b"penstock-token\0");
    }
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn starts_character(byte: u8) -> bool {
    byte & 0xc0 != 0x80
}

/// Where the first `count` characters end.
fn end_of(text: &[u8], count: usize) -> usize {
    let mut starts = text.iter().enumerate().filter(|(_, byte)| starts_character(**byte));
    starts.nth(count).map_or(text.len(), |(at, _)| at)
}

fn partial(text: &[u8], first: usize, last: usize, out: &mut Vec<u8>) {
    let length = text.iter().filter(|byte| starts_character(**byte)).count();
    // As many stars as characters would say how long it is only where some stay.
    let (first, last) = if length > first.saturating_add(last) { (first, last) } else { (0, 0) };
    let front = end_of(text, first);
    let back = end_of(text, length - last);
    out.extend_from_slice(&text[..front]);
    out.resize(out.len() + (length - first - last), b'*');
    out.extend_from_slice(&text[back..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(mask: MaskWord, text: &str) -> String {
        let key = MaskKey::new(b"a key of sixteen bytes").unwrap();
        let mut out = Vec::new();
        mask.write(text.as_bytes(), Some(&key), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn values_are_masked() {
        let partial = |first, last| MaskWord::Partial(PartialWord { first, last });
        assert_eq!(masked(MaskWord::Redact, "secret"), "***");
        assert_eq!(masked(MaskWord::Redact, ""), "***");
        assert_eq!(masked(MaskWord::Truncate(2), "äöü"), "äö");
        assert_eq!(masked(MaskWord::Truncate(9), "äöü"), "äöü");
        assert_eq!(masked(partial(1, 2), "Müller"), "M***er");
        assert_eq!(masked(partial(3, 3), "Müller"), "******");
        assert_eq!(masked(partial(0, 0), ""), "");
    }

    #[test]
    fn hashes_and_surrogates_are_stable_and_apart() {
        let hash = masked(MaskWord::Hash, "x");
        // As Python says: hmac.new(b'a key of sixteen bytes', b'x', 'sha256').hexdigest().
        assert_eq!(hash, "8082cb53647e82009f15a4980d0084599f68a18f0218e81b5c31bbff021d34a1");
        assert_ne!(hash, masked(MaskWord::Hash, "y"));
        let token = masked(MaskWord::Tokenise, "x");
        assert!(token.starts_with("tok_") && token.len() == 30, "{token}");
        assert_eq!(token, masked(MaskWord::Tokenise, "x"));
        assert_ne!(token, masked(MaskWord::Tokenise, "y"));
        assert_eq!(masked(MaskWord::Hash, ""), "");
        assert!(MaskKey::new(b"too short").is_err());
    }
}
