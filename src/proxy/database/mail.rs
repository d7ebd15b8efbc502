//! A mail that was sent, for its reader.

use tokio_postgres::types::Type;

use super::error::DatabaseError;
use super::session::Session;

const MAIL: &str = "select marketing_automation.mail_by_token($1)";

impl Session {
    /// Asks for the HTML; `None` for one that is shown no more. A database that has not been updated yet has none.
    pub async fn mail(&self, token: &str) -> Result<Option<String>, DatabaseError> {
        let rows = self
            .rows_since_update(MAIL, &[(&token, Type::TEXT)])
            .await?;
        match rows.first() {
            Some(row) => Ok(row.try_get(0)?),
            None => Ok(None),
        }
    }
}
