//! The circuit breaker of a server: the first sender that cannot reach it trips the breaker, the others take their mails elsewhere, and
//! after a pause one mail at a time probes the server until it answers.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::mail::bounce::comparable;

/// So many mails in a row refused for good with the same words: that is about us, not about the recipients.
const SUSPICIOUS: usize = 20;

#[derive(Default)]
pub struct CircuitBreaker {
    tripped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the main thread has not heard yet.
    transition: Option<Transition>,
    /// How often in a row it was closed without an answer in between.
    failures: u32,
    tripped_until: Option<Instant>,
    /// Whether a probe is on its way.
    probing: bool,
    /// The reply of the row of refusals, without what differs from mail to mail.
    reply: String,
    refusals: usize,
    row: Row,
}

/// A row of mails refused for good with the same words. Whether that is about the mails or about us shows when it ends; until then no
/// mail fails, and no address is suppressed.
#[derive(Debug, Clone, Default)]
pub struct Row(Arc<AtomicU8>);

/// What a row of refusals is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    Unknown,
    Mails,
    Us,
}

impl Row {
    pub(super) fn subject(&self) -> Subject {
        match self.0.load(Ordering::Acquire) {
            0 => Subject::Unknown,
            1 => Subject::Mails,
            _ => Subject::Us,
        }
    }

    fn is_about_us(&self) {
        self.0.store(2, Ordering::Release);
    }

    /// The server has taken a mail, or refused one with other words.
    fn end(&mut self) {
        let _ = self
            .0
            .compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
        *self = Row::default();
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Transition {
    Tripped { reason: String, pause: Duration },
    Recovered,
}

/// Leave to go through the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Free,
    /// The gate is closed, and this mail tries whether the server is back.
    Probe,
}

/// How long to leave an SMTP server alone that could not be reached `failures` times in a row.
fn reconnect_pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.clamp(1, 7).saturating_sub(1)).min(Duration::from_secs(60))
}

impl CircuitBreaker {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_tripped(&self) -> bool {
        self.tripped.load(Ordering::Acquire)
    }

    pub(super) fn trip(&self, reason: String, now: Instant) {
        self.trip_for(reason, now, None);
    }

    /// Trips it for so long, as the server has asked; None: the longer the more often that happens.
    pub(super) fn trip_for(&self, reason: String, now: Instant, asked: Option<Duration>) {
        let mut state = self.state();
        // What was in flight when it closed says the same once more; only a probe has news.
        if self.is_tripped() && !state.probing {
            return;
        }
        state.failures += 1;
        state.probing = false;
        let pause = asked.unwrap_or_else(|| reconnect_pause(state.failures));
        state.tripped_until = Some(now + pause);
        state.transition = Some(Transition::Tripped { reason, pause });
        self.tripped.store(true, Ordering::Release);
    }

    /// Whether a mail may go through at `now`; a probe must be ended by accepted(), refused(), close() or unprobed().
    pub(super) fn admit(&self, now: Instant) -> Option<Admission> {
        if !self.is_tripped() {
            return Some(Admission::Free);
        }
        let mut state = self.state();
        let over = state.tripped_until.is_none_or(|until| until <= now);
        let admitted = over && !state.probing;
        state.probing |= admitted;
        admitted.then_some(Admission::Probe)
    }

    /// How long until admit() lets somebody through; None: while a probe is on its way.
    pub(super) fn admits_in(&self, now: Instant) -> Option<Duration> {
        if !self.is_tripped() {
            return Some(Duration::ZERO);
        }
        let state = self.state();
        let until = state.tripped_until.unwrap_or(now);
        (!state.probing).then(|| until.saturating_duration_since(now))
    }

    /// What has happened to the gate; tells it once.
    pub(super) fn take_transition(&self) -> Option<Transition> {
        self.state().transition.take()
    }

    fn answered(&self, state: &mut State, admission: Admission) {
        match admission {
            Admission::Probe => {
                state.probing = false;
                state.failures = 0;
                state.transition = Some(Transition::Recovered);
                self.tripped.store(false, Ordering::Release);
            }
            // While the gate is closed, what ends now began before.
            Admission::Free if !self.is_tripped() => state.failures = 0,
            Admission::Free => {}
        }
    }

    /// The server took a mail, or put one off.
    pub(super) fn accepted(&self, admission: Admission) {
        let mut state = self.state();
        state.refusals = 0;
        state.row.end();
        self.answered(&mut state, admission);
    }

    /// The server refused a mail to this recipient for good; gives the row that the refusal belongs to. A long row of the same refusal
    /// is about us: then each further one closes the gate again, and all its mails wait.
    pub(super) fn refused(
        &self,
        (reply, recipient): (&str, &str),
        admission: Admission,
        now: Instant,
    ) -> Row {
        let mut state = self.state();
        let comparable = comparable(reply, recipient);
        if state.reply != comparable {
            state.reply = comparable;
            state.refusals = 0;
            state.row.end();
        }
        state.refusals += 1;
        let (refusals, row) = (state.refusals, state.row.clone());
        if refusals < SUSPICIOUS {
            self.answered(&mut state, admission);
            return row;
        }
        row.is_about_us();
        drop(state);
        let reason = format!("{refusals} mails in a row were refused with the same reply: {reply}");
        self.trip(reason, now);
        row
    }

    /// The probe ended without an answer of the server: another mail may be one.
    pub(super) fn cancel_probe(&self) {
        self.state().probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(breaker: &CircuitBreaker) -> Option<String> {
        match breaker.take_transition() {
            Some(Transition::Tripped { reason, .. }) => Some(reason),
            _ => None,
        }
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[test]
    fn a_closed_gate_says_why_once() {
        let breaker = CircuitBreaker::default();
        assert_eq!(breaker.admit(Instant::now()), Some(Admission::Free));
        breaker.trip("first".to_owned(), Instant::now());
        breaker.trip("second".to_owned(), Instant::now());
        assert!(breaker.is_tripped());
        assert_eq!(breaker.admit(Instant::now()), None);
        assert_eq!(reason(&breaker).as_deref(), Some("first"));
        assert_eq!(breaker.take_transition(), None);
    }

    #[test]
    fn one_mail_at_a_time_probes_a_server_until_it_answers() {
        let breaker = CircuitBreaker::default();
        breaker.trip("down".to_owned(), Instant::now());
        assert!(breaker.admits_in(Instant::now()).unwrap() > Duration::ZERO);
        assert_eq!(breaker.admit(later()), Some(Admission::Probe));
        assert_eq!(breaker.admit(later()), None);
        assert_eq!(breaker.admits_in(later()), None);
        // Still down: the pause grows.
        breaker.trip("still down".to_owned(), Instant::now());
        let pause = |transition| match transition {
            Some(Transition::Tripped { pause, .. }) => pause,
            other => panic!("{other:?}"),
        };
        assert_eq!(pause(breaker.take_transition()), reconnect_pause(2));
        // A probe that never got there is no news; what began before the gate closed does not open it.
        assert_eq!(breaker.admit(later()), Some(Admission::Probe));
        breaker.cancel_probe();
        breaker.accepted(Admission::Free);
        assert!(breaker.is_tripped());
        assert_eq!(breaker.admit(later()), Some(Admission::Probe));
        breaker.accepted(Admission::Probe);
        assert!(!breaker.is_tripped());
        assert_eq!(breaker.take_transition(), Some(Transition::Recovered));
        breaker.trip("down again".to_owned(), Instant::now());
        assert_eq!(pause(breaker.take_transition()), reconnect_pause(1));
    }

    #[test]
    fn only_a_row_of_equal_refusals_closes_the_gate() {
        let breaker = CircuitBreaker::default();
        let now = Instant::now();
        let refused = |reply: &str, number: usize, admission| {
            let recipient = format!("r{number}@x{number}.example");
            let reply = reply.replace("{}", &recipient);
            breaker.refused((&reply, &recipient), admission, now)
        };
        let free = Admission::Free;
        for number in 0..3 * SUSPICIOUS {
            let words = ["550 gone: {}", "550 unknown: {}"][number % 2];
            refused(words, number, free);
        }
        let judged = refused("550 5.7.1 <{}>: denied", 0, free);
        for number in 1..SUSPICIOUS - 1 {
            refused("550 5.7.1 <{}>: denied", number, free);
        }
        assert_eq!(judged.subject(), Subject::Unknown);
        breaker.accepted(free);
        assert_eq!(judged.subject(), Subject::Mails);
        let first = refused("550 5.7.1 <{}>: denied", 0, free);
        for number in 1..SUSPICIOUS - 1 {
            refused("550 5.7.1 <{}>: denied", number, free);
        }
        assert!(!breaker.is_tripped());
        refused("550 5.7.1 <{}>: denied", 9, free);
        assert!(breaker.is_tripped());
        assert_eq!(first.subject(), Subject::Us);
        assert_eq!(breaker.admit(later()), Some(Admission::Probe));
        let probe = refused("550 5.7.1 <{}>: denied", 10, Admission::Probe);
        assert!(breaker.is_tripped() && probe.subject() == Subject::Us);
        assert_eq!(breaker.admit(later()), Some(Admission::Probe));
        let other = refused("550 no such user", 11, Admission::Probe);
        assert!(!breaker.is_tripped() && other.subject() == Subject::Unknown);
        assert_eq!(first.subject(), Subject::Us);
    }

    #[test]
    fn a_server_out_of_reach_is_tried_again_at_growing_intervals() {
        let seconds: Vec<u64> = (1..=8)
            .map(|failures| reconnect_pause(failures).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    }
}
