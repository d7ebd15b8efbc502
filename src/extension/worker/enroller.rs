//! Enters rows of watched tables as soon as they are committed, and runs what they start, between the other work of a mailer.
//!
//! What takes long, raises or needs all rows read is left to the job that calls `enroll_all()`.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pgrx::prelude::*;

use super::statements::{self, Enrolled};
use super::{bgworker, registry, transaction};
use crate::delivery::engine::AFTER_ERROR;
use crate::extension::settings;
use crate::mail::addresses_in_text;

/// The least pause, so that rows that come together enter together.
const LEAST_PAUSE: Duration = Duration::from_millis(20);
/// A pause lasts so many times as long as the work before it: mails and events come first.
const PAUSE_FACTOR: u32 = 3;
/// Work goes on after a pause when it has taken so long.
const LONGEST: Duration = Duration::from_millis(500);
/// The pause while somebody else has a scenario.
const HELD: Duration = Duration::from_millis(200);
/// A scenario that was left to others is not tried again before, nor before so many times as long as trying it took.
const LEFT: Duration = Duration::from_secs(15);
const LEFT_FACTOR: u32 = 30;
/// Records in one batch of processing.
const BATCH: i32 = 200;

/// When to look for written rows again.
#[derive(Debug, Default)]
pub(super) struct Enroller {
    /// Whether something is left from the last time.
    unfinished: bool,
    rests_until: Option<Instant>,
    left: HashMap<i32, Instant>,
    last_error: Option<String>,
}

impl Enroller {
    /// Works if rows were written and it is time. Gives how long to sleep at most before the next call; None: until woken.
    pub(super) fn run(&mut self) -> Option<Duration> {
        if !settings::enroll_on_commit() {
            // Writers announce nothing meanwhile: once it is on, what was written until then is looked for.
            self.unfinished = true;
            return None;
        }
        let began = Instant::now();
        // While it rests, what was written stays announced: who commits meanwhile wakes nobody.
        let rest = self
            .rests_until
            .and_then(|until| until.checked_duration_since(began))
            .filter(|rest| !rest.is_zero());
        if rest.is_some() {
            return rest;
        }
        self.unfinished |= registry::take_written();
        if !self.unfinished {
            return None;
        }
        let outcome = self.work(began);
        let ended = Instant::now();
        let mut pause = LEAST_PAUSE.max((ended - began) * PAUSE_FACTOR);
        self.unfinished = match outcome {
            Ok(Done::All) => false,
            Ok(Done::InPart) => true,
            Ok(Done::Held) => {
                pause = pause.max(HELD);
                true
            }
            Err(_) => {
                pause = AFTER_ERROR;
                true
            }
        };
        self.note(
            outcome
                .err()
                .map(|error| addresses_in_text::without(&error)),
        );
        self.rests_until = Some(ended + pause);
        // Also when nothing is left: what is written meanwhile is announced to nobody.
        Some(pause)
    }

    fn work(&mut self, began: Instant) -> Result<Done, String> {
        self.left.retain(|_, until| *until > began);
        let mut tried: Vec<i32> = self.left.keys().copied().collect();
        let mut done = Done::All;
        let asked = tried.clone();
        transaction::run_in_extension(|| statements::pass_over_written(asked))?;
        // The look has a limit of its own.
        let began = Instant::now();
        loop {
            let asked = tried.clone();
            let asked_at = Instant::now();
            let found = transaction::run_in_extension(|| statements::enroll_captured(asked))?;
            let Some((scenario, enrolled)) = found else {
                return Ok(done);
            };
            tried.push(scenario);
            match enrolled {
                Enrolled::Rows(0) => {}
                Enrolled::Rows(_) => Self::process(scenario, began)?,
                Enrolled::Held => done = Done::Held,
                Enrolled::Left => {
                    let pause = LEFT.max(asked_at.elapsed() * LEFT_FACTOR);
                    self.left.insert(scenario, Instant::now() + pause);
                }
            }
            if bgworker::is_stopping() || began.elapsed() > LONGEST {
                return Ok(Done::InPart);
            }
        }
    }

    /// Runs what is due of a scenario; what this leaves, the next `process_all_due()` runs.
    fn process(scenario: i32, began: Instant) -> Result<(), String> {
        while !bgworker::is_stopping() && began.elapsed() <= LONGEST {
            let processed =
                transaction::run_in_extension(|| statements::process_entered(scenario, BATCH))?;
            if processed == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Shows an error in worker_status(), and in the log when it is a new one.
    fn note(&mut self, error: Option<String>) {
        if let Some(error) = error.as_ref().filter(|_| !bgworker::is_stopping()) {
            registry::note_error(error);
            if self.last_error.as_ref() != Some(error) {
                log!("marketing_automation mailer: written rows do not enter: {error}");
            }
        }
        self.last_error = error;
    }
}

/// What a look at written rows has come to.
#[derive(Debug, Clone, Copy)]
enum Done {
    All,
    InPart,
    Held,
}
