//! Webhooks: JSON by POST, signed, to the targets that a superuser has listed.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::delivery::channel::{Answer, Channel};
use crate::delivery::compose;
use crate::delivery::diagnostic::Diagnostic;
use crate::delivery::job::{Call, Job, Prepared, ReadyMail};
use crate::delivery::outcome::Outcome;
use crate::delivery::server::{Server, Transport};
use crate::smtp::{Scope, Step, Verdict as About};
use crate::webhook::answer::{Verdict, judge};
use crate::webhook::client::{Connection, Message, Reply};

pub struct Webhook;

/// What identifies a message: the same for each attempt, and no other's in any database.
#[must_use]
pub fn message_id(record_uuid: &str, activity: i32) -> String {
    format!("msg_{}_{activity}", record_uuid.replace('-', ""))
}

impl Channel for Webhook {
    type Connection = Connection;
    type Message = Message;

    fn takes(&self, channel: &str) -> bool {
        channel == "webhook"
    }

    fn prepare(&self, job: &Job) -> Result<Prepared, Outcome> {
        let mail = &job.mail;
        let email = Some(mail.email.as_str()).filter(|email| !email.is_empty());
        let call = compose::render_by(job, email, |template, context, recipient| {
            template.render_webhook(context, recipient, &mail.record_uuid)
        })?;
        if mail.target.as_ref() != Some(&call.target) {
            let reason = "template: its URL has another target by now";
            return Err(Outcome::Failed(reason.into()));
        }
        Ok(Prepared::Webhook(Call {
            path: call.path,
            body: call.body,
        }))
    }

    fn compose(&self, ready: &ReadyMail, date: SystemTime) -> Result<Message, Outcome> {
        let Prepared::Webhook(call) = &ready.prepared else {
            return Err(Outcome::Failed("it is no webhook".into()));
        };
        if ready.job.settings.staging_mailbox.is_some() {
            // As mails, which go to that mailbox instead, count as sent.
            let reason = "not posted: marketing_automation.staging_mailbox is set";
            return Err(Outcome::Sent(reason.into()));
        }
        let mail = &ready.job.mail;
        Ok(Message {
            path: call.path.clone(),
            id: message_id(&mail.record_uuid, mail.activity),
            timestamp: date
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default()
                .as_secs(),
            body: call.body.clone(),
        })
    }

    /// Nothing yet: what keeps it from connecting is an attempt like any other.
    async fn connect(&self, _server: &Server) -> Result<Connection, String> {
        Ok(Connection::default())
    }

    fn is_open(&self, connection: &Connection) -> bool {
        connection.is_open()
    }

    async fn deliver(
        &self,
        server: &Server,
        connection: &mut Connection,
        message: &Message,
    ) -> Answer {
        let Transport::Http(target) = &server.transport else {
            return Answer::Rejected("it takes no webhooks".into());
        };
        let limit = server.definition.timeout;
        let (status, text, retry_after) = match connection.post(target, message, limit).await {
            Reply::Answered {
                status,
                text,
                retry_after,
            } => (status, text, retry_after),
            // It may have been taken; as it has an id, it can be sent again all the same.
            Reply::Silent(reason) => return Answer::Overloaded(reason.into()),
        };
        answer(status, text, retry_after.as_deref(), SystemTime::now())
    }

    async fn quit(&self, _connection: Connection) {}
}

fn answer(status: u16, text: String, retry_after: Option<&str>, now: SystemTime) -> Answer {
    let reply = Diagnostic::reply(text);
    match judge(status, retry_after, now) {
        Verdict::Delivered => Answer::Accepted(reply),
        Verdict::Gone | Verdict::Refused => Answer::Rejected(reply),
        Verdict::Redirected => Answer::Rejected(Diagnostic {
            text: format!("{}: redirects are not followed", reply.text),
            ..reply
        }),
        Verdict::Retry => Answer::Deferred(Diagnostic {
            verdict: Some(About {
                step: Step::Data,
                scope: Scope::RecipientDomain,
                is_final: false,
            }),
            ..reply
        }),
        Verdict::Wait(wait) => Answer::Overloaded(Diagnostic {
            retry_after: Some(wait),
            ..reply
        }),
    }
}
