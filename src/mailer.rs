//! `marketing-mailer`: sends the mails of a database from any host, by the engine of [`crate::delivery`], beside the worker in the
//! server or instead of it.
//!
//! | what | where |
//! | --- | --- |
//! | what the administrator says | [`options`], [`address`], [`tls`] |
//! | the session: connect, register under a name, ask, connect again | [`session`], [`error`] |
//! | the database and the process as the engine sees them | [`store`], [`settings`], [`process`], [`status`] |
//! | nothing leaves after the commit that forbids it | [`confirmation`] |
//! | for whoever runs it: `--check`, HTTP | [`check`], [`http`] |
//!
//! The engine has a thread of its own, on which the session's connection moves while the engine waits; rendering and SMTP have the
//! threads of the pool. Between two turns of the loop nothing of the database is open but the session.

mod address;
pub mod check;
mod confirmation;
mod error;
mod http;
pub mod options;
mod process;
mod session;
mod settings;
pub mod status;
mod store;
mod tls;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tracing::{info, warn};

use crate::delivery::channels::any::Any;
use crate::delivery::clock::MachineClock;
use crate::delivery::engine::Engine;
use crate::delivery::host::{Host, State};
use crate::delivery::store::Store;
use address::Address;
pub use http::serve;
pub use options::Settings;
use process::Process;
use session::{Absent, Session};
use status::Shared;
use store::PostgresStore;

/// How long to wait before connecting again.
const BACKOFF: Duration = Duration::from_secs(1);

type Mailer = Engine<PostgresStore, Any, Process>;

/// Waits until the mailer has a session; an error says why it cannot have one.
fn begin(session: &Rc<RefCell<Session>>, process: &mut Process) -> Result<(), String> {
    let mut said = None;
    while !process.is_stopping() {
        let looked = session.borrow_mut().look();
        match looked {
            Ok(_) => return Ok(()),
            Err(Absent::Refused(reason)) => return Err(reason),
            Err(Absent::Away(reason)) => {
                process.show_error(&reason);
                if said.as_ref() != Some(&reason) {
                    warn!("the database is away: {reason}");
                    said = Some(reason);
                }
                process.sleep(BACKOFF);
            }
        }
    }
    Ok(())
}

fn build(
    session: &Rc<RefCell<Session>>,
    settings: &Settings,
    threads: &Handle,
) -> Result<Mailer, String> {
    let shared = Arc::clone(&session.borrow().shared);
    let mut store = PostgresStore::new(session, settings.secrets.clone());
    let found = store.settings(true)?;
    Ok(Engine::new(
        (store, Process::new(session), Arc::new(MachineClock)),
        (
            Any,
            threads.clone(),
            Arc::new(move || shared.wake.notify_one()),
        ),
        found.session_settings,
    ))
}

/// Sends until somebody asks it to stop, then lets the mails end that are with a server. Runs on the calling thread; `threads`:
/// where mails are rendered and sent.
///
/// # Errors
/// Says why the mailer cannot work here, before it has begun.
pub fn run(settings: &Settings, shared: &Arc<Shared>, threads: &Handle) -> Result<(), String> {
    let address = Address::parse(&settings.database)?;
    let name = address.name();
    let session = Session::new(address, settings.identity.clone(), Arc::clone(shared))
        .map_err(|error| format!("cannot start: {error}"))?;
    let session = Rc::new(RefCell::new(session));
    let mut process = Process::new(&session);
    begin(&session, &mut process)?;
    if process.is_stopping() {
        return Ok(());
    }
    info!(
        name = settings.identity.name,
        database = name,
        "mailer is at work"
    );
    let mut engine = build(&session, settings, threads)?;
    loop {
        let looked = session.borrow_mut().look();
        match looked {
            Ok(mismatch) => {
                let sleep = match mismatch {
                    Some(mismatch) => engine.finish(mismatch),
                    // In a new session, the settings first.
                    None => {
                        let reload = !session.borrow().is_configured;
                        engine.tick(reload)
                    }
                };
                if engine.may_be_replaced() {
                    // ALTER DATABASE or ALTER ROLE has set something, which counts for new sessions.
                    session.borrow_mut().end();
                    begin(&session, &mut process)?;
                    engine = build(&session, settings, threads)?;
                    continue;
                }
                session.borrow_mut().report();
                engine.sleep(sleep);
            }
            Err(absent) => {
                engine.note_error(absent.into_text());
                process.sleep(BACKOFF);
            }
        }
        if process.is_stopping() {
            break;
        }
    }
    info!("stopping");
    engine.drain();
    shared.update(|status| status.state = State::Absent);
    let status = shared.status();
    session.borrow_mut().tell(&status);
    session.borrow_mut().end();
    Ok(())
}
