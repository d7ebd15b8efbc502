//! DKIM signatures (RFC 6376; Ed25519: RFC 8463), for installations whose mail server does not sign.
//!
//! Our own, over ring, which TLS uses already: lettre and the crates that it could borrow from sign with the `rsa` crate
//! (RUSTSEC-2023-0071, and three times slower), and `mail-auth` brings a DNS resolver and parsers of reports along.

mod canonical;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

use crate::mail::message::Mail;

/// Header fields that are signed where they are there, and sealed: listed once more than they are there, so that none can
/// be added (RFC 6376, section 8.15). RFC 8058, section 4, demands the two of unsubscribing.
const SEALED: [&str; 12] = [
    "From",
    "To",
    "Cc",
    "Reply-To",
    "Subject",
    "Date",
    "Message-ID",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "List-Unsubscribe",
    "List-Unsubscribe-Post",
];
/// Signed where they are there; servers on the way may add more of them.
const SIGNED: [&str; 2] = ["Feedback-ID", "List-Id"];

/// Whether a signature of a domain counts for a sender at another one: DMARC wants the same, or one above it (RFC 7489,
/// section 3.1.1).
pub fn is_aligned(signing: &str, sender: &str) -> bool {
    let above = sender.len().checked_sub(signing.len());
    let Some((rest, end)) = above.and_then(|at| sender.split_at_checked(at)) else {
        return false;
    };
    end.eq_ignore_ascii_case(signing) && (rest.is_empty() || rest.ends_with('.'))
}

/// Longest line of a signature.
const LINE: usize = 76;

/// Why nothing can be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DkimError {
    #[error("{0:?} is no domain name in ASCII")]
    Domain(String),
    #[error("{0:?} is no selector: letters, digits, hyphens and dots")]
    Selector(String),
    #[error("it holds no private key in PEM: {0}")]
    Pem(String),
    #[error("its key is neither RSA of 2048 to 4096 bits nor Ed25519: {0}")]
    Key(String),
}

/// Signs mails for a domain.
pub struct Signer {
    domain: String,
    selector: String,
    key: Key,
    random: SystemRandom,
}

enum Key {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

impl fmt::Debug for Signer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Signer")
            .field("domain", &self.domain)
            .field("selector", &self.selector)
            .finish_non_exhaustive()
    }
}

impl Signer {
    /// Makes the signer whose public key is at `selector._domainkey.domain`.
    ///
    /// `pem` is an RSA key (PKCS#1 or PKCS#8) or an Ed25519 key (PKCS#8).
    ///
    /// # Errors
    /// Which of the three cannot be used, and why.
    pub fn new(domain: &str, selector: &str, pem: &[u8]) -> Result<Self, DkimError> {
        let is_name = |text: &str| {
            text.len() <= 253
                && text.split('.').all(|label| {
                    (1..=63).contains(&label.len())
                        && label
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
                })
        };
        if !is_name(domain) || !domain.contains('.') {
            return Err(DkimError::Domain(domain.to_owned()));
        }
        if !is_name(selector) {
            return Err(DkimError::Selector(selector.to_owned()));
        }
        let key = PrivateKeyDer::from_pem_slice(pem)
            .map_err(|error| DkimError::Pem(error.to_string()))?;
        Ok(Signer {
            domain: domain.to_ascii_lowercase(),
            selector: selector.to_owned(),
            key: Key::new(&key)?,
            random: SystemRandom::new(),
        })
    }

    /// The domain that it signs for.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Puts a signature in front of the mail; relaxed/relaxed, as servers on the way fold lines anew.
    ///
    /// # Errors
    /// When the system has no random numbers, which RSA is blinded with.
    pub fn sign(&self, mail: &mut Mail, now: SystemTime) -> Result<(), DkimError> {
        let (headers, body) = canonical::split(&mail.bytes);
        let headers = canonical::Headers::parse(headers);
        let body_hash = STANDARD.encode(digest(&SHA256, &canonical::body(body)));
        let seconds = now
            .duration_since(UNIX_EPOCH)
            .map_or(0, |passed| passed.as_secs());
        let mut names = Vec::new();
        for name in SEALED {
            names.extend(std::iter::repeat_n(name, headers.count(name) + 1));
        }
        for name in SIGNED {
            names.extend(std::iter::repeat_n(name, headers.count(name)));
        }
        let mut field = String::from("DKIM-Signature: ");
        let mut width = field.len();
        let tags = [
            "v=1;".to_owned(),
            format!("a={}-sha256;", self.key.name()),
            "c=relaxed/relaxed;".to_owned(),
            format!("d={};", self.domain),
            format!("s={};", self.selector),
            format!("t={seconds};"),
        ];
        for tag in tags {
            append(&mut field, &mut width, " ", &tag);
        }
        for (number, name) in names.iter().enumerate() {
            let (gap, start) = if number == 0 { (" ", "h=") } else { ("", "") };
            let end = if number + 1 == names.len() { ";" } else { ":" };
            append(&mut field, &mut width, gap, &format!("{start}{name}{end}"));
        }
        append(&mut field, &mut width, " ", &format!("bh={body_hash};"));
        append(&mut field, &mut width, " ", "b=");

        let mut signed = headers.canonical(&names);
        signed.push_str(&canonical::field(&field));
        let signature = STANDARD.encode(self.key.sign(signed.as_bytes(), &self.random)?);
        for chunk in signature.as_bytes().chunks(LINE - 8) {
            // Base64 is ASCII.
            append(&mut field, &mut width, "", &String::from_utf8_lossy(chunk));
        }
        field.push_str("\r\n");
        mail.bytes.splice(0..0, field.into_bytes());
        Ok(())
    }
}

/// Adds a piece that is not broken, on a new line where it does not fit.
fn append(field: &mut String, width: &mut usize, gap: &str, piece: &str) {
    if *width + gap.len() + piece.len() > LINE {
        field.push_str("\r\n\t");
        *width = 8;
    } else {
        field.push_str(gap);
        *width += gap.len();
    }
    field.push_str(piece);
    *width += piece.len();
}

impl Key {
    fn new(key: &PrivateKeyDer<'_>) -> Result<Self, DkimError> {
        let refuse = |error: ring::error::KeyRejected| DkimError::Key(error.to_string());
        match key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der())
                .map(|key| Key::Rsa(Box::new(key)))
                .map_err(refuse),
            PrivateKeyDer::Pkcs8(key) => {
                let der = key.secret_pkcs8_der();
                // OpenSSL leaves the public half out.
                if let Ok(key) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
                    return Ok(Key::Ed25519(key));
                }
                RsaKeyPair::from_pkcs8(der)
                    .map(|key| Key::Rsa(Box::new(key)))
                    .map_err(refuse)
            }
            _ => Err(DkimError::Key("it is of another kind".to_owned())),
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Key::Rsa(_) => "rsa",
            Key::Ed25519(_) => "ed25519",
        }
    }

    fn sign(&self, text: &[u8], random: &SystemRandom) -> Result<Vec<u8>, DkimError> {
        match self {
            Key::Rsa(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, random, text, &mut signature)
                    .map_err(|_| DkimError::Key("it could not sign".to_owned()))?;
                Ok(signature)
            }
            // RFC 8463, section 3: what is signed is the hash.
            Key::Ed25519(key) => Ok(key.sign(digest(&SHA256, text).as_ref()).as_ref().to_vec()),
        }
    }
}

#[cfg(test)]
mod tests;
