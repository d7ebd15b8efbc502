//! The mailer: a background worker for each database that has the extension.
//!
//! ```text
//! tx: claim ─► render (runtime) ─► tx: ids of new links ─► assemble, SMTP (runtime) ─► tx: results
//! ```
//!
//! Only this process's main thread touches PostgreSQL, in short transactions, none of them open while the network is
//! used; rendering and SMTP run on a tokio runtime of their own ([`couriers`]) and answer over a channel. What is in
//! flight is bounded by two claims and by the memory of rendered mails; a claim is no larger than what leaves within a
//! second ([`pace`]). An SQL error, a lost server or a panic in a mail end a round, not the worker.

mod configuration;
mod courier;
mod couriers;
mod database;
mod desk;
mod dkim;
mod fleet;
mod gate;
mod inbox;
mod installation;
mod job;
mod letter;
mod links;
mod lookout;
mod pace;
mod preview;
pub(super) mod process;
mod reason;
mod retry;
mod round;
mod server;
mod templates;
pub(super) mod transaction;

use std::time::Duration;

use pgrx::bgworkers::BackgroundWorker;
use pgrx::prelude::*;

use super::settings::{self, InDoubt};
use super::workers::{self, Refusal};
use inbox::Inbox;
use installation::{Extension, look_for_extension};
use round::Mailer;

/// After an SQL error.
const AFTER_ERROR: Duration = Duration::from_secs(5);
/// While somebody else holds the extension or due mails under a lock.
const LOCKED: Duration = Duration::from_secs(1);

/// Waits until nobody changes the extension; None: there is none, or the process must stop.
fn find_installation() -> Option<pg_sys::Oid> {
    while !process::is_stopping() {
        match look_for_extension() {
            Ok(Extension::Usable(installation)) => return Some(installation),
            Ok(Extension::Absent) => return None,
            Ok(Extension::Locked) | Err(_) => process::wait(LOCKED),
        }
        process::handle_interrupts();
    }
    None
}

/// Becomes the mailer of the database that the process is connected to; None: it has one, or cannot have one.
fn begin() -> Option<Mailer> {
    match workers::announce_worker() {
        Ok(()) => {}
        Err(Refusal::Taken) => return None,
        Err(Refusal::Full) => {
            warning!(
                "marketing_automation: more databases than one cluster can serve have the extension"
            );
            return None;
        }
    }
    let mailer = transaction::run(configuration::session_settings)
        .and_then(|settings| Mailer::new(settings).map_err(|error| error.to_string()));
    mailer
        .map_err(|error| {
            workers::note_error(&format!("the mailer does not start: {error}"));
            workers::leave();
        })
        .ok()
}

/// Main function of a mailer process; its argument is the database's OID.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn marketing_automation_mailer(database: pg_sys::Datum) {
    process::handle_signals();
    BackgroundWorker::connect_worker_to_spi_by_oid(
        Some(pg_sys::Oid::from(database.value() as u32)),
        None,
    );
    process::use_own_settings();
    // Returning is exit code 0: the postmaster forgets the worker, the launcher decides.
    let Some(installation) = find_installation() else {
        return;
    };
    let Some(mut mailer) = begin() else {
        return;
    };
    let hold = settings::in_doubt() == InDoubt::hold;
    let mut inbox = Inbox::default();
    let mut rescued = false;
    let mut reload = false;
    loop {
        let sleep = match look_for_extension() {
            Ok(Extension::Usable(found)) if found == installation => {
                if !rescued {
                    let result = transaction::run_in_extension(|| database::rescue_messages(hold));
                    rescued = mailer.checked(result).is_some();
                }
                let next_events = inbox.apply();
                let sleep = if rescued {
                    mailer.round(std::mem::take(&mut reload))
                } else {
                    AFTER_ERROR
                };
                next_events.map_or(sleep, |next| sleep.min(next))
            }
            Ok(Extension::Locked) => LOCKED,
            Ok(Extension::Usable(_)) => {
                // Dropped and created again: ids mean other things now, so a new mailer must begin afresh.
                workers::leave();
                workers::wake_launcher();
                return;
            }
            Ok(Extension::Absent) => {
                // DROP EXTENSION: nothing is left to record, and the slot must not look like one to restart.
                workers::update(|slot| slot.started_at = 0);
                break;
            }
            Err(error) => {
                if !process::is_stopping() {
                    mailer.note_error(error);
                }
                AFTER_ERROR
            }
        };
        if mailer.may_be_replaced() {
            workers::leave();
            workers::wake_launcher();
            return;
        }
        mailer.rest(sleep);
        if process::is_stopping() {
            mailer.farewell();
            break;
        }
        reload |= process::handle_interrupts();
    }
    workers::leave();
}
