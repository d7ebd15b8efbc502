//! Postmark: <https://postmarkapp.com/developer/webhooks/webhooks-overview>. One event a request, unsigned: whoever posts
//! says a name and a password, which the caller looks at.

use serde_json::Value;

use super::event::{Event, Outcome, Reply};
use super::json::{self, Unreadable};

/// The name by which Postmark echoes our Message-ID in `Metadata`: its own is another.
pub const METADATA: &str = "message-id";

/// The header that asks for it.
pub(super) fn header(id: &str) -> (String, String) {
    (format!("X-PM-Metadata-{METADATA}"), id.to_owned())
}

/// Reads the body of a request.
///
/// # Errors
/// It is no object of JSON.
pub fn read(body: &[u8]) -> Result<Vec<Event>, Unreadable> {
    json::event(body).map(|event| vec![read_event(&event)])
}

fn read_event(event: &Value) -> Event {
    let text = |name| json::text(event, &[name]);
    let record = text("RecordType");
    let outcome = match record.as_str() {
        "Bounce" => bounce(&text("Type"), &text("Details"), &text("Description")),
        "SpamComplaint" => Outcome::Complaint("abuse".to_owned()),
        "SubscriptionChange" => subscription_change(event),
        _ => Outcome::Other,
    };
    let times = [text("BouncedAt"), text("ChangedAt")].join("");
    let id = [record, text("ID"), text("MessageID"), times].join(" ");
    let recipient = [text("Email"), text("Recipient")].join("");
    Event {
        recipient,
        message_ids: vec![json::text(event, &["Metadata", METADATA])],
        ..Event::new(outcome, id)
    }
}

/// The types of <https://postmarkapp.com/developer/api/bounce-api#bounce-types>.
fn bounce(kind: &str, details: &str, description: &str) -> Outcome {
    let status = match kind {
        "HardBounce" => "5.1.1",
        "BadEmailAddress" => "5.1.3",
        "SoftBounce" | "DnsError" => "4.0.0",
        "SpamNotification"
        | "Blocked"
        | "DMARCPolicy"
        | "ManuallyDeactivated"
        | "Unconfirmed"
        | "VirusNotification" => "5.7.1",
        "SMTPApiError" | "TemplateRenderingFailed" | "Unknown" => "5.0.0",
        "Transient" => {
            return Outcome::Delayed(Reply {
                status: String::new(),
                text: details.to_owned(),
            });
        }
        "SpamComplaint" => return Outcome::Complaint("abuse".to_owned()),
        "Unsubscribe" => return Outcome::Unsubscribed,
        _ => return Outcome::Other,
    };
    let text = match details.trim().is_empty() {
        // Of a hard bounce this is the same sentence for all.
        true if status == "5.1.1" => "",
        true => description,
        false => details,
    };
    Outcome::Failed(Reply {
        status: status.to_owned(),
        text: text.to_owned(),
    })
}

/// Of what takes an address off a stream, bounces and complaints have events of their own, which say more.
fn subscription_change(event: &Value) -> Outcome {
    let text = |name| json::text(event, &[name]);
    let leaves = event.get("SuppressSending") == Some(&Value::Bool(true))
        && text("SuppressionReason") == "ManualSuppression"
        && text("Origin") == "Recipient";
    match leaves {
        true => Outcome::Unsubscribed,
        false => Outcome::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Provider;
    use super::super::event::tests::{OWN, judged, kind};
    use super::*;
    use crate::mail::bounce::Kind;

    /// The shape of Postmark's documented example.
    fn bounced(kind: &str, details: &str) -> Event {
        let body = format!(
            r#"{{"RecordType": "Bounce", "MessageStream": "outbound", "ID": 4323372036854775807, "Type": "{kind}", "TypeCode": 1,
            "Name": "Hard bounce", "Tag": "Test", "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
            "Metadata": {{"message-id": "{OWN}", "a_key": "a_value"}}, "ServerID": 23,
            "Description": "The server was unable to deliver your message (ex: unknown user, mailbox not found).",
            "Details": "{details}", "Email": "john@example.com", "From": "sender@example.com",
            "BouncedAt": "2019-11-05T16:33:54.9070259Z", "DumpAvailable": true, "Inactive": true, "CanActivate": true,
            "Subject": "Test subject", "Content": "<Full dump of bounce>"}}"#
        );
        let [event] = read(body.as_bytes()).unwrap().try_into().unwrap();
        event
    }

    #[test]
    fn bounces_are_what_their_type_and_the_reply_say() {
        for (is, details, expected) in [
            ("HardBounce", "smtp;550 5.1.1 User unknown", Kind::Hard),
            ("HardBounce", "", Kind::Hard),
            ("HardBounce", "Test bounce details", Kind::Hard),
            (
                "HardBounce",
                "smtp;550 5.7.1 Rejected by policy",
                Kind::Soft,
            ),
            ("HardBounce", "smtp;550 mailbox over quota", Kind::Soft),
            ("BadEmailAddress", "", Kind::Hard),
            ("SoftBounce", "smtp;452 4.2.2 Mailbox full", Kind::Soft),
            ("DnsError", "", Kind::Soft),
            ("Blocked", "smtp;554 listed at spamhaus", Kind::Soft),
            ("SpamNotification", "", Kind::Soft),
            ("Transient", "smtp;451 try again", Kind::Delayed),
            ("SpamComplaint", "", Kind::Complaint),
            ("Unsubscribe", "", Kind::Unsubscribe),
        ] {
            let event = bounced(is, details);
            assert_eq!(kind(Provider::Postmark, &event), expected, "{is} {details}");
        }
        let event = bounced("HardBounce", "smtp;550 5.1.1 User unknown");
        assert_eq!(event.message_ids, [OWN]);
        assert_eq!(event.recipient, "john@example.com");
        let report = judged(Provider::Postmark, &event);
        assert_eq!(report.diagnostic.as_deref(), Some("550 5.1.1 User unknown"));
        for nothing in ["AutoResponder", "Subscribe", "SomethingNew", ""] {
            assert!(!bounced(nothing, "").matters(), "{nothing}");
        }
    }

    #[test]
    fn complaints_and_leaving_are_told_from_what_administrators_do() {
        let outcome = |body: &str| read(body.as_bytes()).unwrap()[0].outcome.clone();
        let complaint = r#"{"RecordType": "SpamComplaint", "Type": "SpamComplaint", "ID": 42, "Email": "john@example.com"}"#;
        assert_eq!(outcome(complaint), Outcome::Complaint("abuse".to_owned()));
        let change = |origin: &str, reason: &str, suppress: &str| {
            outcome(&format!(
                r#"{{"RecordType": "SubscriptionChange", "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483", "ServerID": 123456,
                "MessageStream": "outbound", "ChangedAt": "2020-02-01T10:53:34.416071Z", "Recipient": "a@example.com",
                "Origin": "{origin}", "SuppressSending": {suppress}, "SuppressionReason": "{reason}", "Tag": "my-tag",
                "Metadata": {{"message-id": "{OWN}"}}}}"#
            ))
        };
        assert_eq!(
            change("Recipient", "ManualSuppression", "true"),
            Outcome::Unsubscribed
        );
        for (origin, reason, suppress) in [
            ("Admin", "ManualSuppression", "true"),
            ("Customer", "ManualSuppression", "true"),
            ("Recipient", "ManualSuppression", "false"),
            ("Recipient", "HardBounce", "true"),
            ("Recipient", "SpamComplaint", "true"),
        ] {
            assert_eq!(change(origin, reason, suppress), Outcome::Other);
        }
        for delivered in ["Delivery", "Open", "Click", "Inbound"] {
            assert_eq!(
                outcome(&format!(r#"{{"RecordType": "{delivered}"}}"#)),
                Outcome::Other
            );
        }
    }

    #[test]
    fn anything_else_is_no_event() {
        for body in ["", "[]", "7", "\"x\"", "{\"RecordType\": \"Bounce\""] {
            assert_eq!(read(body.as_bytes()), Err(Unreadable::Broken), "{body}");
        }
        let [odd] = read(br#"{"RecordType": ["Bounce"], "Metadata": 7, "ID": {}}"#)
            .unwrap()
            .try_into()
            .unwrap();
        assert!(!odd.matters());
    }
}
