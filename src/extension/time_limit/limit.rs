//! How long user SQL may run: by the setting, by a bound of this process, and by what the caller's `statement_timeout` leaves.

use std::ffi::c_int;
use std::sync::atomic::{AtomicI32, Ordering};

use pgrx::prelude::*;

use crate::extension::settings;

/// STATEMENT_TIMEOUT in utils/timeout.h, the same from PostgreSQL 15 to 18.
const STATEMENT_TIMEOUT: c_int = 3;

// utils/timeout.h; neither raises an error.
unsafe extern "C-unwind" {
    fn get_timeout_active(id: c_int) -> bool;
    fn get_timeout_finish_time(id: c_int) -> pg_sys::TimestampTz;
}

/// A bound that this process sets to itself, in milliseconds; 0: none.
static BOUND_MS: AtomicI32 = AtomicI32::new(0);

/// Bounds the limit of this process, whatever the setting says.
pub(in crate::extension) fn bound(milliseconds: i32) {
    BOUND_MS.store(milliseconds, Ordering::Relaxed);
}

/// How long user SQL may run from `now` on, in milliseconds; None: for ever. And whether that is because of `deadline`.
fn limit_ms(
    setting: i32,
    bound: i32,
    now: pg_sys::TimestampTz,
    deadline: Option<pg_sys::TimestampTz>,
) -> Option<(i32, bool)> {
    let own = [setting, bound].into_iter().filter(|ms| *ms > 0).min();
    // Timestamps are in microseconds.
    let half = deadline.map(|deadline| {
        i32::try_from((deadline - now) / 2000)
            .unwrap_or(i32::MAX)
            .max(1)
    });
    match (own, half) {
        (Some(own), Some(half)) => Some((own.min(half), half < own)),
        (Some(own), None) => Some((own, false)),
        (None, half) => half.map(|half| (half, true)),
    }
}

/// Now, and when the caller's `statement_timeout` ends.
pub(super) fn clock() -> (pg_sys::TimestampTz, Option<pg_sys::TimestampTz>) {
    // SAFETY: reads of the clock and of timers, on the main thread.
    unsafe {
        (
            pg_sys::GetCurrentTimestamp(),
            get_timeout_active(STATEMENT_TIMEOUT)
                .then(|| get_timeout_finish_time(STATEMENT_TIMEOUT)),
        )
    }
}

/// What user SQL may take from `now` on, apart from turns.
pub(super) fn limit_at(
    now: pg_sys::TimestampTz,
    deadline: Option<pg_sys::TimestampTz>,
) -> Option<(i32, bool)> {
    limit_ms(
        settings::expression_timeout(),
        BOUND_MS.load(Ordering::Relaxed),
        now,
        deadline,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortest_limit_counts_and_a_caller_keeps_half_of_its_time() {
        let second = 1_000_000;
        assert_eq!(limit_ms(0, 0, 0, None), None);
        assert_eq!(limit_ms(30_000, 0, 0, None), Some((30_000, false)));
        assert_eq!(limit_ms(30_000, 2000, 0, None), Some((2000, false)));
        assert_eq!(limit_ms(0, 2000, 0, None), Some((2000, false)));
        assert_eq!(
            limit_ms(30_000, 0, 0, Some(10 * second)),
            Some((5000, true))
        );
        assert_eq!(limit_ms(1000, 0, 0, Some(10 * second)), Some((1000, false)));
        assert_eq!(
            limit_ms(0, 0, 9 * second, Some(10 * second)),
            Some((500, true))
        );
        assert_eq!(
            limit_ms(0, 0, 11 * second, Some(10 * second)),
            Some((1, true))
        );
    }
}
