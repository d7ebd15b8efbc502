//! Who may hand in returned mails: whoever has the bearer token (RFC 6750) that a file holds.

use std::io;
use std::path::Path;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Fewer characters could be guessed.
const MIN_CHARACTERS: usize = 32;

/// What is wrong with the file of a token. The text has nothing of what is in the file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TokenError {
    #[error("{path}: {error}")]
    File { path: String, error: io::Error },
    #[error(
        "{path} must hold one token of at least {MIN_CHARACTERS} letters, digits and -._~+/, such as `openssl rand -hex 32` prints"
    )]
    Malformed { path: String },
}

/// The digest of a token: digests are compared, so that neither contents nor length show in the time that it takes.
#[derive(Debug, Clone)]
pub struct BounceToken(Digested);

type Digested = [u8; 32];

impl BounceToken {
    /// Reads a file that holds a token and white space around it.
    pub fn load(path: &Path) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path).map_err(|error| TokenError::File {
            path: path.display().to_string(),
            error,
        })?;
        Self::parse(text.trim()).ok_or_else(|| TokenError::Malformed {
            path: path.display().to_string(),
        })
    }

    pub(super) fn parse(token: &str) -> Option<Self> {
        let of_a_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let well_formed = token.len() >= MIN_CHARACTERS && token.bytes().all(of_a_token);
        well_formed.then(|| Self(digest(token)))
    }

    /// Whether a request has this token.
    pub fn authorizes(&self, headers: &HeaderMap) -> bool {
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map_or("", |(_, token)| token.trim());
        self.0.ct_eq(&digest(given)).into()
    }
}

fn digest(token: &str) -> Digested {
    Sha256::digest(token.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    use tempfile::NamedTempFile;

    const TOKEN: &str = "0123456789abcdef0123456789ABCDE-._~+/==";

    fn file(text: &str) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, text).unwrap();
        file
    }

    fn load(text: &str) -> Result<BounceToken, TokenError> {
        BounceToken::load(file(text).path())
    }

    #[test]
    fn only_the_token_itself_authorizes() {
        let token = load(&format!("{TOKEN}\n")).unwrap();
        let authorizes = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.try_into().unwrap());
            token.authorizes(&headers)
        };
        assert!(authorizes(&format!("Bearer {TOKEN}")));
        assert!(authorizes(&format!("bearer  {TOKEN} ")));
        for value in [
            "",
            "Bearer",
            "Bearer ",
            TOKEN,
            &format!("Basic {TOKEN}"),
            &format!("Bearer {TOKEN}x"),
            &format!("Bearer {}", &TOKEN[1..]),
            &format!("Bearer {}", TOKEN.to_lowercase()),
            &format!("Bearer {TOKEN} {TOKEN}"),
        ] {
            assert!(!authorizes(value), "{value}");
        }
        assert!(!token.authorizes(&HeaderMap::new()));
    }

    #[test]
    fn a_file_without_a_good_token_is_refused_and_not_quoted() {
        for text in [
            "",
            "\n",
            &TOKEN[..31],
            &format!("{TOKEN} {TOKEN}"),
            &"é".repeat(40),
        ] {
            let error = load(text).err().unwrap().to_string();
            assert!(error.contains("must hold one token"), "{error}");
            assert!(text.trim().is_empty() || !error.contains(text), "{error}");
        }
        let missing = BounceToken::load(Path::new("/nonexistent/token"));
        assert!(matches!(missing, Err(TokenError::File { .. })));
    }
}
