//! What is left to do when user SQL ends the whole connection, past its limit: it refused to be cancelled until nothing else helped, or
//! a person has terminated it. Its transaction is gone, and nobody would learn why, nor leave it for last.

use std::ffi::c_int;
use std::sync::OnceLock;

use pgrx::prelude::*;

use super::turn::{self, Work};

// storage/ipc.h and access/xact.h. The first raises an error when too many are registered, which nobody does.
unsafe extern "C-unwind" {
    fn before_shmem_exit(
        callback: unsafe extern "C-unwind" fn(c_int, pg_sys::Datum),
        argument: pg_sys::Datum,
    );
    fn AbortOutOfAnyTransaction();
}

/// The tables that `turn_ended()` works on, all or none.
const TABLES: &str = "select c.oid from pg_catalog.pg_class c
    where c.relnamespace = any (array[to_regnamespace('marketing_automation'), to_regnamespace('marketing_automation_internal')]::oid[])
      and c.relname in ('scenario', 'scenario_status', 'activity', 'failed_turn', 'sweep') and c.relkind = 'r'";

/// Ends the limit of user SQL that runs although its time is over; false: none does.
static END_LATE: OnceLock<fn() -> bool> = OnceLock::new();

/// Has [`exiting`] called when this process ends; once for each process. `end_late`: see [`END_LATE`].
pub(super) fn watch(end_late: fn() -> bool) {
    END_LATE.get_or_init(|| end_late);
    // SAFETY: on the main thread; the library is never unloaded.
    unsafe { before_shmem_exit(exiting, pg_sys::Datum::from(0)) };
}

/// Does as PostgreSQL does to remove temporary tables of a session that ends (RemoveTempRelationsCallback in namespace.c): aborts what
/// runs, and works in a transaction of its own. An ERROR in here is FATAL, and the exit goes on.
#[pg_guard]
unsafe extern "C-unwind" fn exiting(_code: c_int, _argument: pg_sys::Datum) {
    // Before the abort, which forgets the turn.
    let is_late = END_LATE.get().is_some_and(|end_late| end_late());
    let work = is_late.then(turn::asked).flatten();
    // SAFETY: a read of shared memory.
    let Some(work) = work.filter(|_| unsafe { !pg_sys::RecoveryInProgress() }) else {
        return;
    };
    // SAFETY: as described above; the bootstrap superuser, as the functions of the extension are nobody else's to call.
    unsafe {
        AbortOutOfAnyTransaction();
        pg_sys::StartTransactionCommand();
        pg_sys::XactReadOnly = false;
        pg_sys::SetUserIdAndSecContext(
            pg_sys::Oid::from(pg_sys::BOOTSTRAP_SUPERUSERID),
            pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32,
        );
        pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot());
        if note(&work).is_err() {
            pgrx::log!(
                "expressions of scenario {} have ended their connection, which could not be noted",
                work.scenario_id
            );
        }
        pg_sys::PopActiveSnapshot();
        pg_sys::CommitTransactionCommand();
    }
}

/// Notes on its scenario whose expressions have ended the connection, unless that would wait for a lock on a table: who exits cannot
/// be interrupted any more.
fn note(work: &Work) -> spi::Result<()> {
    let tables = Spi::connect(|client| {
        client
            .select(TABLES, None, &[])?
            .map(|row| row.get::<pg_sys::Oid>(1))
            .collect::<spi::Result<Vec<_>>>()
    })?;
    for table in tables.into_iter().flatten() {
        // SAFETY: a lock that the end of the transaction gives back.
        let free = unsafe {
            pg_sys::ConditionalLockRelationOid(table, pg_sys::RowExclusiveLock as pg_sys::LOCKMODE)
        };
        if !free {
            return Ok(());
        }
    }
    Spi::run_with_args(
        "select marketing_automation_internal.turn_ended($1, $2, $3)",
        &[
            work.scenario_id.into(),
            work.name.as_str().into(),
            work.activity_id.into(),
        ],
    )
}
