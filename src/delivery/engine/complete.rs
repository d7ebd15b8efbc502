//! Collects what has been rendered or has ended, completes the latter in the database, and learns from it.

use std::sync::Arc;
use std::time::Duration;

use super::{AFTER_ERROR, Engine};
use crate::delivery::breaker::Subject;
use crate::delivery::channel::Channel;
use crate::delivery::host::{Counts, Host};
use crate::delivery::job::{Event, RenderedMail};
use crate::delivery::outcome::{Delivered, Outcome};
use crate::delivery::retry;
use crate::delivery::server::Server;
use crate::delivery::store::{Completed, Store};
use crate::mail::addresses_in_text;
use crate::mail::bounce::Rules;
use crate::smtp::Scope;

/// So many results are recorded at once, or what has gathered after a while: most of the cost is the same for one and
/// for hundreds.
const BATCH: usize = 250;
const GATHER: Duration = Duration::from_millis(100);
/// How long a refusal waits for the judgement on its row where the server goes on slowly.
const PATIENCE: Duration = Duration::from_secs(2);

impl<S: Store, C: Channel, H: Host> Engine<S, C, H> {
    /// Takes what the runtime has finished: rendered mails get the ids of their links and go on, deliveries are kept.
    pub(super) fn collect(&mut self) {
        let mut rendered = Vec::new();
        for event in self.pool.events() {
            self.busy = true;
            match event {
                Event::Rendered(mail) => rendered.push(*mail),
                Event::Delivered(delivery) => self.delivered.push(delivery),
            }
        }
        if rendered.is_empty() {
            return;
        }
        self.learn_links(&rendered);
        let mut ready = Vec::with_capacity(rendered.len());
        for mail in rendered {
            match self.pool.links().ids(mail.prepared.links()) {
                Some(links) => ready.push(mail.ready(links)),
                // They were not stored: an error, which is noted.
                None => self.delivered.push(mail.job.release()),
            }
        }
        self.pool.send(ready);
    }

    /// Fetches the ids of links not seen yet.
    fn learn_links(&mut self, rendered: &[RenderedMail]) {
        let urls = rendered.iter().flat_map(|mail| mail.prepared.links());
        let unknown = self.pool.links().unknown(urls);
        if !unknown.is_empty() {
            let stored = self.store.link_ids(unknown);
            if let Some(stored) = self.checked(stored) {
                self.pool.links().learn(stored);
            }
        }
    }

    /// Decides about mails that were refused for good: they fail, unless the row that they belong to is about us; then they wait, as
    /// all others do. `closing`: no more comes, and what is not judged waits.
    pub(super) fn judge(&mut self, closing: bool) {
        let delivered = std::mem::take(&mut self.delivered);
        let waiting = std::mem::take(&mut self.held);
        let has_waited = self
            .held_since
            .is_some_and(|since| self.now().saturating_duration_since(since) >= PATIENCE);
        // With nothing more to send nothing more will be said.
        let is_last = self.nothing_due && waiting.len() + delivered.len() >= self.in_flight.len();
        for mut delivery in waiting.into_iter().chain(delivered) {
            if let Outcome::Refused(reason, row) = delivery.outcome {
                delivery.outcome = match row.subject() {
                    Subject::Unknown if closing => Outcome::Retry(reason),
                    Subject::Unknown if !has_waited && !is_last => {
                        delivery.outcome = Outcome::Refused(reason, row);
                        self.held.push(delivery);
                        continue;
                    }
                    Subject::Unknown | Subject::Mails => Outcome::Failed(reason),
                    Subject::Us => Outcome::Retry(reason),
                };
            }
            self.delivered.push(delivery);
        }
        self.held_since = match self.held.is_empty() {
            true => None,
            false => self.held_since.or_else(|| Some(self.now())),
        };
    }

    /// How long results may still gather.
    pub(super) fn gathering(&mut self) -> Option<Duration> {
        if self.delivered.is_empty() {
            self.gathering_since = None;
            return None;
        }
        let now = self.now();
        let since = *self.gathering_since.get_or_insert(now);
        if let Some(at) = self.record_at.filter(|at| *at > now) {
            return Some(at.duration_since(now));
        }
        // When all breakers are tripped the senders give back what they have, and nothing else is to be waited for.
        let is_tripped = |server: &Arc<Server>| server.breaker.is_tripped();
        let enough = self.servers().iter().all(is_tripped)
            || self.delivered.len()
                >= BATCH.min(self.in_flight.len().saturating_sub(self.held.len()));
        (!enough).then(|| GATHER.saturating_sub(now.saturating_duration_since(since)))
    }

    /// Completes mails in the database, which starts the children of sent ones.
    pub(super) fn complete(&mut self) {
        if self.delivered.is_empty() {
            return;
        }
        let policy = self.store.policy();
        let completed: Vec<Completed> = self
            .delivered
            .iter()
            .map(|delivery| retry::decide(delivery, policy.hold, policy.retry_window))
            .collect();
        let recorded = self.store.complete(&completed);
        if self.checked(recorded).is_none() {
            self.record_at = Some(self.now() + AFTER_ERROR);
            return;
        }
        self.record_at = None;
        self.record_dead_mailboxes();
        let count =
            |state: &str| completed.iter().filter(|mail| mail.state == state).count() as i64;
        self.host.count(Counts {
            sent: count("sent"),
            failed: count("failed"),
            retried: count("queued"),
        });
        let delivered = std::mem::take(&mut self.delivered);
        for delivery in &delivered {
            self.in_flight.remove(&delivery.id);
        }
        self.learn(&delivered);
    }

    /// Suppresses the addresses that the server says do not exist. A transaction of its own: it locks other rows, and what
    /// it misses in a crash is refused again.
    fn record_dead_mailboxes(&mut self) {
        let configuration = self.configuration.clone();
        let rules = match &configuration {
            Some(configuration) => configuration.bounce_rules(),
            None => Rules::shipped(),
        };
        let delivered = self.delivered.iter();
        let dead: Vec<i64> = delivered
            .filter(|delivery| retry::met_dead_mailbox(delivery, rules))
            .map(|delivery| delivery.id)
            .collect();
        if !dead.is_empty() {
            let recorded = self.store.record_dead_mailboxes(dead);
            self.checked(recorded);
        }
    }

    /// Learns what the results say about the servers and the claim size; troubles with single mails show in worker_status().
    fn learn(&mut self, delivered: &[Delivered]) {
        let outcomes = || delivered.iter().map(|delivery| &delivery.outcome);
        self.claim_size.learn(outcomes());
        if outcomes().any(|outcome| matches!(outcome, Outcome::Sent(_))) && !self.is_any_away() {
            self.last_error = None;
            self.host.clear_error();
        }
        for delivery in delivered {
            if let Outcome::Failed(reason) | Outcome::Retry(reason) | Outcome::InDoubt(reason) =
                &delivery.outcome
            {
                let sender = match &delivery.sender {
                    Some(sender) if reason.is_about(Scope::Sender) => format!(" from {sender}"),
                    _ => String::new(),
                };
                let reason = addresses_in_text::without(&reason.text);
                let error = format!("message {}{sender}: {reason}", delivery.id);
                self.host.show_error(&error);
            }
        }
    }
}
