//! Whether the SMTP server is worth another try, as all couriers see it: the first one who finds it closed to us closes
//! the gate, the others give their mails back, and the main thread opens it after a pause.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// So many mails in a row refused for good with the same words: that is about us, not about the recipients.
const SUSPICIOUS: usize = 20;

#[derive(Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    /// Why the gate was closed, until the main thread has heard it.
    news: Option<String>,
    reply: String,
    refusals: usize,
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
        if !self.closed.swap(true, Ordering::AcqRel) {
            record.news = Some(reason);
        }
    }

    pub(super) fn open(&self) {
        self.closed.store(false, Ordering::Release);
    }

    /// Why the gate has been closed; tells it once.
    pub(super) fn take_news(&self) -> Option<String> {
        self.record().news.take()
    }

    /// The server took a mail.
    pub(super) fn accepted(&self) {
        self.record().refusals = 0;
    }

    /// The server refused a mail for good. After a long row of the same refusal each further one closes the gate again,
    /// so that one mail is lost for each pause and not the whole campaign.
    pub(super) fn refused(&self, reply: &str) {
        let mut record = self.record();
        if record.reply != reply {
            record.reply = reply.to_owned();
            record.refusals = 0;
        }
        record.refusals += 1;
        let refusals = record.refusals;
        drop(record);
        if refusals >= SUSPICIOUS {
            self.close(format!(
                "{refusals} mails in a row were refused with the same reply: {reply}"
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_says_why_once() {
        let gate = Gate::default();
        gate.close("first".to_owned());
        gate.close("second".to_owned());
        assert!(gate.is_closed());
        assert_eq!(gate.take_news().as_deref(), Some("first"));
        assert_eq!(gate.take_news(), None);
        gate.open();
        assert!(!gate.is_closed());
    }

    #[test]
    fn only_a_row_of_equal_refusals_closes_the_gate() {
        let gate = Gate::default();
        for number in 0..3 * SUSPICIOUS {
            gate.refused(&format!("550 no user {number}"));
        }
        for _ in 0..SUSPICIOUS - 1 {
            gate.refused("550 blocked");
        }
        gate.accepted();
        for _ in 0..SUSPICIOUS - 1 {
            gate.refused("550 blocked");
        }
        assert!(!gate.is_closed());
        gate.refused("550 blocked");
        assert!(gate.is_closed());
        gate.open();
        gate.refused("550 blocked");
        assert!(gate.is_closed());
    }
}
