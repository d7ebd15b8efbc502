//! All ways to deliver at once: each message goes its own.

use std::time::SystemTime;

use super::email::Email;
use super::webhook::Webhook;
use crate::delivery::channel::{Answer, Channel};
use crate::delivery::job::{Job, Prepared, ReadyMail};
use crate::delivery::outcome::Outcome;
use crate::delivery::server::Server;
use crate::delivery::server::definition::Kind;
use crate::mail::message::Mail;
use crate::{smtp, webhook};

pub struct Any;

pub enum Connection {
    Smtp(Box<smtp::Connection>),
    Http(webhook::client::Connection),
}

pub enum Message {
    Mail(Box<Mail>),
    Webhook(webhook::client::Message),
}

impl Channel for Any {
    type Connection = Connection;
    type Message = Message;

    fn takes(&self, channel: &str) -> bool {
        Email.takes(channel) || Webhook.takes(channel)
    }

    fn prepare(&self, job: &Job) -> Result<Prepared, Outcome> {
        match job.mail.target {
            None => Email.prepare(job),
            Some(_) => Webhook.prepare(job),
        }
    }

    fn compose(&self, ready: &ReadyMail, date: SystemTime) -> Result<Message, Outcome> {
        Ok(match ready.job.mail.target {
            None => Message::Mail(Box::new(Email.compose(ready, date)?)),
            Some(_) => Message::Webhook(Webhook.compose(ready, date)?),
        })
    }

    async fn connect(&self, server: &Server) -> Result<Connection, String> {
        Ok(match server.definition.kind {
            Kind::Mail => Connection::Smtp(Box::new(Email.connect(server).await?)),
            Kind::Webhook { .. } => Connection::Http(Webhook.connect(server).await?),
        })
    }

    fn is_open(&self, connection: &Connection) -> bool {
        match connection {
            Connection::Smtp(connection) => Email.is_open(connection),
            Connection::Http(connection) => Webhook.is_open(connection),
        }
    }

    async fn deliver(
        &self,
        server: &Server,
        connection: &mut Connection,
        message: &Message,
    ) -> Answer {
        match (connection, message) {
            (Connection::Smtp(connection), Message::Mail(mail)) => {
                Email.deliver(server, connection, mail).await
            }
            (Connection::Http(connection), Message::Webhook(message)) => {
                Webhook.deliver(server, connection, message).await
            }
            _ => Answer::Rejected("its server delivers something else".into()),
        }
    }

    async fn quit(&self, connection: Connection) {
        match connection {
            Connection::Smtp(connection) => Email.quit(*connection).await,
            Connection::Http(connection) => Webhook.quit(connection).await,
        }
    }
}
