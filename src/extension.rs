//! The PostgreSQL side: settings, functions in Rust, the launcher and the mailer workers.
//!
//! What works on rows is SQL, in `sql/`; Rust does what SQL cannot: run user SQL as its owner ([`run_as_owner`]) with errors that
//! point into it ([`error_position`]) and say no more than they must ([`error_context`]), look into parse trees, compile templates
//! and verify tokens ([`functions`]), and send mail from background workers ([`worker`]).

mod bounce_rules;
mod check_hints;
mod data_directory;
mod error_context;
mod error_position;
mod functions;
mod keyring;
mod run_as_owner;
mod settings;
mod snippets;
mod time_limit;
mod time_zone;
mod watch;
mod worker;

use pgrx::prelude::*;

#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    // pgrx appends the backtrace of a panic to DETAIL, which clients see, where RUST_BACKTRACE asks for one.
    // SAFETY: at the start of the postmaster, or of a session, whose only thread this is.
    unsafe { std::env::set_var("RUST_LIB_BACKTRACE", "0") };
    settings::init();
    error_context::init();
    run_as_owner::init();
    // SAFETY: plain flags of the postmaster, read on the main thread.
    let preloading = unsafe { pg_sys::process_shared_preload_libraries_in_progress };
    // SAFETY: as above. pg_upgrade starts servers that must not send mail.
    let upgrading = unsafe { pg_sys::IsBinaryUpgrade };
    if preloading && !upgrading {
        worker::registry::init();
        worker::revocation::init();
        data_directory::init();
        worker::launcher::register();
    }
}
