//! Opens and clicks that wait in the inbox: applied batch by batch between the mailer's other doings, whether or not it
//! may send.

use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::{AFTER_ERROR, database, process, transaction};
use crate::extension::workers;

/// Events in one transaction: enough that its statements are cheap for each, few enough that mails wait a moment only.
const BATCH: i32 = 5000;
/// After a batch it rests at least this, so that events that come together are applied together.
const PAUSE: Duration = Duration::from_millis(20);
/// In a rush answering readers and sending mails come first: it rests so many times as long as the batch took.
const RESTS: u32 = 3;
/// While somebody else applies events.
const TAKEN: Duration = Duration::from_millis(200);

/// When to look into the inbox again.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    next: Option<Instant>,
    last_error: Option<String>,
}

impl Inbox {
    /// Applies a batch if it is time. Gives how long to sleep at most before the next call; None: until woken.
    pub(super) fn apply(&mut self) -> Option<Duration> {
        let began = Instant::now();
        if let Some(next) = self.next.filter(|next| *next > began) {
            return Some(next - began);
        }
        let applied = transaction::run_in_extension(|| database::apply_batch(BATCH));
        let (more, pause) = match applied {
            // Whatever comes will wake the worker.
            Ok(Some(0)) => (false, PAUSE),
            Ok(Some(_)) => (true, (began.elapsed() * RESTS).max(PAUSE)),
            Ok(None) => (true, TAKEN),
            Err(_) => (true, AFTER_ERROR),
        };
        self.note(applied.err());
        self.next = Some(Instant::now() + pause);
        more.then_some(pause)
    }

    /// Shows an error in worker_status(), and in the log when it is a new one.
    fn note(&mut self, error: Option<String>) {
        if let Some(error) = error.as_ref().filter(|_| !process::is_stopping()) {
            workers::note_error(error);
            if self.last_error.as_ref() != Some(error) {
                log!("marketing_automation mailer: events are not applied: {error}");
            }
        }
        self.last_error = error;
    }
}
