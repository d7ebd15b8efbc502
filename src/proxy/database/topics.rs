//! Questions about topics, and what readers choose of them.

use tokio_postgres::types::{ToSql, Type};

use super::error::DatabaseError;
use super::session::Session;

const CHOICES: &str =
    "select topic, title, is_wanted, is_pending, is_own from marketing_automation.preferences($1)";
const CHOOSE: &str = "select marketing_automation.choose_by_token($1, $2, $3, $4)";
const UNDO: &str = "select marketing_automation.undo_choice_by_token($1, $2, $3)";
const CONFIRMATION: &str =
    "select language, title, sender, is_confirmed from marketing_automation.confirm_page($1)";
const CONFIRM: &str = "select marketing_automation.confirm_by_token($1, $2)";

/// A topic, and whether the reader wants it.
#[derive(Debug, Clone)]
pub struct Choice {
    pub topic: String,
    pub title: String,
    pub is_wanted: bool,
    /// Asked for and not confirmed.
    pub is_pending: bool,
    /// Whether the mail is about it.
    pub is_own: bool,
}

/// What the link to confirm a subscription is about.
#[derive(Debug, Clone)]
pub struct Confirmation {
    pub language: Option<String>,
    pub title: String,
    /// Who the mail was from, where that is known.
    pub sender: Option<String>,
    pub is_confirmed: bool,
}

impl Session {
    /// Looks up the topics that a reader may choose. A database that has not been updated yet has none.
    pub async fn choices(&self, token: &str) -> Result<Vec<Choice>, DatabaseError> {
        let rows = self
            .rows_since_update(CHOICES, &[(&token, Type::TEXT)])
            .await?;
        rows.iter()
            .map(|row| {
                Ok(Choice {
                    topic: row.try_get(0)?,
                    title: row.try_get(1)?,
                    is_wanted: row.try_get(2)?,
                    is_pending: row.try_get(3)?,
                    is_own: row.try_get(4)?,
                })
            })
            .collect()
    }

    /// Has a reader want these of the topics that the page has shown; gives those for which that is news.
    pub async fn choose(
        &self,
        token: &str,
        shown: &[String],
        wanted: &[String],
        user_agent: Option<&str>,
    ) -> Result<Vec<String>, DatabaseError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 4] = [
            (&token, Type::TEXT),
            (&shown, Type::TEXT_ARRAY),
            (&wanted, Type::TEXT_ARRAY),
            (&user_agent, Type::TEXT),
        ];
        let row = self.client.query_typed_one(CHOOSE, &parameters).await?;
        Ok(row.try_get(0)?)
    }

    /// Takes back what was chosen of these topics last.
    pub async fn undo_choice(
        &self,
        token: &str,
        topics: &[String],
        user_agent: Option<&str>,
    ) -> Result<(), DatabaseError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
            (&token, Type::TEXT),
            (&topics, Type::TEXT_ARRAY),
            (&user_agent, Type::TEXT),
        ];
        self.client.query_typed_one(UNDO, &parameters).await?;
        Ok(())
    }

    /// Looks up what a reader may confirm; `None` for a request that is not known, or no longer.
    pub async fn confirmation(&self, token: &str) -> Result<Option<Confirmation>, DatabaseError> {
        let rows = self
            .client
            .query_typed(CONFIRMATION, &[(&token, Type::TEXT)])
            .await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        Ok(Some(Confirmation {
            language: row.try_get(0)?,
            title: row.try_get(1)?,
            sender: row.try_get(2)?,
            is_confirmed: row.try_get(3)?,
        }))
    }

    /// Confirms a subscription; doing it twice changes nothing more.
    pub async fn confirm(
        &self,
        token: &str,
        user_agent: Option<&str>,
    ) -> Result<(), DatabaseError> {
        let parameters: [(&(dyn ToSql + Sync), Type); 2] =
            [(&token, Type::TEXT), (&user_agent, Type::TEXT)];
        self.client.query_typed_one(CONFIRM, &parameters).await?;
        Ok(())
    }
}
