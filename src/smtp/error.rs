//! Why a mail was not delivered, and what to do next.

use std::fmt;

use super::refusal::{self, Scope, Step, Verdict};
use super::reply::{Reply, one_line};

/// What a failure means for the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendErrorKind {
    /// The mail was refused for good, or cannot be sent at all.
    Permanent,
    /// The mail was refused for now, by the server or by the disk.
    Transient,
    /// The server takes no mail now, whichever it is, or none over this connection.
    Unavailable,
    /// The connection failed; nothing is known about the mail itself.
    Connection,
}

/// A failed delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SendError {
    pub kind: SendErrorKind,
    /// What the refusal is about, when the server refused a mail.
    pub verdict: Option<Verdict>,
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
            verdict: None,
            code: None,
            message: one_line(message.as_ref()),
            in_doubt: false,
        }
    }

    pub(super) fn connection(message: impl AsRef<str>) -> Self {
        Self::new(SendErrorKind::Connection, message)
    }

    /// Classifies by the reply code (RFC 5321, section 4.2.1) a reply that was not the hoped for; one that is no refusal
    /// makes no sense there, and what follows would not either.
    pub(super) fn replied(step: &str, reply: &Reply) -> Self {
        let kind = match reply.code {
            500.. => SendErrorKind::Permanent,
            400.. => SendErrorKind::Transient,
            _ => {
                return Self::connection(format!("{step}: unexpected reply {reply}"));
            }
        };
        SendError {
            code: Some(reply.code),
            ..Self::new(kind, format!("{step}: {reply}"))
        }
    }

    /// A step of a mail that was refused.
    pub(super) fn refused(step: Step, reply: &Reply) -> Self {
        let error = Self::replied(step.name(), reply);
        // What is no refusal makes no sense there.
        if error.kind == SendErrorKind::Connection {
            return error;
        }
        let verdict = refusal::judge(step, reply.code, &error.message);
        SendError {
            kind: match verdict.scope {
                Scope::Server | Scope::Session => SendErrorKind::Unavailable,
                _ if verdict.is_final => SendErrorKind::Permanent,
                _ => SendErrorKind::Transient,
            },
            verdict: Some(verdict),
            ..error
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
