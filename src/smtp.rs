//! The SMTP client: hands mails to a server over a connection that takes one after the other, or writes them to a directory, for
//! trying things out. Knows nothing of PostgreSQL, and nothing of a mail but its envelope and bytes.

#![deny(unsafe_code)]

mod auth;
mod client;
mod config;
mod connect;
mod content;
mod dialogue;
mod directory;
mod error;
mod exchange;
mod extensions;
mod refusal;
mod reply;
mod tls;

use std::time::Duration;

pub use config::{ConfigError, TransportConfig};
pub use error::{SendError, SendErrorKind};
#[cfg(test)]
pub use refusal::judge;
pub use refusal::{Scope, Step, Verdict};

use crate::mail::message::Mail;
use client::Session;
use directory::Directory;

/// Least time for the reply to the final dot (RFC 5321, section 4.5.3.2.6): the server may have taken the mail when we
/// give up, and a second attempt would deliver it twice.
const VERDICT_TIMEOUT: Duration = Duration::from_secs(600);

/// An open way to deliver mails, for one mail at a time.
#[derive(Debug)]
pub struct Connection(Way);

#[derive(Debug)]
enum Way {
    Smtp(Box<Session>),
    Directory(Directory),
}

impl TransportConfig {
    /// Connects, with TLS and AUTH as configured.
    ///
    /// `timeout` bounds each step: connecting, the TLS handshake, and later every command with its reply. The
    /// reply to the mail itself gets ten minutes or more (RFC 5321, section 4.5.3.2.6).
    ///
    /// # Errors
    /// Always of kind [`SendErrorKind::Connection`], also when the server refuses the greeting or the password: no
    /// mail has been judged yet. `code` is the server's reply code where there is one.
    pub async fn connect(&self, timeout: Duration) -> Result<Connection, SendError> {
        self.connect_within(timeout, timeout.max(VERDICT_TIMEOUT))
            .await
    }

    async fn connect_within(
        &self,
        timeout: Duration,
        verdict_timeout: Duration,
    ) -> Result<Connection, SendError> {
        let way = match self.directory() {
            Some(path) => Way::Directory(Directory::open(path)?),
            None => Way::Smtp(Box::new(
                Session::open(self, timeout, verdict_timeout).await?,
            )),
        };
        Ok(Connection(way))
    }
}

impl Connection {
    /// Delivers one mail, and gives the server's reply on one line.
    ///
    /// After a refusal (`Permanent` or `Transient`) the connection takes the next mail, unless [`Self::is_open`] says
    /// otherwise.
    ///
    /// # Errors
    /// Says whether to try again, and whether the server may have taken the mail nevertheless.
    pub async fn send(&mut self, mail: &Mail) -> Result<String, SendError> {
        match &mut self.0 {
            Way::Smtp(session) => session.send(mail).await,
            Way::Directory(directory) => directory.write(mail).await,
        }
    }

    /// Tells whether the connection can take another mail; when not, drop it and connect anew.
    pub fn is_open(&self) -> bool {
        match &self.0 {
            Way::Smtp(session) => session.is_open(),
            Way::Directory(_) => true,
        }
    }

    /// Says goodbye to the server; failures do not matter any more.
    pub async fn quit(self) {
        if let Way::Smtp(session) = self.0 {
            session.quit().await;
        }
    }
}

#[cfg(test)]
mod tests;
