//! Group commit: hits that arrive together are recorded in one transaction, and each is answered after its commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::Instant;
use tracing::{info, warn};

use super::backoff::{self, Backoff};
use super::database::{Answer, Database, DatabaseError, Hit, Session};
use super::metrics::Metrics;

/// Hits that may wait; more are refused, so that memory stays bounded when the database is slow.
const QUEUE_LENGTH: usize = 8192;
/// Hits in one transaction: enough to make its commit cheap, few enough to end in milliseconds.
const BATCH_SIZE: usize = 1000;

/// The hit could not be recorded: the database is away or overloaded. The reader should try again later.
#[derive(Debug, PartialEq, Eq)]
pub struct Unavailable;

/// Takes hits from the routes. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    hits: mpsc::Sender<Waiting>,
    reachable: Arc<AtomicUsize>,
}

struct Waiting {
    hit: Hit,
    answer: oneshot::Sender<Answer>,
}

/// The other end of the recorder: hits that wait, for the workers of one process.
#[derive(Clone)]
pub struct HitQueue {
    hits: Arc<Mutex<mpsc::Receiver<Waiting>>>,
    recorder: mpsc::WeakSender<Waiting>,
    /// Workers that could record when they last tried.
    reachable: Arc<AtomicUsize>,
}

/// Hits taken together, and who waits for their answers.
struct Batch {
    hits: Vec<Hit>,
    answers: Vec<oneshot::Sender<Answer>>,
}

impl Recorder {
    /// Makes a recorder and the queue that its workers take from.
    pub fn new() -> (Self, HitQueue) {
        let (sender, receiver) = mpsc::channel(QUEUE_LENGTH);
        let reachable = Arc::new(AtomicUsize::new(0));
        let queue = HitQueue {
            hits: Arc::new(Mutex::new(receiver)),
            recorder: sender.downgrade(),
            reachable: Arc::clone(&reachable),
        };
        (
            Self {
                hits: sender,
                reachable,
            },
            queue,
        )
    }

    /// Returns once the hit is committed. Dropping the future does not take the hit back.
    pub async fn record(&self, hit: Hit) -> Result<Answer, Unavailable> {
        if !self.is_available() {
            return Err(Unavailable);
        }
        let (answer, answered) = oneshot::channel();
        self.hits
            .try_send(Waiting { hit, answer })
            .map_err(|_| Unavailable)?;
        answered.await.map_err(|_| Unavailable)
    }

    /// Whether a worker has recorded, and has not failed twice since.
    pub fn is_available(&self) -> bool {
        self.reachable.load(Ordering::Relaxed) > 0
    }

    /// Hits that wait for a worker.
    pub fn depth(&self) -> usize {
        self.hits.max_capacity() - self.hits.capacity()
    }
}

impl HitQueue {
    /// Waits for hits and moves up to `BATCH_SIZE` of them into `waiting`; none when the recorder is gone. Hits are never
    /// lost when the future is dropped: they are in the queue or in `waiting`.
    async fn take(&self, waiting: &mut Vec<Waiting>) {
        let mut receiver = self.hits.lock().await;
        receiver.recv_many(waiting, BATCH_SIZE).await;
        // Lets requests that have arrived meanwhile join: costs nothing when there are none.
        tokio::task::yield_now().await;
        while waiting.len() < BATCH_SIZE {
            let Ok(hit) = receiver.try_recv() else { break };
            waiting.push(hit);
        }
    }

    fn is_abandoned(&self) -> bool {
        self.recorder.strong_count() == 0
    }

    /// Refuses all hits that wait now: dropping them tells who waits.
    fn refuse(&self) {
        if let Ok(mut hits) = self.hits.try_lock() {
            while hits.try_recv().is_ok() {}
        }
    }
}

impl Batch {
    fn new(waiting: Vec<Waiting>) -> Self {
        let (hits, answers) = waiting
            .into_iter()
            .map(|waiting| (waiting.hit, waiting.answer))
            .unzip();
        Self { hits, answers }
    }

    fn answer(self, answers: Vec<Answer>) {
        for (waiting, answer) in self.answers.into_iter().zip(answers) {
            // Nobody listens when the reader has gone.
            let _ = waiting.send(answer);
        }
    }
}

/// Records hits over one connection until the recorder is dropped and its queue is empty.
///
/// A batch that fails is tried once more on a new connection: its ids make that safe even if the first try was
/// committed. So hits wait through a short interruption; once the second try fails too, they are refused.
pub async fn work(queue: HitQueue, database: Database, metrics: Arc<Metrics>) {
    let mut worker = Worker {
        queue,
        metrics,
        reachable: None,
        backoff: Backoff::default(),
    };
    let mut repeated = None;
    loop {
        let end = match database.connect().await {
            Ok(session) => {
                let connected_at = Instant::now();
                let end = match worker.probe(&session).await {
                    Ok(()) => worker.record_all(session, repeated.take()).await,
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
                repeated = None;
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
    Lost(Option<Batch>),
    /// A second attempt failed too.
    Refused(DatabaseError),
}

impl Worker {
    /// Records no hits before any are taken: a connection alone does not say that they can be recorded. Not while
    /// the database counts as reachable, when a batch may wait to be repeated and tells the same.
    async fn probe(&mut self, session: &Session) -> Result<(), DatabaseError> {
        if self.reachable != Some(true) {
            session.record(&[]).await?;
            self.set_reachable(Ok(()));
        }
        Ok(())
    }

    /// Notes whether hits can be recorded; says so when that changed.
    fn set_reachable(&mut self, outcome: Result<(), DatabaseError>) {
        let now = outcome.is_ok();
        if self.reachable != Some(now) {
            if now {
                self.queue.reachable.fetch_add(1, Ordering::Relaxed);
            } else if self.reachable == Some(true) {
                self.queue.reachable.fetch_sub(1, Ordering::Relaxed);
            }
            match outcome {
                Ok(()) => info!("hits can be recorded"),
                Err(error) => warn!(%error, "hits cannot be recorded"),
            }
            self.reachable = Some(now);
        }
        if self.queue.reachable.load(Ordering::Relaxed) == 0 {
            self.queue.refuse();
        }
    }

    /// Records batch after batch, beginning with the one that failed before.
    async fn record_all(&mut self, mut session: Session, mut repeated: Option<Batch>) -> End {
        loop {
            let again = repeated.is_some();
            let batch = match repeated.take() {
                Some(batch) => batch,
                None => match self.next_batch(&mut session).await {
                    Ok(batch) => batch,
                    Err(end) => return end,
                },
            };
            match session.record(&batch.hits).await {
                Ok(answers) => {
                    self.backoff.reset();
                    self.metrics.count_batch(answers.len());
                    batch.answer(answers);
                }
                Err(error) if again => {
                    warn!(hits = batch.hits.len(), "hits were refused");
                    return End::Refused(error);
                }
                Err(error) => {
                    warn!(%error, hits = batch.hits.len(), "hits were not recorded, trying again");
                    return End::Lost(Some(batch));
                }
            }
        }
    }

    /// Waits for hits, and for the end of the connection meanwhile.
    async fn next_batch(&self, session: &mut Session) -> Result<Batch, End> {
        let mut waiting = Vec::new();
        let lost = tokio::select! {
            biased;
            () = session.closed() => true,
            () = self.queue.take(&mut waiting) => false,
        };
        match (lost, waiting.is_empty()) {
            (false, false) => Ok(Batch::new(waiting)),
            (false, true) => Err(End::Finished),
            (true, false) => Err(End::Lost(Some(Batch::new(waiting)))),
            (true, true) => Err(End::Lost(None)),
        }
    }
}

#[cfg(test)]
async fn take(queue: &HitQueue) -> Batch {
    let mut waiting = Vec::new();
    queue.take(&mut waiting).await;
    Batch::new(waiting)
}

/// Answers hits without a database; returns all that came when the recorder is dropped.
#[cfg(test)]
pub(super) async fn answer_with(queue: HitQueue, answer: impl Fn(&Hit) -> Answer) -> Vec<Hit> {
    queue.reachable.store(1, Ordering::Relaxed);
    let mut recorded = Vec::new();
    loop {
        let batch = take(&queue).await;
        if batch.hits.is_empty() {
            return recorded;
        }
        recorded.extend(batch.hits.clone());
        let answers = batch.hits.iter().map(&answer).collect();
        batch.answer(answers);
    }
}

#[cfg(test)]
mod tests;
