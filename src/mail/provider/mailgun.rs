//! Mailgun: <https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/webhook-payloads>. One event a request, signed by
//! HMAC-SHA256 over a time and a token, but not over the event.

use std::collections::{HashMap, VecDeque};
use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::event::{Event, Outcome, Reply};
use super::json::{self, Unreadable};
use super::{Distrust, Provider, Refused};

/// Mailgun tries again for 8 hours, with the signature of the first time.
const OLDEST_SECONDS: u64 = 9 * 3600;
/// Clocks differ.
const NEWEST_SECONDS: u64 = 300;
/// Signatures remembered; 64 bytes each, and what maps cost.
const MAX_REMEMBERED: usize = 100_000;

type Digested = [u8; 32];

/// The HTTP webhook signing key; never printed.
#[derive(Clone)]
pub struct Key(Vec<u8>);

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("…")
    }
}

/// What is looked at before the rest is: a stranger's request costs no more.
#[derive(Deserialize)]
struct Signed {
    signature: Signature,
}

#[derive(Deserialize)]
struct Signature {
    timestamp: String,
    token: String,
    signature: String,
}

impl Key {
    /// Reads the key as Mailgun shows it.
    ///
    /// # Errors
    /// Says what it has to be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let key = text.trim();
        let is_key = key.len() >= 16 && key.bytes().all(|byte| byte.is_ascii_graphic());
        match is_key {
            true => Ok(Key(key.as_bytes().to_vec())),
            false => Err("must hold the HTTP webhook signing key that Mailgun shows"),
        }
    }

    /// Reads the body of a request. `now`: seconds since 1970; `used`: the signatures before.
    ///
    /// # Errors
    /// It is not Mailgun's, too old, used for another event, or broken.
    pub fn read(
        &self,
        body: &[u8],
        now: u64,
        used: &mut UsedSignatures,
    ) -> Result<Vec<Event>, Refused> {
        let Signed { signature } = serde_json::from_slice(body).map_err(|error| {
            match error.classify() {
                // JSON, but without what a signature has.
                serde_json::error::Category::Data => Refused::from(Distrust::Unsigned),
                _ => Unreadable::Broken.into(),
            }
        })?;
        let given = HEXLOWER_PERMISSIVE
            .decode(signature.signature.as_bytes())
            .map_err(|_| Distrust::Signature)?;
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(signature.timestamp.as_bytes());
        mac.update(signature.token.as_bytes());
        mac.verify_slice(&given).map_err(|_| Distrust::Signature)?;
        let at: u64 = signature.timestamp.parse().map_err(|_| Distrust::Time)?;
        if now.saturating_sub(at) > OLDEST_SECONDS || at.saturating_sub(now) > NEWEST_SECONDS {
            return Err(Distrust::Time.into());
        }
        let given: Digested = given.try_into().map_err(|_| Distrust::Signature)?;
        let body = json::event(body)?;
        let event = read_event(body.get("event-data").unwrap_or(&Value::Null));
        let effect = event.mail(Provider::Mailgun).unwrap_or_default();
        if !used.admit(given, Sha256::digest(effect).into(), now) {
            return Err(Distrust::Reused.into());
        }
        Ok(vec![event])
    }
}

/// Signatures that were good, and for which events: whoever has seen one cannot have another event believed by it.
///
/// The same event again is Mailgun's next attempt, however it is written, and counts once as every event does.
#[derive(Debug, Default)]
pub struct UsedSignatures {
    /// What follows from an event, by its signature.
    effects: HashMap<Digested, Digested>,
    order: VecDeque<(u64, Digested)>,
}

impl UsedSignatures {
    fn admit(&mut self, signature: Digested, effect: Digested, now: u64) -> bool {
        while let Some((at, oldest)) = self.order.front() {
            let is_over = now.saturating_sub(*at) > OLDEST_SECONDS + NEWEST_SECONDS;
            if !is_over && self.order.len() < MAX_REMEMBERED {
                break;
            }
            self.effects.remove(oldest);
            self.order.pop_front();
        }
        if let Some(known) = self.effects.get(&signature) {
            return *known == effect;
        }
        self.effects.insert(signature, effect);
        self.order.push_back((now, signature));
        true
    }
}

fn read_event(event: &Value) -> Event {
    let text = |path: &[&str]| json::text(event, path);
    let name = text(&["event"]);
    let outcome = match name.as_str() {
        "failed" if text(&["severity"]) == "temporary" => Outcome::Delayed(reply(event)),
        "failed" => Outcome::Failed(reply(event)),
        "rejected" => Outcome::Failed(Reply {
            status: "5.7.1".to_owned(),
            text: [
                text(&["reject", "reason"]),
                text(&["reject", "description"]),
            ]
            .join(" "),
        }),
        "complained" => Outcome::Complaint("abuse".to_owned()),
        "unsubscribed" => Outcome::Unsubscribed,
        _ => Outcome::Other,
    };
    let id = [name, text(&["id"]), text(&["timestamp"])].join(" ");
    Event {
        recipient: text(&["recipient"]),
        message_ids: vec![text(&["message", "headers", "message-id"])],
        return_paths: vec![text(&["envelope", "sender"])],
        ..Event::new(outcome, id)
    }
}

/// What a server, or Mailgun, has said.
fn reply(event: &Value) -> Reply {
    let said = |name| json::text(event, &["delivery-status", name]);
    let message = match (said("message"), said("description")) {
        (message, description) if message.trim().is_empty() => description,
        (message, _) => message,
    };
    let status = match json::text(event, &["reason"]).as_str() {
        // Not tried, for what Mailgun knows of the address.
        "suppress-bounce" => "5.1.1".to_owned(),
        "suppress-complaint" | "suppress-unsubscribe" => "5.7.1".to_owned(),
        _ => said("enhanced-code"),
    };
    // A code of SMTP, unless the message begins with one; others are Mailgun's own.
    let code = said("code");
    let is_smtp = code.len() == 3 && code.starts_with(['4', '5']) && code != "498" && code != "499";
    let text = match is_smtp && !message.trim_start().starts_with(&code) {
        true => format!("{code} {message}"),
        false => message,
    };
    let status = match status.is_empty() && event.get("severity").is_some() {
        true if code == "498" || code == "499" => "4.4.7".to_owned(),
        true => "5.0.0".to_owned(),
        false => status,
    };
    Reply { status, text }
}

#[cfg(test)]
mod tests {
    use super::super::Provider;
    use super::super::event::tests::{OWN, judged, kind};
    use super::*;
    use crate::mail::bounce::Kind;

    const NOW: u64 = 1_529_006_854;
    const KEY: &str = "key-3ax6xnjp29jd6fds4gc373sgvjxteol0";

    fn sign(timestamp: &str, token: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
        mac.update(format!("{timestamp}{token}").as_bytes());
        data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes())
    }

    fn signed(timestamp: &str, token: &str, event: &str) -> String {
        let signature = sign(timestamp, token);
        format!(
            r#"{{"signature": {{"timestamp": "{timestamp}", "token": "{token}", "signature": "{signature}"}}, "event-data": {event}}}"#
        )
    }

    fn read(body: &str, now: u64) -> Result<Vec<Event>, Refused> {
        let mut used = UsedSignatures::default();
        Key::parse(KEY)
            .unwrap()
            .read(body.as_bytes(), now, &mut used)
    }

    /// The shape of Mailgun's documented examples.
    fn failed(severity: &str, reason: &str, status: &str) -> Event {
        let event = format!(
            r#"{{"event": "failed", "severity": "{severity}", "reason": "{reason}", "id": "G9Bn5sl1TC6nu79C8C0bwg",
            "timestamp": 1521233195.375624, "log-level": "error", "recipient": "alice@example.com", "recipient-domain": "example.com",
            "envelope": {{"transport": "smtp", "sender": "bounces+token@shop.example", "sending-ip": "209.61.154.250", "targets": "alice@example.com"}},
            "message": {{"headers": {{"to": "Alice <alice@example.com>", "message-id": "{OWN}@shop.example", "from": "Bob <bob@example.com>",
            "subject": "Test permanent_fail webhook"}}, "attachments": [], "size": 111}},
            "delivery-status": {{"attempt-no": 1, "session-seconds": 0.433, {status}}}, "user-variables": {{"my_var_1": "x"}}, "tags": []}}"#
        );
        let body = signed(
            &NOW.to_string(),
            "a8ce0edb2dd8301dee6c2405235584e45aa91d1e9f979f3de0",
            &event,
        );
        let [event] = read(&body, NOW).unwrap().try_into().unwrap();
        event
    }

    #[test]
    fn failures_are_what_the_server_said() {
        for (severity, reason, status, expected) in [
            (
                "permanent",
                "bounce",
                r#""code": 550, "message": "5.1.1 The email account that you tried to reach does not exist""#,
                Kind::Hard,
            ),
            (
                "permanent",
                "bounce",
                r#""code": 550, "enhanced-code": "5.1.1", "message": "550 5.1.1 no such user""#,
                Kind::Hard,
            ),
            (
                "permanent",
                "generic",
                r#""code": 550, "message": "No such mailbox here""#,
                Kind::Hard,
            ),
            (
                "permanent",
                "suppress-bounce",
                r#""code": 605, "message": "", "description": "Not delivering to previously bounced address""#,
                Kind::Hard,
            ),
            (
                "permanent",
                "suppress-complaint",
                r#""code": 607, "message": "", "description": "Not delivering to a user who marked your messages as spam""#,
                Kind::Soft,
            ),
            (
                "permanent",
                "suppress-unsubscribe",
                r#""code": 606, "description": "Not delivering to unsubscribed address""#,
                Kind::Soft,
            ),
            (
                "permanent",
                "espblock",
                r#""code": 554, "message": "5.7.1 listed at spamhaus""#,
                Kind::Soft,
            ),
            (
                "permanent",
                "old",
                r#""code": 498, "message": "No MX for example.com""#,
                Kind::Soft,
            ),
            (
                "permanent",
                "generic",
                r#""code": {}, "message": []"#,
                Kind::Soft,
            ),
            (
                "temporary",
                "generic",
                r#""code": 452, "message": "4.2.2 over quota", "retry-seconds": 600"#,
                Kind::Delayed,
            ),
        ] {
            let event = failed(severity, reason, status);
            assert_eq!(
                kind(Provider::Mailgun, &event),
                expected,
                "{reason} {status}"
            );
        }
        let event = failed(
            "permanent",
            "bounce",
            r#""code": 550, "message": "5.1.1 gone""#,
        );
        let report = judged(Provider::Mailgun, &event);
        assert_eq!(report.diagnostic.as_deref(), Some("550 5.1.1 gone"));
        assert_eq!(event.message_ids, [format!("{OWN}@shop.example")]);
        assert_eq!(event.return_paths, ["bounces+token@shop.example"]);
    }

    #[test]
    fn complaints_leaving_and_the_rest() {
        let event = |json: &str| {
            let [event] = read(&signed(&NOW.to_string(), "t", json), NOW)
                .unwrap()
                .try_into()
                .unwrap();
            event
        };
        for (name, expected) in [
            ("complained", Kind::Complaint),
            ("unsubscribed", Kind::Unsubscribe),
            ("rejected", Kind::Soft),
        ] {
            let event = event(&format!(
                r#"{{"event": "{name}", "reject": {{"reason": "Sandbox"}}}}"#
            ));
            assert_eq!(kind(Provider::Mailgun, &event), expected, "{name}");
        }
        for json in [r#"{"event": "opened"}"#, "{}", "7", "[]", "null"] {
            assert!(!event(json).matters(), "{json}");
        }
    }

    #[test]
    fn only_what_is_signed_in_time_is_believed() {
        let body = |timestamp: u64| signed(&timestamp.to_string(), "token", "{}");
        assert!(read(&body(NOW), NOW + OLDEST_SECONDS).is_ok());
        for at in [NOW - OLDEST_SECONDS - 1, NOW + NEWEST_SECONDS + 1, 0] {
            assert_eq!(read(&body(at), NOW), Err(Distrust::Time.into()), "{at}");
        }
        let good = body(NOW);
        let signature = sign(&NOW.to_string(), "token");
        for (bad, refused) in [
            (
                good.replace("token\": \"token", "token\": \"tokem"),
                Distrust::Signature,
            ),
            (
                good.replace(&signature, &signature[2..]),
                Distrust::Signature,
            ),
            (
                good.replace(&signature, &"0".repeat(64)),
                Distrust::Signature,
            ),
            (good.replace(&signature, "é"), Distrust::Signature),
            (
                good.replace("\"signature\":", "\"signatur\":"),
                Distrust::Unsigned,
            ),
            (
                "{\"signature\": {\"timestamp\": [[]]}}".to_owned(),
                Distrust::Unsigned,
            ),
            ("[]".to_owned(), Distrust::Unsigned),
        ] {
            assert_eq!(read(&bad, NOW), Err(refused.into()), "{bad}");
        }
        for broken in ["", "{", &good[..good.len() - 1]] {
            assert_eq!(
                read(broken, NOW),
                Err(Unreadable::Broken.into()),
                "{broken}"
            );
        }
    }

    #[test]
    fn a_signature_is_good_for_one_event() {
        let key = Key::parse(KEY).unwrap();
        let mut used = UsedSignatures::default();
        let mut read = |event: &str, now| {
            let body = signed(&NOW.to_string(), "token", event);
            key.read(body.as_bytes(), now, &mut used).map(|_| ())
        };
        assert_eq!(read(r#"{"event": "opened"}"#, NOW), Ok(()));
        let other = format!(
            r#"{{"event": "complained", "message": {{"headers": {{"message-id": "{OWN}@x"}}}}}}"#
        );
        let other = other.as_str();
        assert_eq!(read(other, NOW + 1), Err(Distrust::Reused.into()));
        assert_eq!(read(r#"{"event": "opened"}"#, NOW + 3600), Ok(()));
        assert_eq!(read(r#"{"id": "x",   "event": "opened"}"#, NOW), Ok(()));
        assert_eq!(
            read(other, NOW + OLDEST_SECONDS),
            Err(Distrust::Reused.into())
        );
    }

    #[test]
    fn what_is_remembered_has_its_limit() {
        let mut used = UsedSignatures::default();
        let signature = |number: usize| {
            let mut digest = Digested::default();
            digest[..8].copy_from_slice(&number.to_be_bytes());
            digest
        };
        for number in 0..MAX_REMEMBERED + 10 {
            assert!(used.admit(signature(number), [1; 32], NOW));
        }
        assert_eq!(used.effects.len(), MAX_REMEMBERED);
        assert_eq!(used.order.len(), MAX_REMEMBERED);
        assert!(!used.admit(signature(MAX_REMEMBERED), [2; 32], NOW));
        assert!(used.admit([9; 32], [2; 32], NOW + 10 * 3600));
        assert_eq!(used.effects.len(), 1);
    }

    #[test]
    fn keys_have_their_shape_and_are_not_printed() {
        for text in ["", "short", "two words of a key", "é".repeat(20).as_str()] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
        let key = Key::parse(&format!("{KEY}\n")).unwrap();
        assert_eq!(format!("{key:?}"), "…");
    }
}
