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
mod report;
mod returned;
mod rules;
mod words;

use std::panic::{AssertUnwindSafe, catch_unwind};

use mail_parser::MessageParser;

pub use comparable::comparable;
use fields::Field;
use notice::Writer;
pub use refusal::Refusal;
pub use report::{Kind, Report};
use returned::Returned;
pub use rules::{Meaning, Rule, RuleError, RuleKind, Rules};

/// Of a longer mail the beginning is read: reports come first, the returned mail last (RFC 3462).
const MAX_BYTES: usize = 1024 * 1024;

/// Reads a raw mail. What is none, is [`Kind::Unknown`]. `leaving` gives the token of a URL that unsubscribes for a word that
/// names one.
pub fn read(raw: &[u8], rules: &Rules, leaving: impl Fn(&str) -> Option<String>) -> Report {
    let raw = &raw[..raw.len().min(MAX_BYTES)];
    // The parser panics at a report whose parts are nested and cut off.
    let parsed = catch_unwind(AssertUnwindSafe(|| MessageParser::default().parse(raw)));
    let Ok(Some(message)) = parsed else {
        return Report::new(Kind::Unknown);
    };
    let mail = Returned::read(&message);
    // Reports speak of a mail that came back, whatever address they came to.
    if !mail.is_report()
        && let Some(token) = mail.invitations().find_map(leaving)
    {
        return Report {
            unsubscribe_tokens: vec![token],
            ..Report::new(Kind::Unsubscribe)
        };
    }
    Report {
        return_paths: mail.traces.return_paths.clone(),
        message_ids: mail.traces.message_ids.clone(),
        unsubscribe_tokens: mail.traces.unsubscribe_tokens.clone(),
        ..judge(&mail, rules)
    }
}

/// What a raw mail says of each recipient that it names: of a mail that went to several, a report may be about one of them. Empty where
/// it names none.
pub fn recipients(raw: &[u8], rules: &Rules) -> Vec<(String, Report)> {
    let raw = &raw[..raw.len().min(MAX_BYTES)];
    let parsed = catch_unwind(AssertUnwindSafe(|| MessageParser::default().parse(raw)));
    let Ok(Some(message)) = parsed else {
        return Vec::new();
    };
    let mail = Returned::read(&message);
    if let Some(report) = &mail.feedback {
        let named = report.iter().filter(|field| {
            let name = field.name.as_str();
            matches!(
                name,
                "original-rcpt-to" | "removal-recipient" | "original-recipient"
            )
        });
        let addresses = named.flat_map(|field| returned::addresses(&field.value));
        let of_each = addresses.map(|address| (address.to_owned(), complaint(report)));
        return of_each.take(returned::MAX_TRACES).collect();
    }
    let writer = Writer::new(&mail.header, &mail.subject);
    let inner_status = || {
        mail.inner_status
            .as_deref()
            .filter(|_| writer.is_mailer_daemon())
    };
    match mail.delivery_status.as_deref().or_else(inner_status) {
        Some(status) => {
            delivery_status::read_each(rules, status, notice::before_the_copy(&mail.text))
        }
        None => Vec::new(),
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
    let mut words = name.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let kind = match words.find(|word| !word.is_empty()).unwrap_or_default() {
        "abuse" | "fraud" | "opt-out" | "opt-out-list" => Kind::Complaint,
        // Ours, for what providers tell without a mail.
        "unsubscribe" => Kind::Unsubscribe,
        _ => Kind::Unknown,
    };
    Report::refused(kind, None, &format!("feedback: {feedback}"))
}

#[cfg(test)]
mod tests;
