//! The SQL functions of the extension, as the proxy sees them: it calls these and nothing else.

mod bounce;
mod error;
mod mail;
mod record;
mod report;
mod session;
mod topics;
mod unsubscribe;

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::{Config, NoTls};

pub use bounce::Bounce;
pub use error::DatabaseError;
use session::Driver;
pub use session::{PageSource, Session};
pub use topics::{Choice, Confirmation};
pub use unsubscribe::Subscription;

use crate::program::session::NO_TRANSACTION_TIMEOUT;

/// For each host to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For the rest of a connection's beginning, which tokio-postgres does not limit: a stopped server accepts and is silent.
const START_TIMEOUT: Duration = Duration::from_secs(3);
/// Notices a server that vanished without a word, such as a failed-over machine.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Below the time limit of a request, so that a blocked statement ends before its hits are given up. The search path is
/// fixed because the role's own setting shall not decide what a name means, the others because it shall not refuse hits.
const SESSION_SETTINGS: &str = "set search_path = pg_catalog, pg_temp; set statement_timeout = '3s'; set lock_timeout = 0; \
     set idle_session_timeout = 0; set default_transaction_isolation = 'read committed'; set default_transaction_read_only = off";
/// Of the connections that serve one reader at a time: whoever holds a record shall not hold a connection for long, and a page that a
/// busy server has in a few seconds is better than none.
const BRIEF_LOCKS: &str = "set lock_timeout = '2s'; set statement_timeout = '7s'";

/// The address of the database and the role that asks it; connects on demand.
#[derive(Clone)]
pub struct Database {
    config: Config,
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
        client.batch_execute(NO_TRANSACTION_TIMEOUT).await?;
        let record = record::prepare(&client).await?;
        Ok(Session {
            client,
            record,
            driver,
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
