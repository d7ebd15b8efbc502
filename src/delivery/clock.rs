//! Time, which the engine is given: a test turns the clock by hand.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Tells the time.
pub trait Time: Send + Sync {
    fn now(&self) -> Instant;

    /// The time of day, for the headers of mails.
    fn date(&self) -> SystemTime;
}

/// A clock that everything in one engine shares.
pub type Clock = Arc<dyn Time>;
