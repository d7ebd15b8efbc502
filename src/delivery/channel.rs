//! A way to deliver messages: by mail, as a webhook. What is common to all of them (claim, lease, queue, breaker, limits, retry,
//! stop, in doubt) is written once, in the rest of this folder; a channel prepares a message, and knows how to talk to its servers.

use std::time::SystemTime;

use super::diagnostic::Diagnostic;
use super::job::{Job, Prepared, ReadyMail};
use super::outcome::Outcome;
use super::server::Server;

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
    /// It refused this message for good, whatever it says of others.
    Rejected(Diagnostic),
    /// It takes no message for a while, for so long if it has said that; this was an attempt all the same.
    Overloaded(Diagnostic),
}

/// A way to deliver.
pub trait Channel: Send + Sync + 'static {
    type Connection: Send;
    type Message: Send + Sync;

    /// Whether it delivers what the column `channel` of the outbox calls so.
    fn takes(&self, channel: &str) -> bool;

    /// Makes of a claimed row what is the same for every attempt. Its mistakes are the row's.
    fn prepare(&self, job: &Job) -> Result<Prepared, Outcome>;

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
        server: &Server,
        connection: &mut Self::Connection,
        message: &Self::Message,
    ) -> impl Future<Output = Answer> + Send;

    /// Ends a connection politely.
    fn quit(&self, connection: Self::Connection) -> impl Future<Output = ()> + Send;
}
