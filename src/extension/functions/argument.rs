//! Arguments of SQL functions that make no sense.

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
