//! What came back: reads a raw mail that was sent to the return path, and says what it is and which mail it speaks of.
//!
//! Delivery status notifications (RFC 3464, RFC 6533), feedback reports (RFC 5965) and, since many servers still write
//! neither, notices in prose. `mail-parser` takes the mail apart; the fields inside the reports, which are no mails, are
//! read here. Nothing here is trusted: the caller finds the mail by a signed return path or a random id.

mod comparable;
mod delivery_status;
mod fields;
mod notice;
mod refusal;
mod returned;
mod rules;
mod words;

use mail_parser::MessageParser;

pub use comparable::comparable;
use fields::Field;
use notice::Writer;
pub use refusal::Refusal;
use returned::Returned;
pub use rules::{Meaning, Rule, RuleError, RuleKind, Rules};

/// Of a longer mail the beginning is read: reports come first, the returned mail last (RFC 3462).
const MAX_BYTES: usize = 1024 * 1024;
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
    /// Tokens of URLs in List-Unsubscribe, which may be signed for the mail that came back ([`Purpose::Unsubscribe`]).
    ///
    /// [`Purpose::Unsubscribe`]: crate::tracking::token::Purpose::Unsubscribe
    pub unsubscribe_tokens: Vec<String>,
}

impl Report {
    fn new(kind: Kind) -> Self {
        Report {
            kind,
            status: None,
            diagnostic: None,
            return_paths: Vec::new(),
            message_ids: Vec::new(),
            unsubscribe_tokens: Vec::new(),
        }
    }

    fn refused(kind: Kind, status: Option<String>, diagnostic: &str) -> Self {
        let line = diagnostic.split_whitespace().collect::<Vec<_>>().join(" ");
        let diagnostic: String = line.chars().take(MAX_DIAGNOSTIC_CHARS).collect();
        Report {
            status,
            diagnostic: Some(diagnostic).filter(|text| !text.is_empty()),
            ..Report::new(kind)
        }
    }
}

/// Reads a raw mail. What is none, is [`Kind::Unknown`].
pub fn read(raw: &[u8], rules: &Rules) -> Report {
    let raw = &raw[..raw.len().min(MAX_BYTES)];
    let Some(message) = MessageParser::default().parse(raw) else {
        return Report::new(Kind::Unknown);
    };
    let mail = Returned::read(&message);
    Report {
        return_paths: mail.traces.return_paths.clone(),
        message_ids: mail.traces.message_ids.clone(),
        unsubscribe_tokens: mail.traces.unsubscribe_tokens.clone(),
        ..judge(&mail, rules)
    }
}

fn judge(mail: &Returned, rules: &Rules) -> Report {
    let writer = Writer::new(&mail.header, &mail.subject);
    let said = notice::before_the_copy(&mail.text);
    let inner_status = || {
        let status = mail.inner_status.as_deref();
        status.filter(|_| writer.is_mailer_daemon())
    };
    if let Some(report) = &mail.feedback {
        complaint(report)
    } else if let Some(status) = mail.delivery_status.as_deref().or_else(inner_status) {
        delivery_status::read(rules, status, said)
    } else if mail.is_junk_report {
        Report::new(Kind::Complaint)
    } else if mail.is_receipt {
        Report::new(Kind::AutoReply)
    } else if let Some(notice) = notice::read(rules, &writer, &mail.text) {
        notice
    } else if writer.is_auto_reply(rules) {
        Report::new(Kind::AutoReply)
    } else {
        Report::new(Kind::Unknown)
    }
}

/// RFC 5965, section 3.1; of the types of section 7.3 two say that the recipient did not want the mail.
fn complaint(report: &[Field]) -> Report {
    let feedback = fields::value(report, "feedback-type").unwrap_or_default();
    let name = feedback.to_ascii_lowercase();
    let kind = match name.split([' ', '(', ';']).next().unwrap_or_default() {
        "abuse" | "fraud" | "opt-out" | "opt-out-list" => Kind::Complaint,
        _ => Kind::Unknown,
    };
    Report::refused(kind, None, &format!("feedback: {feedback}"))
}

#[cfg(test)]
mod tests;
