//! Why the database gave no answer.

use thiserror::Error;

/// The text names no token, address or password.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DatabaseError {
    #[error("{}", describe(.0))]
    Postgres(#[from] tokio_postgres::Error),
    #[error(
        "tracking_keys() returned no usable keys: each needs an id of its own, 0 to 255, and a secret of 32 bytes"
    )]
    Keys,
    #[error("record_events() returned {rows} rows for {hits} hits")]
    Answers { rows: usize, hits: usize },
    #[error("the server is a standby: hits need its primary")]
    Standby,
    #[error("no answer in time")]
    Timeout,
    #[error("too many questions are under way")]
    Busy,
    #[error("the question was interrupted")]
    Interrupted,
}

/// The whole chain of causes: tokio-postgres itself only says "db error". Of a server's error only the primary message,
/// since details may quote values.
fn describe(error: &tokio_postgres::Error) -> String {
    if let Some(server) = error.as_db_error() {
        return format!("{} ({})", server.message(), server.code().code());
    }
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
