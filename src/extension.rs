//! The PostgreSQL side: settings, functions in Rust, the launcher and the mailer workers.
//!
//! What works on rows is SQL, in `sql/schema`; Rust does what SQL cannot: run user SQL as its owner ([`owner`]), look
//! into parse trees ([`expression`]), compile templates, verify tokens, and send mail.

mod address;
mod argument;
mod bounce;
mod expression;
mod launcher;
mod mailer;
mod nearest;
mod owner;
mod position;
mod revocation;
mod scan;
mod server;
mod settings;
mod status;
mod template;
mod token;
mod workers;

use pgrx::prelude::*;

#[pg_guard]
pub extern "C-unwind" fn _PG_init() {
    settings::init();
    // SAFETY: plain flags of the postmaster, read on the main thread.
    let preloading = unsafe { pg_sys::process_shared_preload_libraries_in_progress };
    // SAFETY: as above. pg_upgrade starts servers that must not send mail.
    let upgrading = unsafe { pg_sys::IsBinaryUpgrade };
    if preloading && !upgrading {
        workers::init();
        revocation::init();
        server::init();
        launcher::register();
    }
}
