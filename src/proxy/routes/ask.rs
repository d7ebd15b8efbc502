//! What a route asks of the database.

use std::sync::Arc;

use tracing::{debug, warn};

use super::refusal::Refusal;
use crate::proxy::database::{DatabaseError, Session};
use crate::proxy::pools::Pool;
use crate::proxy::state::State;

/// Asks the database something other than to record a hit.
pub(super) async fn ask<T, F>(
    state: &State,
    pool: &Pool,
    question: impl Fn(Arc<Session>) -> F + Send + Sync + 'static,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, DatabaseError>> + Send,
{
    pool.call(question).await.map_err(|error| {
        match error {
            // A flood must not become a flood of messages.
            DatabaseError::Busy => debug!(%error, "the database was not asked"),
            // The recorder has said once that the database is away.
            _ if state.recorder.is_available() => warn!(%error, "the database did not answer"),
            _ => {}
        }
        Refusal::Unavailable
    })
}
