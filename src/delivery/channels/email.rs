//! Mail, by SMTP or into a directory.

use std::time::SystemTime;

use crate::delivery::channel::{Answer, Channel};
use crate::delivery::compose;
use crate::delivery::diagnostic::Diagnostic;
use crate::delivery::job::{Job, Prepared, ReadyMail};
use crate::delivery::outcome::Outcome;
use crate::delivery::server::{Server, Transport};
use crate::mail::message::Mail;
use crate::smtp::{Connection, Scope, SendErrorKind};

pub struct Email;

impl Channel for Email {
    type Connection = Connection;
    type Message = Mail;

    fn takes(&self, channel: &str) -> bool {
        channel == "mail"
    }

    fn prepare(&self, job: &Job) -> Result<Prepared, Outcome> {
        compose::render(job).map(Prepared::Mail)
    }

    fn compose(&self, ready: &ReadyMail, date: SystemTime) -> Result<Mail, Outcome> {
        compose::compose(ready, date)
    }

    async fn connect(&self, server: &Server) -> Result<Connection, String> {
        let Transport::Smtp(smtp) = &server.transport else {
            return Err("it takes no mail".to_owned());
        };
        let connected = smtp.connect(server.definition.timeout).await;
        connected.map_err(|error| error.to_string())
    }

    fn is_open(&self, connection: &Connection) -> bool {
        connection.is_open()
    }

    async fn deliver(&self, _server: &Server, connection: &mut Connection, mail: &Mail) -> Answer {
        let error = match connection.send(mail).await {
            Ok(reply) => {
                let mut diagnostic = Diagnostic::reply(reply);
                if mail.is_staged() {
                    diagnostic.text =
                        format!("to {} instead: {}", mail.recipient(), diagnostic.text);
                }
                for address in &mail.left_out {
                    diagnostic
                        .text
                        .push_str(&format!("; no copy to {address}: it is suppressed"));
                }
                return Answer::Accepted(diagnostic);
            }
            Err(error) => error,
        };
        let diagnostic = Diagnostic::from(&error);
        if error.in_doubt {
            return Answer::InDoubt(diagnostic);
        }
        match error.kind {
            SendErrorKind::Connection => Answer::Disconnected(diagnostic),
            SendErrorKind::Unavailable => Answer::Unavailable(diagnostic),
            SendErrorKind::Transient => Answer::Deferred(diagnostic),
            // Somebody will mend the mailbox, and the one whom the mail is for may have a good one.
            SendErrorKind::Permanent
                if mail.is_staged()
                    && (diagnostic.is_about(Scope::Recipient)
                        || diagnostic.is_about(Scope::RecipientDomain)) =>
            {
                Answer::Deferred(diagnostic)
            }
            SendErrorKind::Permanent => Answer::Refused(diagnostic),
        }
    }

    async fn quit(&self, connection: Connection) {
        connection.quit().await;
    }
}
