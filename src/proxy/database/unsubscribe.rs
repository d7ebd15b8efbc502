//! Questions about a subscription, and how it is ended and begun again.

use tokio_postgres::types::{ToSql, Type};

use super::error::DatabaseError;
use super::session::Session;
use super::topics::Choice;

const SUBSCRIPTION: &str = "select known, language, scenario, has_party, unsubscribed, everything \
    from marketing_automation.unsubscribe_page($1)";
const ORIGIN: &str = "select title, sender from marketing_automation.unsubscribe_origin($1)";
const UNSUBSCRIBE: &str = "select marketing_automation.unsubscribe_by_token($1, $2, $3)";
const RESUBSCRIBE: &str = "select marketing_automation.resubscribe_by_token($1, $2)";

/// What the pages around unsubscribing show.
#[derive(Debug, Clone)]
pub struct Subscription {
    pub language: Option<String>,
    /// The title of the scenario, or its name.
    pub scenario: String,
    /// Whether that is a title, which was written for people.
    pub is_titled: bool,
    /// Who the mail was from, as in its header, where that is known.
    pub sender: Option<String>,
    /// Whether it is known who this is, so that they can leave everything.
    pub has_party: bool,
    pub unsubscribed: bool,
    pub everything: bool,
    /// The topics that there are to choose from.
    pub choices: Vec<Choice>,
}

/// Who sent a mail, and whether its kind has a title.
struct Origin {
    is_titled: bool,
    sender: Option<String>,
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
        let origin = self.origin(token).await?;
        Ok(Some(Subscription {
            language: row.try_get(1)?,
            scenario: row.try_get(2)?,
            is_titled: origin.is_titled,
            sender: origin.sender,
            has_party: row.try_get(3)?,
            unsubscribed: row.try_get(4)?,
            everything: row.try_get(5)?,
            choices: self.choices(token).await?,
        }))
    }

    /// Looks up where the mail came from. A database that has not been updated yet does not say.
    async fn origin(&self, token: &str) -> Result<Origin, DatabaseError> {
        let rows = self
            .rows_since_update(ORIGIN, &[(&token, Type::TEXT)])
            .await?;
        let Some(row) = rows.first() else {
            return Ok(Origin {
                is_titled: true,
                sender: None,
            });
        };
        Ok(Origin {
            is_titled: row.try_get::<_, Option<&str>>(0)?.is_some(),
            sender: row.try_get(1)?,
        })
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
