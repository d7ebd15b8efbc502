//! Group commit: hits that arrive together are recorded in one transaction, and each is answered after its commit. Those
//! that the database does not take go to the spool, where there is one, and are answered when they are durable there.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use super::backoff::{self, Backoff};
use super::database::{Database, DatabaseError, Session};
use super::hit::{Answer, Hit};
use super::metrics::Metrics;
use super::pending_hit::PendingHit;
use super::spool::Spool;

/// Hits that may wait; more are spooled or refused, so that memory stays bounded when the database is slow.
const QUEUE_LENGTH: usize = 8192;
/// Hits in one transaction: enough to make its commit cheap, few enough to end in milliseconds.
pub const BATCH_SIZE: usize = 1000;
/// In a rush a batch waits so long, or a moment more, for hits that are about to come, as PostgreSQL does with
/// `commit_delay`: larger batches cost less for each hit.
const GATHERING: Duration = Duration::from_millis(1);
/// So many hits at a time are a rush.
const RUSH: usize = 16;

/// The hit could not be recorded: the database is away or overloaded. The reader should try again later.
#[derive(Debug, PartialEq, Eq)]
pub struct Unavailable;

/// Takes hits from the routes. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    hits: mpsc::Sender<PendingHit>,
    availability: Availability,
    spool: Option<Spool>,
}

/// Whether the database takes hits: a worker has recorded some, or none, and has not failed twice since.
#[derive(Clone, Default)]
pub struct Availability {
    /// Workers that could record when they last tried.
    reachable: Arc<AtomicUsize>,
}

impl Availability {
    pub fn get(&self) -> bool {
        self.reachable.load(Ordering::Relaxed) > 0
    }
}

/// The other end of the recorder: hits that wait, for the workers of one process.
#[derive(Clone)]
pub struct HitQueue {
    hits: Arc<Mutex<mpsc::Receiver<PendingHit>>>,
    recorder: mpsc::WeakSender<PendingHit>,
    availability: Availability,
    spool: Option<Spool>,
}

impl Recorder {
    /// Makes a recorder and the queue that its workers take from.
    pub fn new(spool: Option<Spool>) -> (Self, HitQueue) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let availability = Availability::default();
        let queue = HitQueue {
            hits: Arc::new(Mutex::new(receiver)),
            recorder: sender.downgrade(),
            availability: availability.clone(),
            spool: spool.clone(),
        };
        let recorder = Self {
            hits: sender,
            availability,
            spool,
        };
        (recorder, queue)
    }

    /// Returns once the hit is committed or, when the database does not take it and the hit is `answerable`, durable in
    /// the spool. Dropping the future does not take the hit back.
    pub async fn record(&self, hit: Hit, answerable: bool) -> Result<Answer, Unavailable> {
        let (answer, answered) = oneshot::channel();
        let pending = PendingHit {
            hit,
            answerable,
            answer,
        };
        let refused = match self.is_available() {
            true => self
                .hits
                .try_send(pending)
                .err()
                .map(mpsc::error::TrySendError::into_inner),
            false => Some(pending),
        };
        if let Some(pending) = refused {
            keep_or_drop(self.spool.as_ref(), pending);
        }
        answered.await.map_err(|_| Unavailable)
    }

    /// Whether the database takes hits.
    pub fn is_available(&self) -> bool {
        self.availability.get()
    }

    /// Like [`Self::is_available`], in a form that does not keep the recorder alive.
    pub fn availability(&self) -> Availability {
        self.availability.clone()
    }

    /// Whether hits that are answerable would be kept without the database.
    pub fn can_spool(&self) -> bool {
        self.spool.as_ref().is_some_and(Spool::has_room)
    }

    /// Bytes of hits that wait in the spool; None: there is none.
    pub fn spooled_bytes(&self) -> Option<u64> {
        self.spool.as_ref().map(Spool::bytes)
    }

    /// Hits that wait for a worker.
    pub fn depth(&self) -> usize {
        self.hits.max_capacity() - self.hits.capacity()
    }
}

/// Spools a hit that the database does not take. A hit that cannot be spooled is dropped, which tells its reader's request.
fn keep_or_drop(spool: Option<&Spool>, pending: PendingHit) {
    if let Some(spool) = spool.filter(|_| pending.answerable) {
        spool.keep(pending);
    }
}

impl HitQueue {
    /// Waits for hits and moves up to `BATCH_SIZE` of them into `pending`, which is empty; none when the recorder is gone.
    /// `last`: how many were taken before. Hits are never lost when the future is dropped: they are in the queue or in
    /// `pending`.
    async fn take(&self, pending: &mut Vec<PendingHit>, last: usize) {
        let mut receiver = self.hits.lock().await;
        let enough = enough(last, receiver.len());
        receiver.recv_many(pending, BATCH_SIZE).await;
        if pending.len() >= enough {
            return;
        }
        let mut gathered = std::pin::pin!(tokio::time::sleep(GATHERING));
        while pending.len() < enough {
            let room = BATCH_SIZE - pending.len();
            tokio::select! {
                biased;
                taken = receiver.recv_many(pending, room) => if taken == 0 { return },
                () = &mut gathered => return,
            }
        }
    }

    fn is_abandoned(&self) -> bool {
        self.recorder.strong_count() == 0
    }

    /// Spools or refuses all hits that wait now.
    fn refuse(&self) {
        if let Ok(mut hits) = self.hits.try_lock() {
            while let Ok(pending) = hits.try_recv() {
                keep_or_drop(self.spool.as_ref(), pending);
            }
        }
    }
}

/// How many hits are worth waiting for, given how many were recorded together and how many have come meanwhile: three quarters of
/// them, since readers whose hits were just answered may have more; one when there is no rush.
fn enough(last: usize, queued: usize) -> usize {
    match last + queued {
        0..RUSH => 1,
        rush => (rush * 3 / 4).min(BATCH_SIZE),
    }
}

/// Hits taken together.
type Batch = Vec<PendingHit>;

/// Gives the answers of the database to the requests that wait: one for each hit.
fn answer(batch: Batch, answers: Vec<Answer>) {
    for (pending, answer) in batch.into_iter().zip(answers) {
        pending.answer(answer);
    }
}

/// Records hits over one connection until the recorder is dropped and its queue is empty.
///
/// Of a batch that fails, the spool takes what it can. The rest is tried once more on a new connection: its ids make that
/// safe even if the first try was committed. So hits wait through a short interruption; once the second try fails too,
/// they are refused.
pub async fn work(queue: HitQueue, database: Database, metrics: Arc<Metrics>) {
    let mut worker = Worker {
        queue,
        metrics,
        reachable: None,
        backoff: Backoff::default(),
    };
    let mut repeated = Batch::new();
    loop {
        let end = match database.connect().await {
            Ok(session) => {
                let connected_at = Instant::now();
                let end = match worker.probe(&session).await {
                    Ok(()) => {
                        worker
                            .record_all(session, std::mem::take(&mut repeated))
                            .await
                    }
                    Err(error) => End::Refused(error),
                };
                if connected_at.elapsed() > backoff::LONGEST {
                    worker.backoff.reset();
                }
                end
            }
            Err(error) => End::Refused(error),
        };
        match end {
            End::Finished => return,
            End::Lost(batch) => repeated = batch,
            End::Refused(error) => {
                repeated.clear();
                worker.set_reachable(Err(error));
                if worker.queue.is_abandoned() {
                    return;
                }
            }
        }
        tokio::time::sleep(worker.backoff.pause()).await;
    }
}

struct Worker {
    queue: HitQueue,
    metrics: Arc<Metrics>,
    /// False from a second failure until a batch has succeeded again.
    reachable: Option<bool>,
    backoff: Backoff,
}

/// How a connection ended.
enum End {
    /// There will be no more hits.
    Finished,
    /// The connection, or what it was asked, failed for the first time. The batch is to be repeated.
    Lost(Batch),
    /// A second attempt failed too.
    Refused(DatabaseError),
}

impl Worker {
    /// Records no hits before any are taken: a connection alone does not say that they can be recorded. Not while
    /// the database counts as reachable, when a batch may wait to be repeated and tells the same.
    async fn probe(&mut self, session: &Session) -> Result<(), DatabaseError> {
        if self.reachable != Some(true) {
            session.probe().await?;
            self.set_reachable(Ok(()));
        }
        Ok(())
    }

    /// Notes whether hits can be recorded; says so when that changed.
    fn set_reachable(&mut self, outcome: Result<(), DatabaseError>) {
        let now = outcome.is_ok();
        if self.reachable != Some(now) {
            if now {
                self.queue
                    .availability
                    .reachable
                    .fetch_add(1, Ordering::Relaxed);
            } else if self.reachable == Some(true) {
                self.queue
                    .availability
                    .reachable
                    .fetch_sub(1, Ordering::Relaxed);
            }
            match outcome {
                Ok(()) => info!("hits can be recorded"),
                Err(error) => warn!(%error, "hits cannot be recorded"),
            }
            self.reachable = Some(now);
        }
        if !self.queue.availability.get() {
            self.queue.refuse();
        }
    }

    /// Records batch after batch, beginning with the one that failed before.
    async fn record_all(&mut self, mut session: Session, mut repeated: Batch) -> End {
        let mut last = 0;
        loop {
            let again = !repeated.is_empty();
            let batch = match again {
                true => std::mem::take(&mut repeated),
                false => match self.next_batch(&mut session, last).await {
                    Ok(batch) => batch,
                    Err(end) => return end,
                },
            };
            match session
                .record(
                    batch
                        .iter()
                        .map(|pending| (&pending.hit, pending.answerable)),
                )
                .await
            {
                Ok(answers) => {
                    self.backoff.reset();
                    last = answers.len();
                    self.metrics.count_batch(last);
                    answer(batch, answers);
                }
                Err(error) if again => {
                    warn!(hits = batch.len(), "hits were refused");
                    return End::Refused(error);
                }
                Err(error) => {
                    warn!(%error, hits = batch.len(), "hits were not recorded");
                    return End::Lost(self.spool(batch));
                }
            }
        }
    }

    /// Spools what can be, and gives what cannot.
    fn spool(&self, batch: Batch) -> Batch {
        let Some(spool) = &self.queue.spool else {
            return batch;
        };
        let (kept, rest): (Batch, Batch) =
            batch.into_iter().partition(|pending| pending.answerable);
        for pending in kept {
            spool.keep(pending);
        }
        rest
    }

    /// Waits for hits, and for the end of the connection meanwhile.
    async fn next_batch(&self, session: &mut Session, last: usize) -> Result<Batch, End> {
        let mut pending = Batch::new();
        let lost = tokio::select! {
            biased;
            () = session.closed() => true,
            () = self.queue.take(&mut pending, last) => false,
        };
        match (lost, pending.is_empty()) {
            (false, false) => Ok(pending),
            (false, true) => Err(End::Finished),
            (true, _) => Err(End::Lost(self.spool(pending))),
        }
    }
}

/// Answers hits without a database; returns all that came when the recorder is dropped.
#[cfg(test)]
pub(super) async fn answer_with(queue: HitQueue, said: impl Fn(&Hit) -> Answer) -> Vec<Hit> {
    queue.availability.reachable.store(1, Ordering::Relaxed);
    let mut recorded = Vec::new();
    loop {
        let mut batch = Batch::new();
        queue.take(&mut batch, 0).await;
        if batch.is_empty() {
            return recorded;
        }
        recorded.extend(batch.iter().map(|pending| pending.hit.clone()));
        let answers = batch.iter().map(|pending| said(&pending.hit)).collect();
        answer(batch, answers);
    }
}

#[cfg(test)]
mod tests;
