//! Transactions of background workers: an error or a panic aborts the transaction, not the worker.

use std::panic::AssertUnwindSafe;

use pgrx::bgworkers::BackgroundWorker;
use pgrx::pg_sys::panic::CaughtError;
use pgrx::prelude::*;

fn message(error: &CaughtError) -> String {
    match error {
        CaughtError::PostgresError(report) | CaughtError::ErrorReport(report) => {
            report.message().to_owned()
        }
        CaughtError::RustPanic { ereport, .. } => ereport.message().to_owned(),
    }
}

/// Runs `body` in a transaction of its own and commits it; on error aborts and returns the message.
pub(in crate::extension) fn run<R>(body: impl FnOnce() -> spi::Result<R>) -> Result<R, String> {
    // SAFETY: the sequence of PostgreSQL's worker_spi example, on the main thread; every path ends the transaction.
    unsafe {
        pg_sys::SetCurrentStatementStartTimestamp();
        pg_sys::pgstat_report_activity(
            pg_sys::BackendState::STATE_RUNNING,
            c"marketing_automation".as_ptr(),
        );
        pg_sys::StartTransactionCommand();
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
    }
    let result = PgTryBuilder::new(AssertUnwindSafe(|| {
        let result = body().map_err(|error| error.to_string())?;
        // SAFETY: ends what was begun above; inside, because a commit may fail too.
        unsafe {
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
            pg_sys::AbortCurrentTransaction();
        }
        pg_sys::pgstat_report_stat(false);
        pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_IDLE, std::ptr::null());
    }
    result
}

/// Between transactions: lets PostgreSQL do what it asks all processes to do, and reloads the configuration after a SIGHUP.
/// Returns whether it was reloaded.
pub(in crate::extension) fn handle_interrupts() -> bool {
    pgrx::check_for_interrupts!();
    let reload = BackgroundWorker::sighup_received();
    if reload {
        // SAFETY: on the main thread, outside of a transaction, as PostgreSQL's own workers do.
        unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
    }
    reload
}
