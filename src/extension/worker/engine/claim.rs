//! How many mails to claim, and the claim itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::{Engine, POLL};
use crate::extension::settings;
use crate::extension::worker::configuration::Configuration;
use crate::extension::worker::job::Job;
use crate::extension::worker::pool;
use crate::extension::worker::registry::{self, State};
use crate::extension::worker::revocation;
use crate::extension::worker::server::Server;
use crate::extension::worker::spi_store;
use crate::extension::worker::transaction::{self, AFTER_ERROR, LOCKED};

impl Engine {
    /// How many mails to claim now; or how long not to claim, as no server takes any.
    fn room(&mut self) -> Result<usize, Duration> {
        let now = Instant::now();
        let servers = self.servers().to_vec();
        let hanging = self.hanging();
        let admitting = || servers.iter().filter(|server| !server.breaker.is_tripped());
        if admitting().next().is_none() {
            registry::update(|slot| slot.state = State::Paused);
            let waits = servers
                .iter()
                .filter_map(|server| server.breaker.admits_in(now));
            let wait = waits.min().unwrap_or(POLL);
            // One mail at a time finds out whether a server is back.
            return match wait.is_zero() && self.in_flight.len() <= hanging {
                true => Ok(1),
                false => Err(wait.clamp(Duration::from_millis(10), POLL)),
            };
        }
        let batch = usize::try_from(settings::batch_size()).unwrap_or(1);
        let connections = admitting()
            .map(|server| server.definition.connections)
            .sum();
        let size = self.claim_size.size(batch, connections);
        // While one claim is on its way, the next is prepared.
        match self.in_flight.len() > size + hanging || self.pool.is_full() {
            true => Err(POLL),
            false => Ok(size),
        }
    }

    /// Refills the rate limits of limited servers; gives how many mails there are tokens for, and how long until there is another
    /// token; no number: some server needs none. In a transaction.
    fn refill_tokens(
        servers: &[Arc<Server>],
        size: usize,
    ) -> spi::Result<(Option<usize>, Duration)> {
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
        for grant in spi_store::grant_tokens(names.collect(), in_hand.collect(), wanted)? {
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
            true => transaction::run_in_extension(|| Self::refill_tokens(servers, size)),
            false => Ok((None, POLL)),
        };
        let size = match self.checked(tokens) {
            None => return AFTER_ERROR,
            Some((None, _)) => size,
            Some((Some(tokens), wait)) => {
                // Those in flight may still take theirs.
                match tokens.saturating_sub(self.in_flight.len()).min(size) {
                    0 => return wait.max(Duration::from_millis(10)),
                    allowed => allowed,
                }
            }
        };
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        let started = Instant::now();
        let lease_until = started + self.claim_size.lease();
        let revocations = revocation::count();
        let until_full_scan = self.scan_interval.until_full_scan(started);
        let full_scan = until_full_scan.is_none();
        let templates = &mut self.templates;
        let claimed = transaction::run_in_extension(|| {
            let claimed = spi_store::claim_messages(size, full_scan)?;
            templates.learn(&claimed)?;
            let next = match claimed.is_empty() && full_scan {
                true => spi_store::next_due()?,
                false => (None, None),
            };
            Ok((claimed, next))
        });
        let Some((claimed, (next, hold))) = self.checked(claimed) else {
            return AFTER_ERROR;
        };
        let found = !claimed.is_empty();
        self.scan_interval
            .scanned(full_scan, started, Instant::now(), found);
        if !found && !full_scan {
            return self
                .scan_interval
                .until_full_scan(Instant::now())
                .unwrap_or_default();
        }
        self.on_hold = hold.is_some();
        if let Some(note) = hold {
            registry::update(|slot| slot.state = State::Paused);
            self.note_error(note);
        }
        if !found {
            return match next {
                // It is due, but somebody else has it locked.
                Some(seconds) if seconds <= 0.0 => LOCKED,
                Some(seconds) => Duration::from_secs_f64(seconds.min(POLL.as_secs_f64())),
                None => POLL,
            };
        }
        self.busy = true;
        self.in_flight.extend(claimed.iter().map(|mail| mail.id));
        let mut claimed = claimed.into_iter().peekable();
        while claimed.peek().is_some() {
            let chunk = claimed.by_ref().take(pool::RENDER_CHUNK);
            let jobs = chunk.map(|mail| {
                let compiled = self.templates.compiled(&mail);
                let reports = self.pool.reports();
                Job::new(
                    mail,
                    compiled,
                    &configuration.mail,
                    lease_until,
                    revocations,
                    reports,
                )
            });
            self.pool.render(jobs.collect());
        }
        Duration::ZERO
    }
}
