//! The SQL functions of the extension, as the proxy sees them: it calls these and nothing else.

mod bounce;
mod record;
mod unsubscribe;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls, Statement};

use crate::tracking::token::Keyring;
pub use bounce::Bounce;
pub use unsubscribe::Subscription;

/// For each host to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For the rest of a connection's beginning, which tokio-postgres does not limit: a stopped server accepts and is silent.
const START_TIMEOUT: Duration = Duration::from_secs(3);
/// Notices a server that vanished without a word, such as a failed-over machine.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Below the time limit of a request, so that a blocked statement ends before its hits are given up. The search path is
/// fixed because the role's own setting shall not decide what a name means.
const SESSION_SETTINGS: &str =
    "set statement_timeout = '3s'; set search_path = pg_catalog, pg_temp";
/// Of the connections that serve one reader at a time: whoever holds a record shall not hold a connection for long.
const BRIEF_LOCKS: &str = "set lock_timeout = '2s'";

const KEYS: &str = "select id, secret from marketing_automation.tracking_keys()";
const PAGE_SOURCES: &str =
    "select is_template, name, language, source from marketing_automation.page_sources()";

/// Where the database is and who asks; connects on demand.
#[derive(Clone)]
pub struct Database {
    config: Config,
}

/// Why the database gave no answer. The text names no token, address or password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error(
        "tracking_keys() returned no usable keys: each needs an id of its own, 0 to 255, and a secret of 32 bytes"
    )]
    Keys,
    #[error("record_events() returned {rows} rows for {hits} hits")]
    Answers { rows: usize, hits: usize },
    #[error("no answer in time")]
    Timeout,
    #[error("too many questions are under way")]
    Busy,
    #[error("the question was interrupted")]
    Interrupted,
}

/// A page or a text that replaces a built-in one.
#[derive(Debug)]
pub struct PageSource {
    pub is_template: bool,
    pub name: String,
    pub language: String,
    pub source: String,
}

impl Database {
    /// Parses a libpq connection string or URL. Without a host it is the socket in `/var/run/postgresql`.
    pub fn parse(text: &str) -> Result<Self, DatabaseError> {
        let mut config = Config::from_str(text)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            config.host_path("/var/run/postgresql");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        if config.get_application_name().is_none() {
            config.application_name("marketing-tracking-proxy");
        }
        config
            .keepalives_idle(KEEPALIVE_IDLE)
            .tcp_user_timeout(TCP_USER_TIMEOUT);
        Ok(Self { config })
    }

    /// Hosts and database, for messages.
    pub fn name(&self) -> String {
        let hosts: Vec<String> = self
            .config
            .get_hosts()
            .iter()
            .map(|host| match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => Path::display(path).to_string(),
            })
            .collect();
        let database = self
            .config
            .get_dbname()
            .or(self.config.get_user())
            .unwrap_or("its default database");
        format!("{database} on {}", hosts.join(", "))
    }

    /// Opens a connection and prepares the statement that hits are recorded with.
    pub async fn connect(&self) -> Result<Session, DatabaseError> {
        timeout(self.start_timeout(), self.open())
            .await
            .map_err(|_| DatabaseError::Timeout)?
    }

    /// Opens a connection that waits for locks no longer than 2 seconds.
    pub async fn connect_briefly_locking(&self) -> Result<Session, DatabaseError> {
        let session = self.connect().await?;
        session.client.batch_execute(BRIEF_LOCKS).await?;
        Ok(session)
    }

    /// Leaves time for every host, so that one that is silent does not hide the next.
    fn start_timeout(&self) -> Duration {
        let hosts = self
            .config
            .get_hosts()
            .len()
            .max(self.config.get_hostaddrs().len());
        let each = self
            .config
            .get_connect_timeout()
            .copied()
            .unwrap_or(CONNECT_TIMEOUT);
        each.saturating_mul(u32::try_from(hosts).unwrap_or(u32::MAX))
            .saturating_add(START_TIMEOUT)
    }

    async fn open(&self) -> Result<Session, DatabaseError> {
        let (client, connection) = self.config.connect(NoTls).await?;
        let driver = tokio::spawn(async move {
            // Whoever waits for an answer gets the error too, and reports it.
            let _ = connection.await;
        });
        let driver = Driver(driver);
        client.batch_execute(SESSION_SETTINGS).await?;
        let record = record::prepare(&client).await?;
        Ok(Session {
            client,
            record,
            driver,
        })
    }
}

/// One connection.
pub struct Session {
    client: Client,
    record: Statement,
    driver: Driver,
}

/// The task that moves the bytes of a connection; closes it when dropped, also when its beginning took too long.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// Whether the connection has ended.
    pub fn is_closed(&self) -> bool {
        self.client.is_closed()
    }

    /// Waits until the connection ends.
    pub async fn closed(&mut self) {
        let _ = (&mut self.driver.0).await;
    }

    /// Fetches the keys, the signing one first.
    pub async fn keyring(&self) -> Result<Keyring, DatabaseError> {
        let mut keys = Vec::new();
        for row in self.client.query_typed(KEYS, &[]).await? {
            let id = u8::try_from(row.try_get::<_, i16>(0)?).map_err(|_| DatabaseError::Keys)?;
            let secret = row
                .try_get::<_, &[u8]>(1)?
                .try_into()
                .map_err(|_| DatabaseError::Keys)?;
            keys.push((id, secret));
        }
        Keyring::new(keys).ok_or(DatabaseError::Keys)
    }

    /// Fetches the pages and texts that replace the built-in ones.
    pub async fn page_sources(&self) -> Result<Vec<PageSource>, DatabaseError> {
        let rows = self.client.query_typed(PAGE_SOURCES, &[]).await?;
        rows.iter()
            .map(|row| {
                Ok(PageSource {
                    is_template: row.try_get(0)?,
                    name: row.try_get(1)?,
                    language: row.try_get(2)?,
                    source: row.try_get(3)?,
                })
            })
            .collect()
    }

    /// Whether the role could do far more than a proxy needs.
    pub async fn is_superuser(&self) -> Result<bool, DatabaseError> {
        let row = self
            .client
            .query_typed_one(
                "select rolsuper from pg_roles where rolname = current_user",
                &[],
            )
            .await?;
        Ok(row.try_get(0)?)
    }
}

/// The whole chain of causes: tokio-postgres itself only says "db error". Of a server's error only the primary message,
/// since details may quote values.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(server) = error.as_db_error() {
        return format!("{} ({})", server.message(), server.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
pub(super) mod tests;
