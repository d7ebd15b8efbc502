//! The HTTP tracking proxy: records opens and clicks, redirects, unsubscribes.
//!
//! It holds no state of its own. A token is verified here, everything else is asked of the extension's SQL functions, as
//! a role that may call these functions and nothing else. A request takes this way:
//! [`listener`] → [`routes`] → [`keys`] → [`recorder`] (hits, in batches) or [`control`] (all the rest) → [`database`].

pub mod backoff;
pub mod check;
pub mod control;
pub mod database;
pub mod form;
pub mod keys;
pub mod listener;
pub mod metrics;
pub mod page;
pub mod recorder;
pub mod routes;
pub mod wording;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinSet;
use tracing::{info, warn};

use control::Control;
use database::{Database, DatabaseError};
use keys::Keys;
use listener::{Listen, Listener};
use metrics::Metrics;
use recorder::Recorder;
pub use routes::app;

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
}

/// Why the proxy could not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ServeError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    #[error("cannot listen on {listen}: {error}")]
    Listen { listen: Listen, error: io::Error },
}

/// What the routes share.
pub struct State {
    pub(crate) keys: Arc<Keys>,
    pub(crate) recorder: Recorder,
    pub(crate) control: Arc<Control>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The tasks behind a [`State`].
pub struct Tasks {
    /// Ends by itself when the last state is gone and all hits are recorded.
    workers: JoinSet<()>,
    control: Arc<Control>,
    /// Aborted with the set.
    _refresh: JoinSet<()>,
}

impl State {
    /// Starts the tasks that record hits and fetch keys. The database may be away; they will find it.
    pub fn start(database: &Database, connections: usize) -> (Arc<Self>, Tasks) {
        let control = Arc::new(Control::new(database));
        let keys = Arc::new(Keys::new(Arc::clone(&control)));
        let metrics = Arc::new(Metrics::default());
        let (recorder, queue) = Recorder::new();
        let mut workers = JoinSet::new();
        for _ in 0..connections.max(1) {
            workers.spawn(recorder::work(
                queue.clone(),
                database.clone(),
                Arc::clone(&metrics),
            ));
        }
        let mut refresh = JoinSet::new();
        let refreshed = Arc::clone(&keys);
        refresh.spawn(async move { refreshed.refresh().await });
        (
            Arc::new(Self {
                keys,
                recorder,
                control: Arc::clone(&control),
                metrics,
            }),
            Tasks {
                workers,
                control,
                _refresh: refresh,
            },
        )
    }
}

impl Tasks {
    /// Waits until the hits that are still queued are recorded, and those who pressed the button unsubscribed.
    async fn finish(mut self) {
        self.control.finish().await;
        while self.workers.join_next().await.is_some() {}
    }
}

/// Serves until `shutdown` is ready, then lets requests and hits under way finish, for 5 seconds at most.
pub async fn serve(
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    let database = Database::parse(&settings.database)?;
    let listener = Listener::bind(&settings.listen)
        .await
        .map_err(|error| ServeError::Listen {
            listen: settings.listen.clone(),
            error,
        })?;
    info!(listen = %listener.address(), database = database.name(), "tracking proxy is listening");
    let (state, tasks) = State::start(&database, settings.connections);
    let connections = listener.serve(app(state), shutdown).await;
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
