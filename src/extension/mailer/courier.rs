//! One connection to the SMTP server, and who uses it: builds a message, looks whether it may leave, sends it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::sync::watch;

use super::configuration::Configuration;
use super::desk::Seat;
use super::gate::Gate;
use super::job::{Job, Outcome, Parcel, Reports};
use super::letter;
use super::reason::Reason;
use super::recheck::{Recheck, Verdict};
use crate::email::transport::{Connection, SendErrorKind};
use crate::extension::revocation;

/// One connection and who uses it.
pub(super) struct Courier {
    pub(super) seat: Seat,
    pub(super) gate: Arc<Gate>,
    pub(super) recheck: Arc<Recheck>,
    pub(super) reports: Reports,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) connection: Option<(Arc<Configuration>, Connection)>,
}

impl Courier {
    /// Delivers mails until no more come.
    pub(super) async fn run(mut self) {
        while let Some(mut parcel) = self.seat.next().await {
            let outcome = self.deliver(&mut parcel).await;
            parcel.mail.job.finish(outcome);
        }
        if let Some((_, connection)) = self.connection {
            connection.quit().await;
        }
    }

    /// Why a mail must not leave now. Waits while claims are looked at again.
    async fn objection(&mut self, job: &Job) -> Option<Outcome> {
        loop {
            let recheck = Arc::clone(&self.recheck);
            let done = recheck.done.notified();
            tokio::pin!(done);
            // Before the look at the verdict, so that what comes after it wakes.
            done.as_mut().enable();
            if *self.stopping.borrow() || self.gate.is_closed() {
                return Some(Outcome::Released);
            }
            if !job.is_fresh() {
                return Some(Outcome::Stale);
            }
            match recheck.verdict(job.mail.id, revocation::count()) {
                Verdict::Send => return None,
                Verdict::KeepBack => return Some(Outcome::Released),
                Verdict::Wait => self.reports.wake(),
            }
            tokio::select! {
                () = done => {}
                () = tokio::time::sleep_until(job.fresh_until().into()) => {}
                _ = self.stopping.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// The connection that is open, or a new one; tells whether it has been used before.
    async fn connect(
        &mut self,
        configuration: &Arc<Configuration>,
    ) -> Result<(Connection, bool), Outcome> {
        if let Some((of, connection)) = self.connection.take()
            && Arc::ptr_eq(&of, configuration)
            && connection.is_open()
        {
            return Ok((connection, true));
        }
        let connected = tokio::select! {
            connected = configuration.transport.connect(configuration.timeout) => connected,
            _ = self.stopping.wait_for(|stop| *stop) => return Err(Outcome::Released),
        };
        connected
            .map(|connection| (connection, false))
            .map_err(|error| self.unreachable(error.to_string()))
    }

    fn unreachable(&self, reason: String) -> Outcome {
        self.gate.close(reason.clone());
        Outcome::Unreachable(reason.into())
    }

    async fn deliver(&mut self, parcel: &mut Parcel) -> Outcome {
        if let Some(objection) = self.objection(&parcel.mail.job).await {
            return objection;
        }
        let mail = match catch_unwind(AssertUnwindSafe(|| letter::address(parcel))) {
            Ok(Ok(mail)) => mail,
            Ok(Err(outcome)) => return outcome,
            Err(_) => return Outcome::Retry("building the mail panicked".into()),
        };
        let job = &mut parcel.mail.job;
        let configuration = Arc::clone(&job.configuration);
        loop {
            let (mut connection, reused) = match self.connect(&configuration).await {
                Ok(connected) => connected,
                Err(outcome) => return outcome,
            };
            // Connecting may have taken its time.
            if let Some(objection) = self.objection(job).await {
                self.connection = Some((configuration, connection));
                return objection;
            }
            job.sending = true;
            let result = connection.send(&mail).await;
            job.sending = false;
            let error = match result {
                Ok(reply) => {
                    self.gate.accepted();
                    self.connection = Some((configuration, connection));
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
            self.connection = Some((configuration, connection));
            if error.kind == SendErrorKind::Transient {
                return Outcome::Retry((&error).into());
            }
            // Without a code it was our own check.
            if error.code.is_some() {
                self.gate.refused(&error.message);
            }
            return Outcome::Failed((&error).into());
        }
    }
}
