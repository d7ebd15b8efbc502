//! What follows from the outcome of a delivery: end, or try again later. Pure: it reads no clock and draws no random numbers.

use std::sync::Arc;

use super::diagnostic::Diagnostic;
use super::outcome::{Delivered, Outcome};
use super::store::Completed;
use crate::mail::bounce::{Refusal, Rules};

/// First pause after a temporary failure; doubled with each attempt (RFC 5321, 4.5.4.1, asks for at least 30 minutes
/// between attempts in the long run, and allows shorter ones at first).
const FIRST: f64 = 60.0;
const LONGEST: f64 = 3600.0;

/// Seconds until the next attempt. `jitter` in 0..1 spreads mails that failed together over half of the pause.
fn pause(attempt: i32, jitter: f64) -> f64 {
    let doubled = FIRST * f64::powi(2.0, attempt.clamp(1, 20) - 1);
    doubled.min(LONGEST) * (0.75 + jitter / 2.0)
}

/// A number in 0..1 that differs from mail to mail and attempt to attempt (Knuth's multiplicative hash).
fn jitter(id: i64, attempt: i32) -> f64 {
    let mixed = (id as u64)
        .wrapping_add((attempt as u64) << 32)
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

/// Decides what becomes of a mail. `hold`: in doubt, wait for a person; `give_up`: seconds after which temporary
/// failures are final.
pub(super) fn decide(delivery: &Delivered, hold: bool, give_up: f64) -> Completed {
    let too_old = delivery.age > give_up;
    let state = match &delivery.outcome {
        Outcome::Sent(_) => "sent",
        Outcome::Failed(_) | Outcome::Refused(..) => "failed",
        Outcome::InDoubt(_) if hold => "in_doubt",
        Outcome::Retry(_) | Outcome::InDoubt(_) if too_old => "failed",
        Outcome::Retry(_) | Outcome::InDoubt(_) => "queued",
        Outcome::Unreachable(_) | Outcome::Later(_) | Outcome::LeaseExpired | Outcome::Released => {
            "released"
        }
    };
    let result = match &delivery.outcome {
        Outcome::Sent(_) => Some("sent"),
        Outcome::InDoubt(_) => Some("in_doubt"),
        Outcome::Failed(_) | Outcome::Refused(..) => Some("failed"),
        Outcome::Retry(_) if too_old => Some("failed"),
        Outcome::Retry(_) => Some("deferred"),
        Outcome::Unreachable(_) | Outcome::Later(_) | Outcome::LeaseExpired | Outcome::Released => {
            None
        }
    };
    let reason = match &delivery.outcome {
        Outcome::Sent(reason)
        | Outcome::Failed(reason)
        | Outcome::Refused(reason, _)
        | Outcome::Retry(reason)
        | Outcome::InDoubt(reason)
        | Outcome::Unreachable(reason) => Some(reason),
        Outcome::Later(_) | Outcome::LeaseExpired | Outcome::Released => None,
    };
    Completed {
        id: delivery.id,
        attempt: delivery.attempt,
        state,
        result,
        reply: reason.map(Diagnostic::to_string),
        code: reason.and_then(|reason| reason.code).map(i32::from),
        status: reason.and_then(Diagnostic::status).map(str::to_owned),
        server: Arc::clone(&delivery.server),
        server_name: Arc::clone(&delivery.server_name),
        retry_seconds: match (&delivery.outcome, state) {
            (Outcome::Later(wait), _) => wait.as_secs_f64(),
            (_, "queued") => {
                let asked = reason.and_then(|reason| reason.retry_after);
                let asked = asked.unwrap_or_default().as_secs_f64();
                pause(delivery.attempt, jitter(delivery.id, delivery.attempt)).max(asked)
            }
            _ => 0.0,
        },
    }
}

/// Whether the server refused the mail because the recipient's mailbox does not exist.
pub(super) fn met_dead_mailbox(delivery: &Delivered, rules: &Rules) -> bool {
    match &delivery.outcome {
        // Without a code it was our own check.
        Outcome::Failed(reason) if reason.code.is_some() && !delivery.is_webhook => {
            let refusal = Refusal {
                code: reason.code,
                status: reason.status(),
                text: &reason.text,
                around: "",
            };
            refusal.is_dead_mailbox(rules)
        }
        _ => false,
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
        let rolled: Vec<f64> = (0..1000).map(|id| jitter(id, 1)).collect();
        assert!(rolled.iter().all(|value| (0.0..1.0).contains(value)));
        let low = rolled.iter().filter(|value| **value < 0.5).count();
        assert!((400..600).contains(&low), "{low} of 1000 below 0.5");
    }

    fn delivery(attempt: i32, age: f64, outcome: Outcome) -> Delivered {
        Delivered {
            id: 1,
            attempt,
            age,
            server: "mail.example:25".into(),
            server_name: "west".into(),
            sender: None,
            is_webhook: false,
            outcome,
        }
    }

    #[test]
    fn outcomes_become_states() {
        let why = || Diagnostic::from("why");
        let (deferred, doubt) = (Some("deferred"), Some("in_doubt"));
        let cases = [
            (Outcome::Sent(why()), 0.0, false, "sent", Some("sent")),
            (Outcome::Failed(why()), 0.0, false, "failed", Some("failed")),
            (Outcome::Retry(why()), 99.0, false, "queued", deferred),
            (
                Outcome::Retry(why()),
                101.0,
                false,
                "failed",
                Some("failed"),
            ),
            (Outcome::InDoubt(why()), 0.0, false, "queued", doubt),
            (Outcome::InDoubt(why()), 0.0, true, "in_doubt", doubt),
            (Outcome::InDoubt(why()), 101.0, true, "in_doubt", doubt),
            (Outcome::InDoubt(why()), 101.0, false, "failed", doubt),
            (Outcome::Unreachable(why()), 101.0, false, "released", None),
            (Outcome::LeaseExpired, 101.0, false, "released", None),
            (Outcome::Released, 101.0, false, "released", None),
        ];
        for (outcome, age, hold, state, result) in cases {
            let delivery = delivery(1, age, outcome);
            let decided = decide(&delivery, hold, 100.0);
            assert_eq!(
                (decided.state, decided.result),
                (state, result),
                "{:?}",
                delivery.outcome
            );
            assert_eq!(decided.retry_seconds > 0.0, state == "queued");
        }
    }

    #[test]
    fn what_the_server_said_is_kept_in_parts() {
        let reply = Diagnostic::reply("450 4.2.1 later".to_owned());
        let decided = decide(&delivery(1, 0.0, Outcome::Retry(reply)), false, 100.0);
        assert_eq!(decided.reply.as_deref(), Some("450 4.2.1 later"));
        assert_eq!(decided.code, Some(450));
        assert_eq!(decided.status.as_deref(), Some("4.2.1"));
        assert_eq!(&*decided.server, "mail.example:25");
        assert_eq!(&*decided.server_name, "west");
    }
}
