//! A sender: owns one connection to a server, takes mail after mail from its queue, composes each, and sends it if it may still leave.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::watch;

use crate::extension::worker::breaker::Admission;
use crate::extension::worker::compose;
use crate::extension::worker::diagnostic::Diagnostic;
use crate::extension::worker::job::ReadyMail;
use crate::extension::worker::outcome::Outcome;
use crate::extension::worker::queue::WorkerSlot;
use crate::extension::worker::server::Server;
use crate::smtp::{Connection, SendErrorKind};

/// Finds servers for mails.
pub(super) trait Reroute: Send + Sync + 'static {
    /// Hands mails to the servers that shall take them, over as many connections as are configured and needed. What none takes
    /// now is given back.
    fn dispatch(self: &Arc<Self>, mails: Vec<ReadyMail>);

    /// Finds another server for a mail whose own turned out to be out of reach.
    fn reroute(self: &Arc<Self>, mail: ReadyMail, reason: Diagnostic);
}

/// One connection, and what its user needs.
pub(super) struct Sender<R> {
    pub(super) slot: WorkerSlot,
    pub(super) server: Arc<Server>,
    pub(super) reroute: Arc<R>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) connection: Option<Connection>,
}

impl<R: Reroute> Sender<R> {
    /// Delivers mails until no more come.
    pub(super) async fn run(mut self) {
        while let Some(mut ready) = self.slot.next().await {
            let outcome = self.deliver(&mut ready).await;
            let untried = matches!(
                outcome,
                Outcome::Unreachable(_) | Outcome::LeaseExpired | Outcome::Released
            );
            if untried {
                self.server.return_token();
            }
            if ready.admission == Admission::Probe {
                // Unless the server has answered by now.
                self.server.breaker.cancel_probe();
            }
            match outcome {
                Outcome::Unreachable(reason) => self.reroute.reroute(ready, reason),
                Outcome::Released if self.is_tripped_for(&ready) && !*self.stopping.borrow() => {
                    self.reroute.dispatch(vec![ready]);
                }
                outcome => ready.job.finish(outcome),
            }
        }
        if let Some(connection) = self.connection {
            connection.quit().await;
        }
    }

    fn is_tripped_for(&self, ready: &ReadyMail) -> bool {
        ready.admission == Admission::Free && self.server.breaker.is_tripped()
    }

    /// Why a mail must not leave now.
    fn objection(&self, ready: &ReadyMail) -> Option<Outcome> {
        let job = &ready.job;
        if *self.stopping.borrow() || self.is_tripped_for(ready) || job.is_revoked() {
            Some(Outcome::Released)
        } else if !job.has_lease() {
            Some(Outcome::LeaseExpired)
        } else {
            None
        }
    }

    /// The connection that is open, or a new one; tells whether it has been used before.
    async fn connect(&mut self) -> Result<(Connection, bool), Outcome> {
        if let Some(connection) = self.connection.take()
            && connection.is_open()
        {
            return Ok((connection, true));
        }
        let connected = tokio::select! {
            connected = self.server.transport.connect(self.server.definition.timeout) => connected,
            _ = self.stopping.wait_for(|stop| *stop) => return Err(Outcome::Released),
        };
        connected
            .map(|connection| (connection, false))
            .map_err(|error| self.unreachable(error.to_string()))
    }

    fn unreachable(&self, reason: String) -> Outcome {
        self.server.breaker.trip(reason.clone());
        Outcome::Unreachable(reason.into())
    }

    async fn deliver(&mut self, ready: &mut ReadyMail) -> Outcome {
        if let Some(objection) = self.objection(ready) {
            return objection;
        }
        let mail = match catch_unwind(AssertUnwindSafe(|| compose::compose(ready))) {
            Ok(Ok(mail)) => mail,
            Ok(Err(outcome)) => return outcome,
            Err(_) => return Outcome::Retry("building the mail panicked".into()),
        };
        loop {
            let (mut connection, reused) = match self.connect().await {
                Ok(connected) => connected,
                Err(outcome) => return outcome,
            };
            // Connecting may have taken its time.
            if let Some(objection) = self.objection(ready) {
                self.connection = Some(connection);
                return objection;
            }
            ready.job.sending = true;
            let result = connection.send(&mail).await;
            ready.job.sending = false;
            let error = match result {
                Ok(reply) => {
                    self.server.breaker.accepted(ready.admission);
                    self.connection = Some(connection);
                    return Outcome::Sent(Diagnostic::reply(reply));
                }
                Err(error) => error,
            };
            if error.in_doubt {
                return Outcome::InDoubt((&error).into());
            }
            match error.kind {
                // The server has had enough of this session, or closed it: that says nothing about the mail.
                SendErrorKind::Connection | SendErrorKind::Unavailable if reused => continue,
                SendErrorKind::Connection => return Outcome::Retry((&error).into()),
                SendErrorKind::Unavailable => return self.unreachable(error.to_string()),
                SendErrorKind::Transient | SendErrorKind::Permanent => {}
            }
            self.connection = Some(connection);
            if error.kind == SendErrorKind::Transient {
                self.server.breaker.accepted(ready.admission);
                return Outcome::Retry((&error).into());
            }
            // Without a code it was our own check.
            if error.code.is_some() {
                self.server.breaker.refused(&error.message, ready.admission);
            }
            return Outcome::Failed((&error).into());
        }
    }
}
