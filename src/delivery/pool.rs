//! The sender pool: renders mails and sends them, on threads of its own. Nothing here touches PostgreSQL: plain data comes in over
//! queues and goes out over a channel.

mod sender;

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc as channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::channel::Channel;
use super::clock::Clock;
use super::diagnostic::Diagnostic;
use super::job::{Event, Job, Prepared, ReadyMail, RenderedMail, Reports, WakeUp};
use super::links::Links;
use super::outcome::{Delivered, Outcome};
use super::rests::Party;
use super::routing::{self, Choice};
use super::server::Server;
use super::store::Share;
use sender::{Reroute, Sender};

/// Mails rendered by one task: some milliseconds.
pub(super) const RENDER_CHUNK: usize = 25;
/// Threads for rendering and SMTP: a small server has no more to give.
pub const THREADS: usize = 2;
/// How long a mail stays away while all connections are others'.
const NO_CONNECTION: Duration = Duration::from_secs(1);
/// Memory for mails that are rendered and not yet sent, in kilobytes; thousands of common mails, some dozens of huge ones.
const RENDERED_KB: u32 = 64 * 1024;

pub(super) struct SenderPool<C: Channel> {
    events: channel::Receiver<Event>,
    shared: Arc<Shared<C>>,
}

/// What rendering, the senders and the main thread share.
pub(super) struct Shared<C: Channel> {
    handle: Handle,
    channel: Arc<C>,
    clock: Clock,
    pub(super) reports: Reports,
    links: Links,
    /// Where mails can go. Held while a server is chosen and the mail put into its queue, so that nothing is put into a queue
    /// of a server that has been replaced.
    servers: Mutex<Vec<Arc<Server>>>,
    /// Chunks that are rendered at the same time.
    render_slots: Semaphore,
    memory: Arc<Semaphore>,
    stopping: watch::Sender<bool>,
    /// None: nobody knows yet how many send for the same database.
    share: Mutex<Option<Share>>,
}

impl<C: Channel> SenderPool<C> {
    /// `handle`: the threads where messages are prepared and sent; `wake_up`: wakes the thread of the engine.
    pub(super) fn new(handle: Handle, channel: C, clock: &Clock, wake_up: WakeUp) -> Self {
        let (reports, events) = Reports::new(wake_up);
        let shared = Shared {
            handle,
            channel: Arc::new(channel),
            clock: Arc::clone(clock),
            reports,
            links: Links::default(),
            servers: Mutex::default(),
            render_slots: Semaphore::new(THREADS),
            memory: Arc::new(Semaphore::new(RENDERED_KB as usize)),
            stopping: watch::Sender::new(false),
            share: Mutex::default(),
        };
        SenderPool {
            events,
            shared: Arc::new(shared),
        }
    }

    /// Replaces the servers: mails that have none yet go to these from now on.
    pub(super) fn use_servers(&self, servers: &[Arc<Server>]) {
        *self.shared.servers() = servers.to_vec();
    }

    /// Whether it is known how many share the connections.
    pub(super) fn has_share(&self) -> bool {
        self.shared.share().is_some()
    }

    /// Takes this share of the connections of servers, and gives up what is more.
    pub(super) fn take_share(&self, share: Share) {
        let former = self.shared.share().replace(share);
        if former != Some(share) {
            let servers = self.shared.servers();
            for server in servers.iter() {
                server.queue.allow(share.of(server.definition.connections));
            }
        }
    }

    /// This process's share of the connections to a server.
    pub(super) fn connections(&self, server: &Server) -> usize {
        self.shared.connections(server)
    }

    pub(super) fn reports(&self) -> &Reports {
        &self.shared.reports
    }

    pub(super) fn links(&self) -> &Links {
        &self.shared.links
    }

    /// What has happened since the last call.
    pub(super) fn events(&self) -> Vec<Event> {
        self.reports().take_notice();
        self.events.try_iter().collect()
    }

    /// Like events(), but waits a while for the first one.
    pub(super) fn wait_for_events(&self, patience: Duration) -> Vec<Event> {
        let first = self.events.recv_timeout(patience).ok();
        first.into_iter().chain(self.events()).collect()
    }

    /// Whether rendered mails fill the memory that they may have.
    pub(super) fn is_full(&self) -> bool {
        self.shared.memory.available_permits() == 0
    }

    /// Renders mails in the background. A mail whose links are all known goes on to a server, any other comes back as an event.
    pub(super) fn render(&self, jobs: Vec<Job>) {
        let shared = Arc::clone(&self.shared);
        self.shared.handle.spawn(async move {
            let _slot = shared.render_slots.acquire().await;
            for job in jobs {
                // Lets the thread serve others, and a stop come through.
                tokio::task::yield_now().await;
                shared.render(job).await;
            }
        });
    }

    /// Sends mails in the background, over as many connections as are configured and needed.
    pub(super) fn send(&self, mails: Vec<ReadyMail>) {
        self.shared.dispatch(mails);
    }

    /// Takes back the mails that wait for a sender of these servers; from now on senders give back what has not been sent.
    pub(super) fn stop(&self, servers: &[Arc<Server>]) -> Vec<Delivered> {
        self.shared.stopping.send_replace(true);
        let waiting = servers.iter().flat_map(|server| server.queue.clear());
        waiting.map(|ready| ready.job.release()).collect()
    }
}

/// Chooses among the servers for which none of these parties rests.
fn choose_awake(
    servers: &[Arc<Server>],
    parties: &[Party],
    domain: Option<&str>,
    now: Instant,
) -> Choice {
    let wait = |server: &Arc<Server>| server.rests.admits_in(parties, now);
    let awake = |server: &&Arc<Server>| wait(server).is_zero();
    let awake: Vec<Arc<Server>> = servers.iter().filter(awake).cloned().collect();
    match routing::choose(&awake, domain, now) {
        Choice::Nobody if awake.len() < servers.len() => Choice::Wait(
            servers
                .iter()
                .map(wait)
                .filter(|wait| !wait.is_zero())
                .min()
                .unwrap_or_default(),
        ),
        choice => choice,
    }
}

fn kilobytes(prepared: &Prepared, job: &Job) -> u32 {
    let files: usize = job.files.iter().map(|file| file.content.len()).sum();
    // With their base64, and the message that they become.
    let bytes = prepared.size() + job.mail.context.len() + files * 4;
    u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX)
}

impl<C: Channel> Shared<C> {
    fn share(&self) -> MutexGuard<'_, Option<Share>> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn servers(&self) -> MutexGuard<'_, Vec<Arc<Server>>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connections(&self, server: &Server) -> usize {
        let share = *self.share();
        share.map_or(0, |share| share.of(server.definition.connections))
    }

    async fn render(self: &Arc<Self>, job: Job) {
        if !self.channel.takes(&job.mail.channel) {
            let reason = format!("nothing here delivers by \"{}\"", job.mail.channel);
            job.finish(Outcome::Retry(reason.into()));
            return;
        }
        if *self.stopping.borrow() {
            job.finish(Outcome::Released);
            return;
        }
        let prepared = match catch_unwind(AssertUnwindSafe(|| self.channel.prepare(&job))) {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(outcome)) => {
                job.finish(outcome);
                return;
            }
            Err(_) => {
                job.finish(Outcome::Retry("rendering panicked".into()));
                return;
            }
        };
        let share = self.share_of_memory(kilobytes(&prepared, &job)).await;
        let mail = RenderedMail {
            job,
            prepared,
            _share: share,
        };
        match self.links.ids(mail.prepared.links()) {
            Some(links) => self.dispatch(vec![mail.ready(links)]),
            None => self.reports.send(Event::Rendered(Box::new(mail))),
        }
    }

    async fn share_of_memory(&self, kilobytes: u32) -> Option<OwnedSemaphorePermit> {
        let memory = Arc::clone(&self.memory);
        memory
            .acquire_many_owned(kilobytes.min(RENDERED_KB))
            .await
            .ok()
    }

    /// Gives back what no server takes, and what becomes of it.
    fn assign(self: &Arc<Self>, mut ready: ReadyMail) -> Option<(ReadyMail, Outcome)> {
        let domain = ready.sender_domain();
        if ready.job.sender.is_none() {
            ready.job.sender = ready.sender_address().map(Into::into);
        }
        let now = self.clock.now();
        let all = self.servers();
        let target = ready.job.mail.target.as_deref();
        if let Some(target) = target
            && !all.iter().any(|server| server.takes(Some(target)))
        {
            let reason = format!("the webhook target {target} cannot be used here");
            return Some((ready, Outcome::Retry(reason.into())));
        }
        let is_ours = |server: &&Arc<Server>| server.takes(target) && self.connections(server) > 0;
        let servers: Cow<'_, [Arc<Server>]> = match all.iter().all(|server| is_ours(&server)) {
            true => Cow::Borrowed(&all),
            false => Cow::Owned(all.iter().filter(is_ours).cloned().collect()),
        };
        if servers.is_empty() {
            return Some((ready, Outcome::Later(NO_CONNECTION)));
        }
        if target.is_some()
            && let Some(wait) = servers[0].crowded_for()
        {
            return Some((ready, Outcome::Later(wait)));
        }
        let choice = match servers.iter().all(|server| server.rests.is_empty()) {
            true => routing::choose(&servers, domain.as_deref(), now),
            false => choose_awake(&servers, &ready.parties(), domain.as_deref(), now),
        };
        let server = match choice {
            Choice::Server(server, admission) => {
                ready.admission = admission;
                server
            }
            Choice::Wait(wait) => return Some((ready, Outcome::Later(wait))),
            Choice::Nobody => {
                let domain = domain.unwrap_or_default();
                let reason = format!("no server of smtp_server takes mail from {domain:?}");
                return Some((ready, Outcome::Retry(reason.into())));
            }
        };
        ready.job.server = Arc::clone(&server.label);
        ready.job.server_name = Arc::clone(&server.name);
        for slot in server.queue.put(vec![ready], self.connections(&server)) {
            let sender = Sender {
                slot,
                server: Arc::clone(&server),
                channel: Arc::clone(&self.channel),
                clock: Arc::clone(&self.clock),
                reroute: Arc::clone(self),
                stopping: self.stopping.subscribe(),
                connection: None,
            };
            self.handle.spawn(sender.run());
        }
        None
    }
}

impl<C: Channel> Reroute for Shared<C> {
    fn dispatch(self: &Arc<Self>, mails: Vec<ReadyMail>) {
        for ready in mails {
            if let Some((ready, outcome)) = self.assign(ready) {
                ready.job.finish(outcome);
            }
        }
    }

    fn reroute(self: &Arc<Self>, ready: ReadyMail, reason: Diagnostic) {
        if let Some((ready, _)) = self.assign(ready) {
            ready.job.finish(Outcome::Unreachable(reason));
        }
    }
}
