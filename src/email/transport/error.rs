//! Why a mail was not delivered, and what to do next.

use std::fmt;

/// What a failure means for the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendErrorKind {
    /// The server refused this mail for good (5xx), or it cannot be sent at all.
    Permanent,
    /// The server refused this mail for now (4xx), or the disk did.
    Transient,
    /// The connection failed; nothing is known about the mail itself.
    Connection,
}

/// A failed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendError {
    pub kind: SendErrorKind,
    /// SMTP reply code, when the server gave one.
    pub code: Option<u16>,
    /// One line, without secrets.
    pub message: String,
    /// The connection failed when the end of the mail was on its way: the server may have taken it.
    pub in_doubt: bool,
}

impl SendError {
    pub(super) fn new(kind: SendErrorKind, message: impl AsRef<str>) -> Self {
        SendError {
            kind,
            code: None,
            message: one_line(message.as_ref()),
            in_doubt: false,
        }
    }

    pub(super) fn connection(message: impl AsRef<str>) -> Self {
        Self::new(SendErrorKind::Connection, message)
    }

    /// Classifies by the reply code (RFC 5321, section 4.2.1); what is no negative reply is a failed connection.
    pub(super) fn from_smtp(step: &str, error: &lettre::transport::smtp::Error) -> Self {
        let code = error.status().map(u16::from);
        let kind = match code {
            Some(500..) => SendErrorKind::Permanent,
            Some(_) => SendErrorKind::Transient,
            None => SendErrorKind::Connection,
        };
        let reason = causes(error);
        let message = match code {
            Some(code) => format!("{step}: {code} {reason}"),
            None => format!("{step}: {error}"),
        };
        SendError {
            code,
            ..Self::new(kind, message)
        }
    }

    /// The same failure where no mail has been judged yet.
    pub(super) fn before_any_mail(self) -> Self {
        SendError {
            kind: SendErrorKind::Connection,
            ..self
        }
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        match self.in_doubt {
            true => f.write_str(" (the server may have taken the mail)"),
            false => Ok(()),
        }
    }
}

impl std::error::Error for SendError {}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Makes one line of at most 500 characters of text that may come from a server.
pub(super) fn one_line(text: &str) -> String {
    text.trim()
        .chars()
        .take(500)
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
