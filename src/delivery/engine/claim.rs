//! How many mails to claim, and the claim itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{AFTER_ERROR, Engine, LOCKED, POLL};
use crate::delivery::attachments::Files;
use crate::delivery::channel::Channel;
use crate::delivery::configuration::Configuration;
use crate::delivery::host::{Host, State};
use crate::delivery::job::{Job, Lease};
use crate::delivery::outcome::Outcome;
use crate::delivery::pool::{self, SenderPool};
use crate::delivery::server::Server;
use crate::delivery::store::{self, Claimed, NextDue, Store};

/// While there are webhooks, the settings are read so often.
const RECONFIGURE_TARGETS: Duration = Duration::from_secs(1);

impl<S: Store, C: Channel, H: Host> Engine<S, C, H> {
    /// How many mails to claim now; or how long not to claim, as no server takes any.
    fn room(&mut self) -> Result<usize, Duration> {
        let servers = self.servers().to_vec();
        let has_none =
            |pool: &SenderPool<C>| servers.iter().all(|server| pool.connections(server) == 0);
        if !self.pool.has_share() || has_none(&self.pool) {
            // Whether somebody has gone, or the others have given up theirs.
            let wait = self.until_next();
            if has_none(&self.pool) {
                return Err(wait.min(LOCKED));
            }
        }
        let now = self.now();
        let hanging = self.hanging();
        let admitting = || servers.iter().filter(|server| !server.breaker.is_tripped());
        if admitting().next().is_none() {
            self.host.show_state(State::Paused);
            let waits = servers
                .iter()
                .filter_map(|server| server.breaker.admits_in(now));
            let wait = waits.min().unwrap_or(POLL);
            // One mail at a time finds out whether a server is back.
            return match wait.is_zero() && self.under_way() <= hanging {
                true => Ok(1),
                false => Err(wait.clamp(Duration::from_millis(10), POLL)),
            };
        }
        let batch = self.store.policy().batch_size;
        let connections = admitting()
            .map(|server| self.pool.connections(server))
            .sum();
        let size = self.claim_size.size(batch, connections);
        // While one claim is on its way, the next is prepared.
        match self.under_way() > size + hanging || self.pool.is_full() {
            true => Err(POLL),
            false => Ok(size),
        }
    }

    /// Mails claimed and not answered yet; those that wait for the judgement on their row are none of them.
    fn under_way(&self) -> usize {
        self.in_flight.len().saturating_sub(self.held.len())
    }

    /// Refills the rate limits of limited servers; gives how many mails there are tokens for, and how long until there is another
    /// token; no number: some server needs none.
    fn refill_tokens(
        &mut self,
        servers: &[Arc<Server>],
        size: usize,
    ) -> store::Result<(Option<usize>, Duration)> {
        let limited: Vec<&Arc<Server>> = servers
            .iter()
            .filter(|server| server.definition.limited)
            .collect();
        let mut wait = POLL;
        let names = limited.iter().map(|server| server.definition.name.clone());
        let in_hand = limited
            .iter()
            .map(|server| i32::try_from(server.tokens()).unwrap_or(i32::MAX));
        let wanted = i32::try_from(size).unwrap_or(i32::MAX);
        let (names, in_hand) = (names.collect(), in_hand.collect());
        for grant in self.store.permits(names, in_hand, wanted)? {
            wait = wait.min(grant.wait);
            let server = limited
                .iter()
                .find(|server| server.definition.name == grant.server);
            if let Some(server) = server {
                server.refill(grant.tokens, grant.is_exhausted, grant.wait);
            }
        }
        let admitting: Vec<_> = servers
            .iter()
            .filter(|server| !server.breaker.is_tripped())
            .collect();
        let takers = match admitting.is_empty() {
            // A probe takes a token too.
            true => servers.iter().collect(),
            false => admitting,
        };
        if takers.iter().any(|server| !server.definition.limited) {
            return Ok((None, wait));
        }
        let tokens = takers.iter().map(|server| server.tokens()).sum();
        Ok((Some(tokens), wait))
    }

    /// Claims mails and has them rendered; gives how long there is nothing more to claim.
    pub(super) fn claim(&mut self, configuration: &Arc<Configuration>) -> Duration {
        let size = match self.room() {
            Ok(size) => size,
            Err(wait) => return wait,
        };
        let servers = &configuration.servers;
        let tokens = match servers.iter().any(|server| server.definition.limited) {
            true => self.refill_tokens(servers, size),
            false => Ok((None, POLL)),
        };
        let size = match self.checked(tokens) {
            None => return AFTER_ERROR,
            Some((None, _)) => size,
            Some((Some(tokens), wait)) => {
                // Those in flight may still take theirs.
                match tokens.saturating_sub(self.under_way()).min(size) {
                    0 => return wait.max(Duration::from_millis(10)),
                    allowed => allowed,
                }
            }
        };
        let started = self.now();
        let revocations = self.store.revoked();
        let lease = Lease {
            claimed_at: started,
            until: started + self.claim_size.lease(),
            clock: Arc::clone(&self.clock),
            count: revocations.count(),
            revocations,
        };
        let until_full_scan = self.scan_interval.until_full_scan(started);
        let full_scan = until_full_scan.is_none();
        let claim = self.store.claim(size, full_scan);
        let Some(claim) = self.checked(claim) else {
            return AFTER_ERROR;
        };
        let found = !claim.mails.is_empty();
        if let Some(share) = claim.share {
            self.pool.take_share(share);
        }
        let ended = self.now();
        self.scan_interval.scanned(full_scan, started, ended, found);
        self.nothing_due = full_scan && !found;
        if !found {
            return match full_scan {
                true => self.until_next(),
                false => self
                    .scan_interval
                    .until_full_scan(ended)
                    .unwrap_or_default(),
            };
        }
        self.on_hold = false;
        self.busy = true;
        self.in_flight
            .extend(claim.mails.iter().map(|mail| mail.id));
        // A target that is listed, or forbidden an address, is so from now on, and not from the next look at the settings.
        let read_at = self.configured_at.map(|at| at + RECONFIGURE_TARGETS);
        let is_old = read_at.is_none_or(|at| at <= started);
        let mut targets = claim.mails.iter().filter_map(|mail| mail.target.as_ref());
        if targets.any(|target| is_old || !configuration.knows(target)) {
            self.configure(true);
        }
        let learnt = self.templates.learn(&claim, &mut self.store);
        let learnt = learnt.and_then(|()| self.files(&claim.mails));
        let mut files = self.checked(learnt);
        let settings = &configuration.mail;
        let reports = self.pool.reports();
        let mut chunk = Vec::new();
        let mut taken = 0;
        let mut has_room = true;
        for mail in claim.mails {
            let compiled = self.templates.compiled(&mail);
            let its_files = files.as_mut().map(|files| files.remove(&mail.id));
            let mut job = Job::new(mail, compiled, settings, lease.clone(), reports);
            match its_files {
                Some(None) => {}
                Some(Some(Files::Ready(attachments))) => job.files = attachments,
                Some(Some(Files::Refused(reason))) => {
                    let ended = job.end(Outcome::Failed(reason.into()));
                    self.delivered.push(ended);
                    continue;
                }
                Some(Some(Files::NoRoom)) => {
                    has_room = false;
                    self.delivered.push(job.release());
                    continue;
                }
                // Without their templates and files they cannot be sent, and it is no fault of theirs.
                None => {
                    self.delivered.push(job.release());
                    continue;
                }
            }
            taken += 1;
            chunk.push(job);
            if chunk.len() == pool::RENDER_CHUNK {
                self.pool.render(std::mem::take(&mut chunk));
            }
        }
        if !chunk.is_empty() {
            self.pool.render(chunk);
        }
        self.claim_size.took(taken, has_room);
        if files.is_none() {
            return AFTER_ERROR;
        }
        Duration::ZERO
    }

    /// The files of claimed mails that take some along.
    fn files(&mut self, mails: &[Claimed]) -> store::Result<HashMap<i64, Files>> {
        let with_files = mails
            .iter()
            .filter(|mail| self.templates.has_attachments(mail));
        let with_files: Vec<i64> = with_files.map(|mail| mail.id).collect();
        self.attachments.fetch(with_files, &mut self.store)
    }

    /// How long until the next claim when the last one found nothing.
    fn until_next(&mut self) -> Duration {
        let next = self.store.next_due();
        let Some(next) = self.checked(next) else {
            return AFTER_ERROR;
        };
        let NextDue {
            seconds,
            pause,
            share,
        } = next;
        if let Some(share) = share {
            self.pool.take_share(share);
        }
        self.on_hold = pause.is_some();
        if let Some(note) = pause {
            self.host.show_state(State::Paused);
            self.note_error(note);
        }
        match seconds {
            // It is due, but somebody else has it locked.
            Some(seconds) if seconds <= 0.0 => LOCKED,
            Some(seconds) => Duration::from_secs_f64(seconds.min(POLL.as_secs_f64())),
            None => POLL,
        }
    }
}
