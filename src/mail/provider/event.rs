//! What became of one mail, and the mail that says so.

use super::Provider;

/// Longest line of a report: what servers say in more is not read.
const MAX_VALUE_CHARS: usize = 900;
/// Traces of one event; a mail has one of each kind.
const MAX_TRACES: usize = 8;
/// The boundary of the parts; no value holds it, as parsers may find it within a line.
const BOUNDARY: &str = "provider-event";

/// What became of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was not delivered, and nobody tries again.
    Failed(Reply),
    /// It is tried again.
    Delayed(Reply),
    /// The recipient calls it spam; the type of the feedback (RFC 5965).
    Complaint(String),
    /// The recipient leaves.
    Unsubscribed,
    /// Nothing follows, as of openings, which we see ourselves.
    Other,
}

/// What the server said that did not take a mail.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reply {
    /// Enhanced status code (RFC 3463), the server's or the provider's.
    pub status: String,
    /// The reply of the recipient's server, or what the provider says of it.
    pub text: String,
}

/// One event of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub outcome: Outcome,
    /// What makes it another event than all others: it comes again when the answer was lost, and counts once.
    pub id: String,
    pub recipient: String,
    /// Message-IDs, or what stands before their `@`.
    pub message_ids: Vec<String>,
    /// Envelope senders.
    pub return_paths: Vec<String>,
    /// Values of `List-Unsubscribe`.
    pub list_unsubscribes: Vec<String>,
}

impl Event {
    pub(super) fn new(outcome: Outcome, id: String) -> Self {
        Event {
            outcome,
            id,
            recipient: String::new(),
            message_ids: Vec::new(),
            return_paths: Vec::new(),
            list_unsubscribes: Vec::new(),
        }
    }

    /// Whether something may follow from it.
    #[must_use]
    pub fn matters(&self) -> bool {
        self.outcome != Outcome::Other
    }

    /// The report that says this: of delivery (RFC 3464), or feedback (RFC 5965). The same event gives the same bytes. `None` if
    /// nothing follows from it, or it names no mail that could be ours: others may send by the same account.
    #[must_use]
    pub fn mail(&self, provider: Provider) -> Option<Vec<u8>> {
        let (kind, report) = match &self.outcome {
            Outcome::Failed(reply) => ("delivery-status", self.status("failed", reply)),
            Outcome::Delayed(reply) => ("delivery-status", self.status("delayed", reply)),
            Outcome::Complaint(feedback) => ("feedback-report", self.feedback(feedback)),
            // The registry of RFC 5965 has no type for it: it is understood by [`crate::mail::bounce`].
            Outcome::Unsubscribed => ("feedback-report", self.feedback("unsubscribe")),
            Outcome::Other => return None,
        };
        let returned = self.returned()?;
        let name = provider.name();
        let mut mail = String::new();
        add(&mut mail, "From", &format!("{name} <mailer-daemon@{name}>"));
        add(&mut mail, "Subject", &format!("Event of {name}"));
        add(&mut mail, "X-Provider-Event", &self.id);
        mail.push_str(&format!(
            "MIME-Version: 1.0\r\nContent-Type: multipart/report; report-type={kind}; boundary=\"{BOUNDARY}\"\r\n\r\n\
             --{BOUNDARY}\r\nContent-Type: message/{kind}\r\nContent-Transfer-Encoding: 8bit\r\n\r\n{report}\r\n\
             --{BOUNDARY}\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n--{BOUNDARY}--\r\n"
        ));
        Some(mail.into_bytes())
    }

    fn status(&self, action: &str, reply: &Reply) -> String {
        let mut fields = "Reporting-MTA: dns; provider\r\n\r\n".to_owned();
        add(&mut fields, "Final-Recipient", &self.rfc822());
        add(&mut fields, "Action", action);
        add(&mut fields, "Status", &reply.status);
        let text = reply.text.trim();
        // Some providers write the type of RFC 3464 in front, some do not.
        let text = match text.get(..5) {
            Some(kind) if kind.eq_ignore_ascii_case("smtp;") => text[5..].trim(),
            _ => text,
        };
        if !text.is_empty() {
            add(&mut fields, "Diagnostic-Code", &format!("smtp; {text}"));
        }
        fields
    }

    fn feedback(&self, kind: &str) -> String {
        let mut fields = String::new();
        add(&mut fields, "Feedback-Type", kind);
        add(&mut fields, "Version", "1");
        add(&mut fields, "Original-Rcpt-To", &self.rfc822());
        fields
    }

    fn rfc822(&self) -> String {
        format!("rfc822; {}", self.recipient)
    }

    /// The header of the mail, as far as it is known; `None` if nothing of it is ours.
    fn returned(&self) -> Option<String> {
        let mut header = String::new();
        let ids = self.message_ids.iter().filter_map(|id| own_id(id));
        for id in ids.take(MAX_TRACES) {
            add(&mut header, "Message-ID", &format!("<{id}@provider>"));
        }
        let paths = self.return_paths.iter().map(|path| path.trim());
        for path in paths.filter(|path| has_token(path)).take(MAX_TRACES) {
            add(&mut header, "Return-Path", &format!("<{path}>"));
        }
        let ways = self.list_unsubscribes.iter();
        for ways in ways.filter(|ways| ways.contains("/u/")).take(MAX_TRACES) {
            add(&mut header, "List-Unsubscribe", ways);
        }
        Some(header).filter(|header| !header.is_empty())
    }
}

/// What stands before the `@` of a Message-ID, if it looks as ours: the uuid of a record, and the number of an activity.
fn own_id(id: &str) -> Option<&str> {
    let id = id.trim().trim_start_matches('<');
    let left = id.split(['@', '>']).next().unwrap_or_default();
    let (uuid, activity) = left.split_once('.')?;
    let is_uuid = uuid.len() == 36
        && uuid.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    let is_number =
        (1..=9).contains(&activity.len()) && activity.bytes().all(|byte| byte.is_ascii_digit());
    (is_uuid && is_number).then_some(left)
}

/// Whether an address may be a return path of ours.
fn has_token(address: &str) -> bool {
    address.split_once('@').is_some_and(|(local, domain)| {
        local.contains('+')
            && !domain.is_empty()
            && address
                .chars()
                .all(|c| !c.is_whitespace() && !"<>,;\"".contains(c))
    })
}

/// Adds a field, whatever its value holds, on one line.
fn add(fields: &mut String, name: &str, value: &str) {
    let words = value.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let line = line.replace(BOUNDARY, "…");
    let value: String = line.chars().take(MAX_VALUE_CHARS).collect();
    fields.push_str(&format!("{name}: {value}\r\n"));
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::mail::bounce::{self, Kind, Report, Rules};

    pub const OWN: &str = "0f6d2b1e-1c3a-4c55-9d59-2b8c5a8f3f10.17";

    /// How the mail of an event is judged, with our mail in it.
    pub fn judged(provider: Provider, event: &Event) -> Report {
        let event = Event {
            message_ids: vec![OWN.to_owned()],
            ..event.clone()
        };
        let mail = event.mail(provider).expect("something follows");
        bounce::read(&mail, Rules::shipped(), |_| None)
    }

    pub fn kind(provider: Provider, event: &Event) -> Kind {
        judged(provider, event).kind
    }

    fn failed(status: &str, text: &str) -> Event {
        let reply = Reply {
            status: status.to_owned(),
            text: text.to_owned(),
        };
        Event {
            recipient: "ada@example.org".to_owned(),
            message_ids: vec![format!("<{OWN}@shop.example>")],
            ..Event::new(Outcome::Failed(reply), "1".to_owned())
        }
    }

    #[test]
    fn codes_and_words_decide_as_of_any_report() {
        for (status, text, expected) in [
            ("5.1.1", "", Kind::Hard),
            ("5.1.1", "smtp; 550 5.1.1 user unknown", Kind::Hard),
            ("5.0.0", "550 No such user here", Kind::Hard),
            ("", "550 5.1.1 user unknown", Kind::Hard),
            ("5.1.1", "550 5.7.1 blocked", Kind::Soft),
            ("5.1.1", "550 5.1.1 mailbox over quota", Kind::Soft),
            ("5.1.1", "550 go away", Kind::Soft),
            ("4.0.0", "550 user unknown", Kind::Soft),
            ("5.0.0", "server is down", Kind::Soft),
            ("", "", Kind::Soft),
        ] {
            let report = judged(Provider::Ses, &failed(status, text));
            assert_eq!(report.kind, expected, "{status} {text}");
            assert_eq!(report.message_ids, [format!("{OWN}@provider")]);
        }
    }

    #[test]
    fn each_outcome_is_understood() {
        let reply = || Reply {
            status: "4.4.1".to_owned(),
            text: "451 try later".to_owned(),
        };
        for (outcome, expected) in [
            (Outcome::Delayed(reply()), Kind::Delayed),
            (Outcome::Complaint("abuse".to_owned()), Kind::Complaint),
            (Outcome::Complaint("not-spam".to_owned()), Kind::Unknown),
            (Outcome::Unsubscribed, Kind::Unsubscribe),
        ] {
            let event = Event {
                outcome: outcome.clone(),
                ..failed("", "")
            };
            assert_eq!(kind(Provider::Brevo, &event), expected, "{outcome:?}");
        }
        let nothing = Event {
            outcome: Outcome::Other,
            ..failed("", "")
        };
        assert_eq!(nothing.mail(Provider::Brevo), None);
    }

    #[test]
    fn only_what_may_be_ours_is_handed_on() {
        let uuid = &OWN[..36];
        for id in [
            "",
            "<20240101.1@ses>",
            "x.17",
            &format!("{uuid}.@x"),
            &format!("{uuid}.1234567890@x"),
            &format!("{uuid}x.1@x"),
            &format!("{uuid}.1 @x"),
        ] {
            let event = Event {
                message_ids: vec![id.to_owned()],
                return_paths: vec!["news@shop.example".to_owned(), "a+b".to_owned()],
                list_unsubscribes: vec!["<mailto:leave@shop.example>".to_owned()],
                ..failed("5.1.1", "")
            };
            assert_eq!(event.mail(Provider::Ses), None, "{id}");
        }
        let traced = Event {
            message_ids: vec![],
            return_paths: vec!["bounces+token@shop.example".to_owned()],
            list_unsubscribes: vec!["<https://l.shop.example/u/abc>".to_owned()],
            ..failed("5.1.1", "")
        };
        let mail = traced.mail(Provider::Ses).unwrap();
        let report = bounce::read(&mail, Rules::shipped(), |_| None);
        assert_eq!(report.return_paths, ["bounces+token@shop.example"]);
        assert_eq!(report.unsubscribe_tokens, ["abc"]);
    }

    #[test]
    fn no_value_writes_a_line_of_its_own() {
        let break_out = "x\r\n--provider-event--\r\n\r\nAction: delivered\n\u{85}Status: 2.0.0\0";
        let event = Event {
            id: break_out.to_owned(),
            recipient: break_out.to_owned(),
            message_ids: vec![format!("{OWN}@x\r\nSubject: y")],
            ..failed(break_out, &format!("{break_out} 550 5.1.1 user unknown"))
        };
        let mail = String::from_utf8(event.mail(Provider::Ses).unwrap()).unwrap();
        assert_eq!(mail.matches("--provider-event").count(), 3, "{mail}");
        assert!(!mail.contains("\nAction: delivered") && !mail.contains("\nSubject: y"));
        assert!(mail.lines().all(|line| line.chars().count() < 998));
        assert_eq!(
            bounce::read(mail.as_bytes(), Rules::shipped(), |_| None).kind,
            Kind::Hard
        );
    }

    #[test]
    fn the_same_event_is_the_same_mail() {
        let event = failed("5.1.1", "gone");
        assert_eq!(event.mail(Provider::Ses), event.clone().mail(Provider::Ses));
        let again = Event {
            id: "2".to_owned(),
            ..event.clone()
        };
        assert_ne!(event.mail(Provider::Ses), again.mail(Provider::Ses));
    }
}
