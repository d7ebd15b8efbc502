//! The loop: collect and complete what has ended, configure, claim what comes next.

mod claim;
mod complete;
mod servers;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::attachments::Attachments;
use super::channel::Channel;
use super::claim_size::ClaimSize;
use super::clock::Clock;
use super::configuration::{Configuration, Missing};
use super::host::{Host, State};
use super::job::{Event, WakeUp};
use super::outcome::Delivered;
use super::pool::SenderPool;
use super::scan_interval::ScanInterval;
use super::server::Server;
use super::store::{Found, Result, Store};
use super::templates::Templates;
use crate::mail::addresses_in_text;

/// How long to wait after an error of the store.
pub const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How long to wait while somebody else holds due mails under a lock.
pub const LOCKED: Duration = Duration::from_secs(1);

/// Without anything to do, look again after this time: settings, arm(), mails whose notice was lost.
const POLL: Duration = Duration::from_secs(10);
/// How often settings that come without a signal (ALTER DATABASE, key rotation) are read.
const RECONFIGURE: Duration = Duration::from_secs(60);
/// How often old mails are removed, where a setting says so.
const PURGE: Duration = Duration::from_secs(3600);
/// How long mails that are with a server may take to end when the process must stop; a mail that takes longer is in doubt.
/// DROP DATABASE WITH (FORCE) gives up after five seconds.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(3);
/// While mails are in flight, the engine looks at what has happened so often.
const POLL_BUSY: Duration = Duration::from_millis(20);
/// An idle engine lets so much time pass between two turns of the loop: each batch of hits wakes it, and a rush of hits must not
/// become a rush of turns.
const COALESCE: Duration = Duration::from_millis(10);

/// What a process that delivers knows, and has in flight.
pub struct Engine<S, C: Channel, H> {
    store: S,
    host: H,
    clock: Clock,
    pool: SenderPool<C>,
    templates: Templates,
    attachments: Attachments,
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
    /// Refusals whose row has not been judged yet, and since when the first of them waits.
    held: Vec<Delivered>,
    held_since: Option<Instant>,
    /// The last look found nothing to claim.
    nothing_due: bool,
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

impl<S: Store, C: Channel, H: Host> Engine<S, C, H> {
    /// `threads`: where messages are prepared and sent; `wake_up`: ends a wait of the host; `session_settings`: as
    /// [`Found::session_settings`], when the session of the store began.
    pub fn new(
        (store, host, clock): (S, H, Clock),
        (channel, threads, wake_up): (C, Handle, WakeUp),
        session_settings: Option<String>,
    ) -> Self {
        Engine {
            pool: SenderPool::new(threads, channel, &clock, wake_up),
            store,
            host,
            clock,
            templates: Templates::default(),
            attachments: Attachments::default(),
            claim_size: ClaimSize::default(),
            scan_interval: ScanInterval::default(),
            purged_at: None,
            session_settings,
            outdated: false,
            configuration: None,
            configured_at: None,
            retired: Vec::new(),
            held: Vec::new(),
            held_since: None,
            nothing_due: false,
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
        }
    }

    fn now(&self) -> Instant {
        self.clock.now()
    }

    /// Shows an error in worker_status(), and in the log when it is a new one; without addresses, which servers repeat.
    pub fn note_error(&mut self, error: String) {
        let error = addresses_in_text::without(&error);
        self.host.show_error(&error);
        if self.last_error.as_ref() != Some(&error) {
            self.host.log(&error);
            self.last_error = Some(error);
        }
    }

    /// Takes back what note_error() showed: it is over, and is logged again when it happens again.
    fn forget_error(&mut self) {
        if self.last_error.take().is_some() {
            self.host.clear_error();
        }
    }

    fn pause(&mut self, pause: Duration) {
        self.paused_until = Some(self.now() + pause);
    }

    /// Unwraps the result of a call of the store; its error is noted and pauses claiming.
    fn checked<R>(&mut self, result: Result<R>) -> Option<R> {
        result
            .map_err(|error| {
                // A stop cancels the statement that runs.
                if !self.host.is_stopping() {
                    self.note_error(error);
                }
                self.pause(AFTER_ERROR);
            })
            .ok()
    }

    /// Reads the settings anew when it is time; None: they do not allow sending, and worker_status() says why.
    fn configure(&mut self, reload: bool) -> Option<Arc<Configuration>> {
        let now = self.now();
        let fresh = self
            .configured_at
            .is_some_and(|at| now.saturating_duration_since(at) < RECONFIGURE);
        if reload || !fresh || self.configuration.is_none() {
            self.configured_at = Some(now);
            let read = self.store.settings(self.configuration.is_none());
            let Found {
                session_settings,
                settings,
            } = self.checked(read)?;
            self.outdated = session_settings != self.session_settings;
            let former = self.servers().to_vec();
            let previous = self.configuration.as_ref();
            let configuration = match &settings {
                Ok(settings) => {
                    Configuration::build(previous, settings, &self.clock, &mut self.host)
                }
                Err(reason) => Err(Missing::disarmed(reason)),
            };
            self.configuration = match configuration {
                Ok(configuration) => {
                    self.pool.use_servers(&configuration.servers);
                    Some(configuration)
                }
                Err(missing) => {
                    self.host.show_state(missing.state);
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
            let hold = self.store.policy().hold;
            let result = self.store.rescue(hold);
            self.rescued = self.checked(result).is_some();
        }
        self.rescued
    }

    /// Removes old mails when it is time.
    fn purge(&mut self) {
        let Some(retention) = self.store.policy().retention else {
            return;
        };
        let now = self.now();
        let is_due = |at| now.saturating_duration_since(at) >= PURGE;
        if self.purged_at.is_none_or(is_due) {
            self.purged_at = Some(now);
            let purged = self.store.purge(retention);
            self.checked(purged);
        }
    }

    /// Collects what has ended, and records it when enough has gathered.
    fn record(&mut self) {
        self.collect();
        self.take_expired();
        self.judge(false);
        if self.gathering().is_none_or(|left| left.is_zero()) {
            self.complete();
        }
    }

    /// A turn of the loop while the SQL is of another version, with the reason: what was claimed before ends and is recorded, since
    /// functions that record keep their signature for one release; nothing else happens.
    pub fn finish(&mut self, mismatch: String) -> Duration {
        self.record();
        self.host.show_state(State::Outdated);
        self.host.show_error(&mismatch);
        if !std::mem::replace(&mut self.mismatched, true) {
            self.host.warn(&mismatch);
        }
        self.last_error = Some(mismatch);
        POLL
    }

    /// One turn of the loop; gives how long to sleep when nobody wakes it.
    pub fn tick(&mut self, reload: bool) -> Duration {
        self.mismatched = false;
        self.record();
        if self.claim_size.is_long() {
            let confirmed = self.store.confirm();
            self.checked(confirmed);
        }
        self.report_servers();
        let Some(configuration) = self.configure(reload) else {
            self.rescued &= !self.in_flight.is_empty();
            return POLL;
        };
        if !self.rescue() {
            return AFTER_ERROR;
        }
        let now = self.now();
        if let Some(until) = self.paused_until.filter(|until| *until > now) {
            return until.duration_since(now).min(POLL);
        }
        self.paused_until = None;
        if self.outdated {
            return POLL;
        }
        self.purge();
        let sleep = self.claim(&configuration);
        // Mails wait, whatever becomes of webhooks.
        let mut servers = configuration.servers.iter();
        let reachable = servers.any(|server| server.takes(None) && !server.breaker.is_tripped());
        if !reachable {
            self.host.show_state(State::Paused);
        }
        if self.paused_until.is_none() && reachable && !self.on_hold {
            let state = match self.in_flight.is_empty() {
                true => State::Idle,
                false => State::Sending,
            };
            self.host.show_state(state);
            match configuration.faults() {
                Some(faults) => self.note_error(faults),
                None if self.is_any_away() => {}
                None => self.forget_error(),
            }
        }
        sleep
    }

    /// Whether another session must begin, and nothing is in flight that this one has to record.
    pub fn may_be_replaced(&self) -> bool {
        self.outdated && self.in_flight.is_empty()
    }

    /// Sleeps until there is something to do, for `sleep` at most.
    pub fn sleep(&mut self, sleep: Duration) {
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
                self.host.wait(POLL_BUSY.min(sleep));
            }
        } else if !reports.has_news() {
            if self.in_flight.is_empty() {
                self.host.sleep(COALESCE);
            }
            self.host.wait(sleep);
        }
    }

    /// Gives back what is not yet with a server, and begins nothing more.
    pub(super) fn give_back(&mut self) {
        let servers: Vec<_> = self
            .servers()
            .iter()
            .chain(&self.retired)
            .cloned()
            .collect();
        self.delivered.extend(self.pool.stop(&servers));
    }

    /// Before the process leaves: gives back what is not yet with a server, waits for what is, and completes all of it.
    pub fn drain(&mut self) {
        self.give_back();
        let deadline = self.now() + DRAIN_TIMEOUT;
        while self.delivered.len() + self.held.len() < self.in_flight.len() && self.now() < deadline
        {
            for event in self.pool.wait_for_events(POLL_BUSY) {
                self.delivered.push(match event {
                    Event::Rendered(mail) => mail.job.release(),
                    Event::Delivered(delivery) => delivery,
                });
            }
        }
        self.judge(true);
        self.complete();
    }
}
