//! How many messages may wait for the connections to one target of webhooks: as many as get through within a lease. Without this, a
//! slow target would take all claims, and mails would wait for it.

use std::time::Duration;

const FIRST: usize = 16;
const MOST: usize = 2000;
/// How long the first that finds no room stays away; each further one a little longer, so that they do not come back together.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

pub(super) struct Crowd {
    room: usize,
    /// Turned away in a row.
    turned_away: usize,
}

impl Default for Crowd {
    fn default() -> Self {
        Crowd {
            room: FIRST,
            turned_away: 0,
        }
    }
}

impl Crowd {
    /// Lets a message in while fewer wait than there is room for; else says how long it has to stay away.
    pub(super) fn enter(&mut self, waiting: usize) -> Option<Duration> {
        if waiting < self.room {
            self.turned_away = 0;
            return None;
        }
        self.turned_away += 1;
        let share = self.turned_away as f64 / self.room as f64;
        Some(PAUSE.mul_f64(1.0 + share).min(LONGEST))
    }

    /// Learns from how a message left: one that passed makes room for one more, one whose lease expired halves it.
    pub(super) fn learn(&mut self, has_passed: bool, least: usize) {
        self.room = match has_passed {
            true => (self.room + 1).min(MOST),
            false => (self.room / 2).max(least).max(1),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_target_gets_many_and_a_slow_one_what_it_takes() {
        let mut crowd = Crowd::default();
        assert_eq!(crowd.enter(15), None);
        assert!(crowd.enter(16).is_some());
        for _ in 0..5000 {
            crowd.learn(true, 8);
        }
        assert_eq!(crowd.enter(1999), None);
        assert!(crowd.enter(2000).is_some());
        for _ in 0..20 {
            crowd.learn(false, 8);
        }
        assert_eq!(crowd.enter(7), None);
        assert!(crowd.enter(8).is_some());
    }

    #[test]
    fn who_is_turned_away_comes_back_one_after_the_other() {
        let mut crowd = Crowd::default();
        let waits: Vec<Duration> = (0..2000).filter_map(|_| crowd.enter(16)).collect();
        assert_eq!(waits.len(), 2000);
        assert!(waits.is_sorted() && waits[0] > PAUSE && waits[1999] == LONGEST);
        assert_eq!(crowd.enter(0), None);
        assert!(crowd.enter(16) < Some(Duration::from_secs(2)));
    }
}
