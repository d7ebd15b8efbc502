//! How the mailer of the current database is doing, and what version the library has.

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use crate::delivery::host::State;
use crate::extension::worker::registry;
use crate::version::VERSION;

fn timestamp(at: pg_sys::TimestampTz) -> Option<TimestampWithTimeZone> {
    (at != 0)
        .then(|| TimestampWithTimeZone::try_from(at).ok())
        .flatten()
}

/// The version of this library.
#[pg_extern(sql = false)]
fn library_version() -> &'static str {
    VERSION
}

/// State of the current database's mailer worker.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // The macro wants the row written out.
fn worker_status() -> TableIterator<
    'static,
    (
        name!(database, String),
        name!(pid, Option<i32>),
        name!(state, String),
        name!(started_at, Option<TimestampWithTimeZone>),
        name!(sent, i64),
        name!(failed, i64),
        name!(retried, i64),
        name!(last_error, Option<String>),
        name!(last_error_at, Option<TimestampWithTimeZone>),
    ),
> {
    // SAFETY: reads the catalog in a transaction.
    let database = unsafe {
        let name = pg_sys::get_database_name(pg_sys::MyDatabaseId);
        std::ffi::CStr::from_ptr(name)
            .to_string_lossy()
            .into_owned()
    };
    // SAFETY: a plain variable of the process.
    let slot =
        registry::preloaded().then(|| registry::of_database(unsafe { pg_sys::MyDatabaseId }));
    let row = match slot {
        None => {
            let error = "marketing_automation is not in shared_preload_libraries: no mail is sent"
                .to_owned();
            (
                database,
                None,
                "not preloaded".to_owned(),
                None,
                0,
                0,
                0,
                Some(error),
                None,
            )
        }
        Some(None) => (
            database,
            None,
            State::Absent.name().to_owned(),
            None,
            0,
            0,
            0,
            registry::obstacle().map(str::to_owned),
            None,
        ),
        Some(Some(slot)) => (
            database,
            (slot.pid != 0).then_some(slot.pid),
            slot.state.name().to_owned(),
            timestamp(slot.started_at),
            slot.sent,
            slot.failed,
            slot.retried,
            slot.error().or_else(|| {
                (slot.pid == 0)
                    .then(registry::obstacle)
                    .flatten()
                    .map(str::to_owned)
            }),
            timestamp(slot.error_at),
        ),
    };
    TableIterator::once(row)
}
