//! Refuses arguments of SQL functions.

use std::fmt::Display;

use pgrx::prelude::*;

/// Raises that an argument is wrong, and why.
pub(super) fn refuse(error: impl Display) -> ! {
    ereport!(
        ERROR,
        PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE,
        error.to_string()
    );
}
