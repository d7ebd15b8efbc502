//! An SMTP session (RFC 5321): a connection that takes one mail after the other.
//!
//! It is our own, because lettre's client waits for the reply to each command and needs three round trips and five writes more for a
//! mail.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use super::config::{SmtpConfig, Tls, TransportConfig};
use super::dialogue::Dialogue;
use super::error::{SendError, SendErrorKind};
use super::extensions::Extensions;
use super::reply::Reply;
use super::{auth, content, tls};
use crate::mail::message::Mail;

/// The server ends the session with this reply (RFC 5321, section 3.8).
const SERVICE_CLOSING: u16 = 421;
/// The server waits for the content.
const GO_AHEAD: u16 = 354;

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
        let (mut dialogue, mut offered) = connect(smtp, step_timeout).await?;
        if smtp.tls == Tls::Required && !offered.starttls {
            return Err(SendError::connection(format!(
                "{} does not offer STARTTLS, which is required",
                smtp.host
            )));
        }
        if matches!(smtp.tls, Tls::Required | Tls::Opportunistic) && offered.starttls {
            ask(&mut dialogue, "STARTTLS", "STARTTLS", step_timeout).await?;
            dialogue = encrypt(dialogue, smtp, "STARTTLS", step_timeout).await?;
            // Replies that came in clear count no more (RFC 3207, section 4.2).
            offered = hello(&mut dialogue, step_timeout).await?;
        }
        if let Some(user) = &smtp.user {
            if !dialogue.is_encrypted() && !smtp.loopback {
                return Err(SendError::connection(
                    "the password would cross the network in clear",
                ));
            }
            let password = config.password().ok_or_else(|| {
                SendError::connection(format!(
                    "user {user:?} has no password; set marketing_automation.smtp_password_file"
                ))
            })?;
            authenticate(&mut dialogue, offered, user, &password.0, step_timeout)
                .await
                .map_err(|error| auth::without_secret(error, user, &password.0))?;
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
        let parameters = if mail.smtputf8 { " SMTPUTF8" } else { "" };
        let steps = [
            (
                Step::MailFrom,
                format!("MAIL FROM:<{}>{parameters}\r\n", mail.sender()),
            ),
            (Step::RcptTo, format!("RCPT TO:<{}>\r\n", mail.recipient())),
            (Step::Data, "DATA\r\n".to_owned()),
        ];
        let limit = self.step_timeout;
        let mut refusal = None;
        if self.offered.pipelining {
            let all: String = steps.iter().map(|(_, command)| command.as_str()).collect();
            write(dialogue, "MAIL FROM", &all, limit).await?;
        }
        for (step, command) in &steps {
            let name = step.name();
            if !self.offered.pipelining {
                write(dialogue, name, command, limit).await?;
            }
            let judged = match read(dialogue, name, limit).await {
                Ok(reply) => step.judge(&reply),
                Err(error) => Err(error),
            };
            let Err(error) = judged else {
                // The server wants the content of a mail that it has refused: an empty one, for no recipient (RFC 2920,
                // section 3.1).
                if matches!(step, Step::Data) && refusal.is_some() {
                    let _ = ask(dialogue, "end of data", ".", limit).await;
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
            None => self.content(dialogue).await,
        }
    }

    /// Sends the content; from its last byte on the server may have taken the mail.
    async fn content(&self, dialogue: &mut Dialogue) -> Result<String, SendError> {
        let name = "end of data";
        // What has come too early would pass for the verdict.
        if !dialogue.is_at_rest() {
            return Err(SendError::connection(
                "DATA: the server said more than that the mail may come",
            ));
        }
        let mut in_doubt = false;
        let written = dialogue.write(&self.wire, &mut in_doubt);
        let verdict = match within(self.step_timeout, "body", written).await {
            Ok(()) => read(dialogue, name, self.verdict_timeout).await,
            Err(error) => Err(error),
        };
        match verdict {
            Ok(reply) if reply.is_success() => Ok(reply.to_string()),
            Ok(reply) => {
                let error = SendError::replied(name, &reply);
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

/// The commands before the content.
#[derive(Clone, Copy)]
enum Step {
    MailFrom,
    RcptTo,
    Data,
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Step::MailFrom => "MAIL FROM",
            Step::RcptTo => "RCPT TO",
            Step::Data => "DATA",
        }
    }

    /// Whether the mail may go on, and what it means when it may not.
    fn judge(self, reply: &Reply) -> Result<(), SendError> {
        let accepted = match self {
            Step::Data => reply.code == GO_AHEAD,
            _ => reply.is_success(),
        };
        if accepted {
            return Ok(());
        }
        let error = SendError::replied(self.name(), reply);
        Err(match self {
            Step::MailFrom => error.at_mail_from(),
            Step::RcptTo => error,
            Step::Data => error.at_data(),
        })
    }
}

/// Connects and says EHLO, in TLS when it is implicit.
async fn connect(smtp: &SmtpConfig, limit: Duration) -> Result<(Dialogue, Extensions), SendError> {
    let name = format!("connect to {} port {}", smtp.host, smtp.port);
    let connected = async { Dialogue::new(TcpStream::connect((&*smtp.host, smtp.port)).await?) };
    let mut dialogue = within(limit, &name, connected).await?;
    if smtp.tls == Tls::Implicit {
        dialogue = encrypt(dialogue, smtp, &name, limit).await?;
    }
    let greeting = read(&mut dialogue, "greeting", limit).await?;
    if !greeting.is_success() {
        return Err(SendError::replied("greeting", &greeting).before_any_mail());
    }
    let offered = hello(&mut dialogue, limit).await?;
    Ok((dialogue, offered))
}

async fn encrypt(
    dialogue: Dialogue,
    smtp: &SmtpConfig,
    name: &str,
    limit: Duration,
) -> Result<Dialogue, SendError> {
    let connector = tls::connector(smtp)?;
    let host = ServerName::try_from(smtp.host.clone())
        .map_err(|error| SendError::connection(format!("{name}: {error}")))?;
    within(limit, name, dialogue.encrypt(connector, host)).await
}

async fn hello(dialogue: &mut Dialogue, limit: Duration) -> Result<Extensions, SendError> {
    let line = format!("EHLO {}", own_name(dialogue));
    let reply = ask(dialogue, "EHLO", &line, limit).await?;
    Ok(Extensions::parse(&reply))
}

/// This machine's name when it is a full one, else the address (RFC 5321, section 4.1.4).
fn own_name(dialogue: &Dialogue) -> String {
    let name = hostname::get()
        .ok()
        .and_then(|name| name.into_string().ok())
        .filter(|name| {
            name.contains('.')
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        });
    match (name, dialogue.local_address()) {
        (Some(name), _) => name,
        (None, Ok(std::net::IpAddr::V6(address))) => format!("[IPv6:{address}]"),
        (None, Ok(address)) => format!("[{address}]"),
        (None, Err(_)) => "[127.0.0.1]".to_owned(),
    }
}

async fn authenticate(
    dialogue: &mut Dialogue,
    offered: Extensions,
    user: &str,
    password: &str,
    limit: Duration,
) -> Result<(), SendError> {
    let lines = auth::lines(offered, user, password)?;
    let last = lines.len() - 1;
    for (number, line) in lines.iter().enumerate() {
        write(dialogue, "AUTH", &format!("{line}\r\n"), limit).await?;
        let reply = read(dialogue, "AUTH", limit).await?;
        // 334 asks for the next line.
        let accepted = match number == last {
            true => reply.is_success(),
            false => reply.code == 334,
        };
        if !accepted {
            return Err(SendError::replied("AUTH", &reply).before_any_mail());
        }
    }
    Ok(())
}

/// Says a line outside of a mail, and wants it accepted.
async fn ask(
    dialogue: &mut Dialogue,
    name: &str,
    line: &str,
    limit: Duration,
) -> Result<Reply, SendError> {
    write(dialogue, name, &format!("{line}\r\n"), limit).await?;
    let reply = read(dialogue, name, limit).await?;
    match reply.is_success() {
        true => Ok(reply),
        false => Err(SendError::replied(name, &reply).before_any_mail()),
    }
}

async fn write(
    dialogue: &mut Dialogue,
    name: &str,
    text: &str,
    limit: Duration,
) -> Result<(), SendError> {
    within(limit, name, dialogue.write(text.as_bytes(), &mut false)).await
}

async fn read(dialogue: &mut Dialogue, name: &str, limit: Duration) -> Result<Reply, SendError> {
    within(limit, name, dialogue.read_reply()).await
}

/// Runs one step of the dialogue within its time.
async fn within<T>(
    limit: Duration,
    name: &str,
    work: impl Future<Output = io::Result<T>>,
) -> Result<T, SendError> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(SendError::connection(format!("{name}: {error}"))),
        Err(_) => Err(SendError::connection(format!(
            "{name}: no reply within {} s",
            limit.as_secs_f32()
        ))),
    }
}
