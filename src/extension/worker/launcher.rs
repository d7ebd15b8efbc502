//! The launcher: one static background worker that keeps one mailer running in each database that has the extension.
//!
//! It reconciles by state: which databases are there, which of them have a mailer connected (pg_stat_activity), start
//! what is missing. Whether a database has the extension only shows inside it, so the mailer looks and leaves at once
//! where there is none.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use pgrx::bgworkers::{BackgroundWorker, BackgroundWorkerBuilder};
use pgrx::prelude::*;

use super::{bgworker, registry, transaction};
use crate::extension::settings;

pub(super) const MAILER_TYPE: &str = "marketing_automation mailer";
const LIBRARY: &str = "marketing_automation";
/// New databases and lost workers are noticed after this time at the latest.
const INTERVAL: Duration = Duration::from_secs(10);
/// A mailer that died is started again after this time.
const RESTART: Duration = Duration::from_secs(5);
/// A database without the extension is looked into again after this time; CREATE EXTENSION asks for it at once.
const PROBE: Duration = Duration::from_secs(300);

/// Registers the launcher with the postmaster: it starts when recovery has finished, so never on a standby.
pub(in crate::extension) fn register() {
    BackgroundWorkerBuilder::new("marketing_automation launcher")
        .set_type("marketing_automation launcher")
        .set_library(LIBRARY)
        .set_function("marketing_automation_launcher")
        .set_restart_time(Some(RESTART))
        .enable_spi_access()
        .load();
}

/// Databases that mailers may connect to and that have none connected.
fn databases_without_mailer() -> spi::Result<Vec<(pg_sys::Oid, String)>> {
    Spi::connect(|client| {
        client
            .select(
                "select d.oid, d.datname::text from pg_catalog.pg_database d
                 where d.datallowconn and not d.datistemplate
                   and not exists (select from pg_catalog.pg_stat_activity a where a.datid = d.oid and a.backend_type = $1)",
                None,
                &[MAILER_TYPE.into()],
            )?
            .map(|row| Ok((row.get::<pg_sys::Oid>(1)?, row.get::<String>(2)?)))
            .collect::<spi::Result<Vec<_>>>()
    })
    .map(|rows| rows.into_iter().filter_map(|(oid, name)| Some((oid?, name?))).collect())
}

fn start_mailer(database: pg_sys::Oid, name: &str) -> bool {
    // SAFETY: a plain variable of the process.
    let launcher = unsafe { pg_sys::MyProcPid };
    BackgroundWorkerBuilder::new(&format!("marketing_automation mailer for {name}"))
        .set_type(MAILER_TYPE)
        .set_library(LIBRARY)
        .set_function("marketing_automation_mailer")
        .set_argument(database.into_datum())
        // The launcher is told when it ends and starts it again, so that nobody starts one for a dropped database.
        .set_notify_pid(launcher)
        .set_restart_time(None)
        .enable_spi_access()
        .load_dynamic()
        .is_ok()
}

/// When a database was last tried.
struct Attempt {
    at: Instant,
    /// Whether there was a background worker slot for it.
    started: bool,
}

/// When each database was last tried, and whether the lack of worker slots was logged.
#[derive(Default)]
struct Launcher {
    tried: HashMap<pg_sys::Oid, Attempt>,
    out_of_workers: bool,
}

impl Launcher {
    /// Starts what is missing.
    fn reconcile(&mut self, missing: Vec<(pg_sys::Oid, String)>) {
        if registry::take_look_again() {
            self.tried.clear();
        }
        self.tried.retain(|_, attempt| attempt.at.elapsed() < PROBE);
        for (database, name) in missing {
            // A mailer that found no extension left no slot, or an absent one without error.
            let has_extension =
                registry::of_database(database).is_some_and(|slot| slot.started_at != 0);
            let too_soon = self.tried.get(&database).is_some_and(|attempt| {
                let pause = match attempt.started && !has_extension {
                    true => PROBE,
                    false => RESTART,
                };
                attempt.at.elapsed() < pause
            });
            if too_soon {
                continue;
            }
            let started = start_mailer(database, &name);
            let at = Instant::now();
            self.tried.insert(database, Attempt { at, started });
            registry::set_out_of_workers(!started);
            if started {
                self.out_of_workers = false;
            } else if !std::mem::replace(&mut self.out_of_workers, true) {
                warning!(
                    "marketing_automation: no background worker slot for database \"{name}\": raise max_worker_processes"
                );
            }
        }
    }
}

/// Main function of the launcher process.
#[pg_guard]
#[unsafe(no_mangle)]
pub extern "C-unwind" fn marketing_automation_launcher(_argument: pg_sys::Datum) {
    bgworker::handle_signals();
    BackgroundWorker::connect_worker_to_spi(Some(&settings::launcher_database()), None);
    bgworker::use_own_settings();
    registry::announce_launcher();
    let mut launcher = Launcher::default();
    let mut last_error = None;
    loop {
        match transaction::run(databases_without_mailer) {
            Ok(missing) => {
                last_error = None;
                launcher.reconcile(missing);
            }
            Err(error) => {
                if last_error.as_ref() != Some(&error) {
                    log!("marketing_automation launcher: {error}");
                }
                last_error = Some(error);
            }
        }
        bgworker::wait(INTERVAL);
        if bgworker::is_stopping() {
            // Also when a person terminated it: while the server runs there is a launcher.
            bgworker::exit_to_be_restarted();
            return;
        }
        bgworker::handle_interrupts();
    }
}
