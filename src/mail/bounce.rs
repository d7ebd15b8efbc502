//! What came back: reads a raw mail that was sent to the return path, and says what it is and which mail it speaks of.
//!
//! Delivery status notifications (RFC 3464, RFC 6533), feedback reports (RFC 5965) and, since many servers still write
//! neither, notices in prose. `mail-parser` takes the mail apart; the fields inside the reports, which are no mails, are
//! read here. Nothing here is trusted: the caller finds the mail by a signed return path or a random id.

mod fields;
mod refusal;

use mail_parser::{Message, MessageParser, MimeHeaders, PartType};

use fields::{Field, fields};
pub use refusal::is_dead_mailbox;
use refusal::{find_status, is_waiting};

/// Of a longer mail the beginning is read: reports come first, the returned mail last (RFC 3462).
const MAX_BYTES: usize = 1024 * 1024;
/// Addresses and Message-IDs looked at, so that a mail full of them costs no more than others.
const MAX_TRACES: usize = 32;
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
}

impl Report {
    fn new(kind: Kind) -> Self {
        Report {
            kind,
            status: None,
            diagnostic: None,
            return_paths: Vec::new(),
            message_ids: Vec::new(),
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
pub fn read(raw: &[u8]) -> Report {
    let raw = &raw[..raw.len().min(MAX_BYTES)];
    let Some(message) = MessageParser::default().parse(raw) else {
        return Report::new(Kind::Unknown);
    };
    let mail = Returned::read(&message);
    let mut report = mail
        .feedback
        .as_deref()
        .map(complaint)
        .or_else(|| mail.delivery_status.as_deref().map(status_report))
        .or_else(|| mail.is_junk_report.then(|| Report::new(Kind::Complaint)))
        .or_else(|| notice(&mail))
        .unwrap_or_else(|| Report::new(mail.other_kind()));
    report.return_paths = mail.return_paths;
    report.message_ids = mail.message_ids;
    report
}

/// The pieces of a returned mail.
#[derive(Default)]
struct Returned {
    header: Vec<Field>,
    /// The fields of a feedback report.
    feedback: Option<Vec<Field>>,
    /// The fields of a delivery status notification, all recipients one after the other.
    delivery_status: Option<Vec<Field>>,
    /// Outlook.com's report (JMRP), which is the mail with a header of its own.
    is_junk_report: bool,
    text: String,
    return_paths: Vec<String>,
    message_ids: Vec<String>,
}

impl Returned {
    fn read(message: &Message<'_>) -> Self {
        let mut mail = Returned {
            header: header(message),
            ..Returned::default()
        };
        for field in mail.header.clone() {
            match field.name.as_str() {
                // Where the report was sent to: our return path.
                "to" | "delivered-to" | "x-original-to" | "envelope-to" | "x-envelope-to"
                | "x-delivered-to" | "apparently-to" => mail.add_return_paths(&field.value),
                "in-reply-to" | "references" => mail.add_message_ids(&field.value),
                _ => {}
            }
        }
        mail.read_parts(message);
        mail
    }

    fn read_parts(&mut self, message: &Message<'_>) {
        for part in &message.parts {
            let kind = part.content_type().map(|of| {
                let subtype = of.subtype().unwrap_or_default();
                format!("{}/{subtype}", of.ctype()).to_ascii_lowercase()
            });
            let text = || String::from_utf8_lossy(part.contents());
            match (kind.as_deref(), &part.body) {
                (_, PartType::Message(returned)) => self.read_traces(&header(returned)),
                (Some("message/delivery-status" | "message/global-delivery-status"), _) => {
                    self.delivery_status
                        .get_or_insert_default()
                        .extend(fields(&text()));
                }
                (Some("message/feedback-report"), _) => {
                    let report = fields(&text());
                    for field in &report {
                        if field.name == "original-mail-from" {
                            self.add_return_paths(&field.value);
                        }
                    }
                    self.feedback.get_or_insert(report);
                }
                (Some("text/rfc822-headers" | "message/global-headers"), _) => {
                    self.read_traces(&fields(&text()));
                }
                (_, PartType::Text(_)) => {
                    let text = text();
                    // Notices in prose often end with the mail, or its header, as text.
                    self.read_traces(&fields(&text));
                    self.text.push_str(&text);
                    self.text.push('\n');
                }
                _ => {}
            }
        }
    }

    /// Reads the header of the mail that came back.
    fn read_traces(&mut self, header: &[Field]) {
        for field in header {
            match field.name.as_str() {
                "message-id" => self.add_message_ids(&field.value),
                "return-path" | "x-envelope-from" | "envelope-from" => {
                    self.add_return_paths(&field.value);
                }
                "x-hmxmroriginalrecipient" => self.is_junk_report = true,
                _ => {}
            }
        }
    }

    fn add_return_paths(&mut self, value: &str) {
        add_traces(&mut self.return_paths, value, "<>,;\"()");
    }

    fn add_message_ids(&mut self, value: &str) {
        add_traces(&mut self.message_ids, value, "<>,");
    }

    fn value(&self, name: &str) -> Option<&str> {
        fields::value(&self.header, name)
    }

    /// Whether a mail server wrote this to say that a mail was not delivered.
    fn is_notice(&self) -> bool {
        const WRITERS: [&str; 3] = ["mailer-daemon@", "postmaster@", "mail-daemon@"];
        const SUBJECTS: [&str; 9] = [
            "failure notice",
            "undeliver",
            "delivery status notification",
            "delivery failure",
            "delivery has failed",
            "delivery failed",
            "mail delivery",
            "returned mail",
            "non remis",
        ];
        let from = self.value("from").unwrap_or_default().to_lowercase();
        let subject = self.value("subject").unwrap_or_default().to_lowercase();
        self.value("x-failed-recipients").is_some()
            || WRITERS.iter().any(|writer| from.contains(writer))
            || SUBJECTS.iter().any(|words| subject.contains(words))
    }

    /// What a mail is that is no report.
    fn other_kind(&self) -> Kind {
        let says = |name: &str, words: &[&str]| {
            let value = self.value(name).unwrap_or_default().to_lowercase();
            words.iter().any(|word| value.starts_with(word))
        };
        // RFC 3834, section 5, and what was there before it.
        let automatic = says("auto-submitted", &["auto-"])
            || says("precedence", &["auto_reply", "bulk", "junk"])
            || ["x-autoreply", "x-autorespond", "x-autoresponder"]
                .iter()
                .any(|name| self.value(name).is_some())
            || says(
                "subject",
                &["automatic reply", "auto:", "out of office", "autoreply"],
            );
        match automatic {
            true => Kind::AutoReply,
            false => Kind::Unknown,
        }
    }
}

/// The header of a message as it came.
fn header(message: &Message<'_>) -> Vec<Field> {
    let end = message
        .parts
        .first()
        .map_or(0, |part| part.offset_body as usize);
    let raw = message.raw_message.get(..end).unwrap_or_default();
    fields(&String::from_utf8_lossy(raw))
}

/// RFC 5965, section 3.1; of the types of section 7.3 two say that the recipient did not want the mail.
fn complaint(report: &[Field]) -> Report {
    let feedback = fields::value(report, "feedback-type").unwrap_or_default();
    let kind = match feedback.to_ascii_lowercase().as_str() {
        "abuse" | "fraud" | "opt-out" | "opt-out-list" => Kind::Complaint,
        _ => Kind::Unknown,
    };
    Report::refused(kind, None, &format!("feedback: {feedback}"))
}

/// RFC 3464, section 2.3. Each of our mails has one recipient; of several, as after an alias, the first that failed.
fn status_report(report: &[Field]) -> Report {
    let mut recipients: Vec<Vec<&Field>> = Vec::new();
    for field in report {
        if field.name == "final-recipient" || recipients.is_empty() {
            recipients.push(Vec::new());
        }
        if let Some(recipient) = recipients.last_mut() {
            recipient.push(field);
        }
    }
    let mut best = Report::new(Kind::Unknown);
    for recipient in recipients {
        let value = |name: &str| {
            recipient
                .iter()
                .find(|field| field.name == name)
                .map_or("", |field| field.value.as_str())
        };
        let diagnostic = value("diagnostic-code");
        let diagnostic = diagnostic
            .split_once(';')
            .map_or(diagnostic, |(_, text)| text.trim());
        let status = find_status(value("status"));
        // The server that refused often knows better than the one that reports.
        let status = match (&status, find_status(diagnostic)) {
            (Some(general), Some(exact)) if general.ends_with(".0.0") => Some(exact),
            (None, exact) => exact,
            _ => status,
        };
        let kind = match value("action").to_ascii_lowercase().as_str() {
            "failed" if is_dead_mailbox(status.as_deref(), diagnostic) => Kind::Hard,
            "failed" => Kind::Soft,
            "delayed" => Kind::Delayed,
            "delivered" | "relayed" | "expanded" => Kind::Delivered,
            _ => continue,
        };
        let found = Report::refused(kind, status, diagnostic);
        if matches!(kind, Kind::Hard | Kind::Soft) {
            return found;
        }
        best = found;
    }
    best
}

/// A notice in prose, such as qmail's and old Exim's.
fn notice(mail: &Returned) -> Option<Report> {
    if !mail.is_notice() {
        return None;
    }
    let said = refusal::before_the_copy(&mail.text);
    let status = find_status(said);
    let kind = if is_waiting(said) {
        Kind::Delayed
    } else if is_dead_mailbox(status.as_deref(), said) {
        Kind::Hard
    } else {
        Kind::Soft
    };
    Some(Report::refused(kind, status, refusal::reason(said)))
}

/// Adds the addresses or Message-IDs that stand between separators, each once.
fn add_traces(traces: &mut Vec<String>, value: &str, separators: &str) {
    let found = value
        .split(|c: char| c.is_whitespace() || separators.contains(c))
        .filter(|word| word.contains('@'));
    for trace in found {
        if traces.len() < MAX_TRACES && !traces.iter().any(|known| known == trace) {
            traces.push(trace.to_owned());
        }
    }
}

#[cfg(test)]
mod tests;
