//! Senders that a server refuses, and recipients' domains for which it puts mails off: they rest for a while, and the others go on. After
//! the pause one mail finds out.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So many mails to one domain put off in a row: that is about the domain, not about the recipients.
const SUSPICIOUS: usize = 10;
/// So many domains that rest because sessions ended: that is about the server.
const DOMAINS: usize = 3;
/// How long the others wait for the answer to the one that finds out.
const PROBE: Duration = Duration::from_secs(10);
const LONGEST: u32 = 6;
/// More are not remembered.
const LIMIT: usize = 10_000;

/// Who rests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Party {
    /// The address of a sender, as it stands in From.
    Sender(String),
    /// The domain of a recipient, or the target of a webhook.
    Domain(String),
}

/// What a mail's parties may do.
#[derive(Default)]
pub(super) struct Rests {
    /// Whether anybody is known here: mails look no further while nobody is.
    any: AtomicBool,
    state: Mutex<HashMap<Party, Rest>>,
}

#[derive(Default)]
struct Rest {
    /// Mails put off in a row.
    row: usize,
    /// Pauses in a row.
    pauses: u32,
    until: Option<Instant>,
    /// Whether the mail that finds out is on its way.
    is_probed: bool,
}

/// One second, then two, four and so on up to a minute.
fn pause(pauses: u32) -> Duration {
    Duration::from_secs(1 << pauses.clamp(1, LONGEST + 1).saturating_sub(1))
        .min(Duration::from_secs(60))
}

impl Rests {
    fn state(&self) -> MutexGuard<'_, HashMap<Party, Rest>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nobody rests or is about to.
    pub(super) fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Whether anybody rests now.
    pub(super) fn has_resting(&self, now: Instant) -> bool {
        let rests = |rest: &Rest| rest.until.is_some_and(|until| until > now);
        !self.is_empty() && self.state().values().any(rests)
    }

    /// How long until a mail of these parties may go.
    pub(super) fn admits_in(&self, parties: &[Party], now: Instant) -> Duration {
        let state = self.state();
        let untils = parties.iter().filter_map(|party| state.get(party)?.until);
        let waits = untils.map(|until| until.saturating_duration_since(now));
        waits.max().unwrap_or_default()
    }

    /// Whether a mail of these parties may go now. The first one after a pause holds up the others until it is answered.
    pub(super) fn admit(&self, parties: &[Party], now: Instant) -> bool {
        let mut state = self.state();
        let rests = |until: Option<Instant>| until.is_some_and(|until| until > now);
        let until_of = |party| state.get(party).and_then(|rest: &Rest| rest.until);
        if parties.iter().any(|party| rests(until_of(party))) {
            return false;
        }
        for party in parties {
            if let Some(rest) = state.get_mut(party).filter(|rest| rest.until.is_some()) {
                rest.until = Some(now + PROBE);
                rest.is_probed = true;
            }
        }
        true
    }

    /// A mail of these parties was taken.
    pub(super) fn accepted(&self, parties: &[Party]) {
        let mut state = self.state();
        for party in parties {
            state.remove(party);
        }
        self.any.store(!state.is_empty(), Ordering::Release);
    }

    /// The sender of a mail was refused, or the session ended when it heard the recipient: it rests at once. Gives the pause, unless the
    /// party rests already: what was on its way says the same once more.
    pub(super) fn refused(&self, party: &Party, now: Instant) -> Option<Duration> {
        self.any.store(true, Ordering::Release);
        let mut state = self.state();
        if state.len() >= LIMIT {
            state.retain(|_, rest| rest.until.is_some_and(|until| until > now));
        }
        state.entry(party.clone()).or_default().begin(now)
    }

    /// A mail to a domain was put off. Gives the pause when it is one too many.
    pub(super) fn put_off(&self, party: &Party, now: Instant) -> Option<Duration> {
        self.any.store(true, Ordering::Release);
        let mut state = self.state();
        if state.len() >= LIMIT {
            state.retain(|_, rest| rest.until.is_some_and(|until| until > now));
        }
        let rest = state.entry(party.clone()).or_default();
        rest.row += 1;
        if rest.row < SUSPICIOUS {
            return None;
        }
        rest.begin(now)
    }

    /// Whether so many domains rest that it is not about them.
    pub(super) fn is_everywhere(&self, now: Instant) -> bool {
        let state = self.state();
        let resting = state.iter().filter(|(party, rest)| {
            matches!(party, Party::Domain(_)) && rest.until.is_some_and(|until| until > now)
        });
        resting.count() >= DOMAINS
    }
}

impl Rest {
    fn begin(&mut self, now: Instant) -> Option<Duration> {
        let rests = self.until.is_some_and(|until| until > now);
        if rests && !self.is_probed {
            return None;
        }
        self.pauses += 1;
        self.is_probed = false;
        let pause = pause(self.pauses);
        self.until = Some(now + pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender() -> Party {
        Party::Sender("news@shop.example".to_owned())
    }

    fn domain(name: &str) -> Party {
        Party::Domain(name.to_owned())
    }

    #[test]
    fn a_refused_sender_rests_and_one_mail_at_a_time_finds_out() {
        let rests = Rests::default();
        let now = Instant::now();
        let others = [
            Party::Sender("hello@shop.example".to_owned()),
            domain("x.example"),
        ];
        let parties = [sender(), domain("x.example")];
        assert!(rests.is_empty() && rests.admit(&parties, now));
        assert_eq!(rests.refused(&sender(), now), Some(Duration::from_secs(1)));
        assert_eq!(rests.refused(&sender(), now), None);
        assert!(!rests.admit(&parties, now) && rests.admit(&others, now));
        assert_eq!(rests.admits_in(&parties, now), Duration::from_secs(1));
        // The pause grows with each probe that is refused.
        let mut at = now;
        for seconds in [2, 4, 8, 16, 32, 60, 60] {
            at += rests.admits_in(&parties, at);
            assert!(rests.admit(&parties, at));
            assert!(!rests.admit(&parties, at), "one at a time");
            assert_eq!(
                rests.refused(&sender(), at),
                Some(Duration::from_secs(seconds))
            );
        }
        // One that is never answered makes nobody wait for ever.
        at += Duration::from_secs(60);
        assert!(rests.admit(&parties, at));
        at += PROBE;
        assert!(rests.admit(&parties, at));
        assert!(rests.has_resting(at));
        rests.accepted(&parties);
        assert!(rests.is_empty() && rests.admit(&parties, at));
    }

    #[test]
    fn only_a_row_of_mails_put_off_lets_a_domain_rest() {
        let rests = Rests::default();
        let now = Instant::now();
        let slow = domain("slow.example");
        for round in 0..3 {
            for _ in 1..SUSPICIOUS {
                assert_eq!(rests.put_off(&slow, now), None);
            }
            assert!(!rests.has_resting(now), "{round}");
            rests.accepted(&[sender(), slow.clone()]);
        }
        for _ in 1..SUSPICIOUS {
            rests.put_off(&slow, now);
        }
        assert_eq!(rests.put_off(&slow, now), Some(Duration::from_secs(1)));
        assert!(!rests.is_everywhere(now));
        for name in ["a.example", "b.example"] {
            rests.refused(&domain(name), now);
        }
        assert!(rests.is_everywhere(now));
        assert!(!rests.is_everywhere(now + Duration::from_secs(1)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let rests = Rests::default();
        let now = Instant::now();
        rests.refused(&sender(), now);
        for number in 0..2 * LIMIT {
            rests.put_off(&domain(&format!("{number}.example")), now);
        }
        assert!(rests.state().len() <= LIMIT);
        assert!(!rests.admit(&[sender()], now), "who rests is not forgotten");
    }
}
