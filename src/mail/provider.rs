//! What providers that relay mail POST about it: bounces, complaints, people who leave. A file for each provider says how its
//! requests are signed and what its JSON means; [`Event::mail`] makes of each event the mail that [`bounce::read`] understands,
//! so that it is judged by the same rules as what comes back by mail.
//!
//! Nothing here is trusted before its signature is: what it says of a mail proves nothing unless it names one of ours, by the
//! random id in our Message-ID, by its signed return path or by the signed token of its `List-Unsubscribe`.
//!
//! [`bounce::read`]: super::bounce::read

pub mod brevo;
mod echo;
mod event;
mod json;
pub mod mailgun;
pub mod postmark;
pub mod sendgrid;
pub mod ses;

pub use echo::{Echo, NoHeader};
pub use event::{Event, Outcome, Reply};
pub use json::{MAX_EVENTS, Unreadable};

/// Who relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    Ses,
    SendGrid,
    Mailgun,
    Postmark,
    Brevo,
}

impl Provider {
    pub const ALL: [Self; 5] = [
        Self::Ses,
        Self::SendGrid,
        Self::Mailgun,
        Self::Postmark,
        Self::Brevo,
    ];

    /// Its name in paths and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ses => "ses",
            Self::SendGrid => "sendgrid",
            Self::Mailgun => "mailgun",
            Self::Postmark => "postmark",
            Self::Brevo => "brevo",
        }
    }
}

/// Why a request is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Distrust {
    #[error("it has no signature")]
    Unsigned,
    #[error("its signature is not made with the key of the file")]
    Signature,
    #[error(
        "its signature is not made with a key of the file, and it says that this is its certificate: {0}"
    )]
    Certificate(String),
    #[error("its signature is too old, or from the future")]
    Time,
    #[error("its signature was used for another request before")]
    Reused,
    #[error("its topic is none of those that are given")]
    Topic,
    #[error(
        "its signature is of version 1 (SHA-1): aws sns set-topic-attributes --topic-arn ARN --attribute-name SignatureVersion --attribute-value 2"
    )]
    Version,
}

/// Why nothing is made of a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    #[error(transparent)]
    Distrust(#[from] Distrust),
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
}
