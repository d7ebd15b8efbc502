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
