//! Rendering and sending, on a tokio runtime of its own threads. Nothing here touches PostgreSQL: plain data comes in
//! over queues and goes out over a channel, and the main thread's latch is set by a signal to this process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc as channel;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, watch};

use super::configuration::Configuration;
use super::desk::{Desk, Seat};
use super::gate::Gate;
use super::job::{Delivery, Event, Job, Outcome, Parcel, RenderedMail, Reports};
use super::letter;
use super::reason::Reason;
use super::recheck::{Recheck, Verdict};
use crate::email::rendered::Rendered;
use crate::email::transport::{Connection, SendErrorKind};
use crate::extension::revocation;

/// Mails rendered by one task: some milliseconds.
pub(super) const RENDER_CHUNK: usize = 25;
/// Two: rendering and SMTP share what a small server has.
const THREADS: usize = 2;
/// Memory for mails that are rendered and not yet sent, in kilobytes; thousands of common mails, some dozens of huge ones.
const RENDERED_KB: u32 = 64 * 1024;

pub(super) struct Couriers {
    /// None only while it is dropped.
    runtime: Option<Runtime>,
    reports: Reports,
    events: channel::Receiver<Event>,
    desk: Arc<Desk>,
    gate: Arc<Gate>,
    recheck: Arc<Recheck>,
    /// Chunks that are rendered at the same time.
    lanes: Arc<Semaphore>,
    memory: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
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
        let (reports, events) = Reports::new();
        Ok(Couriers {
            runtime: Some(runtime),
            reports,
            events,
            desk: Arc::default(),
            gate: Arc::default(),
            recheck: Arc::default(),
            lanes: Arc::new(Semaphore::new(THREADS)),
            memory: Arc::new(Semaphore::new(RENDERED_KB as usize)),
            stopping: watch::Sender::new(false),
        })
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(task);
        }
    }

    pub(super) fn reports(&self) -> &Reports {
        &self.reports
    }

    pub(super) fn gate(&self) -> &Gate {
        &self.gate
    }

    pub(super) fn recheck(&self) -> &Recheck {
        &self.recheck
    }

    /// What has been finished since the last call.
    pub(super) fn events(&self) -> Vec<Event> {
        self.reports.take_notice();
        self.events.try_iter().collect()
    }

    /// Whether events() has something to give.
    pub(super) fn has_events(&self) -> bool {
        self.reports.has_news()
    }

    /// Like events(), but waits a while for the first one.
    pub(super) fn wait_for_events(&self, patience: Duration) -> Vec<Event> {
        let first = self.events.recv_timeout(patience).ok();
        first.into_iter().chain(self.events()).collect()
    }

    /// Whether rendered mails fill the memory that they may have.
    pub(super) fn is_full(&self) -> bool {
        self.memory.available_permits() == 0
    }

    /// Renders mails in the background.
    pub(super) fn render(&self, jobs: Vec<Job>) {
        let reports = self.reports.clone();
        let lanes = Arc::clone(&self.lanes);
        let memory = Arc::clone(&self.memory);
        let stopping = self.stopping.subscribe();
        self.spawn(async move {
            let _lane = lanes.acquire().await;
            for job in jobs {
                // Lets the thread serve others, and a stop come through.
                tokio::task::yield_now().await;
                if *stopping.borrow() {
                    job.finish(Outcome::Released);
                    continue;
                }
                let rendered = match catch_unwind(AssertUnwindSafe(|| letter::render(&job))) {
                    Ok(Ok(rendered)) => rendered,
                    Ok(Err(outcome)) => {
                        job.finish(outcome);
                        continue;
                    }
                    Err(_) => {
                        job.finish(Outcome::Retry("rendering panicked".into()));
                        continue;
                    }
                };
                let size = kilobytes(&rendered, &job).min(RENDERED_KB);
                let _share = Arc::clone(&memory).acquire_many_owned(size).await.ok();
                reports.send(Event::Rendered(Box::new(RenderedMail {
                    job,
                    rendered,
                    _share,
                })));
            }
        });
    }

    /// Sends mails in the background, over as many connections as are configured and needed.
    pub(super) fn send(&self, parcels: Vec<Parcel>) {
        let Some(connections) = parcels
            .first()
            .map(|parcel| parcel.mail.job.configuration.connections)
        else {
            return;
        };
        for seat in self.desk.put(parcels, connections) {
            let courier = Courier {
                seat,
                gate: Arc::clone(&self.gate),
                recheck: Arc::clone(&self.recheck),
                reports: self.reports.clone(),
                stopping: self.stopping.subscribe(),
                connection: None,
            };
            self.spawn(courier.run());
        }
    }

    /// Takes back what is not yet with a courier; from now on couriers give back what is not yet with the server.
    pub(super) fn stop(&self) -> Vec<Delivery> {
        self.stopping.send_replace(true);
        let waiting = self.desk.clear();
        waiting
            .into_iter()
            .map(|parcel| parcel.mail.job.release())
            .collect()
    }
}

impl Drop for Couriers {
    fn drop(&mut self) {
        // A plain drop waits for whatever runs, such as a name server that does not answer.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn kilobytes(rendered: &Rendered, job: &Job) -> u32 {
    let bytes = rendered.html.len() + rendered.text.len() + job.mail.context.len();
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

/// One connection and who uses it.
struct Courier {
    seat: Seat,
    gate: Arc<Gate>,
    recheck: Arc<Recheck>,
    reports: Reports,
    stopping: watch::Receiver<bool>,
    connection: Option<(Arc<Configuration>, Connection)>,
}

impl Courier {
    async fn run(mut self) {
        while let Some(mut parcel) = self.seat.next().await {
            let outcome = self.deliver(&mut parcel).await;
            parcel.mail.job.finish(outcome);
        }
        if let Some((_, connection)) = self.connection {
            connection.quit().await;
        }
    }

    /// Why a mail must not leave now. Waits while claims are looked at again.
    async fn objection(&mut self, job: &Job) -> Option<Outcome> {
        loop {
            let recheck = Arc::clone(&self.recheck);
            let done = recheck.done.notified();
            tokio::pin!(done);
            // Before the look at the verdict, so that what comes after it wakes.
            done.as_mut().enable();
            if *self.stopping.borrow() || self.gate.is_closed() {
                return Some(Outcome::Released);
            }
            if !job.is_fresh() {
                return Some(Outcome::Stale);
            }
            match recheck.verdict(job.mail.id, revocation::count()) {
                Verdict::Send => return None,
                Verdict::KeepBack => return Some(Outcome::Released),
                Verdict::Wait => self.reports.wake(),
            }
            tokio::select! {
                () = done => {}
                () = tokio::time::sleep_until(job.fresh_until().into()) => {}
                _ = self.stopping.wait_for(|stop| *stop) => {}
            }
        }
    }

    /// The connection that is open, or a new one; tells whether it has been used before.
    async fn connect(
        &mut self,
        configuration: &Arc<Configuration>,
    ) -> Result<(Connection, bool), Outcome> {
        if let Some((of, connection)) = self.connection.take()
            && Arc::ptr_eq(&of, configuration)
            && connection.is_open()
        {
            return Ok((connection, true));
        }
        let connected = tokio::select! {
            connected = configuration.transport.connect(configuration.timeout) => connected,
            _ = self.stopping.wait_for(|stop| *stop) => return Err(Outcome::Released),
        };
        connected
            .map(|connection| (connection, false))
            .map_err(|error| self.unreachable(error.to_string()))
    }

    fn unreachable(&self, reason: String) -> Outcome {
        self.gate.close(reason.clone());
        Outcome::Unreachable(reason.into())
    }

    async fn deliver(&mut self, parcel: &mut Parcel) -> Outcome {
        if let Some(objection) = self.objection(&parcel.mail.job).await {
            return objection;
        }
        let mail = match catch_unwind(AssertUnwindSafe(|| letter::address(parcel))) {
            Ok(Ok(mail)) => mail,
            Ok(Err(outcome)) => return outcome,
            Err(_) => return Outcome::Retry("building the mail panicked".into()),
        };
        let job = &mut parcel.mail.job;
        let configuration = Arc::clone(&job.configuration);
        loop {
            let (mut connection, reused) = match self.connect(&configuration).await {
                Ok(connected) => connected,
                Err(outcome) => return outcome,
            };
            // Connecting may have taken its time.
            if let Some(objection) = self.objection(job).await {
                self.connection = Some((configuration, connection));
                return objection;
            }
            job.sending = true;
            let result = connection.send(&mail).await;
            job.sending = false;
            let error = match result {
                Ok(reply) => {
                    self.gate.accepted();
                    self.connection = Some((configuration, connection));
                    return Outcome::Sent(Reason::reply(reply));
                }
                Err(error) => error,
            };
            if error.in_doubt {
                return Outcome::InDoubt((&error).into());
            }
            match error.kind {
                // The server has had enough of this session, or closed it: that says nothing about the mail.
                SendErrorKind::Connection | SendErrorKind::Unavailable if reused => continue,
                SendErrorKind::Connection => return Outcome::Retry((&error).into()),
                SendErrorKind::Unavailable => return self.unreachable(error.to_string()),
                SendErrorKind::Transient | SendErrorKind::Permanent => {}
            }
            self.connection = Some((configuration, connection));
            if error.kind == SendErrorKind::Transient {
                return Outcome::Retry((&error).into());
            }
            // Without a code it was our own check.
            if error.code.is_some() {
                self.gate.refused(&error.message);
            }
            return Outcome::Failed((&error).into());
        }
    }
}
