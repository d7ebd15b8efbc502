//! Transactions of background workers: an error or a panic aborts the transaction, not the worker.

use std::ffi::c_int;
use std::panic::AssertUnwindSafe;

use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

/// A statement is cancelled after this time: `statement_timeout` works in client sessions only.
const LONGEST_MS: c_int = 60_000;
/// STATEMENT_TIMEOUT in utils/timeout.h, the same from PostgreSQL 15 to 18.
const STATEMENT_TIMEOUT: c_int = 3;

// utils/timeout.h, which pgrx does not bind; neither function raises errors.
unsafe extern "C-unwind" {
    fn enable_timeout_after(id: c_int, delay_ms: c_int);
    fn disable_timeout(id: c_int, keep_indicator: bool);
}

fn message(error: &CaughtError) -> String {
    match error {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
            report.message().to_owned()
        }
        CaughtError::RustPanic { ereport, .. } => ereport.message().to_owned(),
    }
}

/// Like [`run`], for what uses the extension's tables. It locks the extension before anything else, so that DROP EXTENSION waits
/// for it, and it for a drop under way: a drop locks the tables one by one, and the two would deadlock.
pub(in crate::extension) fn run_in_extension<R>(
    body: impl FnOnce() -> spi::Result<R>,
) -> Result<R, String> {
    run(|| {
        // SAFETY: a look-up, and a lock that the end of the transaction gives back; errors are caught by run().
        unsafe {
            let extension = pg_sys::get_extension_oid(c"marketing_automation".as_ptr(), true);
            if extension != pg_sys::InvalidOid {
                pg_sys::LockDatabaseObject(
                    pg_sys::ExtensionRelationId,
                    extension,
                    0,
                    pg_sys::AccessShareLock as pg_sys::LOCKMODE,
                );
            }
        }
        body()
    })
}

/// Runs `body` in a transaction of its own and commits it; on error aborts and returns the message.
pub(in crate::extension) fn run<R>(body: impl FnOnce() -> spi::Result<R>) -> Result<R, String> {
    // SAFETY: the sequence of PostgreSQL's worker_spi example, on the main thread; every path ends the transaction. A
    // cancel request from before it is not for it.
    unsafe {
        pg_sys::QueryCancelPending = 0;
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::pgstat_report_activity(
            pg_sys::BackendState::STATE_RUNNING,
            c"marketing_automation".as_ptr(),
        );
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        enable_timeout_after(STATEMENT_TIMEOUT, LONGEST_MS);
    }
    let result = PgTryBuilder::new(AssertUnwindSafe(|| {
        let result = body().map_err(|error| error.to_string())?;
        // SAFETY: ends what was begun above; inside, because a commit may fail too.
        unsafe {
            disable_timeout(STATEMENT_TIMEOUT, false);
            pg_sys::PopActiveSnapshot();
            pg_sys::CommitTransactionCommand();
        }
        Ok(result)
    }))
    .catch_others(|error| Err(message(&error)))
    .catch_rust_panic(|error| Err(message(&error)))
    .execute();
    // SAFETY: as above. Without the statistics autovacuum would not see what workers delete.
    unsafe {
        if result.is_err() {
            disable_timeout(STATEMENT_TIMEOUT, false);
            pg_sys::QueryCancelPending = 0;
            pg_sys::AbortCurrentTransaction();
        }
        pg_sys::pgstat_report_stat(false);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    result
}
