//! A sender: owns one connection to a server, takes mail after mail from its queue, composes each, and sends it if it may still leave.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::watch;

use crate::delivery::breaker::Admission;
use crate::delivery::channel::{Answer, Channel};
use crate::delivery::clock::Clock;
use crate::delivery::diagnostic::Diagnostic;
use crate::delivery::job::ReadyMail;
use crate::delivery::outcome::Outcome;
use crate::delivery::queue::WorkerSlot;
use crate::delivery::server::Server;

/// Finds servers for mails.
pub(super) trait Reroute: Send + Sync + 'static {
    /// Hands mails to the servers that shall take them, over as many connections as are configured and needed. What none takes
    /// now is given back.
    fn dispatch(self: &Arc<Self>, mails: Vec<ReadyMail>);

    /// Finds another server for a mail whose own turned out to be out of reach.
    fn reroute(self: &Arc<Self>, mail: ReadyMail, reason: Diagnostic);
}

/// One connection, and what its user needs.
pub(super) struct Sender<C: Channel, R> {
    pub(super) slot: WorkerSlot,
    pub(super) server: Arc<Server>,
    pub(super) channel: Arc<C>,
    pub(super) clock: Clock,
    pub(super) reroute: Arc<R>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) connection: Option<C::Connection>,
}

impl<C: Channel, R: Reroute> Sender<C, R> {
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
            self.channel.quit(connection).await;
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
    async fn connect(&mut self) -> Result<(C::Connection, bool), Outcome> {
        if let Some(connection) = self.connection.take()
            && self.channel.is_open(&connection)
        {
            return Ok((connection, true));
        }
        let connected = tokio::select! {
            connected = self.channel.connect(&self.server) => connected,
            _ = self.stopping.wait_for(|stop| *stop) => return Err(Outcome::Released),
        };
        connected
            .map(|connection| (connection, false))
            .map_err(|error| self.unreachable(error.into()))
    }

    fn unreachable(&self, reason: Diagnostic) -> Outcome {
        self.server
            .breaker
            .trip(reason.to_string(), self.clock.now());
        Outcome::Unreachable(reason)
    }

    async fn deliver(&mut self, ready: &mut ReadyMail) -> Outcome {
        if let Some(objection) = self.objection(ready) {
            return objection;
        }
        let mail = match catch_unwind(AssertUnwindSafe(|| {
            self.channel.compose(ready, self.clock.date())
        })) {
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
            let answer = self.channel.deliver(&mut connection, &mail).await;
            ready.job.sending = false;
            match answer {
                Answer::Accepted(reply) => {
                    self.server.breaker.accepted(ready.admission);
                    self.connection = Some(connection);
                    return Outcome::Sent(reply);
                }
                Answer::InDoubt(reason) => return Outcome::InDoubt(reason),
                // The server has had enough of this session, or closed it: that says nothing about the mail.
                Answer::Disconnected(_) | Answer::Unavailable(_) if reused => {}
                Answer::Disconnected(reason) => return Outcome::Retry(reason),
                Answer::Unavailable(reason) => return self.unreachable(reason),
                Answer::Deferred(reason) => {
                    self.server.breaker.accepted(ready.admission);
                    self.connection = Some(connection);
                    return Outcome::Retry(reason);
                }
                Answer::Refused(reason) => {
                    // Without a code it was our own check.
                    if reason.code.is_some() {
                        let now = self.clock.now();
                        self.server
                            .breaker
                            .refused(&reason.text, ready.admission, now);
                    }
                    self.connection = Some(connection);
                    return Outcome::Failed(reason);
                }
            }
        }
    }
}
