//! Hands over mails that came back.

use tokio_postgres::types::Type;

use super::error::DatabaseError;
use super::session::Session;

const INGEST_BOUNCE: &str =
    "select kind, status, message from marketing_automation.ingest_bounce($1)";
/// Looks the function and the right to call it up, and does not call it.
const EXPLAIN_BOUNCE: &str =
    "explain select kind, status, message from marketing_automation.ingest_bounce('')";

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

impl Session {
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
}
