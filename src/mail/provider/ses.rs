//! Amazon SES, through SNS: <https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html>, and what configuration sets
//! publish, <https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-contents.html>. SNS signs with the key of a
//! certificate that it names by an URL: what that URL says is not asked, the certificate is given.

use serde::Deserialize;
use serde_json::Value;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use webpki::EndEntityCert;
use webpki::ring::RSA_PKCS1_2048_8192_SHA256;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::event::{Event, Outcome, Reply};
use super::json::{self, Unreadable};
use super::{Distrust, Refused};

/// Whose messages are believed: everybody's topics are signed with the same key, so that the topic has to be ours.
#[derive(Debug, Clone)]
pub struct Topics {
    arns: Vec<String>,
    certificates: Vec<CertificateDer<'static>>,
}

/// What a request was.
#[derive(Debug, PartialEq, Eq)]
pub enum Message {
    Events(Vec<Event>),
    /// The topic asks whether it may post here: somebody has to open this URL.
    Confirm {
        topic: String,
        url: String,
    },
    /// The topic will not post here any more.
    Ended {
        topic: String,
    },
}

/// What SNS posts.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Envelope {
    r#type: String,
    message_id: String,
    topic_arn: String,
    message: String,
    subject: Option<String>,
    timestamp: String,
    signature_version: String,
    signature: String,
    token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    subscribe_url: Option<String>,
    #[serde(rename = "SigningCertURL")]
    signing_cert_url: Option<String>,
}

impl Topics {
    /// Reads the ARNs of topics, and the certificates of a PEM file; without one nothing is believed, and what is wrong with a message
    /// says which certificate it names.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub fn new(arns: &[String], pem: Option<&[u8]>) -> Result<Self, &'static str> {
        if arns.is_empty() || arns.iter().any(|arn| region(arn).is_none()) {
            return Err(
                "topics are named by their ARNs, such as arn:aws:sns:eu-west-1:123456789012:bounces",
            );
        }
        let certificates = pem.map(certificates).transpose()?.unwrap_or_default();
        Ok(Topics {
            arns: arns.to_vec(),
            certificates,
        })
    }

    /// Whether there is a certificate.
    #[must_use]
    pub fn can_verify(&self) -> bool {
        !self.certificates.is_empty()
    }

    /// Reads the body of a request.
    ///
    /// # Errors
    /// It is not of one of these topics, or broken.
    pub fn read(&self, body: &[u8]) -> Result<Message, Refused> {
        let envelope: Envelope =
            serde_json::from_slice(body).map_err(|error| match error.classify() {
                // JSON, but no message of SNS, as with raw delivery.
                serde_json::error::Category::Data => Refused::from(Distrust::Unsigned),
                _ => Unreadable::Broken.into(),
            })?;
        if !self.arns.contains(&envelope.topic_arn) {
            return Err(Distrust::Topic.into());
        }
        self.verify(&envelope)?;
        match envelope.r#type.as_str() {
            "Notification" => Ok(Message::Events(read_message(&envelope.message))),
            "SubscriptionConfirmation" => confirmation(&envelope),
            _ => Ok(Message::Ended {
                topic: envelope.topic_arn,
            }),
        }
    }

    /// Version 1 is SHA-1, for which messages have been made that have the same digest: whoever publishes to a topic of their own has
    /// SNS sign what they like.
    fn verify(&self, envelope: &Envelope) -> Result<(), Distrust> {
        if envelope.signature_version != "2" {
            return Err(Distrust::Version);
        }
        let signature = STANDARD
            .decode(envelope.signature.trim())
            .map_err(|_| Distrust::Signature)?;
        let signed = envelope.signed().ok_or(Distrust::Signature)?;
        let is_good = self.certificates.iter().any(|certificate| {
            EndEntityCert::try_from(certificate).is_ok_and(|certificate| {
                certificate
                    .verify_signature(RSA_PKCS1_2048_8192_SHA256, signed.as_bytes(), &signature)
                    .is_ok()
            })
        });
        match (is_good, envelope.certificate()) {
            (true, _) => Ok(()),
            (false, Some(url)) => Err(Distrust::Certificate(url)),
            (false, None) => Err(Distrust::Signature),
        }
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| "the certificate is no PEM file")?;
    let usable = |certificate| EndEntityCert::try_from(certificate).is_ok();
    match !certificates.is_empty() && certificates.iter().all(usable) {
        true => Ok(certificates),
        false => Err("the certificate is none that SNS signs with"),
    }
}

impl Envelope {
    /// Where its certificate is, for a person to look at: made here, so that it leads to SNS whoever says it.
    fn certificate(&self) -> Option<String> {
        let url = self.signing_cert_url.as_deref()?;
        let name = url.rsplit('/').next()?;
        let id = name
            .strip_prefix("SimpleNotificationService-")?
            .strip_suffix(".pem")?;
        let is_id =
            (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        let host = host(&self.topic_arn).filter(|_| is_id)?;
        Some(format!("https://{host}/{name}"))
    }

    /// The members that are signed, as SNS orders them.
    fn signed(&self) -> Option<String> {
        let mut members = vec![("Message", &self.message), ("MessageId", &self.message_id)];
        match self.r#type.as_str() {
            "Notification" => {
                members.extend(self.subject.as_ref().map(|subject| ("Subject", subject)));
                members.push(("Timestamp", &self.timestamp));
            }
            "SubscriptionConfirmation" | "UnsubscribeConfirmation" => {
                members.push(("SubscribeURL", self.subscribe_url.as_ref()?));
                members.push(("Timestamp", &self.timestamp));
                members.push(("Token", self.token.as_ref()?));
            }
            _ => return None,
        }
        members.push(("TopicArn", &self.topic_arn));
        members.push(("Type", &self.r#type));
        Some(
            members
                .iter()
                .map(|(name, value)| format!("{name}\n{value}\n"))
                .collect(),
        )
    }
}

/// The region of a topic, as its ARN says: partition, service, region, account, name.
fn region(arn: &str) -> Option<&str> {
    let parts: Vec<&str> = arn.split(':').collect();
    let [
        "arn",
        "aws" | "aws-cn" | "aws-us-gov",
        "sns",
        region,
        account,
        name,
    ] = parts[..]
    else {
        return None;
    };
    let is_word = |text: &str, more: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    (is_word(region, "-") && is_word(account, "") && is_word(name, "-_.")).then_some(region)
}

/// The host of SNS that has a topic.
fn host(topic: &str) -> Option<String> {
    let domain = match topic.starts_with("arn:aws-cn:") {
        true => "amazonaws.com.cn",
        false => "amazonaws.com",
    };
    region(topic).map(|region| format!("sns.{region}.{domain}"))
}

/// The URL that confirms, made of what was verified: it leads to SNS and nowhere else.
fn confirmation(envelope: &Envelope) -> Result<Message, Refused> {
    let topic = &envelope.topic_arn;
    let token = envelope.token.as_deref().unwrap_or_default();
    let is_token =
        (1..=1024).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let host = host(topic).filter(|_| is_token);
    let host = host.ok_or(Unreadable::Broken)?;
    Ok(Message::Confirm {
        topic: topic.clone(),
        url: format!("https://{host}/?Action=ConfirmSubscription&TopicArn={topic}&Token={token}"),
    })
}

/// Reads what SES has written into a message; what is none of SES's, as somebody's test, is an event from which nothing follows.
fn read_message(message: &str) -> Vec<Event> {
    let nothing = || vec![Event::new(Outcome::Other, String::new())];
    let Ok(event @ Value::Object(_)) = serde_json::from_str::<Value>(message) else {
        return nothing();
    };
    let text = |path: &[&str]| json::text(&event, path);
    // Notifications of an identity have the one name, events of a configuration set the other.
    let name = [text(&["notificationType"]), text(&["eventType"])].join("");
    let outcomes: Vec<(String, Outcome)> = match name.as_str() {
        "Bounce" => recipients(&event, &["bounce", "bouncedRecipients"])
            .map(|recipient| (address(recipient), bounced(&event, recipient)))
            .collect(),
        "DeliveryDelay" => recipients(&event, &["deliveryDelay", "delayedRecipients"])
            .map(|recipient| (address(recipient), Outcome::Delayed(reply(recipient))))
            .collect(),
        "Complaint" => {
            let feedback = match text(&["complaint", "complaintFeedbackType"]) {
                none if none.is_empty() => "abuse".to_owned(),
                feedback => feedback,
            };
            recipients(&event, &["complaint", "complainedRecipients"])
                .map(|recipient| (address(recipient), Outcome::Complaint(feedback.clone())))
                .collect()
        }
        "Reject" => vec![(
            String::new(),
            Outcome::Failed(Reply {
                status: "5.7.1".to_owned(),
                text: text(&["reject", "reason"]),
            }),
        )],
        _ => return nothing(),
    };
    let details = match name.as_str() {
        "Bounce" => "bounce",
        "Complaint" => "complaint",
        _ => "deliveryDelay",
    };
    let id = [
        name,
        text(&[details, "feedbackId"]),
        text(&["mail", "messageId"]),
        text(&[details, "timestamp"]),
    ]
    .join(" ");
    let headers = |wanted: &str| -> Vec<String> {
        json::list(&event, &["mail", "headers"])
            .iter()
            .filter(|header| json::text(header, &["name"]).eq_ignore_ascii_case(wanted))
            .map(|header| json::text(header, &["value"]))
            .collect()
    };
    let mut message_ids = vec![text(&["mail", "commonHeaders", "messageId"])];
    message_ids.extend(headers("message-id"));
    outcomes
        .into_iter()
        .map(|(recipient, outcome)| Event {
            recipient,
            message_ids: message_ids.clone(),
            return_paths: vec![text(&["mail", "source"])],
            list_unsubscribes: headers("list-unsubscribe"),
            ..Event::new(outcome, id.clone())
        })
        .collect()
}

/// Our mails have one recipient each; an alias may have some.
fn recipients<'a>(event: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> {
    const MAX_RECIPIENTS: usize = 32;
    json::list(event, path).iter().take(MAX_RECIPIENTS)
}

fn address(recipient: &Value) -> String {
    json::text(recipient, &["emailAddress"])
}

fn reply(recipient: &Value) -> Reply {
    Reply {
        status: json::text(recipient, &["status"]),
        text: json::text(recipient, &["diagnosticCode"]),
    }
}

/// The types of <https://docs.aws.amazon.com/ses/latest/dg/notification-contents.html#bounce-types>.
fn bounced(event: &Value, recipient: &Value) -> Outcome {
    let bounce = |name| json::text(event, &["bounce", name]);
    let mut reply = reply(recipient);
    if reply.status.is_empty() {
        let status = match (
            bounce("bounceType").as_str(),
            bounce("bounceSubType").as_str(),
        ) {
            ("Permanent", "NoEmail" | "Suppressed" | "OnAccountSuppressionList") => "5.1.1",
            // Without a word of anybody, the provider's.
            ("Permanent", "General") if reply.text.trim().is_empty() => "5.1.1",
            ("Transient", _) => "4.0.0",
            _ => "5.0.0",
        };
        reply.status = status.to_owned();
    }
    Outcome::Failed(reply)
}

#[cfg(test)]
mod tests;
