//! AUTH (RFC 4954) with the mechanisms that every provider has.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::error::SendError;
use super::extensions::Extensions;

/// What is said line by line, each after a reply to the one before; without CRLF.
pub(super) fn lines(
    offered: Extensions,
    user: &str,
    password: &str,
) -> Result<Vec<String>, SendError> {
    if offered.auth_plain {
        // RFC 4616, with the initial response of RFC 4954.
        let response = STANDARD.encode(format!("\0{user}\0{password}"));
        Ok(vec![format!("AUTH PLAIN {response}")])
    } else if offered.auth_login {
        Ok(vec![
            "AUTH LOGIN".to_owned(),
            STANDARD.encode(user),
            STANDARD.encode(password),
        ])
    } else {
        Err(SendError::connection(
            "the server offers neither AUTH PLAIN nor AUTH LOGIN",
        ))
    }
}

/// Keeps a server that echoes what it was sent from putting the password into our logs.
pub(super) fn without_secret(error: SendError, user: &str, password: &str) -> SendError {
    let secrets = [
        password.to_owned(),
        STANDARD.encode(password),
        STANDARD.encode(format!("\0{user}\0{password}")),
    ];
    match secrets
        .iter()
        .any(|secret| error.message.contains(secret.trim_end_matches('=')))
    {
        true => SendError {
            message: "AUTH: the server refused the password".to_owned(),
            ..error
        },
        false => error,
    }
}
