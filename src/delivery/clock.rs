//! Time, which the engine is given: a test turns the clock by hand.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Tells the time.
pub trait Time: Send + Sync {
    fn now(&self) -> Instant;

    /// The time of day, for the headers of mails.
    fn date(&self) -> SystemTime;
}

/// The clock of the machine, for whoever runs an engine. When a mail is due says the database.
pub(crate) struct MachineClock;

impl Time for MachineClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn date(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// A clock that everything in one engine shares.
pub type Clock = Arc<dyn Time>;
