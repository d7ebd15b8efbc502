//! How often to claim by a full scan: from the beginning of the queue, past all rows that were taken while somebody keeps an old
//! snapshot. Between full scans a claim begins at the queue's cursor; see `functions/queue_cursor.rs`.

use std::time::{Duration, Instant};

/// A mail that was committed late waits no longer than this for a full scan while others keep coming.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A full scan is followed by a pause of so many times what it took: full scans cost a twentieth of the time at most.
const PAUSE_FACTOR: u32 = 20;

#[derive(Default)]
pub(super) struct ScanInterval {
    /// When the last full scan ended, and how long it took.
    last: Option<(Instant, Duration)>,
    /// Whether the last scan found nothing.
    found_nothing: bool,
}

impl ScanInterval {
    /// How long until a full scan makes sense; None: now.
    pub(super) fn until_full_scan(&self, now: Instant) -> Option<Duration> {
        let (ended, took) = self.last?;
        let pause = match self.found_nothing {
            true => (took * PAUSE_FACTOR).min(LONGEST_PAUSE),
            false => LONGEST_PAUSE,
        };
        pause
            .checked_sub(now.duration_since(ended))
            .filter(|until_full_scan| !until_full_scan.is_zero())
    }

    /// Learns how a scan went.
    pub(super) fn scanned(
        &mut self,
        full_scan: bool,
        started: Instant,
        ended: Instant,
        found: bool,
    ) {
        if full_scan {
            self.last = Some((ended, ended.duration_since(started)));
        }
        self.found_nothing = !found;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_scan_comes_first_and_then_when_nothing_is_found_or_it_is_time() {
        let ms = Duration::from_millis;
        let start = Instant::now();
        let mut scan_interval = ScanInterval::default();
        assert_eq!(scan_interval.until_full_scan(start), None);
        scan_interval.scanned(true, start, start + ms(100), true);
        assert_eq!(
            scan_interval.until_full_scan(start + ms(100)),
            Some(LONGEST_PAUSE)
        );
        assert_eq!(
            scan_interval.until_full_scan(start + ms(100) + LONGEST_PAUSE),
            None
        );
        // The queue seems to be empty: a full scan comes soon, for rows that were committed behind the cursor.
        scan_interval.scanned(false, start + ms(200), start + ms(201), false);
        assert_eq!(
            scan_interval.until_full_scan(start + ms(300)),
            Some(ms(1800))
        );
        assert_eq!(scan_interval.until_full_scan(start + ms(2100)), None);
        // One that takes very long is not put off for longer.
        scan_interval.scanned(true, start, start + ms(60_000), false);
        assert_eq!(
            scan_interval.until_full_scan(start + ms(60_000)),
            Some(LONGEST_PAUSE)
        );
    }
}
