//! A way to deliver messages: by mail, and later others. What is common to all of them (claim, lease, queue, breaker, limits, retry,
//! stop, in doubt) is written once, in the rest of this folder; a channel prepares a message, and knows how to talk to its servers.

use std::time::SystemTime;

use super::diagnostic::Diagnostic;
use super::job::{Job, ReadyMail};
use super::outcome::Outcome;
use super::server::Server;
use crate::mail::rendered::Rendered;

/// What a server's answer to one message means.
#[derive(Debug)]
pub enum Answer {
    /// It took the message.
    Accepted(Diagnostic),
    /// It may have taken it.
    InDoubt(Diagnostic),
    /// The connection failed; nothing is known about the message.
    Disconnected(Diagnostic),
    /// It takes no message now, whichever it is.
    Unavailable(Diagnostic),
    /// It refused this message for now.
    Deferred(Diagnostic),
    /// It refused this message for good; without a code it was a check of our own.
    Refused(Diagnostic),
}

/// A way to deliver.
pub trait Channel: Send + Sync + 'static {
    type Connection: Send;
    type Message: Send + Sync;

    /// What the column `channel` of the outbox calls it.
    fn name(&self) -> &'static str;

    /// Makes of a claimed row what is the same for every attempt. Its mistakes are the row's.
    fn prepare(&self, job: &Job) -> Result<Rendered, Outcome>;

    /// Makes the message that goes over the wire.
    fn compose(&self, ready: &ReadyMail, date: SystemTime) -> Result<Self::Message, Outcome>;

    /// Connects to a server; an error says why it is out of reach.
    fn connect(
        &self,
        server: &Server,
    ) -> impl Future<Output = Result<Self::Connection, String>> + Send;

    /// Whether a connection that has been used can take another message.
    fn is_open(&self, connection: &Self::Connection) -> bool;

    fn deliver(
        &self,
        connection: &mut Self::Connection,
        message: &Self::Message,
    ) -> impl Future<Output = Answer> + Send;

    /// Ends a connection politely.
    fn quit(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send;
}
