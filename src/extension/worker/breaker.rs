//! Whether an SMTP server is worth another try, as all couriers see it: the first one who finds it closed to us closes the
//! gate, the others take their mails elsewhere, and after a pause one mail at a time probes it until the server answers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::retry::reconnect_pause;

/// So many mails in a row refused for good with the same words: that is about us, not about the recipients.
const SUSPICIOUS: usize = 20;

#[derive(Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    /// What the main thread has not heard yet.
    news: Option<News>,
    /// How often in a row it was closed without an answer in between.
    failures: u32,
    closed_until: Option<Instant>,
    /// Whether a probe is on its way.
    probing: bool,
    reply: String,
    refusals: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    Closed { reason: String, pause: Duration },
    Open,
}

/// Leave to go through the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    Free,
    /// The gate is closed, and this mail tries whether the server is back.
    Probe,
}

impl Gate {
    fn record(&self) -> std::sync::MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    pub(super) fn close(&self, reason: String) {
        let mut record = self.record();
        // What was in flight when it closed says the same once more; only a probe has news.
        if self.is_closed() && !record.probing {
            return;
        }
        record.failures += 1;
        record.probing = false;
        let pause = reconnect_pause(record.failures);
        record.closed_until = Some(Instant::now() + pause);
        record.news = Some(News::Closed { reason, pause });
        self.closed.store(true, Ordering::Release);
    }

    /// Whether a mail may go through at `now`; a probe must be ended by accepted(), refused(), close() or unprobed().
    pub(super) fn admit(&self, now: Instant) -> Option<Pass> {
        if !self.is_closed() {
            return Some(Pass::Free);
        }
        let mut record = self.record();
        let over = record.closed_until.is_none_or(|until| until <= now);
        let admitted = over && !record.probing;
        record.probing |= admitted;
        admitted.then_some(Pass::Probe)
    }

    /// How long until admit() lets somebody through; None: while a probe is on its way.
    pub(super) fn opens_in(&self, now: Instant) -> Option<Duration> {
        if !self.is_closed() {
            return Some(Duration::ZERO);
        }
        let record = self.record();
        let until = record.closed_until.unwrap_or(now);
        (!record.probing).then(|| until.saturating_duration_since(now))
    }

    /// What has happened to the gate; tells it once.
    pub(super) fn take_news(&self) -> Option<News> {
        self.record().news.take()
    }

    fn answered(&self, record: &mut Record, pass: Pass) {
        match pass {
            Pass::Probe => {
                record.probing = false;
                record.failures = 0;
                record.news = Some(News::Open);
                self.closed.store(false, Ordering::Release);
            }
            // While the gate is closed, what ends now began before.
            Pass::Free if !self.is_closed() => record.failures = 0,
            Pass::Free => {}
        }
    }

    /// The server took a mail, or put one off.
    pub(super) fn accepted(&self, pass: Pass) {
        let mut record = self.record();
        record.refusals = 0;
        self.answered(&mut record, pass);
    }

    /// The server refused a mail for good. After a long row of the same refusal each further one closes the gate again,
    /// so that one mail is lost for each pause and not the whole campaign.
    pub(super) fn refused(&self, reply: &str, pass: Pass) {
        let mut record = self.record();
        if record.reply != reply {
            record.reply = reply.to_owned();
            record.refusals = 0;
        }
        record.refusals += 1;
        let refusals = record.refusals;
        if refusals < SUSPICIOUS {
            self.answered(&mut record, pass);
            return;
        }
        drop(record);
        self.close(format!(
            "{refusals} mails in a row were refused with the same reply: {reply}"
        ));
    }

    /// The probe ended without an answer of the server: another mail may be one.
    pub(super) fn unprobed(&self) {
        self.record().probing = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(gate: &Gate) -> Option<String> {
        match gate.take_news() {
            Some(News::Closed { reason, .. }) => Some(reason),
            _ => None,
        }
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[test]
    fn a_closed_gate_says_why_once() {
        let gate = Gate::default();
        assert_eq!(gate.admit(Instant::now()), Some(Pass::Free));
        gate.close("first".to_owned());
        gate.close("second".to_owned());
        assert!(gate.is_closed());
        assert_eq!(gate.admit(Instant::now()), None);
        assert_eq!(reason(&gate).as_deref(), Some("first"));
        assert_eq!(gate.take_news(), None);
    }

    #[test]
    fn one_mail_at_a_time_probes_a_server_until_it_answers() {
        let gate = Gate::default();
        gate.close("down".to_owned());
        assert!(gate.opens_in(Instant::now()).unwrap() > Duration::ZERO);
        assert_eq!(gate.admit(later()), Some(Pass::Probe));
        assert_eq!(gate.admit(later()), None);
        assert_eq!(gate.opens_in(later()), None);
        // Still down: the pause grows.
        gate.close("still down".to_owned());
        let pause = |news| match news {
            Some(News::Closed { pause, .. }) => pause,
            other => panic!("{other:?}"),
        };
        assert_eq!(pause(gate.take_news()), reconnect_pause(2));
        // A probe that never got there is no news; what began before the gate closed does not open it.
        assert_eq!(gate.admit(later()), Some(Pass::Probe));
        gate.unprobed();
        gate.accepted(Pass::Free);
        assert!(gate.is_closed());
        assert_eq!(gate.admit(later()), Some(Pass::Probe));
        gate.accepted(Pass::Probe);
        assert!(!gate.is_closed());
        assert_eq!(gate.take_news(), Some(News::Open));
        gate.close("down again".to_owned());
        assert_eq!(pause(gate.take_news()), reconnect_pause(1));
    }

    #[test]
    fn only_a_row_of_equal_refusals_closes_the_gate() {
        let gate = Gate::default();
        let free = Pass::Free;
        for number in 0..3 * SUSPICIOUS {
            gate.refused(&format!("550 no user {number}"), free);
        }
        for _ in 0..SUSPICIOUS - 1 {
            gate.refused("550 blocked", free);
        }
        gate.accepted(free);
        for _ in 0..SUSPICIOUS - 1 {
            gate.refused("550 blocked", free);
        }
        assert!(!gate.is_closed());
        gate.refused("550 blocked", free);
        assert!(gate.is_closed());
        assert_eq!(gate.admit(later()), Some(Pass::Probe));
        gate.refused("550 blocked", Pass::Probe);
        assert!(gate.is_closed());
        assert_eq!(gate.admit(later()), Some(Pass::Probe));
        gate.refused("550 no such user", Pass::Probe);
        assert!(!gate.is_closed());
    }
}
