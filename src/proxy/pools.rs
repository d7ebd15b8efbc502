//! Pools of connections for everything but fresh hits: keys, unsubscribe pages, unsubscriptions, readiness, bounces, reports, mails in a
//! browser, spooled hits.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::database::{Database, DatabaseError, Session};

/// Questions to one pool that are asked or wait to be; more are refused.
const UNDER_WAY: usize = 64;
/// For a question, once it is its turn; below the time limit of a request and above those of the server.
const PATIENCE: Duration = Duration::from_secs(8);
/// Probes are the same for everybody, and whoever asked gives them up soon.
const PROBES_UNDER_WAY: usize = 8;
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
/// Each holds a mail of a megabyte at most.
const BOUNCES_UNDER_WAY: usize = 16;
const REPORTS_UNDER_WAY: usize = 4;
/// Each is of a megabyte at most, and of pictures of two more.
const MAILS_UNDER_WAY: usize = 16;

/// Bulkheads: the pools are apart from each other and from the recorder, so that none waits behind what another is stuck with.
pub struct Pools {
    /// Keys and unsubscribe pages: all that takes no lock.
    pub lookups: Pool,
    /// May wait for the lock of a record.
    pub unsubscriptions: Pool,
    /// Batches without hits.
    pub probes: Pool,
    /// Mails that came back.
    pub bounces: Pool,
    /// Reports, one at a time: each reads the history of its scenario.
    pub reports: Pool,
    /// Mails in a browser, one at a time: each takes some milliseconds.
    pub mails: Pool,
    /// Batches of spooled hits.
    pub replays: Pool,
}

impl Pools {
    pub fn new(database: &Database) -> Self {
        Self {
            lookups: Pool::new(database, 2, UNDER_WAY, PATIENCE),
            unsubscriptions: Pool::new(database, 2, UNDER_WAY, PATIENCE),
            probes: Pool::new(database, 1, PROBES_UNDER_WAY, PROBE_PATIENCE),
            bounces: Pool::new(database, 1, BOUNCES_UNDER_WAY, PATIENCE),
            reports: Pool::new(database, 1, REPORTS_UNDER_WAY, PATIENCE),
            mails: Pool::new(database, 1, MAILS_UNDER_WAY, PATIENCE),
            replays: Pool::new(database, 1, 1, PATIENCE),
        }
    }

    /// Waits for unsubscriptions under way, also those whose readers have gone. There must be no new ones.
    pub async fn finish(&self) {
        let all = u32::try_from(UNDER_WAY).unwrap_or(u32::MAX);
        let _ = self.unsubscriptions.under_way.acquire_many(all).await;
    }
}

/// A few connections, opened when needed, each with one question at a time. Further questions wait here, where they are counted,
/// and not in the queue of a connection, which has no end.
pub struct Pool {
    connections: Arc<Connections>,
    under_way: Arc<Semaphore>,
}

struct Connections {
    database: Database,
    turns: Semaphore,
    idle: Mutex<Vec<Arc<Session>>>,
    patience: Duration,
}

impl Pool {
    fn new(database: &Database, connections: usize, under_way: usize, patience: Duration) -> Self {
        Self {
            connections: Arc::new(Connections {
                database: database.clone(),
                turns: Semaphore::new(connections),
                idle: Mutex::new(Vec::new()),
                patience,
            }),
            under_way: Arc::new(Semaphore::new(under_way)),
        }
    }

    /// Asks the database; a second time when the connection turns out to be lost, so the question must be repeatable.
    ///
    /// It is asked to the end even when the caller goes away, and counts as long: readers who lose their patience must
    /// not add up, and one who has pressed the button is unsubscribed.
    pub async fn call<T, F>(
        &self,
        ask: impl Fn(Arc<Session>) -> F + Send + Sync + 'static,
    ) -> Result<T, DatabaseError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, DatabaseError>> + Send,
    {
        let permit = Arc::clone(&self.under_way)
            .try_acquire_owned()
            .map_err(|_| DatabaseError::Busy)?;
        let connections = Arc::clone(&self.connections);
        let asked = tokio::spawn(async move {
            let answer = connections.ask(ask).await;
            drop(permit);
            answer
        });
        asked.await.unwrap_or(Err(DatabaseError::Interrupted))
    }
}

impl Connections {
    async fn ask<T, F>(&self, ask: impl Fn(Arc<Session>) -> F) -> Result<T, DatabaseError>
    where
        F: Future<Output = Result<T, DatabaseError>>,
    {
        let _turn = self
            .turns
            .acquire()
            .await
            .map_err(|_| DatabaseError::Interrupted)?;
        // A session whose answer did not come in time is not put back, and so is closed.
        timeout(self.patience, async {
            let session = self.session().await?;
            let answer = ask(Arc::clone(&session)).await;
            if answer.is_ok() || !session.is_closed() {
                self.put_back(session);
                return answer;
            }
            let session = Arc::new(self.database.connect_briefly_locking().await?);
            let answer = ask(Arc::clone(&session)).await;
            self.put_back(session);
            answer
        })
        .await
        .map_err(|_| DatabaseError::Timeout)?
    }

    async fn session(&self) -> Result<Arc<Session>, DatabaseError> {
        let idle = {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.retain(|session| !session.is_closed());
            idle.pop()
        };
        match idle {
            Some(session) => Ok(session),
            None => Ok(Arc::new(self.database.connect_briefly_locking().await?)),
        }
    }

    fn put_back(&self, session: Arc<Session>) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::database::tests::Silent;

    async fn keys(pool: &Pool) -> Result<(), DatabaseError> {
        pool.call(|session| async move { session.keyring().await.map(drop) })
            .await
    }

    #[tokio::test]
    async fn questions_whose_callers_have_gone_count_until_they_end() {
        let silent = Silent::start();
        let patience = Duration::from_millis(300);
        let pool = Pool::new(&silent.database(""), 2, 2, patience);
        for _ in 0..2 {
            let gone = timeout(Duration::from_millis(10), keys(&pool)).await;
            assert!(gone.is_err());
        }
        assert!(matches!(keys(&pool).await, Err(DatabaseError::Busy)));
        tokio::time::sleep(patience * 2).await;
        assert!(matches!(keys(&pool).await, Err(DatabaseError::Timeout)));
    }

    #[tokio::test]
    async fn pools_do_not_fill_each_other() {
        let silent = Silent::start();
        let pools = Pools::new(&silent.database(""));
        for _ in 0..PROBES_UNDER_WAY {
            let _ = timeout(Duration::from_millis(1), keys(&pools.probes)).await;
        }
        assert!(matches!(
            keys(&pools.probes).await,
            Err(DatabaseError::Busy)
        ));
        let lookup = timeout(Duration::from_millis(10), keys(&pools.lookups)).await;
        assert!(lookup.is_err(), "it waits for the server");
    }
}
