//! The mailer: a background worker for each database that has the extension.
//!
//! ```text
//! tx: claim ─► render (runtime) ─► tx: ids of new links ─► assemble, SMTP (runtime) ─► tx: results
//! ```
//!
//! Only this process's main thread touches PostgreSQL, in short transactions, none of them open while the network is
//! used; rendering and SMTP run on a tokio runtime of their own ([`courier`]) and answer over a channel. What is in
//! flight is bounded by two batches. An SQL error, a lost server or a panic in a mail end a round, not the worker.

mod configuration;
mod courier;
mod database;
pub(super) mod process;
mod retry;
mod templates;
pub(super) mod transaction;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pgrx::bgworkers::BackgroundWorker;
use pgrx::prelude::*;

use super::settings::{self, InDoubt};
use super::workers::{self, State};
use configuration::Configuration;
use courier::{Couriers, Delivery, Event, Outcome, Parcel};
use database::Finished;
use templates::Templates;

/// Without anything to do, look again after this time: settings, arm(), mails whose notice was lost.
const POLL: Duration = Duration::from_secs(10);
/// After an SQL error.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// How often settings that come without a signal (ALTER DATABASE, key rotation) are read.
const RECONFIGURE: Duration = Duration::from_secs(60);
/// How long mails in flight may take to end when the worker must stop.
const FAREWELL: Duration = Duration::from_millis(700);
/// Link ids kept in memory.
const MAX_CACHED_LINKS: usize = 100_000;

struct Mailer {
    couriers: Couriers,
    templates: Templates,
    configuration: Option<Arc<Configuration>>,
    configured_at: Option<Instant>,
    links: HashMap<String, i64>,
    /// Results not yet recorded: kept over a failing transaction.
    deliveries: Vec<Delivery>,
    in_flight: usize,
    /// No claim before: after an SQL error, or while the SMTP server is out of reach.
    paused_until: Option<Instant>,
    failed_connects: u32,
    last_error: Option<String>,
}

impl Mailer {
    fn new() -> std::io::Result<Self> {
        Ok(Mailer {
            couriers: Couriers::start()?,
            templates: Templates::default(),
            configuration: None,
            configured_at: None,
            links: HashMap::new(),
            deliveries: Vec::new(),
            in_flight: 0,
            paused_until: None,
            failed_connects: 0,
            last_error: None,
        })
    }

    /// Shows an error in worker_status(), and in the log when it is a new one.
    fn note_error(&mut self, error: String) {
        workers::note_error(&error);
        if self.last_error.as_ref() != Some(&error) {
            log!("marketing_automation mailer: {error}");
            self.last_error = Some(error);
        }
    }

    fn pause(&mut self, pause: Duration) {
        self.paused_until = Some(Instant::now() + pause);
    }

    /// Unwraps the result of a transaction; its error is noted and pauses claiming.
    fn checked<R>(&mut self, result: Result<R, String>) -> Option<R> {
        result
            .map_err(|error| {
                self.note_error(error);
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
            let read = transaction::run(|| Configuration::read(self.configuration.as_ref()));
            self.configuration = match self.checked(read)? {
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
            match event {
                Event::Rendered(mail) => rendered.push(mail),
                Event::Delivered(delivery) => self.deliveries.push(delivery),
            }
        }
        if rendered.is_empty() {
            return;
        }
        if self.links.len() > MAX_CACHED_LINKS {
            self.links.clear();
        }
        let mut unseen: Vec<String> = rendered
            .iter()
            .flat_map(|mail| mail.rendered.links())
            .filter(|url| !self.links.contains_key(url.as_str()))
            .cloned()
            .collect();
        unseen.sort_unstable();
        unseen.dedup();
        if !unseen.is_empty() {
            let stored = transaction::run(|| database::link_ids(unseen));
            match self.checked(stored) {
                Some(stored) => self.links.extend(stored),
                None => {
                    self.deliveries.extend(
                        rendered
                            .into_iter()
                            .map(|mail| mail.job.release("links were not stored")),
                    );
                    return;
                }
            }
        }
        let links = &self.links;
        let parcels: Vec<Parcel> = rendered
            .into_iter()
            .map(|mail| {
                let ids = mail
                    .rendered
                    .links()
                    .iter()
                    .filter_map(|url| links.get(url).copied())
                    .collect();
                Parcel {
                    mail: *mail,
                    links: ids,
                }
            })
            .collect();
        self.couriers.send(parcels);
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
        let recorded = transaction::run(|| database::finish_messages(&finished));
        if self.checked(recorded).is_none() {
            return;
        }
        let count = |state: &str| finished.iter().filter(|mail| mail.state == state).count() as i64;
        let (sent, failed, retried) = (count("sent"), count("failed"), count("queued"));
        workers::update(|slot| {
            slot.sent += sent;
            slot.failed += failed;
            slot.retried += retried;
        });
        let deliveries = std::mem::take(&mut self.deliveries);
        self.in_flight -= deliveries.len();
        if deliveries
            .iter()
            .any(|delivery| matches!(delivery.outcome, Outcome::Sent(_) | Outcome::Failed(_)))
        {
            self.failed_connects = 0;
        }
        let mut unreachable = None;
        for delivery in deliveries {
            match delivery.outcome {
                Outcome::Unreachable(reason) => unreachable = Some(reason),
                Outcome::Sent(_) | Outcome::Released => {}
                Outcome::Failed(reason) | Outcome::Retry(reason) | Outcome::InDoubt(reason) => {
                    workers::note_error(&format!("message {}: {reason}", delivery.id));
                }
            }
        }
        if let Some(reason) = unreachable {
            // The server's trouble, not the mails': claims were given back, all wait.
            if !self.is_paused() {
                self.failed_connects += 1;
                self.pause(retry::reconnect_pause(self.failed_connects));
            }
            workers::update(|slot| slot.state = State::Paused);
            self.note_error(reason);
        }
    }

    fn is_paused(&self) -> bool {
        self.paused_until
            .is_some_and(|until| until > Instant::now())
    }

    /// Claims a batch and has it rendered; gives how long there is nothing more to claim.
    fn claim(&mut self, configuration: &Arc<Configuration>) -> Duration {
        let batch = settings::batch_size();
        let (jobs, next) = {
            let templates = &mut self.templates;
            let claimed = transaction::run(|| {
                let claimed = database::claim_messages(batch)?;
                templates.learn(&claimed)?;
                let next = if claimed.is_empty() {
                    database::next_due()?
                } else {
                    None
                };
                Ok((claimed, next))
            });
            let Some((claimed, next)) = self.checked(claimed) else {
                return AFTER_ERROR;
            };
            (claimed, next)
        };
        if jobs.is_empty() {
            return next.map_or(POLL, |seconds| {
                Duration::from_secs_f64(seconds.clamp(0.01, POLL.as_secs_f64()))
            });
        }
        self.in_flight += jobs.len();
        let templates = &mut self.templates;
        let mut jobs = jobs
            .into_iter()
            .map(|mail| templates.job(mail, configuration))
            .peekable();
        while jobs.peek().is_some() {
            self.couriers
                .render(jobs.by_ref().take(courier::RENDER_CHUNK).collect());
        }
        Duration::ZERO
    }

    /// One round; gives how long to sleep when nobody wakes the worker.
    fn round(&mut self, reload: bool) -> Duration {
        self.collect();
        self.record();
        let Some(configuration) = self.configure(reload) else {
            return POLL;
        };
        if let Some(until) = self.paused_until.filter(|until| *until > Instant::now()) {
            return until.duration_since(Instant::now()).min(POLL);
        }
        self.paused_until = None;
        let room =
            self.in_flight < 2 * usize::try_from(settings::batch_size()).unwrap_or(usize::MAX);
        let sleep = if room {
            self.claim(&configuration)
        } else {
            POLL
        };
        let state = if self.in_flight > 0 {
            State::Sending
        } else {
            State::Idle
        };
        if self.paused_until.is_none() {
            workers::update(|slot| slot.state = state);
        }
        sleep
    }

    /// Before the worker leaves: what is not yet at the server is given back, what is may end, all is recorded.
    fn farewell(&mut self) {
        self.couriers.stop();
        let deadline = Instant::now() + FAREWELL;
        while self.in_flight > 0 && Instant::now() < deadline {
            for event in self.couriers.wait_for_events(Duration::from_millis(20)) {
                self.deliveries.push(match event {
                    Event::Rendered(mail) => mail.job.release("mailer stopped"),
                    Event::Delivered(delivery) => delivery,
                });
            }
            if self.deliveries.len() == self.in_flight {
                break;
            }
        }
        self.record();
    }
}

/// What a look at the database finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extension {
    Absent,
    /// Somebody is dropping or altering it right now.
    Locked,
    /// The outbox's OID tells one installation from the next.
    Usable(pg_sys::Oid),
}

fn look_for_extension() -> Result<Extension, String> {
    transaction::run(|| {
        let outbox = Spi::get_one::<pg_sys::Oid>(
            "select c.oid from pg_catalog.pg_extension e
             join pg_catalog.pg_class c on c.relname = 'outbox' and c.relnamespace = pg_catalog.to_regnamespace('marketing_automation')
             where e.extname = 'marketing_automation'",
        );
        match outbox {
            Err(spi::Error::InvalidPosition) | Ok(None) => Ok(Extension::Absent),
            Err(error) => Err(error),
            Ok(Some(outbox)) => {
                // SAFETY: a lock that the end of the transaction gives back. Who drops or alters the extension holds a
                // stronger one, and must not wait for us nor we for them.
                let free = unsafe {
                    pg_sys::ConditionalLockRelationOid(
                        outbox,
                        pg_sys::AccessShareLock as pg_sys::LOCKMODE,
                    )
                };
                Ok(if free {
                    Extension::Usable(outbox)
                } else {
                    Extension::Locked
                })
            }
        }
    })
}

/// Takes the session lock that makes this process the database's only mailer.
fn become_the_mailer() -> Result<bool, String> {
    transaction::run(|| {
        Ok(Spi::get_one::<bool>(
            "select pg_catalog.pg_try_advisory_lock(pg_catalog.hashtext('marketing_automation.mailer'), 0)",
        )? == Some(true))
    })
}

/// Main function of a mailer process; its argument is the database's OID.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn marketing_automation_mailer(database: pg_sys::Datum) {
    process::handle_signals();
    BackgroundWorker::connect_worker_to_spi_by_oid(
        Some(pg_sys::Oid::from(database.value() as u32)),
        None,
    );
    process::use_own_settings();
    // Returning is exit code 0: the postmaster forgets the worker, the launcher decides.
    let Ok(Extension::Usable(installation)) = look_for_extension() else {
        return;
    };
    if become_the_mailer() != Ok(true) {
        return;
    }
    if !workers::announce_worker() {
        warning!(
            "marketing_automation: more databases than one cluster can serve have the extension"
        );
        return;
    }
    let mut mailer = match Mailer::new() {
        Ok(mailer) => mailer,
        Err(error) => {
            workers::note_error(&format!("mail threads do not start: {error}"));
            workers::leave();
            return;
        }
    };
    let hold = settings::in_doubt() == InDoubt::hold;
    let mut rescued = false;
    let mut reload = false;
    loop {
        let sleep = match look_for_extension() {
            Ok(Extension::Usable(found)) if found == installation => {
                if !rescued {
                    let result = transaction::run(|| database::rescue_messages(hold));
                    rescued = mailer.checked(result).is_some();
                }
                if rescued {
                    mailer.round(std::mem::take(&mut reload))
                } else {
                    AFTER_ERROR
                }
            }
            Ok(Extension::Locked) => Duration::from_secs(1),
            Ok(Extension::Usable(_)) => {
                // Dropped and created again: ids mean other things now, so a new mailer must begin afresh.
                workers::leave();
                workers::wake_launcher();
                return;
            }
            Ok(Extension::Absent) => {
                // DROP EXTENSION: nothing is left to record, and the slot must not look like one to restart.
                workers::update(|slot| slot.started_at = 0);
                break;
            }
            Err(error) => {
                mailer.note_error(error);
                AFTER_ERROR
            }
        };
        if !mailer.couriers.has_events() {
            process::wait(sleep);
        }
        if process::is_stopping() {
            mailer.farewell();
            break;
        }
        reload |= process::handle_interrupts();
    }
    workers::leave();
}
