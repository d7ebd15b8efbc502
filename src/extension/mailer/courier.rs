//! Rendering and sending, on a tokio runtime of its own threads. Nothing here touches PostgreSQL: plain data comes in
//! over channels and goes out over a channel, and the main thread's latch is set by a signal to this process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc as channel;
use std::time::{Duration, SystemTime};

use tokio::runtime::Runtime;
use tokio::sync::{Mutex, mpsc};

use super::configuration::Configuration;
use super::database::Claimed;
use crate::email::message::{self, Letter, Mail};
use crate::email::placeholder::Target;
use crate::email::rendered::Rendered;
use crate::email::template::{MailTemplate, Recipient, TemplateError};
use crate::email::transport::{Connection, SendErrorKind};
use crate::tracking::token::{Purpose, Token};

/// Mails rendered by one task: some milliseconds.
pub(super) const RENDER_CHUNK: usize = 25;
/// Two: rendering and SMTP share what a small server has.
const THREADS: usize = 2;
/// A connection that nobody needs is closed after this time.
const IDLE: Duration = Duration::from_secs(10);

/// Templates of an activity in one language, or why they do not compile.
pub(super) struct Compiled {
    pub(super) activity: String,
    pub(super) scenario: String,
    pub(super) template: Result<MailTemplate, TemplateError>,
}

/// A claimed mail and what it takes to render and send it.
pub(super) struct Job {
    pub(super) mail: Claimed,
    /// None: the activity was deleted meanwhile.
    pub(super) compiled: Option<Arc<Compiled>>,
    pub(super) configuration: Arc<Configuration>,
}

impl Job {
    fn end(&self, outcome: Outcome) -> Delivery {
        Delivery {
            id: self.mail.id,
            attempt: self.mail.attempt,
            age: self.mail.age,
            outcome,
        }
    }

    /// Gives the claim back untried.
    pub(super) fn release(&self, _why: &str) -> Delivery {
        self.end(Outcome::Released)
    }
}

/// A mail whose links are known but have no ids yet.
pub(super) struct RenderedMail {
    pub(super) job: Job,
    pub(super) rendered: Rendered,
}

/// A rendered mail with the ids of its links, in the order of `rendered.links()`.
pub(super) struct Parcel {
    pub(super) mail: RenderedMail,
    pub(super) links: Vec<i64>,
}

#[derive(Debug)]
pub(super) enum Outcome {
    /// The server's reply.
    Sent(String),
    /// For good.
    Failed(String),
    /// For now.
    Retry(String),
    /// The server may have taken it.
    InDoubt(String),
    /// No connection, so no attempt at this mail.
    Unreachable(String),
    Released,
}

#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) id: i64,
    pub(super) attempt: i32,
    pub(super) age: f64,
    pub(super) outcome: Outcome,
}

pub(super) enum Event {
    Rendered(Box<RenderedMail>),
    Delivered(Delivery),
}

/// The way back to the main thread.
#[derive(Clone)]
struct Reports {
    events: channel::Sender<Event>,
    /// Whether the main thread has been told and has not looked yet.
    told: Arc<AtomicBool>,
}

impl Reports {
    fn send(&self, event: Event) {
        // The receiver lives as long as the process.
        let _ = self.events.send(event);
        if !self.told.swap(true, Ordering::AcqRel) {
            // SAFETY: SIGUSR1 to this process; the threads here block it, so PostgreSQL's handler runs on the main
            // thread and sets its latch.
            unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
        }
    }
}

pub(super) struct Couriers {
    runtime: Runtime,
    reports: Reports,
    events: channel::Receiver<Event>,
    parcels: mpsc::UnboundedSender<Parcel>,
    queue: Arc<Mutex<mpsc::UnboundedReceiver<Parcel>>>,
    at_work: Arc<AtomicUsize>,
    stopping: Arc<AtomicBool>,
}

impl Couriers {
    /// Starts the runtime's threads, with all signals blocked: PostgreSQL's handlers belong to the main thread.
    pub(super) fn start() -> std::io::Result<Self> {
        // SAFETY: blocks all signals while the threads are made, which inherit the mask, and restores it.
        let runtime = unsafe {
            let mut all = std::mem::zeroed();
            let mut before = std::mem::zeroed();
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(THREADS)
                // For name resolution.
                .max_blocking_threads(4)
                .thread_name("ma-courier")
                .enable_all()
                .build();
            libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
            runtime?
        };
        let (sender, events) = channel::channel();
        let (parcels, queue) = mpsc::unbounded_channel();
        Ok(Couriers {
            runtime,
            reports: Reports {
                events: sender,
                told: Arc::default(),
            },
            events,
            parcels,
            queue: Arc::new(Mutex::new(queue)),
            at_work: Arc::default(),
            stopping: Arc::default(),
        })
    }

    /// What has been finished since the last call.
    pub(super) fn events(&self) -> Vec<Event> {
        self.reports.told.store(false, Ordering::Release);
        self.events.try_iter().collect()
    }

    /// Whether events() has something to give.
    pub(super) fn has_events(&self) -> bool {
        self.reports.told.load(Ordering::Acquire)
    }

    /// Like events(), but waits a while for the first one.
    pub(super) fn wait_for_events(&self, patience: Duration) -> Vec<Event> {
        let first = self.events.recv_timeout(patience).ok();
        first.into_iter().chain(self.events()).collect()
    }

    /// Renders mails in the background.
    pub(super) fn render(&self, jobs: Vec<Job>) {
        let reports = self.reports.clone();
        self.runtime.spawn(async move {
            for job in jobs {
                reports.send(match render(&job) {
                    Ok(rendered) => Event::Rendered(Box::new(RenderedMail { job, rendered })),
                    Err(outcome) => Event::Delivered(job.end(outcome)),
                });
            }
        });
    }

    /// Sends mails in the background, over as many connections as are configured and needed.
    pub(super) fn send(&self, parcels: Vec<Parcel>) {
        let Some(configuration) = parcels
            .first()
            .map(|parcel| Arc::clone(&parcel.mail.job.configuration))
        else {
            return;
        };
        let wanted = configuration.connections.min(parcels.len());
        for parcel in parcels {
            // The receiver lives in self.
            let _ = self.parcels.send(parcel);
        }
        while self.at_work.load(Ordering::Acquire) < wanted {
            self.at_work.fetch_add(1, Ordering::AcqRel);
            let courier = Courier {
                queue: Arc::clone(&self.queue),
                reports: self.reports.clone(),
                at_work: AtWork(Arc::clone(&self.at_work)),
                stopping: Arc::clone(&self.stopping),
                connection: None,
            };
            self.runtime.spawn(courier.run());
        }
    }

    /// From now on mails that are not yet with the server are given back.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
    }
}

/// Counts a courier for as long as it works, whatever ends it.
struct AtWork(Arc<AtomicUsize>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One connection and who uses it.
struct Courier {
    queue: Arc<Mutex<mpsc::UnboundedReceiver<Parcel>>>,
    reports: Reports,
    at_work: AtWork,
    stopping: Arc<AtomicBool>,
    connection: Option<(Arc<Configuration>, Connection)>,
}

impl Courier {
    async fn run(mut self) {
        loop {
            let next =
                tokio::time::timeout(IDLE, async { self.queue.lock().await.recv().await }).await;
            let Ok(Some(parcel)) = next else { break };
            let outcome = self.deliver(&parcel).await;
            self.reports
                .send(Event::Delivered(parcel.mail.job.end(outcome)));
        }
        // First, so that a mail that comes now gets a courier of its own.
        drop(self.at_work);
        if let Some((_, connection)) = self.connection {
            connection.quit().await;
        }
    }

    async fn deliver(&mut self, parcel: &Parcel) -> Outcome {
        if self.stopping.load(Ordering::Acquire) {
            return Outcome::Released;
        }
        let mail = match catch_unwind(AssertUnwindSafe(|| address(parcel))) {
            Ok(Ok(mail)) => mail,
            Ok(Err(outcome)) => return outcome,
            Err(_) => return Outcome::Retry("building the mail panicked".to_owned()),
        };
        let configuration = &parcel.mail.job.configuration;
        let mut reused = true;
        loop {
            let usable = self
                .connection
                .take()
                .filter(|(of, connection)| Arc::ptr_eq(of, configuration) && connection.is_open());
            let mut connection = match usable {
                Some((_, connection)) => connection,
                None => {
                    reused = false;
                    match configuration.transport.connect(configuration.timeout).await {
                        Ok(connection) => connection,
                        Err(error) => return Outcome::Unreachable(error.to_string()),
                    }
                }
            };
            match connection.send(&mail).await {
                Ok(reply) => {
                    self.connection = Some((Arc::clone(configuration), connection));
                    return Outcome::Sent(reply);
                }
                Err(error) if error.in_doubt => return Outcome::InDoubt(error.to_string()),
                // The server has closed an idle connection: that says nothing about the mail.
                Err(error) if error.kind == SendErrorKind::Connection && reused => continue,
                Err(error) => {
                    if error.kind != SendErrorKind::Connection {
                        self.connection = Some((Arc::clone(configuration), connection));
                    }
                    return match error.kind {
                        SendErrorKind::Permanent => Outcome::Failed(error.to_string()),
                        _ => Outcome::Retry(error.to_string()),
                    };
                }
            }
        }
    }
}

/// Renders sender, subject and body; a mistake in a template or its data is final.
fn render(job: &Job) -> Result<Rendered, Outcome> {
    let mail = &job.mail;
    let compiled = job
        .compiled
        .as_ref()
        .ok_or_else(|| Outcome::Failed("the activity no longer exists".to_owned()))?;
    let template = compiled
        .template
        .as_ref()
        .map_err(|error| Outcome::Failed(format!("template: {error}")))?;
    let record: serde_json::Value = serde_json::from_str(&mail.context)
        .map_err(|error| Outcome::Failed(format!("context is no JSON: {error}")))?;
    let context = serde_json::json!({
        "record": record,
        "party": {
            "id": mail.party, "name": mail.recipient_name, "email": mail.email,
            "language": mail.language, "time_zone": mail.time_zone,
        },
        "scenario": { "name": compiled.scenario },
        "activity": { "name": compiled.activity },
    });
    let recipient = Recipient {
        language: mail.language.clone(),
        time_zone: mail.time_zone.clone(),
    };
    match catch_unwind(AssertUnwindSafe(|| template.render(&context, &recipient))) {
        Ok(rendered) => rendered.map_err(|error| Outcome::Failed(format!("template: {error}"))),
        Err(_) => Err(Outcome::Retry("rendering panicked".to_owned())),
    }
}

/// Puts the tracked URLs in and builds the message.
fn address(parcel: &Parcel) -> Result<Mail, Outcome> {
    let Job {
        mail,
        compiled,
        configuration,
    } = &parcel.mail.job;
    let sign = |purpose, link| {
        configuration.keyring.sign(
            purpose,
            &Token {
                record: mail.record,
                activity: mail.activity,
                link,
            },
        )
    };
    let link = |index: usize| parcel.links.get(index).copied();
    let base = &configuration.base;
    let assembled = parcel.mail.rendered.assemble(|target| match target {
        Target::Link(index) => base.click(&sign(Purpose::Click, link(index))),
        Target::Unsubscribe(page) => {
            base.unsubscribe(&sign(Purpose::Unsubscribe, page.and_then(link)))
        }
        Target::OpenImage => base.open(&sign(Purpose::Open, None)),
    });
    let from = assembled
        .sender
        .as_ref()
        .or(configuration.email_from.as_ref());
    let Some(from) = from else {
        return Err(Outcome::Retry(
            "no sender: the activity has none and marketing_automation.email_from is not set"
                .to_owned(),
        ));
    };
    let scenario = compiled
        .as_ref()
        .map_or("", |compiled| compiled.scenario.as_str());
    message::build(&Letter {
        from,
        to_address: &mail.email,
        to_name: mail.recipient_name.as_deref(),
        subject: &assembled.subject,
        html: &assembled.html,
        text: &assembled.text,
        // The same for each attempt: the record's public id and the activity.
        message_id: &format!(
            "{}.{}@{}",
            mail.record_uuid, mail.activity, configuration.host
        ),
        date: SystemTime::now(),
        unsubscribe_url: Some(&base.unsubscribe(&sign(Purpose::Unsubscribe, None))),
        feedback_id: Some(&feedback_id(mail.activity, scenario, &configuration.host)),
    })
    .map_err(|error| Outcome::Failed(error.to_string()))
}

/// Feedback-ID as Gmail defines it: up to three identifiers and the sender, separated by colons.
fn feedback_id(activity: i32, scenario: &str, host: &str) -> String {
    let scenario: String = scenario
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(60)
        .collect();
    format!("{activity}:{scenario}:marketing:{host}")
}
