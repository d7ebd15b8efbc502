//! The connection for everything but hits: keys, unsubscribe pages, signs of life.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::database::{Database, DatabaseError, Session};

/// One connection that is opened when needed and shared; apart from those of the recorder, so that a batch never waits
/// behind an unsubscription or the other way round.
pub struct Control {
    database: Database,
    session: Mutex<Option<Arc<Session>>>,
}

impl Control {
    pub fn new(database: Database) -> Self {
        Self {
            database,
            session: Mutex::new(None),
        }
    }

    /// Asks the database; a second time when the connection turns out to be lost, so the question must be repeatable.
    pub async fn call<T, F>(&self, ask: impl Fn(Arc<Session>) -> F) -> Result<T, DatabaseError>
    where
        F: Future<Output = Result<T, DatabaseError>>,
    {
        let session = self.session().await?;
        match ask(Arc::clone(&session)).await {
            Err(_) if session.is_closed() => ask(self.session().await?).await,
            outcome => outcome,
        }
    }

    async fn session(&self) -> Result<Arc<Session>, DatabaseError> {
        let mut current = self.session.lock().await;
        if let Some(session) = current.as_ref().filter(|session| !session.is_closed()) {
            return Ok(Arc::clone(session));
        }
        let session = Arc::new(self.database.connect().await?);
        *current = Some(Arc::clone(&session));
        Ok(session)
    }
}
