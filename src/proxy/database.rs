//! The SQL functions of the extension, as the proxy sees them: it calls these and nothing else.

use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::config::Host;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, NoTls, Statement};
use uuid::Uuid;

use crate::tracking::token::Keyring;

/// For each host to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// For the rest of a connection's beginning, which tokio-postgres does not limit: a stopped server accepts and is silent.
const START_TIMEOUT: Duration = Duration::from_secs(3);
/// For a batch; more than the server's own limit, so that this ends only what the server did not. Twice this is less than
/// the time limit of a request.
const RECORD_TIMEOUT: Duration = Duration::from_secs(4);
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
const RECORD: &str = "select n, known, location from marketing_automation.record_events($1, $2, $3, $4, $5, $6, $7) where n = any ($8)";
const PAGE_SOURCES: &str =
    "select is_template, name, language, source from marketing_automation.page_sources()";
const SUBSCRIPTION: &str = "select known, language, scenario, has_party, unsubscribed, everything \
    from marketing_automation.unsubscribe_page($1)";
const UNSUBSCRIBE: &str = "select marketing_automation.unsubscribe_by_token($1, $2, $3)";
const RESUBSCRIBE: &str = "select marketing_automation.resubscribe_by_token($1, $2)";
const INGEST_BOUNCE: &str =
    "select kind, status, message from marketing_automation.ingest_bounce($1)";
/// Looks the function and the right to call it up, and does not call it.
const EXPLAIN_BOUNCE: &str =
    "explain select kind, status, message from marketing_automation.ingest_bounce('')";

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

/// An open or a click that waits to be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    /// Made by the proxy, so that recording the same hit twice counts once.
    pub id: Uuid,
    pub kind: HitKind,
    /// Already verified by the proxy; the function verifies it again.
    pub token: String,
    pub occurred_at: SystemTime,
    pub method: HitMethod,
    /// Who asked; the database keeps the network only.
    pub address: Option<IpAddr>,
    pub user_agent: Option<String>,
}

/// How the proxy was asked. Only `GET` can be a reader's doing, which the database takes into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HitMethod {
    Get,
    Head,
    /// A `GET` in advance, before anybody has asked for it.
    Prefetch,
}

impl HitMethod {
    /// The value of `event.method`.
    fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Prefetch => "PREFETCH",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum HitKind {
    Open,
    Click,
}

impl HitKind {
    /// The value of `event.kind`.
    fn name(self) -> &'static str {
        match self {
            Self::Open => "email_opened",
            Self::Click => "email_clicked",
        }
    }
}

/// What the database said to a hit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// False when the record, activity or link does not exist: the hit was not recorded.
    pub known: bool,
    /// Where a click goes.
    pub location: Option<String>,
}

impl Answer {
    /// To a hit that needs no answer but that it is kept.
    pub fn kept() -> Self {
        Self {
            known: true,
            location: None,
        }
    }
}

/// What the pages around unsubscribing show.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub language: Option<String>,
    /// The title of the scenario.
    pub scenario: String,
    /// Whether it is known who this is, so that they can leave everything.
    pub has_party: bool,
    pub unsubscribed: bool,
    pub everything: bool,
}

/// A page or a text that replaces a built-in one.
#[derive(Debug)]
pub struct PageSource {
    pub is_template: bool,
    pub name: String,
    pub language: String,
    pub source: String,
}

/// What a mail that came back was.
#[derive(Debug)]
pub struct Bounce {
    /// As in `bounce.kind`.
    pub kind: String,
    /// Enhanced status code (RFC 3463).
    pub status: Option<String>,
    /// The mail that it is about.
    pub message: Option<i64>,
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
        let types = [
            Type::UUID_ARRAY,
            Type::TEXT_ARRAY,
            Type::TEXT_ARRAY,
            Type::TIMESTAMPTZ_ARRAY,
            Type::TEXT_ARRAY,
            Type::INET_ARRAY,
            Type::TEXT_ARRAY,
            Type::INT4_ARRAY,
        ];
        let record = client.prepare_typed(RECORD, &types).await?;
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

/// The hits of a batch as the arrays that record_events() takes.
#[derive(Default)]
struct Columns<'a> {
    ids: Vec<Uuid>,
    kinds: Vec<&'static str>,
    tokens: Vec<&'a str>,
    times: Vec<SystemTime>,
    methods: Vec<&'static str>,
    addresses: Vec<Option<IpAddr>>,
    user_agents: Vec<Option<&'a str>>,
    /// The positions, from 1, of hits whose answers are asked for.
    asked: Vec<i32>,
}

impl<'a> Columns<'a> {
    fn with_capacity(hits: usize) -> Self {
        Self {
            ids: Vec::with_capacity(hits),
            kinds: Vec::with_capacity(hits),
            tokens: Vec::with_capacity(hits),
            times: Vec::with_capacity(hits),
            methods: Vec::with_capacity(hits),
            addresses: Vec::with_capacity(hits),
            user_agents: Vec::with_capacity(hits),
            asked: Vec::new(),
        }
    }

    fn push(&mut self, hit: &'a Hit) {
        self.ids.push(hit.id);
        self.kinds.push(hit.kind.name());
        self.tokens.push(&hit.token);
        self.times.push(hit.occurred_at);
        self.methods.push(hit.method.name());
        self.addresses.push(hit.address);
        self.user_agents.push(hit.user_agent.as_deref());
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 8] {
        [
            &self.ids,
            &self.kinds,
            &self.tokens,
            &self.times,
            &self.methods,
            &self.addresses,
            &self.user_agents,
            &self.asked,
        ]
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

    /// Records no hits: meets the same locks and rights as recording some.
    pub async fn probe(&self) -> Result<(), DatabaseError> {
        self.record([].into_iter()).await.map(drop)
    }

    /// Records hits in one transaction, each with whether it need only be kept, because its answer is known already; the
    /// answers are in the order of the hits. They are durable when this returns. After a timeout they may be recorded all
    /// the same, and the session is of no more use.
    pub async fn record<'a>(
        &self,
        hits: impl ExactSizeIterator<Item = (&'a Hit, bool)>,
    ) -> Result<Vec<Answer>, DatabaseError> {
        let mut columns = Columns::with_capacity(hits.len());
        let mut answers = Vec::with_capacity(hits.len());
        for (hit, known) in hits {
            columns.push(hit);
            answers.push(known.then(Answer::kept));
            if !known {
                columns
                    .asked
                    .push(i32::try_from(answers.len()).unwrap_or(i32::MAX));
            }
        }
        let rows = timeout(
            RECORD_TIMEOUT,
            self.client.query(&self.record, &columns.parameters()),
        )
        .await
        .map_err(|_| DatabaseError::Timeout)??;
        for row in &rows {
            let n = usize::try_from(row.try_get::<_, i32>(0)?).unwrap_or_default();
            let answer = Answer {
                known: row.try_get(1)?,
                location: row.try_get(2)?,
            };
            if let Some(slot) = n.checked_sub(1).and_then(|index| answers.get_mut(index)) {
                *slot = Some(answer);
            }
        }
        let hits = answers.len();
        let complete: Option<Vec<Answer>> = answers.into_iter().collect();
        complete.ok_or(DatabaseError::Answers {
            rows: rows.len(),
            hits,
        })
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

    /// Looks up what the pages show; `None` for an unknown record.
    pub async fn subscription(&self, token: &str) -> Result<Option<Subscription>, DatabaseError> {
        let row = self
            .client
            .query_typed_one(SUBSCRIPTION, &[(&token, Type::TEXT)])
            .await?;
        if !row.try_get::<_, bool>(0)? {
            return Ok(None);
        }
        Ok(Some(Subscription {
            language: row.try_get(1)?,
            scenario: row.try_get(2)?,
            has_party: row.try_get(3)?,
            unsubscribed: row.try_get(4)?,
            everything: row.try_get(5)?,
        }))
    }

    /// Unsubscribes; doing it twice changes nothing more. Gives the page that the mail's author wants shown afterwards.
    pub async fn unsubscribe(
        &self,
        token: &str,
        everything: bool,
        user_agent: Option<&str>,
    ) -> Result<Option<String>, DatabaseError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
            (&token, Type::TEXT),
            (&everything, Type::BOOL),
            (&user_agent, Type::TEXT),
        ];
        let row = self
            .client
            .query_typed_one(UNSUBSCRIBE, &parameters)
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Takes an unsubscription back.
    pub async fn resubscribe(
        &self,
        token: &str,
        user_agent: Option<&str>,
    ) -> Result<(), DatabaseError> {
        let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
            [(&token, Type::TEXT), (&user_agent, Type::TEXT)];
        self.client
            .query_typed_one(RESUBSCRIBE, &parameters)
            .await?;
        Ok(())
    }

    /// Takes a raw mail that came back; the same one twice counts once.
    pub async fn ingest_bounce(&self, raw: &[u8]) -> Result<Bounce, DatabaseError> {
        let row = self
            .client
            .query_typed_one(INGEST_BOUNCE, &[(&raw, Type::BYTEA)])
            .await?;
        Ok(Bounce {
            kind: row.try_get(0)?,
            status: row.try_get(1)?,
            message: row.try_get(2)?,
        })
    }

    /// Whether bounces could be taken, without taking one.
    pub async fn probe_bounces(&self) -> Result<(), DatabaseError> {
        Ok(self.client.batch_execute(EXPLAIN_BOUNCE).await?)
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
mod tests;
