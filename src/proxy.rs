//! The HTTP tracking proxy: records opens and clicks, redirects, unsubscribes.
//!
//! A token is verified here, where links lead is remembered ([`links`]), everything else is asked of the extension's SQL
//! functions, as a role that may call these functions and nothing else. A request takes this way:
//! [`listener`] → [`routes`] → [`keys`] → [`recorder`] ([hits](hit), in batches) or [`pools`] (all the rest) → [`database`].
//! While the database is away, hits take another: [`recorder`] → [`spool`] → [`replay`] → [`pools`] → [`database`]; what
//! verifying and redirecting needs outlives the process too ([`snapshot`]).
//! Returned mails come from mail servers that have a token ([`bounce`]).

pub mod backoff;
pub mod bounce;
pub mod check;
pub mod client;
pub mod database;
pub mod form;
pub mod group_commit;
pub mod hit;
pub mod keys;
pub mod links;
pub mod listener;
pub mod metrics;
pub mod options;
pub mod page;
pub mod pages;
pub mod pools;
pub mod replay;
pub mod routes;
pub mod snapshot;
pub mod spool;
pub mod texts;
pub mod tls;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tracing::{info, warn};

use bounce::BounceToken;
use client::Trust;
use database::{Database, DatabaseError};
use group_commit::Recorder;
use keys::Keys;
use links::Links;
use listener::{Listen, Listener};
use metrics::Metrics;
use pages::PageStore;
use pools::Pools;
pub use routes::app;
use snapshot::Snapshot;
use spool::{Spool, SpoolSettings, WriterThread};
use tls::Tls;

/// How long requests and hits that are under way may take after the signal to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What the administrator decides.
#[derive(Debug, Clone)]
pub struct Settings {
    pub listen: Listen,
    /// libpq connection string or URL.
    pub database: String,
    /// Connections that record hits, at least 1.
    pub connections: usize,
    /// Where hits are kept while the database is away; None: they are refused.
    pub spool: Option<SpoolSettings>,
    /// For TCP; None: plain HTTP.
    pub tls: Option<Arc<Tls>>,
    pub trust: Trust,
    /// With it, returned mails are taken; None: there is no such route.
    pub bounce_token: Option<BounceToken>,
}

/// Why the proxy could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("cannot listen on {listen}: {error}")]
    Listen { listen: Listen, error: io::Error },
    #[error("cannot use the spool directory {directory}: {error}")]
    Spool { directory: String, error: io::Error },
}

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
    async fn finish(mut self) {
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

/// Serves until `shutdown` is ready, then lets requests and hits under way finish, for 5 seconds at most.
pub async fn serve(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let database = Database::parse(&settings.database)?;
    let spool = settings
        .spool
        .as_ref()
        .map(|spool| {
            Spool::open(spool).map_err(|error| ServeError::Spool {
                directory: spool.directory.display().to_string(),
                error,
            })
        })
        .transpose()?;
    let listener = Listener::bind(&settings.listen)
        .await
        .map_err(|error| ServeError::Listen {
            listen: settings.listen.clone(),
            error,
        })?;
    info!(listen = %listener.address(), database = database.name(), "tracking proxy is listening");
    let (state, tasks) = State::start(
        &database,
        settings.connections,
        spool,
        settings.trust,
        settings.bounce_token,
    );
    let connections = listener.serve(app(state), settings.tls, shutdown).await;
    info!("stopping");
    let drained = tokio::time::timeout(DRAIN_TIMEOUT, async {
        connections.finish().await;
        tasks.finish().await;
    });
    if drained.await.is_err() {
        warn!("stopped with requests under way");
    }
    Ok(())
}
