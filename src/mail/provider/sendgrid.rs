//! SendGrid: <https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/event>. Batches, signed by ECDSA on P-256 over
//! the time and the body.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::{Value, json};

use super::event::{Event, Outcome, Reply};
use super::json::{self as members, Unreadable};
use super::{Distrust, Refused};

/// The headers of a signature and of the time that it holds for.
pub const SIGNATURE: &str = "x-twilio-email-event-webhook-signature";
pub const TIMESTAMP: &str = "x-twilio-email-event-webhook-timestamp";
/// The name by which SendGrid echoes our Message-ID, which not all events have.
pub const ARGUMENT: &str = "marketing_message_id";

/// SendGrid tries again for a day; an older request is none of its own.
const OLDEST_SECONDS: u64 = 25 * 3600;
/// Clocks differ.
const NEWEST_SECONDS: u64 = 300;

/// What stands before the point of a public key on P-256 (RFC 5480): id-ecPublicKey, prime256v1.
const P256: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT_BYTES: usize = 65;

/// The public key by which SendGrid's requests are verified.
#[derive(Debug, Clone)]
pub struct Key(Vec<u8>);

impl Key {
    /// Reads the key as SendGrid shows it, in base64, or as PEM.
    ///
    /// # Errors
    /// Says what it has to be.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let lines = text.lines().filter(|line| !line.starts_with("-----"));
        let encoded: String = lines.flat_map(str::split_whitespace).collect();
        let key = STANDARD.decode(encoded).unwrap_or_default();
        match key.strip_prefix(&P256) {
            Some(point) if point.len() == POINT_BYTES && point[0] == 4 => Ok(Key(point.to_vec())),
            _ => Err("must hold the verification key that SendGrid shows, in base64"),
        }
    }

    /// Reads a request whose headers are these. `now`: seconds since 1970.
    ///
    /// # Errors
    /// It is not SendGrid's, too old or broken.
    pub fn read(
        &self,
        signature: &str,
        timestamp: &str,
        body: &[u8],
        now: u64,
    ) -> Result<Vec<Event>, Refused> {
        if signature.is_empty() || timestamp.is_empty() {
            return Err(Distrust::Unsigned.into());
        }
        let signature = STANDARD
            .decode(signature.trim())
            .map_err(|_| Distrust::Signature)?;
        let signed = [timestamp.as_bytes(), body].concat();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.0)
            .verify(&signed, &signature)
            .map_err(|_| Distrust::Signature)?;
        let at: u64 = timestamp.parse().map_err(|_| Distrust::Time)?;
        if now.saturating_sub(at) > OLDEST_SECONDS || at.saturating_sub(now) > NEWEST_SECONDS {
            return Err(Distrust::Time.into());
        }
        Ok(read(body)?)
    }
}

/// The header that asks for it.
pub(super) fn header(id: &str) -> (String, String) {
    let value = json!({"unique_args": {ARGUMENT: id}});
    ("X-SMTPAPI".to_owned(), value.to_string())
}

/// Reads the body of a request.
fn read(body: &[u8]) -> Result<Vec<Event>, Unreadable> {
    Ok(members::events(body)?.iter().map(read_event).collect())
}

fn read_event(event: &Value) -> Event {
    let text = |name| members::text(event, &[name]);
    let failed = |status: &str| {
        Outcome::Failed(Reply {
            status: status.to_owned(),
            text: text("reason"),
        })
    };
    let name = text("event");
    let (status, reason) = (text("status"), text("reason"));
    let outcome = match name.as_str() {
        "bounce" if !status.is_empty() => failed(&status),
        "bounce" if text("type") == "blocked" => failed("4.0.0"),
        "bounce" if text("bounce_classification") == "Invalid Address" => failed("5.1.1"),
        "bounce" => failed("5.0.0"),
        // Not tried, for what the provider knows of the address.
        "dropped" if reason == "Bounced Address" => failed("5.1.1"),
        "dropped" if reason == "Invalid" => failed("5.1.3"),
        "dropped" => failed("5.7.1"),
        "deferred" => Outcome::Delayed(Reply {
            status,
            text: text("response"),
        }),
        "spamreport" => Outcome::Complaint("abuse".to_owned()),
        "unsubscribe" | "group_unsubscribe" => Outcome::Unsubscribed,
        _ => Outcome::Other,
    };
    let id = [name, text("sg_event_id"), text("timestamp")].join(" ");
    Event {
        recipient: text("email"),
        message_ids: vec![text(ARGUMENT), text("smtp-id")],
        ..Event::new(outcome, id)
    }
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::super::Provider;
    use super::super::event::tests::{OWN, kind};
    use super::*;
    use crate::mail::bounce::Kind;

    const NOW: u64 = 1_600_112_502;

    /// The example of SendGrid's own libraries: key, signature, time, body.
    const EXAMPLE: (&str, &str, &str, &str) = (
        "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpVKS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g==",
        "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqHh89M15TluLtEZtM=",
        "1600112502",
        "[{\"email\":\"hello@world.com\",\"event\":\"dropped\",\"reason\":\"Bounced Address\",\"sg_event_id\":\"ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA\",\"sg_message_id\":\"LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0\",\"smtp-id\":\"<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>\",\"timestamp\":1600112492}]\r\n",
    );

    fn one(json: &str) -> Event {
        let [event] = read(json.as_bytes()).unwrap().try_into().unwrap();
        event
    }

    #[test]
    fn the_providers_example_is_verified() {
        let (key, signature, timestamp, body) = EXAMPLE;
        let key = Key::parse(key).unwrap();
        let read = |signature: &str, timestamp: &str, body: &str, now| {
            key.read(signature, timestamp, body.as_bytes(), now)
        };
        let events = read(signature, timestamp, body, NOW + 60).unwrap();
        assert_eq!(kind(Provider::SendGrid, &events[0]), Kind::Hard);
        let other = format!("{} ", body.trim_end());
        for (refused, distrust) in [
            (read("", timestamp, body, NOW), Distrust::Unsigned),
            (read(signature, "", body, NOW), Distrust::Unsigned),
            (read("%", timestamp, body, NOW), Distrust::Signature),
            (read("MEUC", timestamp, body, NOW), Distrust::Signature),
            (
                read(signature, "1600112503", body, NOW),
                Distrust::Signature,
            ),
            (read(signature, timestamp, &other, NOW), Distrust::Signature),
            (
                read(signature, timestamp, body, NOW + OLDEST_SECONDS + 1),
                Distrust::Time,
            ),
            (read(signature, timestamp, body, NOW - 400), Distrust::Time),
        ] {
            assert_eq!(refused, Err(distrust.into()));
        }
    }

    #[test]
    fn what_is_signed_and_broken_is_refused_as_such() {
        let random = SystemRandom::new();
        let document =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random)
                .unwrap();
        let public = [&P256[..], pair.public_key().as_ref()].concat();
        let pem = format!(
            "-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(public)
        );
        let key = Key::parse(&pem).unwrap();
        let read = |body: &str| {
            let signed = format!("{NOW}{body}");
            let signature = pair.sign(&random, signed.as_bytes()).unwrap();
            let signature = STANDARD.encode(signature);
            key.read(&signature, &NOW.to_string(), body.as_bytes(), NOW)
        };
        assert_eq!(read("[]"), Ok(vec![]));
        assert_eq!(read("[{]"), Err(Unreadable::Broken.into()));
        let many = format!("[{}7]", "7,".repeat(5000));
        assert_eq!(read(&many), Err(Unreadable::TooMany.into()));
    }

    #[test]
    fn only_such_a_key_is_one() {
        let key = EXAMPLE.0;
        for text in ["", "x", &key[..40], &key[4..], &format!("{key}AAAA")] {
            assert!(Key::parse(text).is_err(), "{text}");
        }
        assert!(Key::parse(&format!(" {}\n{}\n", &key[..60], &key[60..])).is_ok());
    }

    /// The shapes of SendGrid's documented examples.
    #[test]
    fn events_are_what_they_say() {
        for (members, expected) in [
            (
                r#""event":"bounce","reason":"500 unknown recipient","status":"5.0.0","type":"bounce""#,
                Kind::Hard,
            ),
            (
                r#""event":"bounce","reason":"550 5.1.1 no such user","status":"5.1.1","type":"bounce","bounce_classification":"Invalid Address""#,
                Kind::Hard,
            ),
            (
                r#""event":"bounce","reason":"","type":"bounce","bounce_classification":"Invalid Address""#,
                Kind::Hard,
            ),
            (
                r#""event":"bounce","reason":"550 5.7.1 spam","status":"5.7.1","type":"blocked""#,
                Kind::Soft,
            ),
            (
                r#""event":"bounce","bounce_classification":"Unclassified","reason":"unable to get mx info: unrecognized address","type":"blocked""#,
                Kind::Soft,
            ),
            (r#""event":"bounce""#, Kind::Soft),
            (
                r#""event":"dropped","reason":"Bounced Address","status":"5.0.0""#,
                Kind::Hard,
            ),
            (r#""event":"dropped","reason":"Invalid""#, Kind::Hard),
            (
                r#""event":"dropped","reason":"Spam Reporting Address""#,
                Kind::Soft,
            ),
            (
                r#""event":"dropped","reason":"Unsubscribed Address""#,
                Kind::Soft,
            ),
            (
                r#""event":"deferred","response":"400 try again later","attempt":"5""#,
                Kind::Delayed,
            ),
            (r#""event":"spamreport""#, Kind::Complaint),
            (r#""event":"unsubscribe""#, Kind::Unsubscribe),
            (
                r#""event":"group_unsubscribe","asm_group_id":10"#,
                Kind::Unsubscribe,
            ),
        ] {
            let event = one(&format!(
                r#"[{{"email":"example@test.com","timestamp":1513299569,"smtp-id":"<{OWN}@shop.example>","category":["cat facts"],
                "sg_event_id":"6g4ZI7SA-xmRDv57GoPIPw==","sg_message_id":"14c5d75ce93.dfd.64b469.filter0001.16648.5515E0B88.0",{members}}}]"#
            ));
            assert_eq!(kind(Provider::SendGrid, &event), expected, "{members}");
            assert_eq!(event.message_ids[1], format!("<{OWN}@shop.example>"));
        }
        for nothing in [
            "processed",
            "delivered",
            "open",
            "click",
            "group_resubscribe",
            "new",
        ] {
            assert!(
                !one(&format!(r#"[{{"event":"{nothing}"}}]"#)).matters(),
                "{nothing}"
            );
        }
        for odd in ["[7]", "[null]", "[[]]", r#"[{"event":{}}]"#] {
            assert!(!one(odd).matters(), "{odd}");
        }
    }
}
