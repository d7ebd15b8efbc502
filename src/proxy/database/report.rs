//! The report of a scenario, for who has a link to it.

use tokio_postgres::types::Type;

use super::error::DatabaseError;
use super::session::Session;

const REPORT: &str = "select marketing_automation.report_by_token($1, $2)";

impl Session {
    /// Asks for the page; `None` for a token that is not valid. A database that has not been updated yet has none.
    pub async fn report(
        &self,
        token: &str,
        language: Option<&str>,
    ) -> Result<Option<String>, DatabaseError> {
        let rows = self
            .rows_since_update(REPORT, &[(&token, Type::TEXT), (&language, Type::TEXT)])
            .await?;
        match rows.first() {
            Some(row) => Ok(row.try_get(0)?),
            None => Ok(None),
        }
    }
}
