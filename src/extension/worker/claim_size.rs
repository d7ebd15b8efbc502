//! How many mails to claim at once: as many as leave within a second. A claim looks at blocked records and
//! unsubscriptions, and what waits longer than that is given back and looked at again.

use std::time::Duration;

use super::job::Outcome;

/// How long a claim is good for.
const FRESH: Duration = Duration::from_secs(1);
/// Where nothing gets through within a second, such as on an overloaded machine, a claim is good for longer.
const LONGEST: Duration = Duration::from_secs(60);

pub(super) struct Pace {
    size: usize,
    fresh: Duration,
    tried: usize,
    stale: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Pace {
            size: 0,
            fresh: FRESH,
            tried: 0,
            stale: 0,
        }
    }
}

impl Pace {
    /// Mails to claim at once: at most `batch`, and at least two for each connection.
    pub(super) fn size(&mut self, batch: usize, connections: usize) -> usize {
        self.size = self.size.clamp(batch.min(2 * connections), batch);
        self.size
    }

    pub(super) fn fresh(&self) -> Duration {
        self.fresh
    }

    /// Learns from how mails ended: doubles after a claim's worth of mails without a stale one, halves with one.
    pub(super) fn learn<'a>(&mut self, outcomes: impl Iterator<Item = &'a Outcome>) {
        for outcome in outcomes {
            match outcome {
                Outcome::Stale => self.stale += 1,
                Outcome::Released | Outcome::Later(_) | Outcome::Unreachable(_) => {}
                _ => self.tried += 1,
            }
        }
        if self.tried + self.stale < self.size.max(1) {
            return;
        }
        self.size = match self.stale {
            0 => self.size.saturating_mul(2),
            _ => self.size / 2,
        };
        self.fresh = match self.tried {
            0 => (self.fresh * 2).min(LONGEST),
            _ => FRESH,
        };
        (self.tried, self.stale) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(sent: usize, stale: usize) -> Vec<Outcome> {
        (0..sent)
            .map(|_| Outcome::Sent("".into()))
            .chain((0..stale).map(|_| Outcome::Stale))
            .collect()
    }

    #[test]
    fn a_fast_server_gets_full_batches_and_a_slow_one_what_it_takes() {
        let mut pace = Pace::default();
        let mut sizes = Vec::new();
        for _ in 0..7 {
            let size = pace.size(500, 8);
            sizes.push(size);
            pace.learn(outcomes(size, 0).iter());
        }
        assert_eq!(sizes, [16, 32, 64, 128, 256, 500, 500]);
        for _ in 0..9 {
            let size = pace.size(500, 8);
            pace.learn(outcomes(size - 1, 1).iter());
        }
        assert_eq!(pace.size(500, 8), 16);
        assert_eq!(pace.size(10, 8), 10);
    }

    #[test]
    fn mails_given_back_for_other_reasons_teach_nothing() {
        let mut pace = Pace::default();
        assert_eq!(pace.size(500, 8), 16);
        pace.learn((0..100).map(|_| &Outcome::Released));
        assert_eq!(pace.size(500, 8), 16);
    }

    #[test]
    fn where_all_is_stale_claims_are_good_for_longer_until_one_gets_through() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            let size = pace.size(500, 1);
            pace.learn(outcomes(0, size).iter());
        }
        assert_eq!(pace.fresh(), FRESH * 8);
        let size = pace.size(500, 1);
        pace.learn(outcomes(1, size - 1).iter());
        assert_eq!(pace.fresh(), FRESH);
    }
}
