//! The loop of a mailer: collect and complete what has ended, configure, claim what comes next.

mod claim;
mod complete;
mod servers;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::bgworker;
use super::claim_size::ClaimSize;
use super::configuration::{self, Configuration};
use super::job::Event;
use super::outcome::Delivered;
use super::pool::SenderPool;
use super::registry::{self, State};
use super::scan_interval::ScanInterval;
use super::server::Server;
use super::spi_store;
use super::templates::Templates;
use super::transaction::{self, AFTER_ERROR};
use crate::extension::settings::{self, InDoubt};

/// Without anything to do, look again after this time: settings, arm(), mails whose notice was lost.
const POLL: Duration = Duration::from_secs(10);
/// How often settings that come without a signal (ALTER DATABASE, key rotation) are read.
const RECONFIGURE: Duration = Duration::from_secs(60);
/// How often old mails are removed, where a setting says so.
const PURGE: Duration = Duration::from_secs(3600);
/// How long mails that are with a server may take to end when the worker must stop; a mail that takes longer is in doubt.
/// DROP DATABASE WITH (FORCE) gives up after five seconds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// While mails are in flight, the main thread looks at what has happened so often.
const POLL_BUSY: Duration = Duration::from_millis(20);
/// An idle mailer lets so much time pass between two turns of the loop: each batch of hits wakes it, and a rush of hits must not
/// become a rush of turns.
const COALESCE: Duration = Duration::from_millis(10);

/// What a mailer knows, and has in flight.
pub(super) struct Engine {
    pool: SenderPool,
    templates: Templates,
    claim_size: ClaimSize,
    scan_interval: ScanInterval,
    purged_at: Option<Instant>,
    /// What ALTER DATABASE said when this session began.
    session_settings: Option<String>,
    /// It says something else now: another session must begin.
    outdated: bool,
    configuration: Option<Arc<Configuration>>,
    configured_at: Option<Instant>,
    /// Servers of earlier configurations that still have mails.
    retired: Vec<Arc<Server>>,
    /// Results not yet recorded: kept over a failing transaction.
    delivered: Vec<Delivered>,
    /// When to try again to record them.
    record_at: Option<Instant>,
    /// When the first of them came.
    gathering_since: Option<Instant>,
    /// Nobody else's claims are in the outbox. They can come in while nothing is sent: a dump is restored.
    rescued: bool,
    /// Mails claimed, and not recorded yet.
    in_flight: HashSet<i64>,
    /// Something was claimed or has ended since the last sleep.
    busy: bool,
    /// No claim before, after an SQL error.
    paused_until: Option<Instant>,
    /// Somebody has called pause().
    on_hold: bool,
    last_error: Option<String>,
    /// The SQL is of another version, and the log says so.
    mismatched: bool,
}

impl Engine {
    pub(super) fn new(session_settings: Option<String>) -> std::io::Result<Self> {
        Ok(Engine {
            pool: SenderPool::start()?,
            templates: Templates::default(),
            claim_size: ClaimSize::default(),
            scan_interval: ScanInterval::default(),
            purged_at: None,
            session_settings,
            outdated: false,
            configuration: None,
            configured_at: None,
            retired: Vec::new(),
            delivered: Vec::new(),
            record_at: None,
            gathering_since: None,
            rescued: false,
            in_flight: HashSet::new(),
            busy: false,
            paused_until: None,
            on_hold: false,
            last_error: None,
            mismatched: false,
        })
    }

    /// Shows an error in worker_status(), and in the log when it is a new one.
    pub(super) fn note_error(&mut self, error: String) {
        registry::note_error(&error);
        if self.last_error.as_ref() != Some(&error) {
            log!("marketing_automation mailer: {error}");
            self.last_error = Some(error);
        }
    }

    /// Takes back what note_error() showed: it is over, and is logged again when it happens again.
    fn forget_error(&mut self) {
        if self.last_error.take().is_some() {
            registry::clear_error();
        }
    }

    fn pause(&mut self, pause: Duration) {
        self.paused_until = Some(Instant::now() + pause);
    }

    /// Unwraps the result of a transaction; its error is noted and pauses claiming.
    fn checked<R>(&mut self, result: Result<R, String>) -> Option<R> {
        result
            .map_err(|error| {
                // A stop cancels the statement that runs.
                if !bgworker::is_stopping() {
                    self.note_error(error);
                }
                self.pause(AFTER_ERROR);
            })
            .ok()
    }

    /// Reads the settings anew when it is time; None: they do not allow sending, and worker_status() says why.
    fn configure(&mut self, reload: bool) -> Option<Arc<Configuration>> {
        let fresh = self
            .configured_at
            .is_some_and(|at| at.elapsed() < RECONFIGURE);
        if reload || !fresh || self.configuration.is_none() {
            self.configured_at = Some(Instant::now());
            let read = transaction::run_in_extension(|| {
                let session_settings = configuration::session_settings()?;
                let configuration = Configuration::read(self.configuration.as_ref())?;
                Ok((session_settings, configuration))
            });
            let (session_settings, configuration) = self.checked(read)?;
            self.outdated = session_settings != self.session_settings;
            let former = self.servers().to_vec();
            self.configuration = match configuration {
                Ok(configuration) => {
                    self.pool.use_servers(&configuration.servers);
                    Some(configuration)
                }
                Err(missing) => {
                    registry::update(|slot| slot.state = missing.state);
                    self.note_error(missing.reason);
                    None
                }
            };
            self.retire(former);
        }
        self.configuration.clone()
    }

    /// Takes back what another mailer, or the database that this one is a copy of, had in flight; before the first claim.
    fn rescue(&mut self) -> bool {
        if !self.rescued {
            let hold = settings::in_doubt() == InDoubt::hold;
            let result = transaction::run_in_extension(|| spi_store::rescue_messages(hold));
            self.rescued = self.checked(result).is_some();
        }
        self.rescued
    }

    /// Removes old mails when it is time.
    fn purge(&mut self) {
        let Some(retention) = settings::message_retention() else {
            return;
        };
        if self.purged_at.is_none_or(|at| at.elapsed() >= PURGE) {
            self.purged_at = Some(Instant::now());
            let purged = transaction::run_in_extension(|| spi_store::purge_messages(retention));
            self.checked(purged);
        }
    }

    /// Collects what has ended, and records it when enough has gathered.
    fn record(&mut self) {
        self.collect();
        self.take_expired();
        if self.gathering().is_none_or(|left| left.is_zero()) {
            self.complete();
        }
    }

    /// A turn of the loop while the SQL is of another version, with the reason: what was claimed before ends and is recorded, since
    /// functions that record keep their signature for one release; nothing else happens.
    pub(super) fn finish(&mut self, mismatch: String) -> Duration {
        self.record();
        registry::update(|slot| slot.state = State::Outdated);
        registry::note_error(&mismatch);
        if !std::mem::replace(&mut self.mismatched, true) {
            warning!("marketing_automation mailer: {mismatch}");
        }
        self.last_error = Some(mismatch);
        POLL
    }

    /// One turn of the loop; gives how long to sleep when nobody wakes the worker.
    pub(super) fn tick(&mut self, reload: bool) -> Duration {
        self.mismatched = false;
        self.record();
        self.report_servers();
        let Some(configuration) = self.configure(reload) else {
            self.rescued &= !self.in_flight.is_empty();
            return POLL;
        };
        if !self.rescue() {
            return AFTER_ERROR;
        }
        if let Some(until) = self.paused_until.filter(|until| *until > Instant::now()) {
            return until.duration_since(Instant::now()).min(POLL);
        }
        self.paused_until = None;
        if self.outdated {
            return POLL;
        }
        self.purge();
        let sleep = self.claim(&configuration);
        let is_tripped = |server: &Arc<Server>| server.breaker.is_tripped();
        let reachable = !configuration.servers.iter().all(is_tripped);
        if self.paused_until.is_none() && reachable && !self.on_hold {
            let state = match self.in_flight.is_empty() {
                true => State::Idle,
                false => State::Sending,
            };
            registry::update(|slot| slot.state = state);
            match configuration.faults() {
                Some(faults) => self.note_error(faults),
                None if self.is_any_away() => {}
                None => self.forget_error(),
            }
        }
        sleep
    }

    /// Whether another session must begin, and nothing is in flight that this one has to record.
    pub(super) fn may_be_replaced(&self) -> bool {
        self.outdated && self.in_flight.is_empty()
    }

    /// Sleeps until there is something to do, for `sleep` at most.
    pub(super) fn sleep(&mut self, sleep: Duration) {
        let sleep = self.gathering().map_or(sleep, |left| left.min(sleep));
        // Leases expire meanwhile.
        let sleep = match self.in_flight.is_empty() {
            true => sleep,
            false => sleep.min(self.claim_size.lease()),
        };
        let reports = self.pool.reports();
        if std::mem::take(&mut self.busy) && !self.in_flight.is_empty() {
            reports.mute();
            if !reports.is_urgent() {
                bgworker::wait(POLL_BUSY.min(sleep));
            }
        } else if !reports.has_news() {
            if self.in_flight.is_empty() {
                bgworker::sleep(COALESCE);
            }
            bgworker::wait(sleep);
        }
    }

    /// Before the worker leaves: gives back what is not yet with a server, waits for what is, and completes all of it.
    pub(super) fn drain(&mut self) {
        let servers: Vec<_> = self
            .servers()
            .iter()
            .chain(&self.retired)
            .cloned()
            .collect();
        self.delivered.extend(self.pool.stop(&servers));
        let deadline = Instant::now() + DRAIN_TIMEOUT;
        while self.delivered.len() < self.in_flight.len() && Instant::now() < deadline {
            for event in self.pool.wait_for_events(Duration::from_millis(20)) {
                self.delivered.push(match event {
                    Event::Rendered(mail) => mail.job.release(),
                    Event::Delivered(delivery) => delivery,
                });
            }
        }
        self.complete();
    }
}
