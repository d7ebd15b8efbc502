//! How a mailer keeps to commits that forbid mails which are claimed already: it does not hear of them, so it believes a claim for
//! a second, and asks again about mails that wait for longer.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::{Duration, Instant};

use crate::delivery::revocation::{Revocations, Subject};

/// No mail leaves that was not known to be allowed within this time.
pub(super) const BOUND: Duration = Duration::from_secs(1);

/// What was last confirmed. Times are milliseconds since the process began, by a clock that nobody sets.
pub(super) struct Confirmations {
    began: Instant,
    /// When the last question began whose answer covered all mails claimed before it.
    confirmed: AtomicU64,
    forbidden: RwLock<HashSet<i64>>,
}

impl Confirmations {
    pub(super) fn new() -> Self {
        Confirmations {
            began: Instant::now(),
            confirmed: AtomicU64::new(0),
            forbidden: RwLock::default(),
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, HashSet<i64>> {
        self.forbidden
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashSet<i64>> {
        self.forbidden
            .write()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the last answer is so old that it is time to ask again.
    pub(super) fn is_due(&self) -> bool {
        let age = self
            .now()
            .saturating_sub(self.confirmed.load(Ordering::Acquire));
        Duration::from_millis(age) >= BOUND / 2
    }

    /// Takes in an answer: of all mails in hand these must not leave. `asked_at`: before the question was sent.
    pub(super) fn confirm(&self, asked_at: u64, forbidden: impl IntoIterator<Item = i64>) {
        self.write().extend(forbidden);
        self.confirmed.fetch_max(asked_at, Ordering::AcqRel);
    }

    /// A claim says again what may leave.
    pub(super) fn claimed(&self, mails: &[i64]) {
        let mut forbidden = self.write();
        if !forbidden.is_empty() {
            forbidden.retain(|mail| !mails.contains(mail));
        }
    }
}

impl Revocations for Confirmations {
    fn count(&self) -> u64 {
        self.now()
    }

    fn bucket(&self, _subject: Subject, _key: &str) -> usize {
        0
    }

    fn forbids(&self, mail: i64, claimed_at: u64, _buckets: &[usize]) -> bool {
        let known_at = self.confirmed.load(Ordering::Acquire).max(claimed_at);
        let age = Duration::from_millis(self.now().saturating_sub(known_at));
        age > BOUND || self.read().contains(&mail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_leaves_while_a_claim_or_an_answer_is_fresh_and_allows_it() {
        let confirmations = Confirmations {
            began: Instant::now() - Duration::from_secs(60),
            ..Confirmations::new()
        };
        let now = confirmations.now();
        assert!(!confirmations.forbids(1, now, &[]));
        assert!(confirmations.forbids(1, now - 1500, &[]));
        confirmations.confirm(now, [2]);
        assert!(!confirmations.forbids(1, now - 1500, &[]));
        assert!(confirmations.forbids(2, now - 1500, &[]));
        confirmations.claimed(&[2]);
        assert!(!confirmations.forbids(2, now, &[]));
        assert!(!confirmations.is_due());
    }
}
