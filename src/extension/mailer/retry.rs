//! What follows from a delivery's outcome: end, or try again later. Pure: the clock and the dice come from outside.

use std::time::Duration;

use super::database::Finished;
use super::job::{Delivery, Outcome};

/// First pause after a temporary failure; doubled with each attempt (RFC 5321, 4.5.4.1, asks for at least 30 minutes
/// between attempts in the long run, and allows shorter ones at first).
const FIRST: f64 = 60.0;
const LONGEST: f64 = 3600.0;

/// Attempts that may end in doubt before a person has to decide: a server that takes every mail and never says so would
/// else get it again for days.
const DOUBTS: i32 = 3;

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
        Outcome::InDoubt(reason) if hold || delivery.attempt >= DOUBTS => {
            ("in_doubt", Some(reason))
        }
        Outcome::Retry(reason) | Outcome::InDoubt(reason) if delivery.age > give_up => {
            ("failed", Some(reason))
        }
        Outcome::Retry(reason) | Outcome::InDoubt(reason) => ("queued", Some(reason)),
        Outcome::Unreachable(reason) => ("released", Some(reason)),
        Outcome::Stale | Outcome::Released => ("released", None),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour_and_are_spread() {
        let expected = [
            (1, 60.0),
            (2, 120.0),
            (3, 240.0),
            (6, 1920.0),
            (7, 3600.0),
            (50, 3600.0),
        ];
        for (attempt, seconds) in expected {
            assert_eq!(pause(attempt, 0.5), seconds);
            assert_eq!(pause(attempt, 0.0), seconds * 0.75);
            assert!(pause(attempt, 0.999) < seconds * 1.25);
        }
    }

    #[test]
    fn dice_stay_in_range_and_differ() {
        let rolled: Vec<f64> = (0..1000).map(|id| dice(id, 1)).collect();
        assert!(rolled.iter().all(|value| (0.0..1.0).contains(value)));
        let low = rolled.iter().filter(|value| **value < 0.5).count();
        assert!((400..600).contains(&low), "{low} of 1000 below 0.5");
    }

    #[test]
    fn a_server_out_of_reach_is_tried_again_at_growing_intervals() {
        let seconds: Vec<u64> = (1..=8)
            .map(|failures| reconnect_pause(failures).as_secs())
            .collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn outcomes_become_states() {
        let reason = || "why".to_owned();
        let cases = [
            (Outcome::Sent(reason()), 0.0, false, "sent"),
            (Outcome::Failed(reason()), 0.0, false, "failed"),
            (Outcome::Retry(reason()), 99.0, false, "queued"),
            (Outcome::Retry(reason()), 101.0, false, "failed"),
            (Outcome::InDoubt(reason()), 0.0, false, "queued"),
            (Outcome::InDoubt(reason()), 0.0, true, "in_doubt"),
            (Outcome::InDoubt(reason()), 101.0, true, "in_doubt"),
            (Outcome::Unreachable(reason()), 101.0, false, "released"),
            (Outcome::Stale, 101.0, false, "released"),
            (Outcome::Released, 101.0, false, "released"),
        ];
        for (outcome, age, hold, state) in cases {
            let delivery = Delivery {
                id: 1,
                attempt: 1,
                age,
                outcome,
            };
            let decided = decide(&delivery, hold, 100.0);
            assert_eq!(decided.state, state, "{:?}", delivery.outcome);
            assert_eq!(decided.retry_seconds > 0.0, state == "queued");
        }
    }

    #[test]
    fn a_mail_in_doubt_is_not_sent_for_ever() {
        let states: Vec<_> = (1..=3)
            .map(|attempt| {
                let outcome = Outcome::InDoubt("connection lost".to_owned());
                decide(
                    &Delivery {
                        id: 1,
                        attempt,
                        age: 0.0,
                        outcome,
                    },
                    false,
                    100.0,
                )
                .state
            })
            .collect();
        assert_eq!(states, ["queued", "queued", "in_doubt"]);
    }
}
