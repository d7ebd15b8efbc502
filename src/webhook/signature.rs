//! Signatures of messages, as <https://www.standardwebhooks.com> describes them: `v1,` and the HMAC-SHA256 of id, time and body.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// How a secret begins in writing.
const PREFIX: &str = "whsec_";
/// Fewer bytes can be guessed.
const SHORTEST: usize = 24;
/// More bytes are no secret of this kind.
const LONGEST: usize = 64;

/// The secret that a target shares with us; never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

impl Key {
    /// Reads `whsec_` and the secret in base64.
    ///
    /// # Errors
    /// Says what a secret is.
    pub fn parse(text: &str) -> Result<Self, String> {
        let encoded = text.trim().strip_prefix(PREFIX).unwrap_or_default();
        match STANDARD.decode(encoded) {
            Ok(bytes) if (SHORTEST..=LONGEST).contains(&bytes.len()) => Ok(Key(bytes)),
            _ => Err(format!(
                "a secret is {PREFIX} and {SHORTEST} to {LONGEST} bytes in base64"
            )),
        }
    }

    /// The value of the header `webhook-signature`. `timestamp`: seconds since 1970, as in the header `webhook-timestamp`.
    #[must_use]
    pub fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification's reference implementations.
    #[test]
    fn the_specifications_example_is_signed_as_there() {
        let key = Key::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = key.sign(
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            r#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn what_is_no_secret_is_refused_and_none_is_printed() {
        for text in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_c2hvcnQ=",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!",
        ] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
        let key = Key::parse(" whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        assert_eq!(format!("{key:?}"), "…");
    }
}
