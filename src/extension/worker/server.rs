//! An SMTP server of ours: how to reach it, what waits for it, whether it answers, and how much it may take.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::{Gate, Pass};
use super::configuration::Secret;
use super::job::{Delivery, Outcome};
use super::queue::Desk;
use crate::smtp::TransportConfig;

/// What an administrator says about a server: a row of smtp_server, or the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Definition {
    pub(super) name: String,
    pub(super) url: String,
    pub(super) password: Option<Secret>,
    /// Domain of From addresses that it is for; None: any.
    pub(super) sender_domain: Option<String>,
    /// Lower ones first.
    pub(super) priority: i32,
    pub(super) weight: i32,
    pub(super) connections: usize,
    pub(super) timeout: Duration,
    /// Whether it has a pace or a warm-up, so that each mail takes a permit.
    pub(super) limited: bool,
}

pub(super) struct Server {
    pub(super) definition: Definition,
    pub(super) transport: TransportConfig,
    /// What it is called in the log of attempts.
    pub(super) label: Arc<str>,
    pub(super) desk: Arc<Desk>,
    pub(super) gate: Gate,
    books: Mutex<Books>,
}

/// What the server may still take, and its turn among others.
struct Books {
    permits: usize,
    /// The warm-up allows no more than the permits in hand today.
    is_spent: bool,
    /// When the next mail that found no permit should come back.
    next_slot: Instant,
    /// Seconds between two permits.
    pace: Duration,
    /// For the weighted choice.
    turn: i64,
    /// Whether it was stuck at the last look.
    was_stuck: bool,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.definition.fmt(formatter)
    }
}

impl Server {
    /// None: the URL cannot be used, and says why.
    pub(super) fn new(definition: Definition) -> Result<Self, String> {
        let mut transport =
            TransportConfig::parse(&definition.url).map_err(|error| error.to_string())?;
        if let Some(Secret(password)) = &definition.password {
            transport = transport.with_password(password.clone());
        }
        Ok(Server {
            label: transport.to_string().into(),
            transport,
            desk: Arc::default(),
            gate: Gate::default(),
            books: Mutex::new(Books {
                permits: 0,
                is_spent: false,
                next_slot: Instant::now(),
                pace: Duration::from_millis(100),
                turn: 0,
                was_stuck: false,
            }),
            definition,
        })
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Permits in hand; each lets one mail through to a limited server.
    pub(super) fn permits(&self) -> usize {
        self.books().permits
    }

    /// Takes what the database grants. `pace`: how long until there is more.
    pub(super) fn grant(&self, permits: usize, is_spent: bool, pace: Duration) {
        let mut books = self.books();
        books.permits += permits;
        books.is_spent = is_spent;
        books.pace = pace;
    }

    pub(super) fn take_permit(&self) -> bool {
        if !self.definition.limited {
            return true;
        }
        let mut books = self.books();
        let left = books.permits.checked_sub(1);
        books.permits = left.unwrap_or(0);
        left.is_some()
    }

    /// The mail was not tried after all.
    pub(super) fn return_permit(&self) {
        if self.definition.limited {
            self.books().permits += 1;
        }
    }

    pub(super) fn has_permit(&self) -> bool {
        !self.definition.limited || self.permits() > 0
    }

    pub(super) fn is_spent(&self) -> bool {
        let books = self.books();
        self.definition.limited && books.is_spent && books.permits == 0
    }

    /// How long a mail that found no permit should stay away: each gets a slot of its own.
    pub(super) fn next_slot(&self, now: Instant) -> Duration {
        let mut books = self.books();
        books.next_slot = books.next_slot.max(now) + books.pace;
        books.next_slot.saturating_duration_since(now)
    }

    /// Whether all its connections have hung for as long as it may take to answer; the reply to the mail itself may take
    /// longer, which is no reason for others to wait.
    pub(super) fn is_stuck(&self) -> bool {
        self.desk.is_stuck(self.definition.timeout)
    }

    /// Whether it has become stuck or come loose since the last call.
    pub(super) fn stuck_news(&self) -> Option<bool> {
        let is_stuck = self.is_stuck();
        let was_stuck = std::mem::replace(&mut self.books().was_stuck, is_stuck);
        (is_stuck != was_stuck).then_some(is_stuck)
    }

    /// Whether its mails go elsewhere.
    pub(super) fn is_away(&self) -> bool {
        self.gate.is_closed() || self.is_stuck()
    }

    /// Takes back the mails that have waited for a connection for too long.
    pub(super) fn take_stale(&self) -> Vec<Delivery> {
        let stale = self.desk.take_stale().into_iter();
        stale
            .map(|parcel| {
                self.return_permit();
                if parcel.pass == Pass::Probe {
                    self.gate.unprobed();
                }
                parcel.mail.job.end(Outcome::Stale)
            })
            .collect()
    }

    /// Adds to its turn, and gives it.
    pub(super) fn advance(&self, by: i64) -> i64 {
        let mut books = self.books();
        books.turn += by;
        books.turn
    }
}
