//! How an attempt to deliver a mail ended.

use std::sync::Arc;
use std::time::Duration;

use super::breaker::Row;
use super::diagnostic::Diagnostic;

#[derive(Debug)]
pub enum Outcome {
    /// The server's reply.
    Sent(Diagnostic),
    /// Refused for good.
    Failed(Diagnostic),
    /// Refused for good by the server, if what it says in a row is about the mails.
    Refused(Diagnostic, Row),
    /// Refused for now.
    Retry(Diagnostic),
    /// The server may have taken it.
    InDoubt(Diagnostic),
    /// The server takes no mail, so this was no attempt at this one.
    Unreachable(Diagnostic),
    /// None of its servers takes it now; it is claimed again after this time.
    Later(Duration),
    /// Claimed too long ago: somebody may have unsubscribed since.
    LeaseExpired,
    /// Given back untried.
    Released,
}

/// A mail that has been dealt with, whatever came of it.
#[derive(Debug)]
pub struct Delivered {
    pub id: i64,
    pub attempt: i32,
    /// Seconds since it was queued.
    pub age: f64,
    /// Where it was to go.
    pub server: Arc<str>,
    pub server_name: Arc<str>,
    /// From whom, when it was on its way.
    pub sender: Option<Arc<str>>,
    /// It is no mail: what its answer says is about no mailbox.
    pub is_webhook: bool,
    pub outcome: Outcome,
}
