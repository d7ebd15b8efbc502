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
mod tests;
