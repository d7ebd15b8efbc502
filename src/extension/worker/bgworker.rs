//! What launcher and mailers have in common as background workers: they stop, wait, and distrust the settings of the database
//! that they connect to.

use std::ffi::{CStr, c_int};
use std::time::Duration;

use pgrx::bgworkers::{BackgroundWorker, SignalWakeFlags};
use pgrx::prelude::*;

/// Settings that a database's owner may change for all who connect (ALTER DATABASE … SET), and that must not reach a
/// superuser's worker: by search_path an owner's operators and functions would run with the worker's rights.
const OWN_SETTINGS: &[(&CStr, &CStr)] = &[
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"role", c"none"),
    (c"default_transaction_isolation", c"read committed"),
    (c"default_transaction_read_only", c"off"),
    (c"default_transaction_deferrable", c"off"),
    (c"row_security", c"on"),
    (c"exit_on_error", c"off"),
    // What it runs all the time are short statements, each of which would be compiled again: 0.1 s for one of 1 ms.
    (c"jit", c"off"),
    // A session that alters or drops our tables must not wait long for us, nor we for it.
    (c"lock_timeout", c"1s"),
    // It ends the process, not a statement: those have a limit of their own, see transaction.rs.
    #[cfg(any(feature = "pg17", feature = "pg18"))]
    (c"transaction_timeout", c"0"),
];

/// Asks the process to stop, as PostgreSQL's own handler does, and cancels a statement that is running.
#[pg_guard]
unsafe extern "C-unwind" fn on_sigterm(signal: c_int) {
    // SAFETY: flags made for signal handlers, and PostgreSQL's handler, which sets the latch. Only the first signal
    // cancels: the worker's last transactions begin after it.
    unsafe {
        if pg_sys::ShutdownRequestPending == 0 {
            pg_sys::QueryCancelPending = 1;
            pg_sys::InterruptPending = 1;
        }
        pg_sys::SignalHandlerForShutdownRequest(signal);
    }
}

/// Installs the signal handlers; before connecting.
pub(in crate::extension) fn handle_signals() {
    // SAFETY: a guarded handler, installed on the main thread while signals are still blocked.
    unsafe {
        #[cfg(not(feature = "pg18"))]
        pg_sys::pqsignal(pg_sys::SIGTERM as c_int, Some(on_sigterm));
        #[cfg(feature = "pg18")]
        pg_sys::pqsignal_be(pg_sys::SIGTERM as c_int, Some(on_sigterm));
    }
    BackgroundWorker::attach_signal_handlers(SignalWakeFlags::SIGHUP);
}

/// Reads the configuration, and replaces what the database says of this session; right after connecting, before the first
/// transaction. The process was forked with the postmaster's settings, and ignores a SIGHUP until its handlers are installed:
/// what was changed in between would never reach it.
pub(in crate::extension) fn use_own_settings() {
    reload_configuration();
    for (name, value) in OWN_SETTINGS {
        // SAFETY: C strings, outside of a transaction. Overriding lasts: a reload of the configuration ranks below it.
        unsafe {
            pg_sys::SetConfigOption(
                name.as_ptr(),
                value.as_ptr(),
                pg_sys::GucContext::PGC_SUSET,
                pg_sys::GucSource::PGC_S_OVERRIDE,
            );
        }
    }
}

/// Whether somebody has asked this process to stop.
pub(in crate::extension) fn is_stopping() -> bool {
    // SAFETY: a flag that a signal handler sets; volatile, because nothing the compiler sees changes it.
    unsafe { std::ptr::read_volatile(&raw const pg_sys::ShutdownRequestPending) != 0 }
}

/// Sleeps until the latch is set or the time is over; ends the process when the postmaster is gone.
pub(in crate::extension) fn wait(patience: Duration) {
    // A statement may have reset the latch that the signal set.
    if is_stopping() {
        return;
    }
    wait_latch(patience, pg_sys::WL_LATCH_SET);
    // SAFETY: this process's own latch.
    unsafe { pg_sys::ResetLatch(pg_sys::MyLatch) };
}

/// Sleeps until the time is over, whoever sets the latch meanwhile.
pub(in crate::extension) fn sleep(pause: Duration) {
    if !is_stopping() {
        wait_latch(pause, 0);
    }
}

fn wait_latch(patience: Duration, also: u32) {
    let events = also | pg_sys::WL_TIMEOUT | pg_sys::WL_EXIT_ON_PM_DEATH;
    // SAFETY: this process's own latch, on its main thread.
    unsafe {
        pg_sys::WaitLatch(
            pg_sys::MyLatch,
            events as c_int,
            patience.as_millis().clamp(1, 3_600_000) as _,
            pg_sys::PG_WAIT_EXTENSION,
        );
    }
}

/// Ends the process so that the postmaster starts it again: with exit code 0 it would forget the worker.
pub(in crate::extension) fn exit_to_be_restarted() {
    // SAFETY: on the main thread, outside of a transaction.
    unsafe { pg_sys::proc_exit(1) };
}

/// Between transactions: lets PostgreSQL do what it asks all processes to do, and reloads the configuration after a
/// SIGHUP. Returns whether it was reloaded.
pub(in crate::extension) fn handle_interrupts() -> bool {
    // SAFETY: a flag of this process. Nothing is running that could be cancelled.
    unsafe { pg_sys::QueryCancelPending = 0 };
    pgrx::check_for_interrupts!();
    let reload = BackgroundWorker::sighup_received();
    if reload {
        reload_configuration();
    }
    reload
}

fn reload_configuration() {
    // SAFETY: on the main thread, outside of a transaction, as PostgreSQL's own workers do.
    unsafe { pg_sys::ProcessConfigFile(pg_sys::GucContext::PGC_SIGHUP) };
}
