//! The one session of a mailer: it connects, registers, asks with a time limit, and connects again when it is lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, Statement};
use uuid::Uuid;

use super::address::Address;
use super::error::{describe, is_passing};
use super::status::{Shared, Status};
use crate::program::session::NO_TRANSACTION_TIMEOUT;
use crate::version::{self, Mismatch, VERSION};

/// More than the time limit of the server, which ends a statement and keeps the session.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// How often a mailer tells how it is doing; at once when that has changed. A minute of silence makes it lost.
const REPORT: Duration = Duration::from_secs(10);
const REPORT_CHANGE: Duration = Duration::from_secs(1);

/// The role's own settings shall not decide what a name means, and a session must not wait for long for who alters our tables.
/// Nor are its plans compiled: where scans are switched off they look dear, and take a millisecond.
const SESSION_SETTINGS: &str = "set search_path = pg_catalog, pg_temp; set jit = off; set statement_timeout = '15s'; \
     set lock_timeout = '1s'; set idle_session_timeout = 0; set default_transaction_isolation = 'read committed'; \
     set default_transaction_read_only = off; set tcp_keepalives_idle = 5; set tcp_keepalives_interval = 2; \
     set tcp_keepalives_count = 3; set tcp_user_timeout = 10000";
const CLAIM: &str = "select id, attempt, record_id, record_uuid, activity_id, activity_version, email, recipient_name, language, \
     time_zone, context, party, age_seconds, track_opens, track_clicks, channel, snippets_version, senders, place, closes_in, template_id, target, addresses \
     from marketing_automation.mailer_claim($1, $2)";
const COMPLETE: &str =
    "select marketing_automation.mailer_complete($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

/// Who a mailer is.
#[derive(Debug, Clone)]
pub struct Identity {
    pub name: String,
    pub host: String,
    /// Of this process.
    pub instance: Uuid,
}

/// Why there is no session.
#[derive(Debug)]
pub(super) enum Absent {
    /// The database is away, or not ready; asking again may help.
    Away(String),
    /// Somebody has to do something.
    Refused(String),
}

impl Absent {
    pub(super) fn into_text(self) -> String {
        match self {
            Absent::Away(text) | Absent::Refused(text) => text,
        }
    }
}

impl From<tokio_postgres::Error> for Absent {
    fn from(error: tokio_postgres::Error) -> Self {
        match is_passing(&error) {
            true => Absent::Away(describe(&error)),
            false => Absent::Refused(describe(&error)),
        }
    }
}

/// A session that has registered.
pub(super) struct Live {
    pub(super) client: Client,
    pub(super) claim: Statement,
    pub(super) complete: Statement,
    driver: JoinHandle<()>,
}

impl Drop for Live {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

pub(super) struct Session {
    /// Of the engine's own thread: the connection moves while that waits.
    pub(super) runtime: Runtime,
    address: Address,
    identity: Identity,
    pub(super) shared: Arc<Shared>,
    live: Option<Live>,
    /// Mails claimed and not completed, with their attempts; kept over a lost session.
    pub(super) in_hand: HashMap<i64, i32>,
    /// The settings have been read in this session: it is known to be armed.
    pub(super) is_configured: bool,
    /// The version may have changed.
    is_suspicious: bool,
    mismatch: Option<String>,
    reported: Option<(Instant, Status)>,
    /// It has had a session before.
    is_known: bool,
}

/// Says which of the two is older, and what to do about it; None: they are of one version.
fn mismatch(installed: &str) -> Option<String> {
    let advice = match version::mismatch(installed)? {
        Mismatch::SqlIsOlder => "run ALTER EXTENSION marketing_automation UPDATE in the database",
        Mismatch::SqlIsNewer => "install marketing-mailer of that version and restart it",
    };
    Some(format!(
        "nothing is sent: the extension is {installed}, this mailer {VERSION}: {advice}"
    ))
}

impl Session {
    pub(super) fn new(
        address: Address,
        identity: Identity,
        shared: Arc<Shared>,
    ) -> std::io::Result<Self> {
        Ok(Session {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            address,
            identity,
            shared,
            live: None,
            in_hand: HashMap::new(),
            is_configured: false,
            is_suspicious: false,
            mismatch: None,
            reported: None,
            is_known: false,
        })
    }

    /// Ends the session; the next question begins another one.
    pub(super) fn end(&mut self) {
        if self.live.take().is_some() {
            // The driver closes the socket when it is next run.
            self.runtime.block_on(tokio::task::yield_now());
        }
        self.shared.set_connected(false);
    }

    /// Connects unless it is, and looks whether the versions fit where they may not; gives why not, if they do not.
    pub(super) fn look(&mut self) -> Result<Option<String>, Absent> {
        self.connect()?;
        if std::mem::take(&mut self.is_suspicious)
            && let Some(live) = &self.live
        {
            let asked = live.client.query_typed(version::QUESTION, &[]);
            let found = self
                .runtime
                .block_on(async { timeout(ANSWER_TIMEOUT, asked).await });
            let rows = match found {
                Ok(rows) => rows?,
                Err(_) => return Err(Absent::Away("no answer in time".to_owned())),
            };
            self.mismatch = match rows.first() {
                Some(row) => mismatch(row.try_get(0)?),
                None => {
                    // Not connected to what it could send, it says so; and a new extension wants it to register.
                    self.end();
                    return Err(Absent::Away(
                        "the database has the extension no more".to_owned(),
                    ));
                }
            };
        }
        // Until somebody has updated one of the two.
        self.is_suspicious = self.mismatch.is_some();
        Ok(self.mismatch.clone())
    }

    /// Connects and registers, unless it has.
    pub(super) fn connect(&mut self) -> Result<(), Absent> {
        if self
            .live
            .as_ref()
            .is_some_and(|live| !live.client.is_closed())
        {
            return Ok(());
        }
        self.end();
        self.is_configured = false;
        let in_hand: Vec<i64> = self.in_hand.keys().copied().collect();
        let opened = open(&self.address, &self.identity, &in_hand);
        let patience = self.address.patience();
        let live = self
            .runtime
            .block_on(async { timeout(patience, opened).await })
            .map_err(|_| Absent::Away("no answer in time".to_owned()))??;
        self.mismatch = None;
        self.live = Some(live);
        self.reported = None;
        self.shared.set_connected(true);
        if std::mem::replace(&mut self.is_known, true) {
            tracing::info!("connected to the database again");
        }
        Ok(())
    }

    /// Asks one question, in a session that has registered.
    pub(super) fn ask<R>(
        &mut self,
        question: impl AsyncFnOnce(&Live) -> Result<R, tokio_postgres::Error>,
    ) -> Result<R, String> {
        self.connect().map_err(Absent::into_text)?;
        let Some(live) = &self.live else {
            return Err("not connected".to_owned());
        };
        let answer = self
            .runtime
            .block_on(async { timeout(ANSWER_TIMEOUT, question(live)).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.is_suspicious = true;
                if live.client.is_closed() || error.is_closed() {
                    self.end();
                }
                Err(describe(&error))
            }
            Err(_) => {
                self.end();
                Err("the database did not answer in time".to_owned())
            }
        }
    }

    /// Tells the database how the mailer is doing, when it is time.
    pub(super) fn report(&mut self) {
        let status = self.shared.status();
        let is_told = self.reported.as_ref().is_some_and(|(at, told)| {
            let is_same = told.state == status.state && told.error == status.error;
            at.elapsed() < if is_same { REPORT } else { REPORT_CHANGE }
        });
        if !is_told {
            self.tell(&status);
            self.reported = Some((Instant::now(), status));
        }
    }

    /// Tells how the mailer is doing, if it is connected.
    pub(super) fn tell(&mut self, status: &Status) {
        if self.live.is_none() {
            return;
        }
        let told = self.ask(async |live| {
            let counts = status.counts;
            let error = status.error.as_deref();
            live.client
                .execute(
                    "select marketing_automation.mailer_report($1, $2, $3, $4, $5)",
                    &[
                        &status.state.name(),
                        &error,
                        &counts.sent,
                        &counts.failed,
                        &counts.retried,
                    ],
                )
                .await
        });
        if let Err(error) = told {
            tracing::debug!(%error, "the state was not reported");
        }
    }
}

async fn open(address: &Address, identity: &Identity, in_hand: &[i64]) -> Result<Live, Absent> {
    let (client, connection) = address.config.connect(address.tls.clone()).await?;
    let driver = tokio::spawn(async move {
        // Whoever waits for an answer gets the error too, and reports it.
        let _ = connection.await;
    });
    let begun = async {
        client.batch_execute(SESSION_SETTINGS).await?;
        client.batch_execute(NO_TRANSACTION_TIMEOUT).await?;
        let installed = client.query_typed(version::QUESTION, &[]).await?;
        match installed.first() {
            None => {
                return Err(Absent::Refused(format!(
                    "the database {} has no extension marketing_automation: create extension marketing_automation",
                    address.name()
                )));
            }
            Some(row) => {
                if let Some(mismatch) = mismatch(row.try_get(0)?) {
                    return Err(Absent::Refused(mismatch));
                }
            }
        }
        client
            .execute(
                "select marketing_automation.mailer_register($1, $2, $3, $4, $5)",
                &[
                    &identity.name,
                    &identity.instance,
                    &identity.host,
                    &VERSION,
                    &in_hand,
                ],
            )
            .await?;
        Ok((
            client.prepare(CLAIM).await?,
            client.prepare(COMPLETE).await?,
        ))
    };
    match begun.await {
        Ok((claim, complete)) => Ok(Live {
            client,
            claim,
            complete,
            driver,
        }),
        Err(error) => {
            driver.abort();
            Err(error)
        }
    }
}
