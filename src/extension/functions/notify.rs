//! How SQL tells the mailer that there is something to send.

use pgrx::prelude::*;

use crate::extension::worker::registry;

/// Wakes the mailer when, and only if, the current transaction commits; once, however often it is called.
#[pg_extern(sql = false)]
fn notify_mailer() {
    if registry::preloaded() {
        registry::wake_mailer_on_commit();
    }
}
