//! A server that takes our mails, or a target of webhooks: how to reach it, which mails wait for it, whether it answers, and how much it may take.

pub mod definition;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::{Admission, CircuitBreaker};
use super::clock::Clock;
use super::crowd::Crowd;
use super::outcome::{Delivered, Outcome};
use super::queue::SendQueue;
use super::rate_limit::RateLimit;
use super::rests::Rests;
use super::secret::Secret;
use crate::smtp::TransportConfig;
use crate::webhook::client::Target;
use crate::webhook::origin::Origin;
use crate::webhook::signature::Key;
use definition::{Definition, Kind};

/// How messages get to it.
pub enum Transport {
    Smtp(TransportConfig),
    Http(Target),
}

pub struct Server {
    pub definition: Definition,
    pub transport: Transport,
    /// What it is called in the log of attempts.
    pub(super) label: Arc<str>,
    /// What it is called in smtp_server.
    pub(super) name: Arc<str>,
    pub(super) queue: Arc<SendQueue>,
    pub(super) breaker: CircuitBreaker,
    /// Senders and recipients' domains that it does not want for a while.
    pub(super) rests: Rests,
    state: Mutex<State>,
}

/// What changes while the server is in use.
struct State {
    rate_limit: RateLimit,
    /// Its turn among others, for the weighted choice.
    turn: i64,
    /// Whether it was stuck at the last look.
    was_stuck: bool,
    crowd: Crowd,
}

/// The transport of a server, and what the log of attempts calls it.
fn transport(definition: &Definition) -> Result<(Transport, String), String> {
    let secret = definition.password.as_ref().map(|Secret(text)| text);
    let Kind::Webhook { may_be_private } = definition.kind else {
        let mut smtp =
            TransportConfig::parse(&definition.url).map_err(|error| error.to_string())?;
        if let Some(password) = secret {
            smtp = smtp.with_password(password.clone());
        }
        if let Some(path) = &definition.token_file {
            smtp = smtp.with_token_file(path.clone());
        }
        let label = smtp.to_string();
        return Ok((Transport::Smtp(smtp), label));
    };
    let origin = Origin::parse(&definition.url)?;
    let label = origin.to_string();
    let key = secret.map(|text| Key::parse(text)).transpose()?;
    let target = Target {
        origin,
        may_be_private,
        key,
    };
    Ok((Transport::Http(target), label))
}

impl std::fmt::Debug for Server {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.definition.fmt(formatter)
    }
}

impl Server {
    /// An error says why the URL cannot be used.
    pub(super) fn new(definition: Definition, clock: &Clock) -> Result<Self, String> {
        let (transport, label) = transport(&definition)?;
        Ok(Server {
            label: label.into(),
            name: definition.name.as_str().into(),
            transport,
            queue: Arc::new(SendQueue::new(Arc::clone(clock))),
            breaker: CircuitBreaker::default(),
            rests: Rests::default(),
            state: Mutex::new(State {
                rate_limit: RateLimit::new(clock.now()),
                turn: 0,
                was_stuck: false,
                crowd: Crowd::default(),
            }),
            definition,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tokens in hand; each lets one mail through to a limited server.
    pub(super) fn tokens(&self) -> usize {
        self.state().rate_limit.tokens()
    }

    /// Takes what the database grants; `interval`: how long until there is more.
    pub(super) fn refill(&self, tokens: usize, is_exhausted: bool, interval: Duration) {
        self.state()
            .rate_limit
            .refill(tokens, is_exhausted, interval);
    }

    pub(super) fn take_token(&self) -> bool {
        !self.definition.limited || self.state().rate_limit.take()
    }

    /// Gives a token back: its mail was not tried after all.
    pub(super) fn return_token(&self) {
        if self.definition.limited {
            self.state().rate_limit.put_back();
        }
    }

    pub(super) fn has_token(&self) -> bool {
        !self.definition.limited || self.tokens() > 0
    }

    /// Whether its warm-up allows no more today.
    pub(super) fn is_exhausted(&self) -> bool {
        self.definition.limited && self.state().rate_limit.is_exhausted()
    }

    /// How long a mail that found no token should stay away.
    pub(super) fn next_token_in(&self, now: Instant) -> Duration {
        self.state().rate_limit.next_wait(now)
    }

    /// Whether all its connections have hung for as long as an answer may take. The reply to a mail itself may take longer, but
    /// other mails need not wait for it.
    pub(super) fn is_stuck(&self) -> bool {
        self.queue.is_stuck(self.definition.timeout)
    }

    /// Whether it has become stuck or come loose since the last call.
    pub(super) fn stuck_transition(&self) -> Option<bool> {
        let is_stuck = self.is_stuck();
        let was_stuck = std::mem::replace(&mut self.state().was_stuck, is_stuck);
        (is_stuck != was_stuck).then_some(is_stuck)
    }

    /// Whether its mails go elsewhere.
    pub(super) fn is_away(&self) -> bool {
        self.breaker.is_tripped() || self.is_stuck()
    }

    /// Takes back the mails whose leases expired while they waited for a connection.
    pub(super) fn take_expired(&self) -> Vec<Delivered> {
        let expired = self.queue.take_expired().into_iter();
        expired
            .map(|ready| {
                self.return_token();
                if ready.job.mail.target.is_some() {
                    self.note_passage(false);
                }
                if ready.admission == Admission::Probe {
                    self.breaker.cancel_probe();
                }
                ready.job.end(Outcome::LeaseExpired)
            })
            .collect()
    }

    /// Whether it takes messages to this target, or mails: None.
    pub(super) fn takes(&self, target: Option<&str>) -> bool {
        match self.definition.kind {
            Kind::Mail => target.is_none(),
            Kind::Webhook { .. } => target == Some(&*self.name),
        }
    }

    /// How long a message has to stay away as others wait already for this target; None: it may wait here. All that waits for a
    /// connection holds a claim, and a target may be slow.
    pub(super) fn crowded_for(&self) -> Option<Duration> {
        let waiting = self.queue.waiting();
        self.state().crowd.enter(waiting)
    }

    /// Notes that a message of this target got through, or that its lease ended before.
    pub(super) fn note_passage(&self, has_passed: bool) {
        let least = self.definition.connections;
        self.state().crowd.learn(has_passed, least);
    }

    /// Adds to its turn, and gives it.
    pub(super) fn advance(&self, by: i64) -> i64 {
        let mut state = self.state();
        state.turn += by;
        state.turn
    }
}
