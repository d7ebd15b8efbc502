//! One connection to the SMTP server, and who uses it: builds a message, looks whether it may leave, sends it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::watch;

use super::Office;
use crate::extension::worker::breaker::Pass;
use crate::extension::worker::compose;
use crate::extension::worker::diagnostic::Reason;
use crate::extension::worker::job::{Outcome, Parcel};
use crate::extension::worker::queue::Seat;
use crate::extension::worker::server::Server;
use crate::smtp::{Connection, SendErrorKind};

/// One connection and who uses it.
pub(super) struct Courier {
    pub(super) seat: Seat,
    pub(super) server: Arc<Server>,
    pub(super) office: Arc<Office>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) connection: Option<Connection>,
}

impl Courier {
    /// Delivers mails until no more come.
    pub(super) async fn run(mut self) {
        while let Some(mut parcel) = self.seat.next().await {
            let outcome = self.deliver(&mut parcel).await;
            let untried = matches!(
                outcome,
                Outcome::Unreachable(_) | Outcome::Stale | Outcome::Released
            );
            if untried {
                self.server.return_permit();
            }
            if parcel.pass == Pass::Probe {
                // Unless the server has answered by now.
                self.server.gate.unprobed();
            }
            match outcome {
                Outcome::Unreachable(reason) => self.office.reroute(parcel, reason),
                Outcome::Released if self.is_closed_to(&parcel) && !*self.stopping.borrow() => {
                    self.office.dispatch(vec![parcel]);
                }
                outcome => parcel.mail.job.finish(outcome),
            }
        }
        if let Some(connection) = self.connection {
            connection.quit().await;
        }
    }

    fn is_closed_to(&self, parcel: &Parcel) -> bool {
        parcel.pass == Pass::Free && self.server.gate.is_closed()
    }

    /// Why a mail must not leave now.
    fn objection(&self, parcel: &Parcel) -> Option<Outcome> {
        let job = &parcel.mail.job;
        if *self.stopping.borrow() || self.is_closed_to(parcel) || job.is_revoked() {
            Some(Outcome::Released)
        } else if !job.is_fresh() {
            Some(Outcome::Stale)
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
        self.server.gate.close(reason.clone());
        Outcome::Unreachable(reason.into())
    }

    async fn deliver(&mut self, parcel: &mut Parcel) -> Outcome {
        if let Some(objection) = self.objection(parcel) {
            return objection;
        }
        let mail = match catch_unwind(AssertUnwindSafe(|| compose::address(parcel))) {
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
            if let Some(objection) = self.objection(parcel) {
                self.connection = Some(connection);
                return objection;
            }
            parcel.mail.job.sending = true;
            let result = connection.send(&mail).await;
            parcel.mail.job.sending = false;
            let error = match result {
                Ok(reply) => {
                    self.server.gate.accepted(parcel.pass);
                    self.connection = Some(connection);
                    return Outcome::Sent(Reason::reply(reply));
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
                self.server.gate.accepted(parcel.pass);
                return Outcome::Retry((&error).into());
            }
            // Without a code it was our own check.
            if error.code.is_some() {
                self.server.gate.refused(&error.message, parcel.pass);
            }
            return Outcome::Failed((&error).into());
        }
    }
}
