//! What the database said, for people.

use tokio_postgres::error::SqlState;

/// The whole chain of causes: tokio-postgres itself only says "db error". Of a server's error the primary message and its hint; its
/// details may quote rows.
pub(super) fn describe(error: &tokio_postgres::Error) -> String {
    let Some(server) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        return text;
    };
    let advice = match *server.code() {
        SqlState::INSUFFICIENT_PRIVILEGE => Some(
            "the role of a mailer is made by: select marketing_automation.grant_access('role', 'mailer')",
        ),
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            Some("the server is a standby, or was set read-only: nothing is sent from it")
        }
        _ => server.hint(),
    };
    let text = format!("{} ({})", server.message(), server.code().code());
    match advice {
        Some(advice) => format!("{text}: {advice}"),
        None => text,
    }
}

/// Whether asking again later can help without anybody doing something.
pub(super) fn is_passing(error: &tokio_postgres::Error) -> bool {
    match error.code() {
        None => true,
        Some(code) => {
            // Connections, resources, the operator's interventions (shutdown, starting up), read-only servers, waits for locks.
            ["08", "53", "57", "58", "40"].contains(&&code.code()[..2])
                || [
                    SqlState::READ_ONLY_SQL_TRANSACTION,
                    SqlState::LOCK_NOT_AVAILABLE,
                ]
                .contains(code)
        }
    }
}
