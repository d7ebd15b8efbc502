//! Revocations: a counter in shared memory that moves with every commit that may forbid mails which a mailer has claimed
//! already (a block, an unsubscription, a suppressed address, a stopped scenario). Before a mail goes to the SMTP server its
//! courier compares one number in memory, and when it has moved, the claims are looked at again.
//!
//! The counter moves after the commit has become visible and before the client hears of it. So who sees the old number
//! began to send before the commit was told to anybody, and who looks at the database after the new one sees the commit.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use pgrx::prelude::*;
use pgrx::{PgAtomic, PgXactCallbackEvent, pg_shmem_init, register_xact_callback};

use super::workers;

// SAFETY: initialised by pg_shmem_init! before any use: see workers::preloaded().
static REVOCATIONS: PgAtomic<AtomicU64> =
    unsafe { PgAtomic::new(c"marketing_automation revocations") };

/// Reserves the shared memory; only while the postmaster preloads libraries.
pub(super) fn init() {
    pg_shmem_init!(REVOCATIONS = AtomicU64::new(1));
}

/// How many commits of the whole cluster may have forbidden mails. A plain read of memory, for any thread of a mailer.
pub(super) fn count() -> u64 {
    REVOCATIONS.get().load(Ordering::SeqCst)
}

thread_local! {
    /// Whether this transaction will move the counter when it commits.
    static WILL_COUNT: Cell<bool> = const { Cell::new(false) };
}

#[pg_schema]
mod marketing_automation {
    use super::*;

    /// Has the mailers look at their claims again when, and only if, the current transaction commits.
    #[pg_extern(sql = r#"
create function marketing_automation.recheck_claims() returns void
language c volatile parallel unsafe set search_path = pg_catalog, pg_temp as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function marketing_automation.recheck_claims() is
    'API: private. When the current transaction commits, no claimed mail leaves before the mailer has looked whether it still may';
"#)]
    fn recheck_claims() {
        if !workers::preloaded() || WILL_COUNT.replace(true) {
            return;
        }
        register_xact_callback(PgXactCallbackEvent::Commit, || {
            WILL_COUNT.set(false);
            REVOCATIONS.get().fetch_add(1, Ordering::SeqCst);
            workers::wake_mailer();
        });
        register_xact_callback(PgXactCallbackEvent::Abort, || WILL_COUNT.set(false));
    }
}
