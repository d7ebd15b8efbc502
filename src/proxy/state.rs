//! What the routes share, and the tasks behind it.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::bounce::BounceToken;
use super::client::Trust;
use super::database::Database;
use super::group_commit::{self, Recorder};
use super::keys::Keys;
use super::links::Links;
use super::metrics::Metrics;
use super::pages::PageStore;
use super::pools::Pools;
use super::providers::Providers;
use super::replay;
use super::snapshot::Snapshot;
use super::spool::{Spool, WriterThread};

/// What the routes share.
pub struct State {
    pub(crate) keys: Arc<Keys>,
    pub(crate) links: Arc<Links>,
    pub(crate) pages: PageStore,
    pub(crate) recorder: Recorder,
    pub(crate) pools: Arc<Pools>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) trust: Trust,
    pub(crate) bounce_token: Option<BounceToken>,
    pub(crate) providers: Providers,
}

/// The tasks behind a [`State`].
pub struct Tasks {
    /// Ends by itself when the last state is gone and all hits are recorded.
    workers: JoinSet<()>,
    pools: Arc<Pools>,
    /// Those that never end.
    background: JoinSet<()>,
    snapshot: Option<Arc<Snapshot>>,
    spool: Option<WriterThread>,
}

impl State {
    /// Starts the tasks that record hits and fetch keys. The database may be away; they will find it.
    pub fn start(
        database: &Database,
        connections: usize,
        spool: Option<(Spool, WriterThread)>,
        trust: Trust,
        bounce_token: Option<BounceToken>,
        providers: Providers,
    ) -> (Arc<Self>, Tasks) {
        let (spool, spool_writer) = spool.unzip();
        let pools = Arc::new(Pools::new(database));
        let keys = Arc::new(Keys::new(Arc::clone(&pools)));
        let links = Arc::new(Links::default());
        let snapshot = spool.as_ref().map(|spool| {
            let directory = spool.directory().to_owned();
            Arc::new(Snapshot::restore(
                directory,
                Arc::clone(&keys),
                Arc::clone(&links),
            ))
        });
        let metrics = Arc::new(Metrics::default());
        let (recorder, queue) = Recorder::new(spool.clone());
        let mut workers = JoinSet::new();
        for _ in 0..connections.max(1) {
            workers.spawn(group_commit::work(
                queue.clone(),
                database.clone(),
                Arc::clone(&metrics),
            ));
        }
        let mut background = JoinSet::new();
        let refreshed = Arc::clone(&keys);
        background.spawn(async move { refreshed.refresh().await });
        if let Some(snapshot) = &snapshot {
            background.spawn(Arc::clone(snapshot).keep());
        }
        if let Some(spool) = spool {
            background.spawn(replay::replay(
                spool,
                recorder.availability(),
                Arc::clone(&pools),
                Arc::clone(&metrics),
            ));
        }
        (
            Arc::new(Self {
                keys,
                links,
                pages: PageStore::new(Arc::clone(&pools)),
                recorder,
                pools: Arc::clone(&pools),
                metrics,
                trust,
                bounce_token,
                providers,
            }),
            Tasks {
                workers,
                pools,
                background,
                snapshot,
                spool: spool_writer,
            },
        )
    }
}

impl Tasks {
    /// Waits until the hits that are still queued are recorded or spooled, and those who pressed the button unsubscribed.
    pub(super) async fn finish(mut self) {
        self.pools.finish().await;
        while self.workers.join_next().await.is_some() {}
        self.background.shutdown().await;
        if let Some(snapshot) = self.snapshot {
            snapshot.save().await;
        }
        if let Some(spool) = self.spool {
            spool.finish().await;
        }
    }
}
