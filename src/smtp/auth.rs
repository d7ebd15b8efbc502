//! AUTH (RFC 4954): passwords with the mechanisms that every provider has, and access tokens of OAuth 2.0 with those of Google and Microsoft
//! (XOAUTH2, which no RFC has) and of RFC 7628 (OAUTHBEARER).

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::config::{Login, LoginSecret, Password, SmtpConfig, TransportConfig};
use super::error::SendError;
use super::extensions::Extensions;
use super::reply::Reply;
use crate::secret_file;

/// More is no access token: what is said after AUTH has 12,288 bytes (RFC 4954, section 4), and base64 takes a quarter of them.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// A command without its CRLF (RFC 5321, section 4.5.3.1.4): a longer response is said when the server asks for it (RFC 4954, section 4).
const MAX_COMMAND_BYTES: usize = 510;
/// So many characters of a secret in a reply tell that it echoes it.
const TELLING: usize = 16;

/// One user's side of the exchange.
pub(super) struct Dialog {
    /// What is said line by line, each after a reply to the one before; without CRLF.
    pub(super) lines: Vec<String>,
    /// What is said to a server that tells in a challenge why it refuses, before it does so.
    pub(super) after_challenge: Option<&'static str>,
    /// What must not be shown.
    secrets: Vec<String>,
}

impl Dialog {
    pub(super) fn new(
        config: &TransportConfig,
        smtp: &SmtpConfig,
        user: &str,
        offered: Extensions,
    ) -> Result<Self, SendError> {
        match (smtp.login, config.secret()) {
            (Login::Password, Some(LoginSecret::Password(Password(password)))) => {
                Self::of_password(offered, user, password)
            }
            (login @ (Login::XOAuth2 | Login::OAuthBearer), Some(LoginSecret::TokenFile(path))) => {
                Self::of_token(login, smtp, user, &read_token(path)?, offered)
            }
            (login, _) => {
                let what = match login {
                    Login::Password => "password",
                    Login::XOAuth2 | Login::OAuthBearer => "access token",
                };
                Err(SendError::connection(format!(
                    "user {user:?} has no {what}; set marketing_automation.smtp_password_file"
                )))
            }
        }
    }

    fn of_password(offered: Extensions, user: &str, password: &str) -> Result<Self, SendError> {
        // RFC 4616, with the initial response of RFC 4954.
        let response = STANDARD.encode(format!("\0{user}\0{password}"));
        let encoded = STANDARD.encode(password);
        let lines = if offered.auth_plain {
            vec![format!("AUTH PLAIN {response}")]
        } else if offered.auth_login {
            vec![
                "AUTH LOGIN".to_owned(),
                STANDARD.encode(user),
                encoded.clone(),
            ]
        } else {
            return Err(SendError::connection(
                "the server offers neither AUTH PLAIN nor AUTH LOGIN",
            ));
        };
        Ok(Dialog {
            lines,
            after_challenge: None,
            secrets: vec![password.to_owned(), encoded, response],
        })
    }

    fn of_token(
        login: Login,
        smtp: &SmtpConfig,
        user: &str,
        token: &str,
        offered: Extensions,
    ) -> Result<Self, SendError> {
        let mechanism = login.mechanism().unwrap_or_default();
        let (is_offered, said, after_challenge) = match login {
            Login::OAuthBearer => {
                // In the name of RFC 5801, commas and equals signs are written otherwise.
                let name = user.replace('=', "=3D").replace(',', "=2C");
                let said = format!(
                    "n,a={name},\x01host={}\x01port={}\x01auth=Bearer {token}\x01\x01",
                    smtp.host, smtp.port
                );
                // A single \x01 (RFC 7628, section 3.2.3).
                (offered.auth_oauthbearer, said, "AQ==")
            }
            _ => (
                offered.auth_xoauth2,
                format!("user={user}\x01auth=Bearer {token}\x01\x01"),
                "",
            ),
        };
        if !is_offered {
            return Err(SendError::connection(format!(
                "the server does not offer AUTH {mechanism}"
            )));
        }
        let response = STANDARD.encode(said);
        let command = format!("AUTH {mechanism}");
        let lines = match command.len() + 1 + response.len() > MAX_COMMAND_BYTES {
            true => vec![command, response.clone()],
            false => vec![format!("{command} {response}")],
        };
        Ok(Dialog {
            lines,
            after_challenge: Some(after_challenge),
            secrets: vec![token.to_owned(), STANDARD.encode(token), response],
        })
    }

    /// Keeps a server that echoes what it was sent from putting the secret into our logs: a reply is cut, and may fold a long line, so that the
    /// beginning of a secret counts for all of it.
    pub(super) fn without_secret(&self, error: SendError) -> SendError {
        let said: String = error.message.split_whitespace().collect();
        let is_said = |secret: &String| {
            let secret: String = secret.split_whitespace().collect();
            let beginning = secret
                .char_indices()
                .nth(TELLING)
                .map_or(&*secret, |(end, _)| &secret[..end]);
            said.contains(beginning.trim_end_matches('='))
        };
        match self.secrets.iter().any(is_said) {
            true => SendError {
                message: match self.after_challenge {
                    None => "AUTH: the server refused the password",
                    Some(_) => "AUTH: the server refused the access token",
                }
                .to_owned(),
                ..error
            },
            false => error,
        }
    }
}

/// What a server says in its challenge about a token that it refuses, which is JSON (RFC 7628, section 3.2.2); None: nothing to be read.
pub(super) fn reason(challenge: &Reply) -> Option<String> {
    let text = challenge.to_string();
    let decoded = STANDARD.decode(text.split_whitespace().nth(1)?).ok()?;
    String::from_utf8(decoded).ok()
}

/// The first line of the file, in the letters that an access token has (RFC 6750, section 2.1).
fn read_token(path: &Path) -> Result<String, SendError> {
    let of_file =
        |what: &str| SendError::connection(format!("the file of the access token {what}"));
    let unreadable = |error: std::io::Error| of_file(&format!("cannot be read: {error}"));
    if secret_file::too_open(path).map_err(unreadable)?.is_some() {
        return Err(of_file(&format!(
            "can be used by others than its owner; {}",
            secret_file::MODE
        )));
    }
    // A few kilobytes of a local file, before a connection is used; a pipe might never end.
    let file = File::open(path).map_err(unreadable)?;
    if !file.metadata().map_err(unreadable)?.is_file() {
        return Err(of_file("is no regular file"));
    }
    let mut text = String::new();
    file.take(2 * MAX_TOKEN_BYTES as u64)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    let token = text.lines().next().unwrap_or_default().trim_end();
    let is_of_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    match token.len() {
        1..=MAX_TOKEN_BYTES if token.bytes().all(is_of_token) => Ok(token.to_owned()),
        0 => Err(of_file("is empty")),
        _ => Err(of_file(
            "has a first line that is no access token (RFC 6750)",
        )),
    }
}
