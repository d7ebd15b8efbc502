//! How many mails to claim at once: as many as leave within the lease of a claim, a second. A claim looks at blocked records and
//! unsubscriptions; a mail that waits longer than the lease is given back, so that the next claim looks again.

use std::time::Duration;

use super::outcome::Outcome;

/// The lease: how long a claim is good for.
const LEASE: Duration = Duration::from_secs(1);
/// Where nothing gets through within a second, such as on an overloaded machine, the lease grows up to this.
const LONGEST_LEASE: Duration = Duration::from_secs(60);

pub(super) struct ClaimSize {
    size: usize,
    lease: Duration,
    tried: usize,
    expired: usize,
    /// For so many mails there is room in memory, as they have large attachments; None: for all.
    room: Option<usize>,
}

impl Default for ClaimSize {
    fn default() -> Self {
        ClaimSize {
            size: 0,
            lease: LEASE,
            tried: 0,
            expired: 0,
            room: None,
        }
    }
}

impl ClaimSize {
    /// Mails to claim at once: at most `batch`, and at least two for each connection, if there is room.
    pub(super) fn size(&mut self, batch: usize, connections: usize) -> usize {
        self.size = self.size.clamp(batch.min(2 * connections), batch);
        self.room.map_or(self.size, |room| self.size.min(room))
    }

    /// After a claim of which so many mails were taken, and the others given back for want of room unless it `had_room`: what is given
    /// back has been claimed in vain, and has used up what its domain may get.
    pub(super) fn took(&mut self, mails: usize, had_room: bool) {
        self.room = match (had_room, self.room) {
            (false, _) => Some(mails.max(1)),
            (true, Some(room)) if 2 * room < self.size => Some(2 * room),
            (true, _) => None,
        };
    }

    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// Whether mails may wait for longer than revocations may.
    pub(super) fn is_long(&self) -> bool {
        self.lease > LEASE
    }

    /// Learns from how mails ended: doubles after a claim's worth of mails whose leases held, halves when one has expired.
    pub(super) fn learn<'a>(&mut self, outcomes: impl Iterator<Item = &'a Outcome>) {
        for outcome in outcomes {
            match outcome {
                Outcome::LeaseExpired => self.expired += 1,
                Outcome::Released | Outcome::Later(_) | Outcome::Unreachable(_) => {}
                _ => self.tried += 1,
            }
        }
        if self.tried + self.expired < self.size.max(1) {
            return;
        }
        self.size = match self.expired {
            0 => self.size.saturating_mul(2),
            _ => self.size / 2,
        };
        self.lease = match self.tried {
            0 => (self.lease * 2).min(LONGEST_LEASE),
            _ => LEASE,
        };
        (self.tried, self.expired) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(sent: usize, expired: usize) -> Vec<Outcome> {
        (0..sent)
            .map(|_| Outcome::Sent("".into()))
            .chain((0..expired).map(|_| Outcome::LeaseExpired))
            .collect()
    }

    #[test]
    fn a_fast_server_gets_full_batches_and_a_slow_one_what_it_takes() {
        let mut claim_size = ClaimSize::default();
        let mut sizes = Vec::new();
        for _ in 0..7 {
            let size = claim_size.size(500, 8);
            sizes.push(size);
            claim_size.learn(outcomes(size, 0).iter());
        }
        assert_eq!(sizes, [16, 32, 64, 128, 256, 500, 500]);
        for _ in 0..9 {
            let size = claim_size.size(500, 8);
            claim_size.learn(outcomes(size - 1, 1).iter());
        }
        assert_eq!(claim_size.size(500, 8), 16);
        assert_eq!(claim_size.size(10, 8), 10);
    }

    #[test]
    fn mails_given_back_for_other_reasons_teach_nothing() {
        let mut claim_size = ClaimSize::default();
        assert_eq!(claim_size.size(500, 8), 16);
        claim_size.learn((0..100).map(|_| &Outcome::Released));
        assert_eq!(claim_size.size(500, 8), 16);
    }

    #[test]
    fn where_mails_are_too_large_for_memory_a_claim_is_as_small_until_they_fit() {
        let mut claim_size = ClaimSize::default();
        assert_eq!(claim_size.size(500, 16), 32);
        claim_size.took(3, false);
        assert_eq!(claim_size.size(500, 16), 3);
        for expected in [6, 12, 24, 32, 32] {
            claim_size.took(expected, true);
            assert_eq!(claim_size.size(500, 16), expected);
        }
        claim_size.took(0, false);
        assert_eq!(claim_size.size(500, 16), 1);
    }

    #[test]
    fn where_all_leases_expire_they_grow_until_a_mail_gets_through() {
        let mut claim_size = ClaimSize::default();
        for _ in 0..3 {
            let size = claim_size.size(500, 1);
            claim_size.learn(outcomes(0, size).iter());
        }
        assert_eq!(claim_size.lease(), LEASE * 8);
        let size = claim_size.size(500, 1);
        claim_size.learn(outcomes(1, size - 1).iter());
        assert_eq!(claim_size.lease(), LEASE);
    }
}
