use serde_json::json;

use super::super::Provider;
use super::super::event::tests::{OWN, judged, kind};
use super::*;
use crate::mail::bounce::Kind;

const TOPIC: &str = "arn:aws:sns:eu-west-1:123456789012:bounces";
const CERTIFICATE: &[u8] = include_bytes!("samples/certificate.pem");
/// Signed with the key of that certificate, which is kept nowhere.
const NOTIFICATION: &str = include_str!("samples/notification.json");
const WITH_SUBJECT: &str = include_str!("samples/notification_with_subject.json");

fn topics() -> Topics {
    Topics::new(&[TOPIC.to_owned()], Some(CERTIFICATE)).unwrap()
}

fn read(body: &str) -> Result<Message, Refused> {
    topics().read(body.as_bytes())
}

#[test]
fn what_a_topic_of_ours_posts_is_read() {
    for body in [NOTIFICATION, WITH_SUBJECT] {
        let Ok(Message::Events(events)) = read(body) else {
            panic!("no events in {body}");
        };
        let [event] = events.try_into().unwrap();
        assert_eq!(event.recipient, "jane@example.com");
        assert_eq!(event.message_ids[0], format!("<{OWN}@l.shop.example>"));
        let report = judged(Provider::Ses, &event);
        assert_eq!(report.kind, Kind::Hard);
        assert_eq!(report.status.as_deref(), Some("5.1.1"));
        assert_eq!(report.return_paths, ["bounces+token@shop.example"]);
        assert_eq!(report.unsubscribe_tokens, ["AbC-9_"]);
    }
}

#[test]
fn nothing_else_is_believed() {
    let other_topic = include_str!("samples/other_topic.json");
    let version_1 = include_str!("samples/version_1.json");
    let changed = |from: &str, to: &str| NOTIFICATION.replacen(from, to, 1);
    for (body, distrust) in [
        (other_topic.to_owned(), Distrust::Topic),
        (
            // Signed for somebody else's topic.
            other_topic.replace("999999999999", "123456789012"),
            Distrust::Signature,
        ),
        (version_1.to_owned(), Distrust::Version),
        (
            version_1.replace(r#""SignatureVersion": "1""#, r#""SignatureVersion": "2""#),
            Distrust::Signature,
        ),
        (changed("jane@", "john@"), Distrust::Signature),
        (
            changed(r#""Timestamp": "2026-01"#, r#""Timestamp": "2027-01"#),
            Distrust::Signature,
        ),
        (
            changed(r#""Type": "Notification""#, r#""Type": "Other""#),
            Distrust::Signature,
        ),
        (
            changed(
                r#""Type": "Notification""#,
                r#""Type": "SubscriptionConfirmation""#,
            ),
            Distrust::Signature,
        ),
        (
            changed(r#""Signature": ""#, r#""Signature": "AAAA"#),
            Distrust::Signature,
        ),
        (
            changed(r#""Signature": ""#, r#""Signature": "%"#),
            Distrust::Signature,
        ),
        (
            // Whoever adds what is not there changes what is signed.
            changed(r#""Type": "#, r#""Subject": "x", "Type": "#),
            Distrust::Signature,
        ),
        (changed("SignatureVersion", "Signed"), Distrust::Unsigned),
        // Raw delivery.
        (
            r#"{"notificationType": "Bounce"}"#.to_owned(),
            Distrust::Unsigned,
        ),
        ("[]".to_owned(), Distrust::Unsigned),
    ] {
        let said = match read(&body) {
            Err(Refused::Distrust(Distrust::Certificate(url))) => {
                // Which one, for who has to fetch the next.
                let host = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-";
                assert!(url.starts_with(host), "{url}");
                Err(Distrust::Signature.into())
            }
            said => said,
        };
        assert_eq!(said, Err(distrust.into()), "{body}");
    }
    let elsewhere = changed("jane@", "john@");
    for url in [
        "https://sns.evil.example/x.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-a\\nb.pem",
        "",
    ] {
        let at = elsewhere
            .find("https://sns.eu-west-1.amazonaws.com/Simple")
            .unwrap();
        let end = at + elsewhere[at..].find('"').unwrap();
        let body = format!("{}{url}{}", &elsewhere[..at], &elsewhere[end..]);
        assert_eq!(read(&body), Err(Distrust::Signature.into()), "{url}");
    }
    for broken in ["", "{", "x"] {
        assert_eq!(read(broken), Err(Unreadable::Broken.into()), "{broken}");
    }
}

#[test]
fn a_topic_asks_before_it_posts() {
    let body = include_str!("samples/subscription_confirmation.json");
    let Ok(Message::Confirm { topic, url }) = read(body) else {
        panic!("it does not ask");
    };
    assert_eq!(topic, TOPIC);
    let start = format!(
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription&TopicArn={TOPIC}&Token=2336412f"
    );
    // Made here: theirs leads elsewhere, in spite of the signature.
    assert!(
        body.contains("evil.example") && url.starts_with(&start),
        "{url}"
    );
    let ended = read(include_str!("samples/unsubscribe_confirmation.json"));
    assert_eq!(
        ended,
        Ok(Message::Ended {
            topic: TOPIC.to_owned()
        })
    );
}

#[test]
fn without_a_certificate_nothing_is_believed_and_the_one_that_is_needed_is_named() {
    let topics = Topics::new(&[TOPIC.to_owned()], None).unwrap();
    assert!(!topics.can_verify());
    let refused = topics.read(NOTIFICATION.as_bytes()).unwrap_err();
    let url = "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-f3ecfb7224c7233fe7bb5f59f96de52f.pem";
    assert_eq!(refused, Distrust::Certificate(url.to_owned()).into());
}

#[test]
fn topics_and_certificates_are_checked() {
    let arns = |arn: &str| Topics::new(&[arn.to_owned()], Some(CERTIFICATE)).map(|_| ());
    assert_eq!(
        arns("arn:aws-cn:sns:cn-north-1:123456789012:x.fifo"),
        Ok(())
    );
    for arn in [
        "",
        "bounces",
        "arn:aws:sqs:eu-west-1:123456789012:bounces",
        "arn:aws:sns:eu-west-1:123456789012",
        "arn:aws:sns:eu-west-1.evil.example/:123456789012:bounces",
        "arn:aws:sns:eu-west-1:123456789012:bounces:endpoint",
        "arn:aws:sns:eu-west-1:123456789012:b&x=1",
    ] {
        assert!(arns(arn).is_err(), "{arn}");
    }
    let certificate = |pem: &[u8]| Topics::new(&[TOPIC.to_owned()], Some(pem)).map(|_| ());
    for pem in [
        &b""[..],
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        b"-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n",
    ] {
        assert!(certificate(pem).is_err());
    }
    assert!(Topics::new(&[], Some(CERTIFICATE)).is_err());
    // The next one beside it.
    assert_eq!(certificate(&[CERTIFICATE, CERTIFICATE].concat()), Ok(()));
}

fn message(value: &Value) -> Vec<Event> {
    read_message(&value.to_string())
}

fn mail() -> Value {
    json!({"source": "news@shop.example", "messageId": "0000", "commonHeaders": {"messageId": format!("<{OWN}@x>")}})
}

/// The types and subtypes that Amazon documents.
#[test]
fn bounces_are_what_the_server_said() {
    for (kinds, recipient, expected) in [
        (
            ["Permanent", "General"],
            json!({"status": "5.1.1", "diagnosticCode": "smtp; 550 5.1.1 user unknown"}),
            Kind::Hard,
        ),
        (
            ["Permanent", "General"],
            json!({"emailAddress": "a@example.org"}),
            Kind::Hard,
        ),
        (
            ["Permanent", "General"],
            json!({"status": "5.7.1", "diagnosticCode": "smtp; 554 5.7.1 blocked"}),
            Kind::Soft,
        ),
        (["Permanent", "NoEmail"], json!({}), Kind::Hard),
        (
            ["Permanent", "Suppressed"],
            json!({"status": "5.1.1", "action": "failed", "diagnosticCode": "Amazon SES has suppressed sending to this address because it has a recent history of bouncing as an invalid address."}),
            Kind::Hard,
        ),
        (
            ["Permanent", "OnAccountSuppressionList"],
            json!({"diagnosticCode": "Amazon SES did not send the message to this address because it is on the suppression list for your account."}),
            Kind::Hard,
        ),
        (["Transient", "General"], json!({}), Kind::Soft),
        (
            ["Transient", "MailboxFull"],
            json!({"status": "5.2.2", "diagnosticCode": "smtp; 552 5.2.2 mailbox full"}),
            Kind::Soft,
        ),
        (
            ["Transient", "ContentRejected"],
            json!({"status": "5.6.1"}),
            Kind::Soft,
        ),
        (["Undetermined", "Undetermined"], json!({}), Kind::Soft),
        (
            ["Undetermined", "Undetermined"],
            json!({"diagnosticCode": "smtp; 550 No such user"}),
            Kind::Hard,
        ),
    ] {
        for name in ["notificationType", "eventType"] {
            let [event] = message(&json!({name: "Bounce", "mail": mail(), "bounce": {
                "bounceType": kinds[0], "bounceSubType": kinds[1], "bouncedRecipients": [recipient],
                "timestamp": "2026-01-27T14:59:38.237Z", "feedbackId": "f"}}))
            .try_into()
            .unwrap();
            assert_eq!(
                kind(Provider::Ses, &event),
                expected,
                "{kinds:?} {recipient}"
            );
        }
    }
}

#[test]
fn complaints_delays_and_the_rest() {
    let complaint = |feedback: Value| {
        let [event] = message(&json!({"eventType": "Complaint", "mail": mail(), "complaint": {
            "complainedRecipients": [{"emailAddress": "a@example.org"}], "complaintFeedbackType": feedback, "feedbackId": "f"}}))
        .try_into()
        .unwrap();
        kind(Provider::Ses, &event)
    };
    assert_eq!(complaint(json!("abuse")), Kind::Complaint);
    assert_eq!(complaint(json!(null)), Kind::Complaint);
    assert_eq!(complaint(json!("not-spam")), Kind::Unknown);
    let [delay] = message(&json!({"eventType": "DeliveryDelay", "mail": mail(), "deliveryDelay": {
        "delayType": "MailboxFull", "expirationTime": "2026-01-28T00:00:00Z",
        "delayedRecipients": [{"emailAddress": "a@example.org", "status": "4.2.2", "diagnosticCode": "smtp; 452 4.2.2 full"}]}}))
    .try_into()
    .unwrap();
    assert_eq!(kind(Provider::Ses, &delay), Kind::Delayed);
    let reject =
        json!({"eventType": "Reject", "mail": mail(), "reject": {"reason": "Bad content"}});
    assert_eq!(kind(Provider::Ses, &message(&reject)[0]), Kind::Soft);
    for other in [
        "Send",
        "Delivery",
        "Open",
        "Click",
        "Subscription",
        "New",
        "",
    ] {
        let events = message(&json!({"eventType": other, "mail": mail()}));
        assert!(events.len() == 1 && !events[0].matters(), "{other}");
    }
    for text in [
        "hello",
        "7",
        "[]",
        "\"x\"",
        "{\"notificationType\": \"AmazonSnsSubscriptionSucceeded\"}",
    ] {
        let events = read_message(text);
        assert!(events.len() == 1 && !events[0].matters(), "{text}");
    }
}

#[test]
fn a_message_full_of_recipients_costs_no_more_than_some() {
    let recipients: Vec<Value> = (0..10_000).map(|_| json!({})).collect();
    let events = message(
        &json!({"eventType": "Bounce", "mail": mail(), "bounce": {"bouncedRecipients": recipients}}),
    );
    assert_eq!(events.len(), 32);
}
