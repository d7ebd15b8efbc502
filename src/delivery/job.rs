//! A claimed mail on its way: claimed, rendered, ready to be sent, delivered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as channel;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tokio::sync::OwnedSemaphorePermit;

use super::breaker::Admission;
use super::clock::Clock;
use super::mail_settings::MailSettings;
use super::outcome::{Delivered, Outcome};
use super::rests::Party;
use super::revocation::{SharedRevocations, Subject};
use super::store::Claimed;
use super::templates::Compiled;
use crate::mail::attachment::Attachment;
use crate::mail::canonical_address;
use crate::mail::rendered::Rendered;

/// A claimed mail and what it takes to render and send it. However it ends, its end is reported once.
pub struct Job {
    pub mail: Claimed,
    /// The files that it takes along.
    pub(super) files: Vec<Attachment>,
    /// None: the activity was deleted meanwhile.
    pub(super) compiled: Option<Arc<Compiled>>,
    pub(super) settings: Arc<MailSettings>,
    /// The server that it goes to; empty: none has been chosen.
    pub(super) server: Arc<str>,
    /// Its name: several may be at one address.
    pub(super) server_name: Arc<str>,
    /// Address in From; None: not known yet.
    pub(super) sender: Option<Arc<str>>,
    /// Whether the server may have got it.
    pub(super) sending: bool,
    lease: Lease,
    /// The buckets of revocations that would concern it.
    buckets: Vec<usize>,
    /// None: its end is reported.
    reports: Option<Reports>,
}

/// For how long a claim is good.
#[derive(Clone)]
pub struct Lease {
    /// No later than the claim.
    pub(super) claimed_at: Instant,
    pub(super) until: Instant,
    pub(super) clock: Clock,
    /// How many revocations there were before the claim.
    pub(super) count: u64,
    pub(super) revocations: SharedRevocations,
}

/// As the trigger revoke_claims() names them.
fn buckets(mail: &Claimed, revocations: &SharedRevocations) -> Vec<usize> {
    let of_address = |address: &str| {
        let hash = Sha256::digest(canonical_address::canonical(address));
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        revocations.bucket(Subject::Address, &hash)
    };
    // A test mail has neither record nor party.
    let record = mail.record.unwrap_or_default().to_string();
    let mut buckets = vec![
        revocations.bucket(Subject::Record, &record),
        revocations.bucket(Subject::Party, mail.party.as_deref().unwrap_or_default()),
        of_address(&mail.email),
        revocations.bucket(Subject::Activity, &mail.activity.to_string()),
        revocations.bucket(Subject::All, ""),
    ];
    buckets.extend(mail.addresses.copies().map(of_address));
    buckets
}

impl Job {
    pub(super) fn new(
        mail: Claimed,
        compiled: Option<Arc<Compiled>>,
        settings: &Arc<MailSettings>,
        mut lease: Lease,
        reports: &Reports,
    ) -> Self {
        if let Some(closes_in) = mail.closes_in {
            let closes_in = Duration::from_secs_f64(closes_in.clamp(0.0, 86_400.0));
            lease.until = lease.until.min(lease.claimed_at + closes_in);
        }
        Job {
            buckets: buckets(&mail, &lease.revocations),
            mail,
            files: Vec::new(),
            compiled,
            settings: Arc::clone(settings),
            server: "".into(),
            server_name: "".into(),
            sender: None,
            sending: false,
            lease,
            reports: Some(reports.clone()),
        }
    }

    /// Whether the claim, and with it the look at unsubscriptions, is recent enough to send on.
    pub(super) fn has_lease(&self) -> bool {
        self.lease.clock.now() < self.lease.until
    }

    /// Whether somebody has blocked, unsubscribed, suppressed or stopped it since it was claimed; or only may have.
    pub(super) fn is_revoked(&self) -> bool {
        self.lease
            .revocations
            .forbids(self.mail.id, self.lease.count, &self.buckets)
    }

    fn delivery(&self, outcome: Outcome) -> Delivered {
        Delivered {
            id: self.mail.id,
            attempt: self.mail.attempt,
            age: self.mail.age,
            server: Arc::clone(&self.server),
            server_name: Arc::clone(&self.server_name),
            sender: self.sender.clone(),
            is_webhook: self.mail.target.is_some(),
            outcome,
        }
    }

    /// Tells the main thread how it ended.
    pub(super) fn finish(mut self, outcome: Outcome) {
        if let Some(reports) = self.reports.take() {
            reports.send(Event::Delivered(self.delivery(outcome)));
        }
    }

    /// Ends it on the main thread, which needs no report.
    pub(super) fn end(mut self, outcome: Outcome) -> Delivered {
        self.reports = None;
        self.delivery(outcome)
    }

    /// Gives the claim back untried, on the main thread.
    pub(super) fn release(self) -> Delivered {
        self.end(Outcome::Released)
    }
}

/// A task that panicked has dropped its mails.
impl Drop for Job {
    fn drop(&mut self) {
        if let Some(reports) = self.reports.take() {
            let outcome = match self.sending {
                true => Outcome::InDoubt("sending panicked".into()),
                false => Outcome::Retry("preparing the mail panicked".into()),
            };
            reports.send(Event::Delivered(self.delivery(outcome)));
        }
    }
}

/// What is the same for every attempt.
pub enum Prepared {
    Mail(Rendered),
    Webhook(Call),
}

impl Prepared {
    /// Its links that are tracked.
    pub(super) fn links(&self) -> &[String] {
        match self {
            Prepared::Mail(rendered) => rendered.links(),
            Prepared::Webhook(_) => &[],
        }
    }

    fn sender(&self) -> Option<&String> {
        match self {
            Prepared::Mail(rendered) => rendered.sender.as_ref(),
            Prepared::Webhook(_) => None,
        }
    }

    /// Its size in bytes, about.
    pub(super) fn size(&self) -> usize {
        match self {
            Prepared::Mail(rendered) => rendered.html.len() + rendered.text.len(),
            Prepared::Webhook(call) => call.path.len() + call.body.len(),
        }
    }
}

/// A rendered webhook.
pub struct Call {
    /// Path and query.
    pub path: String,
    pub body: String,
}

/// A mail whose links are known but have no ids yet.
pub struct RenderedMail {
    pub(super) job: Job,
    pub(super) prepared: Prepared,
    /// Its share of the memory for rendered mails.
    pub(super) _share: Option<OwnedSemaphorePermit>,
}

impl RenderedMail {
    /// Goes on with the ids of its links, in the order of `prepared.links()`.
    pub(super) fn ready(self, links: Vec<i64>) -> ReadyMail {
        ReadyMail {
            job: self.job,
            prepared: self.prepared,
            links,
            admission: Admission::Free,
            _share: self._share,
        }
    }
}

/// A rendered mail with the ids of its links: it can be composed and sent.
pub struct ReadyMail {
    pub(super) job: Job,
    pub(super) prepared: Prepared,
    /// In the order of `prepared.links()`.
    pub(super) links: Vec<i64>,
    /// How the circuit breaker of its server let it through.
    pub(super) admission: Admission,
    _share: Option<OwnedSemaphorePermit>,
}

impl ReadyMail {
    /// Its From address.
    pub(super) fn sender_address(&self) -> Option<String> {
        if self.job.mail.target.is_some() {
            return None;
        }
        let sender = self.prepared.sender();
        let from = sender.or(self.job.settings.email_from.as_ref())?.trim();
        let address = match from.rsplit_once('<') {
            Some((_, address)) => address.trim_end_matches('>'),
            None => from,
        };
        Some(canonical_address::canonical(address))
    }

    /// Domain of its From address.
    pub(super) fn sender_domain(&self) -> Option<String> {
        canonical_address::domain(&self.sender_address()?)
    }

    /// Who may rest instead of the server.
    pub(super) fn parties(&self) -> Vec<Party> {
        let sender = self.job.sender.as_deref().map(str::to_owned);
        let mail = &self.job.mail;
        let domain = match &mail.target {
            Some(target) => Some(target.clone()),
            None => canonical_address::domain(&mail.email),
        };
        let sender = sender.map(Party::Sender).into_iter();
        sender.chain(domain.map(Party::Domain)).collect()
    }
}

pub enum Event {
    Rendered(Box<RenderedMail>),
    Delivered(Delivered),
}

/// The way back to the main thread.
#[derive(Clone)]
pub struct Reports {
    events: channel::Sender<Event>,
    /// Whether the main thread has been told and has not looked yet.
    told: Arc<AtomicBool>,
    /// Whether it has been woken for what cannot wait, and has not looked yet.
    woken: Arc<AtomicBool>,
    wake_up: WakeUp,
}

/// Wakes the main thread; any thread may call it.
pub type WakeUp = Arc<dyn Fn() + Send + Sync>;

impl Reports {
    pub(super) fn new(wake_up: WakeUp) -> (Self, channel::Receiver<Event>) {
        let (events, receiver) = channel::channel();
        let reports = Reports {
            events,
            told: Arc::default(),
            woken: Arc::default(),
            wake_up,
        };
        (reports, receiver)
    }

    pub(super) fn send(&self, event: Event) {
        let waits = matches!(event, Event::Rendered(_));
        // Without a receiver the process is about to end.
        let _ = self.events.send(event);
        match waits {
            true => self.wake(),
            false => self.tell(),
        }
    }

    /// Makes the main thread take another turn when it sleeps.
    fn tell(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            (self.wake_up)();
        }
    }

    /// Makes the main thread take another turn at once.
    pub(super) fn wake(&self) {
        self.told.store(true, Ordering::Release);
        if !self.woken.swap(true, Ordering::AcqRel) {
            (self.wake_up)();
        }
    }

    /// Whether the main thread was told or woken since the last take_notice().
    pub(super) fn has_news(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// Whether it was woken.
    pub(super) fn is_urgent(&self) -> bool {
        self.woken.load(Ordering::Acquire)
    }

    /// Before reading: what is sent from now on tells the main thread again.
    pub(super) fn take_notice(&self) {
        self.woken.swap(false, Ordering::AcqRel);
        self.told.swap(false, Ordering::AcqRel);
    }

    /// The main thread will look by itself; only wake() disturbs it.
    pub(super) fn mute(&self) {
        self.told.store(true, Ordering::Release);
    }
}
