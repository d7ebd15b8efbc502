//! Questions about a subscription, and how it is ended and begun again.

use tokio_postgres::types::{ToSql, Type};

use super::error::DatabaseError;
use super::session::Session;

const SUBSCRIPTION: &str = "select known, language, scenario, has_party, unsubscribed, everything \
    from marketing_automation.unsubscribe_page($1)";
const UNSUBSCRIBE: &str = "select marketing_automation.unsubscribe_by_token($1, $2, $3)";
const RESUBSCRIBE: &str = "select marketing_automation.resubscribe_by_token($1, $2)";

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

impl Session {
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
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&token, Type::TEXT), (&user_agent, Type::TEXT)];
        self.client
            .query_typed_one(RESUBSCRIBE, &parameters)
            .await?;
        Ok(())
    }
}
