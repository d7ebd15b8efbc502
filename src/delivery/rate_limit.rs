//! How much a server may take: a token bucket that the database fills, as all the limits of a server (per second, warm-up) are
//! counted there. Each token lets one mail through.

use std::time::{Duration, Instant};

pub(super) struct RateLimit {
    tokens: usize,
    /// The warm-up allows no more than the tokens in hand today.
    is_exhausted: bool,
    /// How long until the database has another token.
    interval: Duration,
    /// When the next mail that found no token should come back.
    next_at: Instant,
}

impl RateLimit {
    pub(super) fn new(now: Instant) -> Self {
        RateLimit {
            tokens: 0,
            is_exhausted: false,
            interval: Duration::from_millis(100),
            next_at: now,
        }
    }

    /// Takes what the database grants.
    pub(super) fn refill(&mut self, tokens: usize, is_exhausted: bool, interval: Duration) {
        self.tokens += tokens;
        self.is_exhausted = is_exhausted;
        self.interval = interval;
    }

    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    pub(super) fn take(&mut self) -> bool {
        let left = self.tokens.checked_sub(1);
        self.tokens = left.unwrap_or(0);
        left.is_some()
    }

    /// Gives a token back: its mail was not tried after all.
    pub(super) fn put_back(&mut self) {
        self.tokens += 1;
    }

    /// Whether there will be no token before tomorrow.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is_exhausted && self.tokens == 0
    }

    /// How long a mail that found no token should stay away: each gets a time of its own.
    pub(super) fn next_wait(&mut self, now: Instant) -> Duration {
        self.next_at = self.next_at.max(now) + self.interval;
        self.next_at.saturating_duration_since(now)
    }
}
