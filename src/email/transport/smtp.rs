//! An SMTP session, over lettre's protocol code and a socket of our own.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, DEFAULT_MECHANISMS};
use lettre::transport::smtp::client::AsyncSmtpConnection;
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt, Rset};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::rustls::pki_types::ServerName;

use super::config::{SmtpConfig, Tls, TransportConfig};
use super::error::{SendError, SendErrorKind, one_line};
use super::tls;
use super::wire::Wire;
use crate::email::message::Mail;

/// The server ends the session with this reply (RFC 5321, section 3.8).
const SERVICE_CLOSING: u16 = 421;

/// A session that takes mails; without a connection once it has failed.
pub(super) struct Session {
    connection: Option<AsyncSmtpConnection>,
    step_timeout: Duration,
    /// How long the reply to the final dot may take beyond that.
    verdict_timeout: Duration,
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
        let hello = ClientId::default();
        let (mut connection, mut encrypted) = connect(smtp, &hello, step_timeout).await?;
        if smtp.tls == Tls::Required && !connection.can_starttls() {
            return Err(SendError::connection(format!(
                "{} does not offer STARTTLS, which is required",
                smtp.host
            )));
        }
        if matches!(smtp.tls, Tls::Required | Tls::Opportunistic) && connection.can_starttls() {
            let parameters = tls::starttls(smtp)?;
            step(
                "STARTTLS",
                step_timeout,
                connection.starttls(parameters, &hello),
            )
            .await
            .map_err(SendError::before_any_mail)?;
            encrypted = true;
        }
        if let Some(user) = &smtp.user {
            if !encrypted && !smtp.loopback {
                return Err(SendError::connection(
                    "the password would cross the network in clear",
                ));
            }
            let password = config.password().ok_or_else(|| {
                SendError::connection(format!(
                    "user {user:?} has no password; set marketing_automation.smtp_password_file"
                ))
            })?;
            let credentials = Credentials::new(user.clone(), password.0.clone());
            step(
                "AUTH",
                step_timeout,
                connection.auth(DEFAULT_MECHANISMS, &credentials),
            )
            .await
            .map_err(|error| without_secret(error.before_any_mail(), user, &password.0))?;
        }
        Ok(Session {
            connection: Some(connection),
            step_timeout,
            verdict_timeout,
        })
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.is_some()
    }

    pub(super) async fn send(&mut self, mail: &Mail) -> Result<String, SendError> {
        check_bytes(&mail.bytes)?;
        // Taken out while the mail is on its way: a future that is dropped halfway leaves a closed session.
        let mut connection = self
            .connection
            .take()
            .ok_or_else(|| SendError::connection("the connection is closed"))?;
        match self.transaction(&mut connection, mail).await {
            Ok(reply) => {
                self.connection = Some(connection);
                Ok(reply)
            }
            Err(error) => {
                let answered =
                    error.kind != SendErrorKind::Connection && error.code != Some(SERVICE_CLOSING);
                // A refused mail leaves its envelope behind (RFC 5321, section 4.1.1.5).
                if answered
                    && step("RSET", self.step_timeout, connection.command(Rset))
                        .await
                        .is_ok()
                {
                    self.connection = Some(connection);
                }
                Err(error)
            }
        }
    }

    async fn transaction(
        &self,
        connection: &mut AsyncSmtpConnection,
        mail: &Mail,
    ) -> Result<String, SendError> {
        let limit = self.step_timeout;
        let from = MailFrom::new(mail.envelope.from().cloned(), Vec::new());
        step("MAIL FROM", limit, connection.command(from))
            .await
            .map_err(SendError::at_mail_from)?;
        for recipient in mail.envelope.to() {
            step(
                "RCPT TO",
                limit,
                connection.command(Rcpt::new(recipient.clone(), Vec::new())),
            )
            .await?;
        }
        let go_ahead = step("DATA", limit, connection.command(Data))
            .await
            .map_err(SendError::at_data)?;
        if !go_ahead.has_code(354) {
            return Err(SendError::connection(format!(
                "DATA: unexpected reply {}",
                reply_line(&go_ahead)
            )));
        }
        // lettre writes the final dot when the parts have run out, and not before all of them are written.
        let ending = AtomicBool::new(false);
        let parts = std::iter::once(mail.bytes.as_slice()).chain(std::iter::from_fn(|| {
            ending.store(true, Ordering::Relaxed);
            None
        }));
        let mut body = std::pin::pin!(connection.message_iter(parts));
        let result = match timeout(limit, &mut body).await {
            Err(_) if ending.load(Ordering::Relaxed) => {
                step("end of data", self.verdict_timeout, body).await
            }
            Err(_) => Err(no_reply("body", limit)),
            Ok(result) => result.map_err(|error| SendError::from_smtp("end of data", &error)),
        };
        let in_doubt = ending.load(Ordering::Relaxed);
        match result {
            Ok(reply) if (200..300).contains(&u16::from(reply.code())) => Ok(reply_line(&reply)),
            Ok(reply) => {
                let error = SendError::connection(format!(
                    "end of data: unexpected reply {}",
                    reply_line(&reply)
                ));
                Err(SendError { in_doubt, ..error })
            }
            Err(error) if error.kind == SendErrorKind::Connection => {
                Err(SendError { in_doubt, ..error })
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn quit(mut self) {
        if let Some(mut connection) = self.connection.take() {
            // The mails are delivered; whether the server says goodbye changes nothing.
            let _ = timeout(self.step_timeout, connection.quit()).await;
        }
    }
}

/// Connects and says EHLO; tells whether TLS is on already.
async fn connect(
    smtp: &SmtpConfig,
    hello: &ClientId,
    limit: Duration,
) -> Result<(AsyncSmtpConnection, bool), SendError> {
    let place = format!("{} port {}", smtp.host, smtp.port);
    let failed =
        |error: &dyn fmt::Display| SendError::connection(format!("connect to {place}: {error}"));
    let socket = timeout(limit, TcpStream::connect((smtp.host.as_str(), smtp.port)))
        .await
        .map_err(|_| failed(&"timed out"))?
        .map_err(|error| failed(&error))?;
    // Without it, body and final dot, which lettre writes apart, wait 40 ms for each other at every mail.
    socket.set_nodelay(true).map_err(|error| failed(&error))?;
    let peer = socket.peer_addr().map_err(|error| failed(&error))?;
    let stream: Box<dyn lettre::transport::smtp::client::AsyncTokioStream> = match smtp.tls {
        Tls::Implicit => {
            let name = ServerName::try_from(smtp.host.clone()).map_err(|error| failed(&error))?;
            let connector = tls::implicit(smtp)?;
            let encrypted = timeout(limit, connector.connect(name, socket))
                .await
                .map_err(|_| failed(&"TLS handshake timed out"))?
                .map_err(|error| failed(&error))?;
            Box::new(Wire::new(encrypted, peer, false))
        }
        Tls::Required | Tls::Opportunistic => Box::new(Wire::new(socket, peer, true)),
        Tls::None => Box::new(Wire::new(socket, peer, false)),
    };
    let connection = step(
        "greeting",
        limit,
        AsyncSmtpConnection::connect_with_transport(stream, hello),
    )
    .await
    .map_err(SendError::before_any_mail)?;
    Ok((connection, smtp.tls == Tls::Implicit))
}

/// Runs one step of the dialogue within its time.
async fn step<T>(
    name: &str,
    limit: Duration,
    work: impl Future<Output = Result<T, Error>>,
) -> Result<T, SendError> {
    match timeout(limit, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(SendError::from_smtp(name, &error)),
        Err(_) => Err(no_reply(name, limit)),
    }
}

fn no_reply(name: &str, limit: Duration) -> SendError {
    SendError::connection(format!("{name}: no reply within {} s", limit.as_secs_f32()))
}

/// Refuses what could end DATA early on some servers: bare CR or LF (CVE-2023-51764 and its kin), and bytes that
/// need an extension we do not ask for.
fn check_bytes(bytes: &[u8]) -> Result<(), SendError> {
    let mut previous = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let bare = match byte {
            b'\n' => previous != b'\r',
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => byte == 0 || !byte.is_ascii(),
        };
        if bare {
            let message =
                format!("message has a byte 0x{byte:02x} at {at} that SMTP does not allow there");
            return Err(SendError::new(SendErrorKind::Permanent, message));
        }
        previous = byte;
    }
    Ok(())
}

fn reply_line(reply: &Response) -> String {
    let text: Vec<&str> = reply.message().collect();
    one_line(&format!("{} {}", reply.code(), text.join(" ")))
}

/// Keeps a server that echoes what it was sent from putting the password into our logs.
fn without_secret(error: SendError, user: &str, password: &str) -> SendError {
    let secrets = [
        password.to_owned(),
        STANDARD.encode(password),
        STANDARD.encode(format!("\0{user}\0{password}")),
    ];
    match secrets
        .iter()
        .any(|secret| error.message.contains(secret.trim_end_matches('=')))
    {
        true => SendError {
            message: "AUTH: the server refused the password".to_owned(),
            ..error
        },
        false => error,
    }
}
