//! What the engine asks of the process that runs it: how to wait, when to stop, and where to show how it is doing.

use std::time::Duration;

/// What a process that delivers is doing.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// The database has no extension, or the process has left.
    Absent,
    Starting,
    /// Nothing is due.
    Idle,
    Sending,
    /// A setting is missing that sending needs: see the error.
    Unconfigured,
    /// The SQL is of another version than this library.
    Outdated,
    /// This is a copy of the database that was armed: see arm().
    Disarmed,
    /// No server can be reached, and is tried again after a while; or somebody has called pause().
    Paused,
}

impl State {
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            State::Absent => "not running",
            State::Starting => "starting",
            State::Idle => "idle",
            State::Sending => "sending",
            State::Unconfigured => "unconfigured",
            State::Outdated => "outdated",
            State::Disarmed => "disarmed",
            State::Paused => "paused",
        }
    }
}

/// How many mails ended in a batch of results.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: i64,
    pub failed: i64,
    pub retried: i64,
}

pub trait Host {
    /// Whether somebody has asked the process to stop.
    fn is_stopping(&self) -> bool;

    /// Sleeps until somebody wakes the process or the time is over.
    fn wait(&mut self, patience: Duration);

    /// Sleeps until the time is over, whoever wakes the process meanwhile.
    fn sleep(&mut self, pause: Duration);

    fn show_state(&mut self, state: State);

    /// Shows what went wrong last.
    fn show_error(&mut self, error: &str);

    /// Takes the error back once it is over.
    fn clear_error(&mut self);

    fn count(&mut self, counts: Counts);

    fn log(&mut self, message: &str);

    fn warn(&mut self, message: &str);
}
