//! Counters in the Prometheus text format, version 0.0.4.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::mail::provider::Provider;

/// What requests are counted by; the token is not part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    Click,
    Open,
    Unsubscribe,
    Preferences,
    Confirm,
    Report,
    Browser,
    Bounce,
    Ses,
    SendGrid,
    Mailgun,
    Postmark,
    Brevo,
    Other,
}

const ROUTES: [(Route, &str); 14] = [
    (Route::Click, "click"),
    (Route::Open, "open"),
    (Route::Unsubscribe, "unsubscribe"),
    (Route::Preferences, "preferences"),
    (Route::Confirm, "confirm"),
    (Route::Report, "report"),
    (Route::Browser, "browser"),
    (Route::Bounce, "bounce"),
    (Route::Ses, "bounce_ses"),
    (Route::SendGrid, "bounce_sendgrid"),
    (Route::Mailgun, "bounce_mailgun"),
    (Route::Postmark, "bounce_postmark"),
    (Route::Brevo, "bounce_brevo"),
    (Route::Other, "other"),
];

/// Every status that the proxy answers with; anything else is counted in the last place, as 0.
const STATUSES: [u16; 14] = [
    200, 302, 303, 400, 401, 403, 404, 405, 406, 408, 410, 413, 503, 0,
];

/// Upper bounds of the batch sizes.
const BATCH_BUCKETS: [u64; 7] = [1, 4, 16, 64, 256, 512, 1000];

impl Route {
    /// The route that a path belongs to.
    pub fn of(path: &str) -> Self {
        match path.get(..3) {
            Some("/c/") => Self::Click,
            Some("/o/") => Self::Open,
            Some("/u/") => Self::Unsubscribe,
            Some("/p/") => Self::Preferences,
            Some("/s/") => Self::Confirm,
            Some("/r/") => Self::Report,
            Some("/v/") => Self::Browser,
            _ => match path {
                "/bounce" => Self::Bounce,
                "/bounce/ses" => Self::Ses,
                "/bounce/sendgrid" => Self::SendGrid,
                "/bounce/mailgun" => Self::Mailgun,
                "/bounce/postmark" => Self::Postmark,
                "/bounce/brevo" => Self::Brevo,
                _ => Self::Other,
            },
        }
    }
}

impl Route {
    /// Its name in metrics and logs.
    pub fn name(self) -> &'static str {
        ROUTES[self as usize].1
    }
}

/// What became of an event that a provider has posted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventResult {
    Hard,
    Soft,
    Delayed,
    Complaint,
    Unsubscribe,
    /// It was recorded, and nothing follows.
    Unknown,
    /// It was recorded, and the mail was not found.
    NoMail,
    /// It is about a mail that is none of ours.
    Foreign,
    /// Nothing follows from such an event.
    Ignored,
}

const EVENT_RESULTS: [(EventResult, &str); 9] = [
    (EventResult::Hard, "hard"),
    (EventResult::Soft, "soft"),
    (EventResult::Delayed, "delayed"),
    (EventResult::Complaint, "complaint"),
    (EventResult::Unsubscribe, "unsubscribe"),
    (EventResult::Unknown, "unknown"),
    (EventResult::NoMail, "no_mail"),
    (EventResult::Foreign, "foreign"),
    (EventResult::Ignored, "ignored"),
];

impl EventResult {
    /// Of an event that was recorded as this kind, see the table `bounce`.
    #[must_use]
    pub fn of(kind: &str, found: bool) -> Self {
        match kind {
            _ if !found => Self::NoMail,
            "hard" => Self::Hard,
            "soft" => Self::Soft,
            "delayed" => Self::Delayed,
            "complaint" => Self::Complaint,
            "unsubscribe" => Self::Unsubscribe,
            _ => Self::Unknown,
        }
    }
}

/// Counters since the start of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    requests: [[AtomicU64; STATUSES.len()]; ROUTES.len()],
    batches: [AtomicU64; BATCH_BUCKETS.len()],
    hits: AtomicU64,
    replayed: AtomicU64,
    events: [[AtomicU64; EVENT_RESULTS.len()]; Provider::ALL.len()],
}

/// What the caller of [`Metrics::render`] knows.
#[derive(Debug, Clone, Copy)]
pub struct Gauges {
    /// Hits that wait for the database.
    pub queue: usize,
    pub database_up: bool,
    /// The SQL in the database is of another version.
    pub outdated: bool,
    /// Bytes in the spool; None: there is none.
    pub spooled_bytes: Option<u64>,
}

impl Metrics {
    /// Counts an answered request.
    pub fn count_request(&self, route: Route, status: u16) {
        let column = STATUSES
            .iter()
            .position(|known| *known == status)
            .unwrap_or(STATUSES.len() - 1);
        self.requests[route as usize][column].fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a committed batch of hits.
    pub fn count_batch(&self, hits: usize) {
        let hits = hits as u64;
        let bucket = BATCH_BUCKETS
            .iter()
            .position(|bound| hits <= *bound)
            .unwrap_or(BATCH_BUCKETS.len() - 1);
        self.batches[bucket].fetch_add(1, Ordering::Relaxed);
        self.hits.fetch_add(hits, Ordering::Relaxed);
    }

    /// Counts spooled hits that were recorded.
    pub fn count_replayed(&self, hits: usize) {
        self.replayed.fetch_add(hits as u64, Ordering::Relaxed);
    }

    /// Counts an event of a provider.
    pub fn count_event(&self, provider: Provider, result: EventResult) {
        self.events[provider as usize][result as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Writes all counters and gauges.
    pub fn render(&self, gauges: Gauges) -> String {
        let mut text = String::with_capacity(4096);
        // Writing into a string cannot fail.
        let _ = self.write(&mut text, gauges);
        text
    }

    fn write(&self, text: &mut String, gauges: Gauges) -> std::fmt::Result {
        text.push_str(
            "# HELP marketing_tracking_requests_total Answered requests; status 0 is any other.\n",
        );
        text.push_str("# TYPE marketing_tracking_requests_total counter\n");
        for (route, name) in ROUTES {
            for (status, count) in STATUSES.iter().zip(&self.requests[route as usize]) {
                let count = count.load(Ordering::Relaxed);
                if count > 0 {
                    writeln!(
                        text,
                        "marketing_tracking_requests_total{{route=\"{name}\",status=\"{status}\"}} {count}"
                    )?;
                }
            }
        }
        text.push_str("# HELP marketing_tracking_batch_hits Hits committed together.\n");
        text.push_str("# TYPE marketing_tracking_batch_hits histogram\n");
        let mut batches = 0;
        for (bound, count) in BATCH_BUCKETS.iter().zip(&self.batches) {
            batches += count.load(Ordering::Relaxed);
            writeln!(
                text,
                "marketing_tracking_batch_hits_bucket{{le=\"{bound}\"}} {batches}"
            )?;
        }
        writeln!(
            text,
            "marketing_tracking_batch_hits_bucket{{le=\"+Inf\"}} {batches}"
        )?;
        writeln!(
            text,
            "marketing_tracking_batch_hits_sum {}",
            self.hits.load(Ordering::Relaxed)
        )?;
        writeln!(text, "marketing_tracking_batch_hits_count {batches}")?;
        text.push_str("# HELP marketing_tracking_queue_hits Hits that wait to be recorded.\n");
        text.push_str("# TYPE marketing_tracking_queue_hits gauge\n");
        writeln!(text, "marketing_tracking_queue_hits {}", gauges.queue)?;
        text.push_str(
            "# HELP marketing_tracking_replayed_hits_total Spooled hits recorded later.\n",
        );
        text.push_str("# TYPE marketing_tracking_replayed_hits_total counter\n");
        writeln!(
            text,
            "marketing_tracking_replayed_hits_total {}",
            self.replayed.load(Ordering::Relaxed)
        )?;
        self.write_events(text)?;
        if let Some(bytes) = gauges.spooled_bytes {
            text.push_str("# HELP marketing_tracking_spool_bytes Hits that wait in the spool.\n");
            text.push_str("# TYPE marketing_tracking_spool_bytes gauge\n");
            writeln!(text, "marketing_tracking_spool_bytes {bytes}")?;
        }
        text.push_str("# HELP marketing_tracking_database_up Whether hits can be recorded.\n");
        text.push_str("# TYPE marketing_tracking_database_up gauge\n");
        writeln!(
            text,
            "marketing_tracking_database_up {}",
            u8::from(gauges.database_up)
        )?;
        text.push_str("# HELP marketing_tracking_outdated Whether the extension in the database is of another version than the proxy.\n");
        text.push_str("# TYPE marketing_tracking_outdated gauge\n");
        writeln!(
            text,
            "marketing_tracking_outdated {}",
            u8::from(gauges.outdated)
        )
    }

    fn write_events(&self, text: &mut String) -> std::fmt::Result {
        text.push_str(
            "# HELP marketing_tracking_provider_events_total Events that providers have posted.\n",
        );
        text.push_str("# TYPE marketing_tracking_provider_events_total counter\n");
        for provider in Provider::ALL {
            for (result, name) in EVENT_RESULTS {
                let count = self.events[provider as usize][result as usize].load(Ordering::Relaxed);
                if count > 0 {
                    writeln!(
                        text,
                        "marketing_tracking_provider_events_total{{provider=\"{}\",result=\"{name}\"}} {count}",
                        provider.name()
                    )?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_add_up() {
        let metrics = Metrics::default();
        metrics.count_request(Route::of("/c/abc"), 302);
        metrics.count_request(Route::of("/c/def"), 302);
        metrics.count_request(Route::of("/bounce"), 401);
        metrics.count_request(Route::of("/bounce/mailgun"), 406);
        metrics.count_request(Route::of("/"), 418);
        metrics.count_event(Provider::Brevo, EventResult::of("hard", true));
        metrics.count_event(Provider::Brevo, EventResult::of("hard", false));
        metrics.count_event(Provider::Ses, EventResult::Ignored);
        metrics.count_batch(1);
        metrics.count_batch(300);
        metrics.count_replayed(7);
        let text = metrics.render(Gauges {
            queue: 5,
            database_up: true,
            outdated: true,
            spooled_bytes: Some(9),
        });
        for line in [
            "marketing_tracking_requests_total{route=\"click\",status=\"302\"} 2",
            "marketing_tracking_requests_total{route=\"bounce\",status=\"401\"} 1",
            "marketing_tracking_requests_total{route=\"bounce_mailgun\",status=\"406\"} 1",
            "marketing_tracking_requests_total{route=\"other\",status=\"0\"} 1",
            "marketing_tracking_provider_events_total{provider=\"brevo\",result=\"hard\"} 1",
            "marketing_tracking_provider_events_total{provider=\"brevo\",result=\"no_mail\"} 1",
            "marketing_tracking_provider_events_total{provider=\"ses\",result=\"ignored\"} 1",
            "marketing_tracking_batch_hits_bucket{le=\"1\"} 1",
            "marketing_tracking_batch_hits_bucket{le=\"256\"} 1",
            "marketing_tracking_batch_hits_bucket{le=\"512\"} 2",
            "marketing_tracking_batch_hits_sum 301",
            "marketing_tracking_batch_hits_count 2",
            "marketing_tracking_queue_hits 5",
            "marketing_tracking_replayed_hits_total 7",
            "marketing_tracking_spool_bytes 9",
            "marketing_tracking_database_up 1",
            "marketing_tracking_outdated 1",
        ] {
            assert!(
                text.lines().any(|written| written == line),
                "{line} in\n{text}"
            );
        }
    }
}
