//! One connection, and what it is asked beside hits and unsubscriptions.

use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row, Statement};

use super::error::DatabaseError;
use crate::tracking::token::Keyring;
use crate::version;

const KEYS: &str = "select id, secret from marketing_automation.tracking_keys()";
const PAGE_SOURCES: &str =
    "select is_template, name, language, source from marketing_automation.page_sources()";

/// A page or a text that replaces a built-in one.
#[derive(Debug)]
pub struct PageSource {
    pub is_template: bool,
    pub name: String,
    pub language: String,
    pub source: String,
}

/// One connection.
pub struct Session {
    pub(super) client: Client,
    /// Records hits.
    pub(super) record: Statement,
    pub(super) driver: Driver,
}

/// The task that moves the bytes of a connection; closes it when dropped, also when its beginning took too long.
pub(super) struct Driver(pub(super) JoinHandle<()>);

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

    /// Fetches the version of the extension's SQL.
    pub async fn extension_version(&self) -> Result<Option<String>, DatabaseError> {
        let rows = self.client.query_typed(version::QUESTION, &[]).await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }

    /// Asks a function that a database has only since an update; no row before that.
    pub(super) async fn rows_since_update(
        &self,
        question: &str,
        parameters: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, DatabaseError> {
        match self.client.query_typed(question, parameters).await {
            Err(error) if error.code() == Some(&SqlState::UNDEFINED_FUNCTION) => Ok(Vec::new()),
            rows => Ok(rows?),
        }
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
