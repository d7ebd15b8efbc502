//! Brevo: <https://developers.brevo.com/docs/transactional-webhooks>. Unsigned: whoever posts says a token, or a name and a
//! password, which the caller looks at.

use serde_json::Value;

use super::event::{Event, Outcome, Reply};
use super::json::{self, Unreadable};

/// The header that Brevo echoes, and its name in events.
pub const HEADER: &str = "X-Mailin-custom";

/// Reads the body of a request: an event, or a list of them where batches are turned on.
///
/// # Errors
/// It is neither, or has too many.
pub fn read(body: &[u8]) -> Result<Vec<Event>, Unreadable> {
    Ok(json::events(body)?.iter().map(read_event).collect())
}

fn read_event(event: &Value) -> Event {
    let text = |name| json::text(event, &[name]);
    let reply = |status: &str| {
        Outcome::Failed(Reply {
            status: status.to_owned(),
            text: text("reason"),
        })
    };
    let name = text("event");
    let outcome = match name.as_str() {
        // "Permanently rejected", for a policy too: words decide where there are any.
        "hard_bounce" if text("reason").trim().is_empty() => reply("5.1.1"),
        "hard_bounce" | "error" => reply("5.0.0"),
        "invalid_email" | "invalid" => reply("5.1.3"),
        "soft_bounce" => reply("4.0.0"),
        "blocked" => reply("5.7.1"),
        "deferred" => Outcome::Delayed(Reply {
            status: String::new(),
            text: text("reason"),
        }),
        "spam" | "complaint" => Outcome::Complaint("abuse".to_owned()),
        "unsubscribe" | "unsubscribed" => Outcome::Unsubscribed,
        _ => Outcome::Other,
    };
    // `id` is the webhook's, and the same for all.
    let times = [text("ts_epoch"), text("ts_event"), text("ts")].join(" ");
    let id = [name, text("message-id"), times].join(" ");
    Event {
        recipient: text("email"),
        message_ids: vec![text(HEADER), text("message-id")],
        ..Event::new(outcome, id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Provider;
    use super::super::event::tests::{OWN, kind};
    use super::*;
    use crate::mail::bounce::Kind;

    /// The shape of Brevo's documented examples.
    fn example(event: &str, reason: &str) -> String {
        format!(
            r#"{{"event": "{event}", "email": "example@domain.com", "id": 26224, "date": "2020-10-09 00:00:00", "ts": 1604933619,
            "message-id": "<{OWN}@shop.example>", "ts_event": 1604933654, "subject": "My first Transactional",
            "X-Mailin-custom": "some_custom_header", "sending_ip": "185.41.28.109", "template_id": 22, "ts_epoch": 1604933653,
            "reason": "{reason}", "tags": ["transac_messages"]}}"#
        )
    }

    fn one(event: &str, reason: &str) -> Event {
        let body = example(event, reason);
        let [event] = read(body.as_bytes()).unwrap().try_into().unwrap();
        event
    }

    #[test]
    fn events_are_what_they_say() {
        for (is, reason, expected) in [
            ("hard_bounce", "550 5.1.1 no such user", Kind::Hard),
            ("hard_bounce", "", Kind::Hard),
            ("hard_bounce", "server is down", Kind::Soft),
            ("hard_bounce", "554 5.7.1 spam detected", Kind::Soft),
            ("invalid_email", "", Kind::Hard),
            ("soft_bounce", "452 4.2.2 mailbox full", Kind::Soft),
            ("soft_bounce", "550 user unknown", Kind::Soft),
            ("blocked", "blocked : due to blacklist user", Kind::Soft),
            ("error", "", Kind::Soft),
            ("deferred", "spam", Kind::Delayed),
            ("spam", "", Kind::Complaint),
            ("complaint", "", Kind::Complaint),
            ("unsubscribed", "", Kind::Unsubscribe),
        ] {
            let event = one(is, reason);
            assert_eq!(kind(Provider::Brevo, &event), expected, "{is} {reason}");
        }
        for nothing in ["request", "delivered", "unique_opened", "click", "new", ""] {
            assert!(!one(nothing, "").matters(), "{nothing}");
        }
    }

    #[test]
    fn batches_are_lists() {
        let batch = format!("[{},{}]", example("spam", ""), example("click", ""));
        let events = read(batch.as_bytes()).unwrap();
        assert_eq!(events.len(), 2);
        assert!(events[0].matters() && !events[1].matters());
        assert_eq!(events[0].message_ids[1], format!("<{OWN}@shop.example>"));
        assert_eq!(read(b"nothing"), Err(Unreadable::Broken));
    }
}
