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
use crate::delivery::rests::Party;
use crate::delivery::server::Server;
use crate::smtp::{Scope, Step, Verdict};

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
            if ready.job.mail.target.is_some() {
                match outcome {
                    Outcome::LeaseExpired => self.server.note_passage(false),
                    Outcome::Unreachable(_) | Outcome::Released => {}
                    _ => self.server.note_passage(true),
                }
            }
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
                Outcome::Released
                    if (self.is_tripped_for(&ready) || self.is_at_rest(&ready))
                        && !*self.stopping.borrow() =>
                {
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

    /// Whether the server does not want its sender, or its recipient's domain, now.
    fn is_at_rest(&self, ready: &ReadyMail) -> bool {
        let rests = &self.server.rests;
        !rests.is_empty()
            && !rests
                .admits_in(&ready.parties(), self.clock.now())
                .is_zero()
    }

    /// Why a mail must not leave now.
    fn objection(&self, ready: &ReadyMail) -> Option<Outcome> {
        let job = &ready.job;
        if *self.stopping.borrow() || self.is_tripped_for(ready) {
            Some(Outcome::Released)
        } else if !job.has_lease() {
            // Before the look at revocations: a mailer takes what it has not heard of for a second for revoked, and would never learn
            // that it claims more than gets through.
            Some(Outcome::LeaseExpired)
        } else if job.is_revoked() {
            Some(Outcome::Released)
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

    /// The server takes nothing over a fresh connection.
    fn unavailable(&self, reason: Diagnostic, ready: &ReadyMail) -> Outcome {
        let now = self.clock.now();
        let is_late = |verdict: Verdict| !matches!(verdict.step, Step::Opening | Step::MailFrom);
        let heard_recipient =
            |verdict: Verdict| verdict.scope == Scope::Session && is_late(verdict);
        if reason.verdict.is_some_and(heard_recipient) {
            // A server that hangs up when it hears a recipient may do so for his domain, or for all.
            for party in ready.parties() {
                if let Party::Domain(_) = party {
                    self.server.rests.refused(&party, now);
                }
            }
            if !self.server.rests.is_everywhere(now) {
                return Outcome::Retry(reason);
            }
        }
        let is_probe = ready.admission == Admission::Probe && reason.verdict.is_some_and(is_late);
        self.server.breaker.trip(reason.to_string(), now);
        match is_probe {
            // The server has heard the recipient: so that the next probe is another mail, as it may be about this one.
            true => Outcome::Retry(reason),
            false => Outcome::Unreachable(reason),
        }
    }

    /// The server refused a mail for now.
    fn put_off(&self, reason: &Diagnostic, ready: &ReadyMail) {
        let (rests, now) = (&self.server.rests, self.clock.now());
        let is_sender = reason.is_about(Scope::Sender);
        if !is_sender {
            self.server.breaker.accepted(ready.admission);
        }
        for party in ready.parties() {
            match party {
                Party::Sender(_) if is_sender => drop(rests.refused(&party, now)),
                Party::Domain(_) if reason.is_about(Scope::RecipientDomain) => {
                    rests.put_off(&party, now);
                }
                _ => {}
            }
        }
    }

    async fn deliver(&mut self, ready: &mut ReadyMail) -> Outcome {
        if let Some(objection) = self.objection(ready) {
            return objection;
        }
        let rests = &self.server.rests;
        if !rests.is_empty() && !rests.admit(&ready.parties(), self.clock.now()) {
            return Outcome::Released;
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
            let answer = self
                .channel
                .deliver(&self.server, &mut connection, &mail)
                .await;
            ready.job.sending = false;
            match answer {
                Answer::Accepted(reply) => {
                    self.server.breaker.accepted(ready.admission);
                    if !self.server.rests.is_empty() {
                        self.server.rests.accepted(&ready.parties());
                    }
                    self.connection = Some(connection);
                    return Outcome::Sent(reply);
                }
                Answer::InDoubt(reason) => return Outcome::InDoubt(reason),
                // The server has had enough of this session, or closed it: that says nothing about the mail.
                Answer::Disconnected(_) | Answer::Unavailable(_) if reused => {}
                Answer::Disconnected(reason) => return Outcome::Retry(reason),
                Answer::Unavailable(reason) => return self.unavailable(reason, ready),
                Answer::Deferred(reason) => {
                    self.put_off(&reason, ready);
                    self.connection = Some(connection);
                    return Outcome::Retry(reason);
                }
                Answer::Rejected(reason) => {
                    self.server.breaker.accepted(ready.admission);
                    self.connection = Some(connection);
                    return Outcome::Failed(reason);
                }
                Answer::Overloaded(reason) => {
                    let (now, pause) = (self.clock.now(), reason.retry_after);
                    self.server.breaker.trip_for(reason.to_string(), now, pause);
                    self.connection = Some(connection);
                    return Outcome::Retry(reason);
                }
                Answer::Refused(reason) => {
                    // Without a code it was our own check.
                    self.connection = Some(connection);
                    if reason.code.is_none() {
                        return Outcome::Failed(reason);
                    }
                    let (now, breaker) = (self.clock.now(), &self.server.breaker);
                    let refused = (&*reason.text, &*ready.job.mail.email);
                    let row = breaker.refused(refused, ready.admission, now);
                    return Outcome::Refused(reason, row);
                }
            }
        }
    }
}
