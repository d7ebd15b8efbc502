//! What an answer means for its message and for its target, decided in one table; the counterpart of [`crate::smtp`]'s refusals.

use std::time::{Duration, SystemTime};

/// A target that asks for more is asked again after this time.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was taken.
    Delivered,
    /// The target wants no messages any more.
    Gone,
    /// It is elsewhere, where nobody has allowed messages to go.
    Redirected,
    /// This message fails; others may not.
    Refused,
    /// Try again; what it says in a row is about the target.
    Retry,
    /// The target takes nothing before this time is over.
    Wait(Duration),
}

/// Judges a status; `retry_after`: the header of that name (RFC 9110, section 10.2.3), `now`: when it came.
#[must_use]
pub fn judge(status: u16, retry_after: Option<&str>, now: SystemTime) -> Verdict {
    match status {
        200..=299 => Verdict::Delivered,
        300..=399 => Verdict::Redirected,
        410 => Verdict::Gone,
        429 | 503 => match retry_after.and_then(|value| wait(value, now)) {
            Some(wait) => Verdict::Wait(wait.min(LONGEST)),
            None => Verdict::Retry,
        },
        // Request Timeout, Too Early: they say themselves that it may be sent again.
        408 | 425 | 500..=599 => Verdict::Retry,
        _ => Verdict::Refused,
    }
}

/// A number of seconds, or a date.
fn wait(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What does not fit into the number is long enough.
        return Some(Duration::from_secs(value.parse().unwrap_or(u64::MAX)));
    }
    let until = httpdate::parse_http_date(value).ok()?;
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        let seconds = |seconds| Verdict::Wait(Duration::from_secs(seconds));
        let cases = [
            (200, None, Verdict::Delivered),
            (202, Some("30"), Verdict::Delivered),
            (204, None, Verdict::Delivered),
            (301, None, Verdict::Redirected),
            (302, None, Verdict::Redirected),
            (304, None, Verdict::Redirected),
            (307, None, Verdict::Redirected),
            (400, None, Verdict::Refused),
            (401, None, Verdict::Refused),
            (404, None, Verdict::Refused),
            (408, None, Verdict::Retry),
            (409, None, Verdict::Refused),
            (410, None, Verdict::Gone),
            (413, None, Verdict::Refused),
            (422, Some("5"), Verdict::Refused),
            (425, None, Verdict::Retry),
            (429, None, Verdict::Retry),
            (429, Some("30"), seconds(30)),
            (429, Some(" 0 "), seconds(0)),
            (429, Some("99999999999999999999999"), seconds(86_400)),
            (429, Some("-5"), Verdict::Retry),
            (429, Some("soon"), Verdict::Retry),
            (500, Some("30"), Verdict::Retry),
            (502, None, Verdict::Retry),
            (503, None, Verdict::Retry),
            (503, Some("120"), seconds(120)),
            (503, Some("Thu, 01 Jan 1970 01:01:00 GMT"), seconds(60)),
            (503, Some("Thu, 01 Jan 1970 00:00:00 GMT"), seconds(0)),
            (504, None, Verdict::Retry),
            (599, None, Verdict::Retry),
            (600, None, Verdict::Refused),
        ];
        for (status, retry_after, expected) in cases {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(3600);
            let judged = judge(status, retry_after, now);
            assert_eq!(judged, expected, "{status} {retry_after:?}");
        }
    }
}
