//! Whether claimed mails may still leave: see [`crate::extension::revocation`]. The main thread looks at the claims again
//! when somebody has revoked something; until it has, the couriers wait.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What a courier may do with a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Send,
    /// Give it back: the next claim says why.
    KeepBack,
    /// The claims are about to be looked at again.
    Wait,
}

#[derive(Default)]
pub(super) struct Recheck {
    /// Count of revocations that the claims have been held against.
    seen: AtomicU64,
    kept_back: Mutex<HashSet<i64>>,
    pub(super) done: Notify,
}

impl Recheck {
    fn kept_back(&self) -> MutexGuard<'_, HashSet<i64>> {
        self.kept_back
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the claims need a look, when there are `count` revocations.
    pub(super) fn is_due(&self, count: u64) -> bool {
        self.seen.load(Ordering::SeqCst) != count
    }

    pub(super) fn verdict(&self, mail: i64, count: u64) -> Verdict {
        if self.is_due(count) {
            Verdict::Wait
        } else if self.kept_back().contains(&mail) {
            Verdict::KeepBack
        } else {
            Verdict::Send
        }
    }

    /// The main thread has looked at all claims; `count` was read before, so what came in between is looked at once more.
    pub(super) fn finish(&self, count: u64, kept_back: Vec<i64>) {
        self.kept_back().extend(kept_back);
        self.seen.store(count, Ordering::SeqCst);
        self.done.notify_waiters();
    }

    /// These claims have ended.
    pub(super) fn forget(&self, mails: impl Iterator<Item = i64>) {
        let mut kept_back = self.kept_back();
        if !kept_back.is_empty() {
            mails.for_each(|mail| {
                kept_back.remove(&mail);
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_wait_until_the_claims_were_looked_at() {
        let recheck = Recheck::default();
        assert_eq!(recheck.verdict(7, 1), Verdict::Wait);
        recheck.finish(1, vec![]);
        assert_eq!(recheck.verdict(7, 1), Verdict::Send);
        assert_eq!(recheck.verdict(7, 2), Verdict::Wait);
        // Another revocation came while the claims were looked at for the second one.
        recheck.finish(2, vec![7]);
        assert_eq!(recheck.verdict(7, 3), Verdict::Wait);
        assert_eq!(recheck.verdict(7, 2), Verdict::KeepBack);
        assert_eq!(recheck.verdict(8, 2), Verdict::Send);
    }

    #[test]
    fn a_mail_that_was_given_back_is_claimed_with_a_clean_slate() {
        let recheck = Recheck::default();
        recheck.finish(1, vec![7]);
        recheck.forget([7].into_iter());
        assert_eq!(recheck.verdict(7, 1), Verdict::Send);
    }
}
