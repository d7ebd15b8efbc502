//! Refuses arguments of SQL functions.

use std::fmt::Display;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Raises that an argument is wrong, and why.
pub(super) fn refuse(error: impl Display) -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        error.to_string()
    );
}

/// As [`refuse`], with what to write instead.
pub(super) fn refuse_with_hint(error: impl Display, hint: &str) -> ! {
    ErrorReport::new(
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        error.to_string(),
        "refuse_with_hint",
    )
    .set_hint(hint)
    .report(PgLogLevel::ERROR);
    unreachable!("an ERROR does not return")
}
