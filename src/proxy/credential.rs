//! What whoever posts has to say: a bearer token (RFC 6750), or a name and a password (RFC 7617), as a file holds it.

use std::path::Path;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::bounce::BounceToken;

/// Fewer characters could be guessed.
const MIN_PASSWORD: usize = 20;

/// What is wrong with the file. The text has nothing of what is in it.
#[derive(Debug, Error)]
#[error(
    "{path} must hold one token of at least 32 letters, digits and -._~+/, or NAME:PASSWORD with a password of at least {MIN_PASSWORD} characters, such as `openssl rand -hex 32` prints"
)]
pub struct Malformed {
    path: String,
}

/// Digests are compared, so that neither contents nor length show in the time that it takes.
#[derive(Debug, Clone)]
pub enum Credential {
    Token(BounceToken),
    Password([u8; 32]),
}

impl Credential {
    /// Understands the text of a file that was read from there.
    ///
    /// # Errors
    /// It is neither.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Malformed> {
        let text = text.trim();
        let of_a_password = |byte: u8| byte.is_ascii_graphic();
        let credential = match text.split_once(':') {
            Some((name, password)) => (!name.is_empty()
                && password.len() >= MIN_PASSWORD
                && text.bytes().all(of_a_password))
            .then(|| Self::Password(digest(text.as_bytes()))),
            None => BounceToken::parse(text).map(Self::Token),
        };
        credential.ok_or_else(|| Malformed {
            path: path.display().to_string(),
        })
    }

    /// Whether a request says it.
    #[must_use]
    pub fn authorizes(&self, headers: &HeaderMap) -> bool {
        match self {
            Self::Token(token) => token.authorizes(headers),
            Self::Password(password) => {
                let given = headers
                    .get(AUTHORIZATION)
                    .and_then(|value| value.to_str().ok())
                    .and_then(|value| value.split_once(' '))
                    .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
                    .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok());
                password
                    .ct_eq(&digest(given.as_deref().unwrap_or_default()))
                    .into()
            }
        }
    }

    /// How to say it, for whoever does not.
    #[must_use]
    pub fn challenge(&self) -> &'static str {
        match self {
            Self::Token(_) => "Bearer realm=\"bounces\"",
            Self::Password(_) => "Basic realm=\"bounces\"",
        }
    }
}

fn digest(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789ABCDE-";
    const PASSWORD: &str = "postmark:0123456789abcdef0123";

    fn parse(text: &str) -> Result<Credential, Malformed> {
        Credential::parse(text, Path::new("/etc/secret"))
    }

    fn authorizes(credential: &Credential, value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.try_into().unwrap());
        credential.authorizes(&headers)
    }

    #[test]
    fn only_the_credential_itself_authorizes() {
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let password = parse(&format!("{PASSWORD}\n")).unwrap();
        assert!(authorizes(&password, &basic(PASSWORD)));
        assert!(authorizes(
            &password,
            &basic(PASSWORD).replace("Basic", "basic")
        ));
        for value in [
            "",
            "Basic",
            "Basic %",
            &basic(&PASSWORD[1..]),
            &basic(&format!("{PASSWORD}x")),
            &basic(""),
            &format!("Basic {PASSWORD}"),
            &format!("Bearer {}", STANDARD.encode(PASSWORD)),
        ] {
            assert!(!authorizes(&password, value), "{value}");
        }
        assert!(!password.authorizes(&HeaderMap::new()));
        let token = parse(TOKEN).unwrap();
        assert!(authorizes(&token, &format!("Bearer {TOKEN}")));
        assert!(!authorizes(&token, &basic(TOKEN)));
        assert_ne!(token.challenge(), password.challenge());
    }

    #[test]
    fn what_could_be_guessed_is_refused_and_not_quoted() {
        for text in [
            "",
            "hunter2",
            "name:short",
            ":0123456789abcdef0123456789",
            &PASSWORD.replace('5', " "),
        ] {
            let error = parse(text).err().unwrap().to_string();
            assert!(error.starts_with("/etc/secret must hold"), "{error}");
            assert!(text.is_empty() || !error.contains(text), "{error}");
        }
    }
}
