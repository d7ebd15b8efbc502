//! The mailer: a background worker for each database that has the extension.
//!
//! ```text
//! tx: claim ─► render (pool) ─► tx: ids of new links ─► compose, send (pool) ─► tx: complete
//! ```
//!
//! Only the main thread of the process touches PostgreSQL, in short transactions, and none of them is open while the network
//! is used. What there is to do, and when, is the engine's ([`crate::delivery`]); it sees the database by [`SpiStore`] and this
//! process by [`Process`].

use std::sync::Arc;
use std::time::Duration;

use pgrx::bgworkers::BackgroundWorker;
use pgrx::prelude::*;

use super::enroller::Enroller;
use super::event_applier::EventApplier;
use super::installation::{Extension, look_for_extension};
use super::process::{Process, Threads, start_threads, wake_main_thread};
use super::registry::{self, Refusal};
use super::spi_store::SpiStore;
use super::{bgworker, statements, transaction};
use crate::delivery::channels::any::Any;
use crate::delivery::clock::MachineClock;
use crate::delivery::engine::{AFTER_ERROR, Engine, LOCKED};
use crate::extension::time_limit;

/// What expressions may take in a mailer: everybody's mails and events wait meanwhile.
const LONGEST_EXPRESSION_MS: i32 = 2000;

type Mailer = Engine<SpiStore, Any, Process>;

/// Waits until nobody changes the extension; None: there is none, or the process must stop.
fn find_installation() -> Option<pg_sys::Oid> {
    while !bgworker::is_stopping() {
        match look_for_extension() {
            Ok(Extension::Installed { installation, .. }) => return Some(installation),
            Ok(Extension::Absent) => return None,
            Ok(Extension::Locked) | Err(_) => bgworker::wait(LOCKED),
        }
        bgworker::handle_interrupts();
    }
    None
}

/// Becomes the mailer of the database that the process is connected to; None: it has one, or cannot have one.
fn begin() -> Option<(Mailer, Threads)> {
    match registry::announce_worker() {
        Ok(()) => {}
        Err(Refusal::Taken) => return None,
        Err(Refusal::Full) => {
            warning!(
                "marketing_automation: more databases than one cluster can serve have the extension"
            );
            return None;
        }
    }
    let engine = transaction::run(statements::session_settings).and_then(|settings| {
        let threads = start_threads().map_err(|error| error.to_string())?;
        let engine = Engine::new(
            (SpiStore::new(), Process, Arc::new(MachineClock)),
            (Any, threads.handle.clone(), wake_main_thread()),
            settings,
        );
        Ok((engine, threads))
    });
    engine
        .map_err(|error| {
            registry::note_error(&format!("the mailer does not start: {error}"));
            registry::leave();
        })
        .ok()
}

/// Main function of a mailer process; its argument is the database's OID.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn marketing_automation_mailer(database: pg_sys::Datum) {
    bgworker::handle_signals();
    BackgroundWorker::connect_worker_to_spi_by_oid(
        Some(pg_sys::Oid::from(database.value() as u32)),
        None,
    );
    bgworker::use_own_settings();
    time_limit::bound(LONGEST_EXPRESSION_MS);
    // Returning is exit code 0: the postmaster forgets the worker, the launcher decides.
    let Some(installation) = find_installation() else {
        return;
    };
    let Some((mut engine, _threads)) = begin() else {
        return;
    };
    let mut event_applier = EventApplier::default();
    let mut enroller = Enroller::default();
    let mut reload = false;
    loop {
        let sleep = match look_for_extension() {
            Ok(Extension::Installed {
                installation: found,
                mismatch: Some(mismatch),
            }) if found == installation => engine.finish(mismatch),
            Ok(Extension::Installed {
                installation: found,
                mismatch: None,
            }) if found == installation => {
                let next_events = event_applier.apply();
                // Their mails leave with the claim that follows.
                let next_rows = enroller.run();
                // Mails that were queued after a setting had been changed leave by the new one.
                reload |= bgworker::handle_interrupts();
                let sleep = engine.tick(std::mem::take(&mut reload));
                [next_events, next_rows]
                    .into_iter()
                    .flatten()
                    .fold(sleep, Duration::min)
            }
            Ok(Extension::Locked) => LOCKED,
            Ok(Extension::Installed { .. }) => {
                // Dropped and created again: ids mean other things now, so a new mailer must begin afresh.
                registry::leave();
                registry::wake_launcher();
                return;
            }
            Ok(Extension::Absent) => {
                // DROP EXTENSION: nothing is left to record, and the slot must not look like one to restart.
                registry::update(|slot| slot.started_at = 0);
                registry::leave();
                // A CREATE EXTENSION that committed since the look has woken this process, and nobody else would look for minutes.
                if !matches!(look_for_extension(), Ok(Extension::Absent)) {
                    registry::wake_launcher();
                }
                return;
            }
            Err(error) => {
                if !bgworker::is_stopping() {
                    engine.note_error(error);
                }
                AFTER_ERROR
            }
        };
        if engine.may_be_replaced() {
            registry::leave();
            registry::wake_launcher();
            return;
        }
        engine.sleep(sleep);
        if bgworker::is_stopping() {
            engine.drain();
            break;
        }
        reload |= bgworker::handle_interrupts();
    }
    registry::leave();
}
