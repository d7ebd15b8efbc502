//! The mailer's rounds: collect and record what has ended, claim what comes next.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::configuration::{self, Configuration};
use super::couriers::{self, Couriers};
use super::database::{self, Finished};
use super::gate::News;
use super::job::{Delivery, Event, Job, Outcome, Parcel, RenderedMail};
use super::lookout::Lookout;
use super::pace::Pace;
use super::server::Server;
use super::templates::Templates;
use super::{AFTER_ERROR, LOCKED, process, retry, transaction};
use crate::extension::revocation;
use crate::extension::settings::{self, InDoubt};
use crate::extension::workers::{self, State};

/// Without anything to do, look again after this time: settings, arm(), mails whose notice was lost.
const POLL: Duration = Duration::from_secs(10);
/// How often settings that come without a signal (ALTER DATABASE, key rotation) are read.
const RECONFIGURE: Duration = Duration::from_secs(60);
/// How often old mails are removed, where a setting says so.
const PURGE: Duration = Duration::from_secs(3600);
/// How long mails in flight may take to end when the worker must stop.
const FAREWELL: Duration = Duration::from_millis(700);
/// So many results are recorded at once, or what has gathered after a while: most of the cost is the same for one and
/// for hundreds.
const ENOUGH_RESULTS: usize = 250;
const GATHER: Duration = Duration::from_millis(100);
/// How long mails come and go before the main thread looks at them.
const BREATH: Duration = Duration::from_millis(20);
/// An idle mailer lets so much time pass between two rounds: each batch of hits wakes it, and a rush of them must not
/// become a rush of rounds.
const SETTLE: Duration = Duration::from_millis(10);

/// One mailer and what it has in flight.
pub(super) struct Mailer {
    couriers: Couriers,
    templates: Templates,
    pace: Pace,
    lookout: Lookout,
    purged_at: Option<Instant>,
    /// What ALTER DATABASE said when this session began.
    session_settings: Option<String>,
    /// It says something else now: another session must begin.
    outdated: bool,
    configuration: Option<Arc<Configuration>>,
    configured_at: Option<Instant>,
    /// Results not yet recorded: kept over a failing transaction.
    deliveries: Vec<Delivery>,
    /// When the first of them came.
    gathering_since: Option<Instant>,
    /// Mails claimed, and not recorded yet.
    in_flight: HashSet<i64>,
    /// Something was claimed or has ended since the last rest.
    busy: bool,
    /// No claim before, after an SQL error.
    paused_until: Option<Instant>,
    /// Somebody has called pause().
    on_hold: bool,
    last_error: Option<String>,
}

impl Mailer {
    pub(super) fn new(session_settings: Option<String>) -> std::io::Result<Self> {
        Ok(Mailer {
            couriers: Couriers::start()?,
            templates: Templates::default(),
            pace: Pace::default(),
            lookout: Lookout::default(),
            purged_at: None,
            session_settings,
            outdated: false,
            configuration: None,
            configured_at: None,
            deliveries: Vec::new(),
            gathering_since: None,
            in_flight: HashSet::new(),
            busy: false,
            paused_until: None,
            on_hold: false,
            last_error: None,
        })
    }

    /// Shows an error in worker_status(), and in the log when it is a new one.
    pub(super) fn note_error(&mut self, error: String) {
        workers::note_error(&error);
        if self.last_error.as_ref() != Some(&error) {
            log!("marketing_automation mailer: {error}");
            self.last_error = Some(error);
        }
    }

    /// Takes back what note_error() showed: it is over, and news when it happens again.
    fn forget_error(&mut self) {
        if self.last_error.take().is_some() {
            workers::clear_error();
        }
    }

    fn pause(&mut self, pause: Duration) {
        self.paused_until = Some(Instant::now() + pause);
    }

    /// Unwraps the result of a transaction; its error is noted and pauses claiming.
    pub(super) fn checked<R>(&mut self, result: Result<R, String>) -> Option<R> {
        result
            .map_err(|error| {
                // A stop cancels the statement that runs.
                if !process::is_stopping() {
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
            self.configuration = match configuration {
                Ok(configuration) => Some(configuration),
                Err(missing) => {
                    workers::update(|slot| slot.state = missing.state);
                    self.note_error(missing.reason);
                    None
                }
            };
        }
        self.configuration.clone()
    }

    /// Takes what the runtime has finished: rendered mails get the ids of their links and go on, deliveries are kept.
    fn collect(&mut self) {
        let mut rendered = Vec::new();
        for event in self.couriers.events() {
            self.busy = true;
            match event {
                Event::Rendered(mail) => rendered.push(*mail),
                Event::Delivered(delivery) => self.deliveries.push(delivery),
            }
        }
        if rendered.is_empty() {
            return;
        }
        self.learn_links(&rendered);
        let mut parcels = Vec::with_capacity(rendered.len());
        for mail in rendered {
            match self.couriers.links().ids(&mail.rendered) {
                Some(links) => parcels.push(Parcel::new(mail, links)),
                // They were not stored: an error, which is noted.
                None => self.deliveries.push(mail.job.release()),
            }
        }
        self.couriers.send(parcels);
    }

    /// Fetches the ids of links not seen yet.
    fn learn_links(&mut self, rendered: &[RenderedMail]) {
        let urls = rendered.iter().flat_map(|mail| mail.rendered.links());
        let unknown = self.couriers.links().unknown(urls);
        if !unknown.is_empty() {
            let stored = transaction::run_in_extension(|| database::link_ids(unknown));
            if let Some(stored) = self.checked(stored) {
                self.couriers.links().learn(stored);
            }
        }
    }

    /// How long results may still gather.
    fn gathering(&mut self) -> Option<Duration> {
        if self.deliveries.is_empty() {
            self.gathering_since = None;
            return None;
        }
        let since = *self.gathering_since.get_or_insert_with(Instant::now);
        // With closed gates the couriers give back what they have, and nothing else is to be waited for.
        let is_closed = |server: &Arc<Server>| server.gate.is_closed();
        let enough = self.servers().iter().all(is_closed)
            || self.deliveries.len() >= ENOUGH_RESULTS.min(self.in_flight.len());
        (!enough).then(|| GATHER.saturating_sub(since.elapsed()))
    }

    /// Records results and starts the children of sent mails.
    fn record(&mut self) {
        if self.deliveries.is_empty() {
            return;
        }
        let hold = settings::in_doubt() == InDoubt::hold;
        let give_up = settings::retry_window();
        let finished: Vec<Finished> = self
            .deliveries
            .iter()
            .map(|delivery| retry::decide(delivery, hold, give_up))
            .collect();
        let recorded = transaction::run_in_extension(|| database::finish_messages(&finished));
        if self.checked(recorded).is_none() {
            return;
        }
        self.record_dead_mailboxes();
        let count = |state: &str| finished.iter().filter(|mail| mail.state == state).count() as i64;
        let (sent, failed, retried) = (count("sent"), count("failed"), count("queued"));
        workers::update(|slot| {
            slot.sent += sent;
            slot.failed += failed;
            slot.retried += retried;
        });
        let deliveries = std::mem::take(&mut self.deliveries);
        for delivery in &deliveries {
            self.in_flight.remove(&delivery.id);
        }
        self.learn(&deliveries);
    }

    /// Suppresses the addresses that the server says do not exist. A transaction of its own: it locks other rows, and what
    /// it misses in a crash is refused again.
    fn record_dead_mailboxes(&mut self) {
        let deliveries = self.deliveries.iter();
        let dead: Vec<i64> = deliveries
            .filter(|delivery| retry::met_dead_mailbox(delivery))
            .map(|delivery| delivery.id)
            .collect();
        if !dead.is_empty() {
            let recorded = transaction::run_in_extension(|| database::record_dead_mailboxes(dead));
            self.checked(recorded);
        }
    }

    /// What the results say about the server and the pace; troubles with single mails show in worker_status().
    fn learn(&mut self, deliveries: &[Delivery]) {
        let outcomes = || deliveries.iter().map(|delivery| &delivery.outcome);
        self.pace.learn(outcomes());
        if outcomes().any(|outcome| matches!(outcome, Outcome::Sent(_))) && !self.is_any_closed() {
            self.last_error = None;
            workers::clear_error();
        }
        for delivery in deliveries {
            if let Outcome::Failed(reason) | Outcome::Retry(reason) | Outcome::InDoubt(reason) =
                &delivery.outcome
            {
                workers::note_error(&format!("message {}: {reason}", delivery.id));
            }
        }
    }

    fn servers(&self) -> &[Arc<Server>] {
        self.configuration
            .as_ref()
            .map_or(&[], |configuration| &configuration.servers)
    }

    fn is_any_closed(&self) -> bool {
        self.servers().iter().any(|server| server.gate.is_closed())
    }

    /// Tells what has happened to the gates of servers. Their mails go to other servers, or were given back.
    fn heed_gates(&mut self) {
        for server in self.servers().to_vec() {
            let Some(news) = server.gate.take_news() else {
                continue;
            };
            let name = &server.definition.name;
            let closed = match &news {
                News::Closed { reason, pause } => Some((pause.as_secs_f64(), reason.as_str())),
                News::Open => None,
            };
            let noted = transaction::run_in_extension(|| database::note_server(name, closed));
            self.checked(noted);
            if let News::Closed { reason, .. } = news {
                let several = self.servers().len() > 1;
                self.note_error(match several {
                    true => format!("server \"{name}\": {reason}"),
                    false => reason,
                });
            }
        }
    }

    /// Removes old mails when it is time.
    fn purge(&mut self) {
        let Some(retention) = settings::message_retention() else {
            return;
        };
        if self.purged_at.is_none_or(|at| at.elapsed() >= PURGE) {
            self.purged_at = Some(Instant::now());
            let purged = transaction::run_in_extension(|| database::purge_messages(retention));
            self.checked(purged);
        }
    }

    /// How many mails to claim now; or how long there is nothing to claim for, as all servers are closed.
    fn room(&mut self) -> Result<usize, Duration> {
        let now = Instant::now();
        let servers = self.servers().to_vec();
        let open = || servers.iter().filter(|server| !server.gate.is_closed());
        if open().next().is_none() {
            workers::update(|slot| slot.state = State::Paused);
            let opening = servers
                .iter()
                .filter_map(|server| server.gate.opens_in(now));
            let wait = opening.min().unwrap_or(POLL);
            // One mail at a time finds out whether a server is back.
            return match wait.is_zero() && self.in_flight.is_empty() {
                true => Ok(1),
                false => Err(wait.clamp(Duration::from_millis(10), POLL)),
            };
        }
        let batch = usize::try_from(settings::batch_size()).unwrap_or(1);
        let connections = open().map(|server| server.definition.connections).sum();
        let size = self.pace.size(batch, connections);
        // While one claim is on its way, the next is prepared.
        match self.in_flight.len() > size || self.couriers.is_full() {
            true => Err(POLL),
            false => Ok(size),
        }
    }

    /// Gets the permits of limited servers, and gives how many mails there are permits for and how long until there is
    /// another; no number: some server needs none. In a transaction.
    fn permits(servers: &[Arc<Server>], size: usize) -> spi::Result<(Option<usize>, Duration)> {
        let limited: Vec<&Arc<Server>> = servers
            .iter()
            .filter(|server| server.definition.limited)
            .collect();
        let mut wait = POLL;
        let names = limited.iter().map(|server| server.definition.name.clone());
        let in_hand = limited
            .iter()
            .map(|server| i32::try_from(server.permits()).unwrap_or(i32::MAX));
        let wanted = i32::try_from(size).unwrap_or(i32::MAX);
        for grant in database::grant_permits(names.collect(), in_hand.collect(), wanted)? {
            wait = wait.min(grant.wait);
            let server = limited
                .iter()
                .find(|server| server.definition.name == grant.server);
            if let Some(server) = server {
                server.grant(grant.permits, grant.is_spent, grant.wait);
            }
        }
        let open: Vec<_> = servers
            .iter()
            .filter(|server| !server.gate.is_closed())
            .collect();
        let takers = match open.is_empty() {
            // Probed with a permit too.
            true => servers.iter().collect(),
            false => open,
        };
        if takers.iter().any(|server| !server.definition.limited) {
            return Ok((None, wait));
        }
        let permits = takers.iter().map(|server| server.permits()).sum();
        Ok((Some(permits), wait))
    }

    /// Claims mails and has them rendered; gives how long there is nothing more to claim.
    fn claim(&mut self, configuration: &Arc<Configuration>) -> Duration {
        let size = match self.room() {
            Ok(size) => size,
            Err(wait) => return wait,
        };
        let servers = &configuration.servers;
        let permits = match servers.iter().any(|server| server.definition.limited) {
            true => transaction::run_in_extension(|| Self::permits(servers, size)),
            false => Ok((None, POLL)),
        };
        let size = match self.checked(permits) {
            None => return AFTER_ERROR,
            Some((None, _)) => size,
            Some((Some(permits), wait)) => {
                // Those in flight may still take theirs.
                match permits.saturating_sub(self.in_flight.len()).min(size) {
                    0 => return wait.max(Duration::from_millis(10)),
                    permitted => permitted,
                }
            }
        };
        let size = i32::try_from(size).unwrap_or(i32::MAX);
        let started = Instant::now();
        let fresh_until = started + self.pace.fresh();
        let revocations = revocation::count();
        let rest = self.lookout.rest(started);
        let thorough = rest.is_none();
        let templates = &mut self.templates;
        let claimed = transaction::run_in_extension(|| {
            let claimed = database::claim_messages(size, thorough)?;
            templates.learn(&claimed)?;
            let next = match claimed.is_empty() && thorough {
                true => database::next_due()?,
                false => (None, None),
            };
            Ok((claimed, next))
        });
        let Some((claimed, (next, hold))) = self.checked(claimed) else {
            return AFTER_ERROR;
        };
        let found = !claimed.is_empty();
        self.lookout
            .looked(thorough, started, Instant::now(), found);
        if !found && !thorough {
            return self.lookout.rest(Instant::now()).unwrap_or_default();
        }
        self.on_hold = hold.is_some();
        if let Some(note) = hold {
            workers::update(|slot| slot.state = State::Paused);
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
            let chunk = claimed.by_ref().take(couriers::RENDER_CHUNK);
            let jobs = chunk.map(|mail| {
                let compiled = self.templates.compiled(&mail);
                let reports = self.couriers.reports();
                Job::new(
                    mail,
                    compiled,
                    configuration,
                    fresh_until,
                    revocations,
                    reports,
                )
            });
            self.couriers.render(jobs.collect());
        }
        Duration::ZERO
    }

    /// One round; gives how long to sleep when nobody wakes the worker.
    pub(super) fn round(&mut self, reload: bool) -> Duration {
        self.collect();
        if self.gathering().is_none_or(|left| left.is_zero()) {
            self.record();
        }
        self.heed_gates();
        let Some(configuration) = self.configure(reload) else {
            return POLL;
        };
        if let Some(until) = self.paused_until.filter(|until| *until > Instant::now()) {
            return until.duration_since(Instant::now()).min(POLL);
        }
        self.paused_until = None;
        if self.outdated {
            return POLL;
        }
        self.purge();
        let sleep = self.claim(&configuration);
        let is_closed = |server: &Arc<Server>| server.gate.is_closed();
        let reachable = !configuration.servers.iter().all(is_closed);
        if self.paused_until.is_none() && reachable && !self.on_hold {
            let state = match self.in_flight.is_empty() {
                true => State::Idle,
                false => State::Sending,
            };
            workers::update(|slot| slot.state = state);
            match configuration.faults() {
                Some(faults) => self.note_error(faults),
                None if self.is_any_closed() => {}
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
    pub(super) fn rest(&mut self, sleep: Duration) {
        let sleep = self.gathering().map_or(sleep, |left| left.min(sleep));
        let reports = self.couriers.reports();
        if std::mem::take(&mut self.busy) && !self.in_flight.is_empty() {
            reports.mute();
            if !reports.is_urgent() {
                process::wait(BREATH.min(sleep));
            }
        } else if !reports.has_news() {
            if self.in_flight.is_empty() {
                process::rest(SETTLE);
            }
            process::wait(sleep);
        }
    }

    /// Before the worker leaves: what is not yet at the server is given back, what is may end, all is recorded.
    pub(super) fn farewell(&mut self) {
        self.deliveries.extend(self.couriers.stop(self.servers()));
        let deadline = Instant::now() + FAREWELL;
        while self.deliveries.len() < self.in_flight.len() && Instant::now() < deadline {
            for event in self.couriers.wait_for_events(Duration::from_millis(20)) {
                self.deliveries.push(match event {
                    Event::Rendered(mail) => mail.job.release(),
                    Event::Delivered(delivery) => delivery,
                });
            }
        }
        self.record();
    }
}
