//! What providers post, or whoever says to be one: nothing panics, nothing unsigned is believed, and each event is a mail that is
//! understood.

use marketing_automation::mail::bounce::{self, Rules};
use marketing_automation::mail::provider::mailgun::{self, UsedSignatures};
use marketing_automation::mail::provider::ses::Topics;
use marketing_automation::mail::provider::{Event, Provider, brevo, postmark};
use serde::Deserialize;

const NOW: u64 = 1_529_006_854;
const OWN: &str = "0f6d2b1e-1c3a-4c55-9d59-2b8c5a8f3f10.17";
const CERTIFICATE: &[u8] = include_bytes!("../../src/mail/provider/ses/samples/certificate.pem");
const SIGNED: [&str; 3] = [
    include_str!("../../src/mail/provider/ses/samples/notification.json"),
    include_str!("../../src/mail/provider/ses/samples/subscription_confirmation.json"),
    include_str!("../../src/mail/provider/ses/samples/other_topic.json"),
];

/// Events of all providers, unsigned and signed.
pub fn events() -> Vec<Vec<u8>> {
    let unsigned = [
        format!(
            r#"{{"RecordType": "Bounce", "ID": 4323372036854775807, "Type": "HardBounce", "MessageID": "883953f4-6105-42a2-a16a-77a8eac79483",
            "Metadata": {{"message-id": "{OWN}"}}, "Details": "smtp;550 5.1.1 User unknown", "Email": "john@example.com",
            "BouncedAt": "2019-11-05T16:33:54.9070259Z"}}"#
        ),
        format!(
            r#"[{{"event": "hard_bounce", "email": "example@domain.com", "id": 26224, "ts": 1604933619, "message-id": "<{OWN}@shop.example>",
            "X-Mailin-custom": "{OWN}", "reason": "550 5.1.1 user unknown"}}, {{"event": "spam", "message-id": "<{OWN}@x>", "ts_epoch": 1604933653}}]"#
        ),
        format!(
            r#"{{"signature": {{"timestamp": "{NOW}", "token": "a8ce0edb", "signature": "00"}}, "event-data": {{"event": "failed",
            "severity": "permanent", "reason": "suppress-bounce", "delivery-status": {{"code": 605, "message": ""}},
            "message": {{"headers": {{"message-id": "{OWN}@x"}}}}}}}}"#
        ),
    ];
    let signed = SIGNED.map(str::to_owned);
    let all = unsigned.into_iter().chain(signed);
    all.map(String::into_bytes).collect()
}

/// Reads it as of each provider.
pub fn are_believed_if_signed(input: &[u8]) {
    for (provider, events) in [
        (Provider::Postmark, postmark::read(input)),
        (Provider::Brevo, brevo::read(input)),
    ] {
        events
            .unwrap_or_default()
            .iter()
            .for_each(|event| is_understood(provider, event));
    }
    let key = mailgun::Key::parse("key-3ax6xnjp29jd6fds4gc373sgvjxteol0").expect("a key");
    // No input of ours is signed with it.
    let mut used = UsedSignatures::default();
    assert!(key.read(input, NOW, &mut used).is_err());
    let arns = ["arn:aws:sns:eu-west-1:123456789012:bounces".to_owned()];
    let topics = Topics::new(&arns, Some(CERTIFICATE)).expect("a topic");
    if topics.read(input).is_ok() {
        // What was signed is there, value by value; around it anything may stand.
        let members: Members = serde_json::from_slice(input).expect("what is signed");
        let was_signed = SIGNED[..2].iter().any(|sample| {
            serde_json::from_str::<Members>(sample).is_ok_and(|signed| signed == members)
        });
        assert!(was_signed, "believed {members:?}");
    }
}

/// What SNS signs, but for what only some messages have.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Members {
    r#type: String,
    message: String,
    message_id: String,
    topic_arn: String,
    timestamp: String,
    token: Option<String>,
}

fn is_understood(provider: Provider, event: &Event) {
    let Some(mail) = event.mail(provider) else {
        return;
    };
    assert!(event.matters() && mail.len() < 64 * 1024);
    let lines = mail.split(|byte| *byte == b'\n');
    assert_eq!(
        lines
            .filter(|line| line.starts_with(b"--provider-event"))
            .count(),
        3
    );
    let report = bounce::read(&mail, Rules::shipped(), |_| None);
    let traces = [
        report.message_ids,
        report.return_paths,
        report.unsubscribe_tokens,
    ];
    assert!(
        !traces.concat().is_empty() || String::from_utf8_lossy(&mail).contains("List-Unsubscribe"),
        "nothing of ours in {}",
        String::from_utf8_lossy(&mail)
    );
}
