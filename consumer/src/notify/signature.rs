//! Signatures of webhooks, as Standard Webhooks has them: HMAC-SHA256 over id, time and body.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// What a secret begins with, where it is spelt as the specification spells it.
const PREFIX: &str = "whsec_";

/// What the specification allows, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// A secret that can't sign. Says why, and quotes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a webhook's secret is malformed: expected {PREFIX} and base64 of 24 to 64 bytes; several are separated by spaces"
)]
pub(crate) struct MalformedSecret;

/// The keys that a message is signed with: while a secret is changed there are two, and receivers accept either.
pub(crate) struct Keys(Vec<Vec<u8>>);

impl Keys {
    /// Reads secrets that are separated by white space.
    pub(crate) fn parse(secrets: &str) -> Result<Self, MalformedSecret> {
        let keys: Vec<Vec<u8>> = secrets.split_whitespace().map(key).collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(MalformedSecret) } else { Ok(Self(keys)) }
    }

    /// The header `webhook-signature` of a message.
    pub(crate) fn sign(&self, id: &str, timestamp: i64, body: &[u8]) -> String {
        let signatures = self.0.iter().filter_map(|key| {
            // HMAC takes keys of any length.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
        });
        signatures.collect::<Vec<_>>().join(" ")
    }
}

fn key(secret: &str) -> Result<Vec<u8>, MalformedSecret> {
    let spelt = secret.strip_prefix(PREFIX).unwrap_or(secret);
    let key = STANDARD.decode(spelt).ok().filter(|key| KEY_BYTES.contains(&key.len()));
    key.ok_or(MalformedSecret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_example_is_signed_as_it_says() {
        let keys = Keys::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_a_secret_is_changed_both_sign() {
        let one = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let two = format!("whsec_{}", STANDARD.encode([7; 32]));
        let both = Keys::parse(&format!("{one} {two}\n")).unwrap().sign("id", 1, b"{}");
        let alone = |secret: &str| Keys::parse(secret).unwrap().sign("id", 1, b"{}");
        assert_eq!(both, format!("{} {}", alone(one), alone(&two)));
    }

    #[test]
    fn what_can_not_sign_is_refused_and_not_quoted() {
        let short = format!("whsec_{}", STANDARD.encode([7; 23]));
        for secret in ["", " ", "whsec_", "whsec_not base64!", &short] {
            let error = Keys::parse(secret).map(|_| ()).unwrap_err().to_string();
            assert!(!error.contains("bm90") && !error.contains("not base64!"), "{error}");
        }
    }
}
