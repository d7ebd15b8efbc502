//! How often to look for due mails from the beginning of the queue, past all that has been taken while somebody keeps an old
//! snapshot. Between such thorough looks the claims begin where they found mails last; see [`crate::extension::functions::queue_cursor`].

use std::time::{Duration, Instant};

/// A mail that was committed late waits no longer for a thorough look while others keep coming.
const AT_LEAST_EVERY: Duration = Duration::from_secs(10);
/// A thorough look is followed by a pause of so many times what it took: they cost a twentieth of the time at most.
const PAUSE: u32 = 20;

#[derive(Default)]
pub(super) struct Lookout {
    /// When the last thorough look ended, and how long it took.
    last: Option<(Instant, Duration)>,
    /// Whether the last look found nothing.
    in_vain: bool,
}

impl Lookout {
    /// How long until a thorough look makes sense; None: now.
    pub(super) fn rest(&self, now: Instant) -> Option<Duration> {
        let (ended, took) = self.last?;
        let pause = match self.in_vain {
            true => (took * PAUSE).min(AT_LEAST_EVERY),
            false => AT_LEAST_EVERY,
        };
        pause
            .checked_sub(now.duration_since(ended))
            .filter(|rest| !rest.is_zero())
    }

    /// Learns how a look went.
    pub(super) fn looked(&mut self, thorough: bool, started: Instant, ended: Instant, found: bool) {
        if thorough {
            self.last = Some((ended, ended.duration_since(started)));
        }
        self.in_vain = !found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thorough_look_comes_first_and_then_when_nothing_is_found_or_it_is_time() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut lookout = Lookout::default();
        assert_eq!(lookout.rest(start), None);
        lookout.looked(true, start, start + ms(100), true);
        assert_eq!(lookout.rest(start + ms(100)), Some(AT_LEAST_EVERY));
        assert_eq!(lookout.rest(start + ms(100) + AT_LEAST_EVERY), None);
        // The queue seems to be empty: soon, for what came before the place where the looks begin.
        lookout.looked(false, start + ms(200), start + ms(201), false);
        assert_eq!(lookout.rest(start + ms(300)), Some(ms(1800)));
        assert_eq!(lookout.rest(start + ms(2100)), None);
        // One that takes very long is not put off for longer.
        lookout.looked(true, start, start + ms(60_000), false);
        assert_eq!(lookout.rest(start + ms(60_000)), Some(AT_LEAST_EVERY));
    }
}
