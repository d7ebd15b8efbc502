//! The HTTP tracking proxy: records opens and clicks, redirects, unsubscribes.
//!
//! A token is verified here, where links lead is remembered ([`links`]), everything else is asked of the extension's SQL
//! functions, as a role that may call these functions and nothing else. A request takes this way:
//! [listener](crate::program::listener) → [`routes`] → [`keys`] → [`group_commit`] ([hits](hit), in batches) or [`pools`] (all the rest) → [`database`].
//! While the database is away, hits take another: [`group_commit`] → [`spool`] → [`replay`] → [`pools`] → [`database`]; what
//! verifying and redirecting needs outlives the process too ([`snapshot`]).
//! Returned mails come from mail servers that have a token ([`bounce`]), what became of others from providers ([`providers`]).

pub mod backoff;
pub mod bounce;
pub mod check;
pub mod client;
pub mod credential;
pub mod database;
pub mod form;
pub mod group_commit;
pub mod hit;
pub mod keys;
pub mod links;
pub mod metrics;
pub mod options;
pub mod page;
pub mod pages;
pub mod pending_hit;
pub mod pools;
pub mod providers;
pub mod replay;
pub mod routes;
pub mod snapshot;
pub mod spool;
pub mod state;
pub mod texts;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tracing::{info, warn};

use bounce::BounceToken;
use client::Trust;
use database::{Database, DatabaseError};
use providers::Providers;
pub use routes::app;
use spool::{Spool, SpoolSettings};
use state::State;

use crate::program::listener::{Listen, Listener};
use crate::program::tls::Tls;

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
    /// Who may post what became of mails.
    pub providers: Providers,
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
        settings.providers,
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
