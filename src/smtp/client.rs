//! An SMTP session (RFC 5321): a connection that takes one mail after the other.
//!
//! It is our own, because lettre's client waits for the reply to each command and needs three round trips and five writes more for a
//! mail.

use std::fmt;
use std::time::Duration;

use super::config::TransportConfig;
use super::connect::{authenticate, connect};
use super::dialogue::Dialogue;
use super::error::{SendError, SendErrorKind};
use super::exchange::{ask, read, within, write};
use super::extensions::Extensions;
use super::refusal::Step;
use super::reply::{Reply, SERVICE_CLOSING};
use super::{auth, content};
use crate::mail::message::Mail;

/// The server waits for the content.
const GO_AHEAD: u16 = 354;

/// Longest reply that is told of a copy.
const MAX_SAID_OF_COPY: usize = 150;

/// One of those who get a mail beside its recipient.
struct Copy<'a> {
    address: &'a str,
    command: String,
}

impl<'a> Copy<'a> {
    fn to(address: &'a str) -> Self {
        let command = format!("RCPT TO:<{address}>\r\n");
        Copy { address, command }
    }
}

/// A session that takes mails; without a connection once it has failed.
pub(super) struct Session {
    dialogue: Option<Dialogue>,
    offered: Extensions,
    step_timeout: Duration,
    /// How long the reply to the final dot may take.
    verdict_timeout: Duration,
    /// The content of a mail as it goes over the wire; kept for its memory.
    wire: Vec<u8>,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("open", &self.is_open())
            .finish()
    }
}

impl Session {
    pub(super) async fn open(
        config: &TransportConfig,
        step_timeout: Duration,
        verdict_timeout: Duration,
    ) -> Result<Self, SendError> {
        let smtp = config
            .smtp()
            .ok_or_else(|| SendError::connection("no SMTP server is configured"))?;
        let (mut dialogue, offered) = connect(smtp, step_timeout).await?;
        if let Some(user) = &smtp.user {
            if !dialogue.is_encrypted() && !smtp.loopback {
                return Err(SendError::connection(
                    "the password would cross the network in clear",
                ));
            }
            let said = auth::Dialog::new(config, smtp, user, offered)?;
            authenticate(&mut dialogue, &said, step_timeout)
                .await
                .map_err(|error| said.without_secret(error))?;
        }
        Ok(Session {
            dialogue: Some(dialogue),
            offered,
            step_timeout,
            verdict_timeout,
            wire: Vec::new(),
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.dialogue.is_some()
    }

    pub(super) async fn send(&mut self, mail: &Mail) -> Result<String, SendError> {
        if mail.smtputf8 && !self.offered.smtputf8 {
            let message = format!(
                "5.6.7 {} needs SMTPUTF8 (RFC 6531), which the server does not offer",
                mail.recipient()
            );
            return Err(SendError::new(SendErrorKind::Permanent, message));
        }
        content::encode(&mail.bytes, mail.smtputf8, &mut self.wire)?;
        let size = content::size(&mail.bytes);
        if let Some(limit) = self.offered.size_limit().filter(|limit| size > *limit) {
            let message = format!(
                "5.3.4 the mail has {size} bytes, and the server takes no more than {limit} (SIZE, RFC 1870)"
            );
            return Err(SendError::new(SendErrorKind::Permanent, message));
        }
        // Taken out while the mail is on its way: a future that is dropped halfway leaves a closed session.
        let mut dialogue = self
            .dialogue
            .take()
            .ok_or_else(|| SendError::connection("the connection is closed"))?;
        let result = self.transaction(&mut dialogue, mail).await;
        let usable = match &result {
            Ok(_) => true,
            Err(error) if error.kind == SendErrorKind::Connection => false,
            Err(error) if error.code == Some(SERVICE_CLOSING) => false,
            // A refused mail leaves its envelope behind (RFC 5321, section 4.1.1.5).
            Err(_) => ask(&mut dialogue, "RSET", "RSET", self.step_timeout)
                .await
                .is_ok(),
        };
        if usable && dialogue.is_at_rest() {
            self.dialogue = Some(dialogue);
        }
        result
    }

    async fn transaction(&self, dialogue: &mut Dialogue, mail: &Mail) -> Result<String, SendError> {
        let mut parameters = String::new();
        if self.offered.size.is_some() {
            // So that a server that has no room says so before the mail is sent.
            parameters = format!(" SIZE={}", content::size(&mail.bytes));
        }
        if mail.smtputf8 {
            parameters.push_str(" SMTPUTF8");
        }
        let steps = [
            (
                Step::MailFrom,
                format!("MAIL FROM:<{}>{parameters}\r\n", mail.sender()),
            ),
            (Step::RcptTo, format!("RCPT TO:<{}>\r\n", mail.recipient())),
            (Step::Data, "DATA\r\n".to_owned()),
        ];
        let copies: Vec<Copy> = mail.copies().map(Copy::to).collect();
        let limit = self.step_timeout;
        let mut refusal = None;
        let mut untaken = String::new();
        if self.offered.pipelining {
            let commands = steps.iter().map(|(_, command)| command.as_str());
            // DATA waits for the answers about copies: where one of those is taken, and the recipient is not, the server would want the
            // content, and send it to the copy.
            let at_once = if copies.is_empty() { steps.len() } else { 2 };
            let copied = copies.iter().map(|copy| copy.command.as_str());
            let all: String = commands.take(at_once).chain(copied).collect();
            write(dialogue, "MAIL FROM", &all, limit).await?;
        }
        for (step, command) in &steps {
            let name = step.name();
            let waits = *step == Step::Data && !copies.is_empty();
            if waits {
                untaken = self.offer(dialogue, &copies).await?;
                if let Some(refusal) = refusal {
                    return Err(refusal);
                }
            }
            if waits || !self.offered.pipelining {
                write(dialogue, name, command, limit).await?;
            }
            let judged = match read(dialogue, name, limit).await {
                Ok(reply) => check(*step, &reply),
                Err(error) => Err(error),
            };
            let Err(error) = judged else {
                // The server wants the content of a mail that it has refused: an empty one, for no recipient (RFC 2920,
                // section 3.1).
                if matches!(step, Step::Data) && refusal.is_some() {
                    let _ = ask(dialogue, Step::EndOfData.name(), ".", limit).await;
                }
                continue;
            };
            let is_last_word = error.kind == SendErrorKind::Connection
                || error.code == Some(SERVICE_CLOSING)
                || !self.offered.pipelining;
            // What comes after the first refusal only follows from it.
            let first = refusal.get_or_insert(error);
            if is_last_word {
                return Err(first.clone());
            }
        }
        match refusal {
            Some(refusal) => Err(refusal),
            None => Ok(self.content(dialogue).await? + &untaken),
        }
    }

    /// Names those who get copies. What the server says of one that it does not take is told, and no reason to keep the mail from others.
    async fn offer(
        &self,
        dialogue: &mut Dialogue,
        copies: &[Copy<'_>],
    ) -> Result<String, SendError> {
        let step = Step::RcptTo;
        let mut untaken = String::new();
        for copy in copies {
            if !self.offered.pipelining {
                write(dialogue, step.name(), &copy.command, self.step_timeout).await?;
            }
            let reply = read(dialogue, step.name(), self.step_timeout).await?;
            if reply.code == SERVICE_CLOSING {
                return Err(SendError::refused(step, &reply));
            }
            if let Err(error) = check(step, &reply) {
                if error.kind == SendErrorKind::Connection {
                    return Err(error);
                }
                let said: String = reply.to_string().chars().take(MAX_SAID_OF_COPY).collect();
                untaken.push_str(&format!("; no copy to {}: {said}", copy.address));
            }
        }
        Ok(untaken)
    }

    /// Sends the content; from its last byte on the server may have taken the mail.
    async fn content(&self, dialogue: &mut Dialogue) -> Result<String, SendError> {
        let step = Step::EndOfData;
        // What has come too early would pass for the verdict.
        if !dialogue.is_at_rest() {
            return Err(SendError::connection(
                "DATA: the server said more than that the mail may come",
            ));
        }
        let mut in_doubt = false;
        let written = dialogue.write(&self.wire, &mut in_doubt);
        let verdict = match within(self.step_timeout, "body", written).await {
            Ok(()) => read(dialogue, step.name(), self.verdict_timeout).await,
            Err(error) => Err(error),
        };
        match verdict {
            Ok(reply) if reply.is_success() => Ok(reply.to_string()),
            Ok(reply) => {
                let error = SendError::refused(step, &reply);
                let in_doubt = error.kind == SendErrorKind::Connection;
                Err(SendError { in_doubt, ..error })
            }
            Err(error) => Err(SendError { in_doubt, ..error }),
        }
    }

    pub(super) async fn quit(mut self) {
        if let Some(mut dialogue) = self.dialogue.take() {
            // The mails are delivered; whether the server says goodbye changes nothing.
            let _ = ask(&mut dialogue, "QUIT", "QUIT", self.step_timeout).await;
        }
    }
}

/// Whether the mail may go on after this step, and what it means when it may not.
fn check(step: Step, reply: &Reply) -> Result<(), SendError> {
    let accepted = match step {
        Step::Data => reply.code == GO_AHEAD,
        _ => reply.is_success(),
    };
    match accepted {
        true => Ok(()),
        false => Err(SendError::refused(step, reply)),
    }
}
