//! What follows from a delivery's outcome: end, or try again later. Pure: the clock and the dice come from outside.

use std::time::Duration;

use super::courier::{Delivery, Outcome};
use super::database::Finished;

/// First pause after a temporary failure; doubled with each attempt (RFC 5321, 4.5.4.1, asks for at least 30 minutes
/// between attempts in the long run, and allows shorter ones at first).
const FIRST: f64 = 60.0;
const LONGEST: f64 = 3600.0;

/// Seconds until the next attempt. `dice` in 0..1 spreads mails that failed together over half of the pause.
fn pause(attempt: i32, dice: f64) -> f64 {
    let doubled = FIRST * f64::powi(2.0, attempt.clamp(1, 20) - 1);
    doubled.min(LONGEST) * (0.75 + dice / 2.0)
}

/// How long to leave an SMTP server alone that could not be reached `failures` times in a row.
pub(super) fn reconnect_pause(failures: u32) -> Duration {
    Duration::from_secs(1 << failures.clamp(1, 7).saturating_sub(1)).min(Duration::from_secs(60))
}

/// A number in 0..1 that differs from mail to mail and attempt to attempt (Knuth's multiplicative hash).
fn dice(id: i64, attempt: i32) -> f64 {
    let mixed = (id as u64)
        .wrapping_add((attempt as u64) << 32)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Decides what becomes of a mail. `hold`: in doubt, wait for a person; `give_up`: seconds after which temporary
/// failures are final.
pub(super) fn decide(delivery: &Delivery, hold: bool, give_up: f64) -> Finished {
    let (state, reply) = match &delivery.outcome {
        Outcome::Sent(reply) => ("sent", Some(reply)),
        Outcome::Failed(reason) => ("failed", Some(reason)),
        Outcome::InDoubt(reason) if hold => ("in_doubt", Some(reason)),
        Outcome::Retry(reason) | Outcome::InDoubt(reason) if delivery.age > give_up => {
            ("failed", Some(reason))
        }
        Outcome::Retry(reason) | Outcome::InDoubt(reason) => ("queued", Some(reason)),
        Outcome::Unreachable(reason) => ("released", Some(reason)),
        Outcome::Released => ("released", None),
    };
    let retry_seconds = if state == "queued" {
        pause(delivery.attempt, dice(delivery.id, delivery.attempt))
    } else {
        0.0
    };
    Finished {
        id: delivery.id,
        attempt: delivery.attempt,
        state,
        reply: reply.cloned(),
        retry_seconds,
    }
}
