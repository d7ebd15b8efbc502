//! Growing pauses between attempts to reach the database.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
/// No pause is longer.
pub const LONGEST: Duration = Duration::from_secs(2);

/// Doubles from 50 ms to 2 s: a restarted server is found at once, an absent one is not hammered.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The pause after one more failure.
    pub fn pause(&mut self) -> Duration {
        let pause = FIRST
            .saturating_mul(2u32.saturating_pow(self.failures))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// Starts over after a success.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_cap() {
        let mut backoff = Backoff::default();
        let pauses: Vec<u128> = (0..8).map(|_| backoff.pause().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.failures = u32::MAX;
        assert_eq!(backoff.pause(), LONGEST);
        backoff.reset();
        assert_eq!(backoff.pause(), FIRST);
    }
}
