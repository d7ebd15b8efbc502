//! A clock that stands until the test moves it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crate::delivery::clock::{Clock, Time};

pub(in crate::delivery) struct ManualClock {
    started: Instant,
    passed: Mutex<Duration>,
}

impl ManualClock {
    pub(in crate::delivery) fn new() -> Arc<Self> {
        Arc::new(ManualClock {
            started: Instant::now(),
            passed: Mutex::default(),
        })
    }

    pub(in crate::delivery) fn advance(&self, by: Duration) {
        *self.passed.lock().unwrap() += by;
    }
}

impl Time for ManualClock {
    fn now(&self) -> Instant {
        self.started + *self.passed.lock().unwrap()
    }

    fn date(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000) + *self.passed.lock().unwrap()
    }
}

/// A clock that nobody moves.
pub(in crate::delivery) fn clock() -> Clock {
    ManualClock::new()
}
