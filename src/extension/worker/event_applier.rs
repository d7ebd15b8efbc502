//! Applies the opens and clicks that wait in the inbox, batch by batch, between the other work of a mailer and whether or not it
//! may send.

use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::{bgworker, registry, statements, transaction};
use crate::delivery::engine::AFTER_ERROR;
use crate::mail::addresses_in_text;

/// Events in one transaction: enough that its statements are cheap for each, few enough that mails wait a moment only.
const BATCH: i32 = 5000;
/// The least pause after a batch, so that events that come together are applied together.
const LEAST_PAUSE: Duration = Duration::from_millis(20);
/// In a rush a pause lasts so many times as long as the batch took: answering readers and sending mails come first.
const PAUSE_FACTOR: u32 = 3;
/// A sleep of the mailer may end so much before its time.
const EARLY: Duration = Duration::from_millis(2);
/// The pause while somebody else applies events.
const TAKEN: Duration = Duration::from_millis(200);
/// How long clicks of the past that arrive late, after an outage, are looked for from where the last one was found.
const FULL_SCAN: Duration = Duration::from_secs(10);

/// When to look into the inbox again.
#[derive(Debug, Default)]
pub(super) struct EventApplier {
    pause: Option<Pause>,
    full_scan_at: Option<Instant>,
    last_error: Option<String>,
}

/// A pause after a batch, and how long it is when there is a rush: when something else wakes the mailer meanwhile.
#[derive(Debug)]
struct Pause {
    until: Instant,
    in_a_rush: Instant,
}

impl Pause {
    fn new(ended: Instant, pause: Duration, took: Duration) -> Self {
        Self {
            until: ended + pause,
            in_a_rush: ended + pause.max(took * PAUSE_FACTOR),
        }
    }

    /// How long it lasts from now on, None when it is over; called whenever the mailer wakes.
    fn left(&mut self, now: Instant) -> Option<Duration> {
        if now + EARLY < self.until {
            self.until = self.in_a_rush;
        }
        self.until
            .checked_duration_since(now)
            .filter(|left| !left.is_zero())
    }
}

/// How long to sleep until a click may be judged.
fn until_ripe(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds)
        .unwrap_or_default()
        .max(LEAST_PAUSE)
}

impl EventApplier {
    /// Applies a batch if it is time. Gives how long to sleep at most before the next call; None: until woken.
    pub(super) fn apply(&mut self) -> Option<Duration> {
        let began = Instant::now();
        if let Some(left) = self.pause.as_mut().and_then(|pause| pause.left(began)) {
            return Some(left);
        }
        let full_scan = self
            .full_scan_at
            .is_none_or(|last| began.duration_since(last) >= FULL_SCAN);
        if full_scan {
            self.full_scan_at = Some(began);
        }
        let applied = transaction::run_in_extension(|| {
            let applied = statements::apply_batch(BATCH, full_scan)?;
            let next_click = match applied {
                Some(0) => statements::next_click()?,
                _ => None,
            };
            Ok((applied, next_click))
        });
        let (pause, sleep) = match &applied {
            // Whatever comes will wake the worker; not so a click that has waited long enough.
            Ok((Some(0), next_click)) => (LEAST_PAUSE, next_click.map(until_ripe)),
            Ok((Some(_), _)) => (LEAST_PAUSE, Some(LEAST_PAUSE)),
            Ok((None, _)) => (TAKEN, Some(TAKEN)),
            Err(_) => (AFTER_ERROR, Some(AFTER_ERROR)),
        };
        self.note(
            applied
                .err()
                .map(|error| addresses_in_text::without(&error)),
        );
        let ended = Instant::now();
        self.pause = Some(Pause::new(ended, pause, ended - began));
        sleep
    }

    /// Shows an error in worker_status(), and in the log when it is a new one.
    fn note(&mut self, error: Option<String>) {
        if let Some(error) = error.as_ref().filter(|_| !bgworker::is_stopping()) {
            registry::note_error(error);
            if self.last_error.as_ref() != Some(error) {
                log!("marketing_automation mailer: events are not applied: {error}");
            }
        }
        self.last_error = error;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_pauses_longer_when_it_is_woken() {
        let ended = Instant::now();
        let ms = |n| Duration::from_millis(n);
        let paused = || Pause::new(ended, ms(20), ms(100));
        assert_eq!(paused().left(ended + ms(19)), Some(ms(1)), "as it was set");
        assert_eq!(paused().left(ended + ms(20)), None);
        let mut woken = paused();
        assert_eq!(woken.left(ended + ms(5)), Some(ms(295)));
        assert_eq!(woken.left(ended + ms(200)), Some(ms(100)));
        assert_eq!(woken.left(ended + ms(300)), None);
        let mut short = Pause::new(ended, ms(20), ms(1));
        assert_eq!(short.left(ended + ms(5)), Some(ms(15)));
    }
}
