//! What a returned mail says.

const MAX_DIAGNOSTIC_CHARS: usize = 500;

/// What a returned mail is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Not delivered: the mailbox does not exist.
    Hard,
    /// Not delivered, for a reason that may pass: a full mailbox, a policy, a server out of reach for days.
    Soft,
    /// A server goes on trying.
    Delayed,
    Delivered,
    /// The recipient calls the mail spam.
    Complaint,
    /// A person is away, or a program says something.
    AutoReply,
    /// The reader leaves by mail (RFC 2369).
    Unsubscribe,
    Unknown,
}

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Hard => "hard",
            Kind::Soft => "soft",
            Kind::Delayed => "delayed",
            Kind::Delivered => "delivered",
            Kind::Complaint => "complaint",
            Kind::AutoReply => "auto_reply",
            Kind::Unsubscribe => "unsubscribe",
            Kind::Unknown => "unknown",
        }
    }
}

/// A returned mail, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub kind: Kind,
    /// Enhanced status code (RFC 3463).
    pub status: Option<String>,
    /// What the refusing server said, on one line.
    pub diagnostic: Option<String>,
    /// Addresses that may be the return path of the mail that came back.
    pub return_paths: Vec<String>,
    /// Message-IDs, without angle brackets, that may be those of the mail that came back.
    pub message_ids: Vec<String>,
    /// Tokens of URLs in List-Unsubscribe, which may be signed for the mail that came back ([`Purpose::Unsubscribe`]); of a
    /// reader who leaves the verified one.
    ///
    /// [`Purpose::Unsubscribe`]: crate::tracking::token::Purpose::Unsubscribe
    pub unsubscribe_tokens: Vec<String>,
}

impl Report {
    pub(super) fn new(kind: Kind) -> Self {
        Report {
            kind,
            status: None,
            diagnostic: None,
            return_paths: Vec::new(),
            message_ids: Vec::new(),
            unsubscribe_tokens: Vec::new(),
        }
    }

    pub(super) fn refused(kind: Kind, status: Option<String>, diagnostic: &str) -> Self {
        let line = diagnostic.split_whitespace().collect::<Vec<_>>().join(" ");
        let diagnostic: String = line.chars().take(MAX_DIAGNOSTIC_CHARS).collect();
        Report {
            status,
            diagnostic: Some(diagnostic).filter(|text| !text.is_empty()),
            ..Report::new(kind)
        }
    }
}
