//! The registry of workers: a table in shared memory that says for each database which process is its mailer, how this mailer is
//! doing, and which latch wakes it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};

use pgrx::prelude::*;
use pgrx::{PGRXSharedMemory, PgLwLock, pg_shmem_init};

use super::on_commit::{Pending, on_commit};
use crate::delivery::host::State;

/// Databases with the extension that one cluster can serve.
const SLOTS: usize = 64;
const ERROR_BYTES: usize = 400;

/// One database's worker.
#[derive(Copy, Clone)]
pub(in crate::extension) struct Slot {
    pub(in crate::extension) database: pg_sys::Oid,
    pub(in crate::extension) pid: i32,
    /// Address of the worker's latch: it lies in shared memory, which all processes map at the same address. 0: none.
    latch: usize,
    /// Whether rows of watched tables were written since the worker looked last.
    written: bool,
    pub(in crate::extension) state: State,
    pub(in crate::extension) started_at: pg_sys::TimestampTz,
    pub(in crate::extension) sent: i64,
    pub(in crate::extension) failed: i64,
    pub(in crate::extension) retried: i64,
    error: [u8; ERROR_BYTES],
    error_length: usize,
    pub(in crate::extension) error_at: pg_sys::TimestampTz,
}

impl Slot {
    const FREE: Slot = Slot {
        database: pg_sys::InvalidOid,
        pid: 0,
        latch: 0,
        written: false,
        state: State::Absent,
        started_at: 0,
        sent: 0,
        failed: 0,
        retried: 0,
        error: [0; ERROR_BYTES],
        error_length: 0,
        error_at: 0,
    };

    pub(in crate::extension) fn error(&self) -> Option<String> {
        (self.error_length > 0)
            .then(|| String::from_utf8_lossy(&self.error[..self.error_length]).into_owned())
    }
}

#[derive(Copy, Clone)]
struct Workers {
    launcher_latch: usize,
    /// Databases may have got the extension since the launcher last looked.
    look_again: bool,
    /// Whether there was no background worker slot for the last mailer that was to be started.
    out_of_workers: bool,
    slots: [Slot; SLOTS],
}

// SAFETY: plain data without pointers into private memory; the latch addresses are in shared memory.
unsafe impl PGRXSharedMemory for Workers {}

// SAFETY: initialised by pg_shmem_init! before any use, see AVAILABLE.
static WORKERS: PgLwLock<Workers> = unsafe { PgLwLock::new(c"marketing_automation workers") };
/// Whether the library was preloaded, so that WORKERS exists.
static AVAILABLE: AtomicBool = AtomicBool::new(false);

/// Reserves the shared memory; only while the postmaster preloads libraries.
pub(in crate::extension) fn init() {
    pg_shmem_init!(
        WORKERS = Workers {
            launcher_latch: 0,
            look_again: false,
            out_of_workers: false,
            slots: [Slot::FREE; SLOTS]
        }
    );
    AVAILABLE.store(true, Ordering::Relaxed);
}

pub(in crate::extension) fn preloaded() -> bool {
    AVAILABLE.load(Ordering::Relaxed)
}

fn my_latch() -> usize {
    // SAFETY: reads a pointer that is set for the life of the process.
    unsafe { pg_sys::MyLatch as usize }
}

fn wake(latch: usize) {
    if latch != 0 {
        // SAFETY: the address of some process's latch in shared memory; at worst its owner has changed and wakes for nothing.
        unsafe { pg_sys::SetLatch(latch as *mut pg_sys::Latch) };
    }
}

/// Makes the calling process the launcher.
pub(in crate::extension) fn announce_launcher() {
    let mut workers = WORKERS.exclusive();
    workers.launcher_latch = my_latch();
    workers.look_again = true;
}

/// Notes whether a mailer could not be started for lack of a background worker slot.
pub(in crate::extension) fn set_out_of_workers(lacking: bool) {
    WORKERS.exclusive().out_of_workers = lacking;
}

/// Why a database that should have a mailer has none; None: nothing is known to keep it from one.
pub(in crate::extension) fn obstacle() -> Option<&'static str> {
    // SAFETY: a read of shared memory.
    if unsafe { pg_sys::RecoveryInProgress() } {
        return Some("the server is a standby: mails leave from its primary");
    }
    let workers = WORKERS.share();
    if workers.launcher_latch == 0 {
        return Some(
            "the launcher does not run: it found no background worker slot, raise max_worker_processes",
        );
    }
    workers
        .out_of_workers
        .then_some("there was no background worker slot for the mailer: raise max_worker_processes")
}

/// Whether somebody asked the launcher to look at all databases; asks once.
pub(in crate::extension) fn take_look_again() -> bool {
    std::mem::take(&mut WORKERS.exclusive().look_again)
}

/// The slot of a database, where there is one; without the process when it ended without leaving.
pub(in crate::extension) fn of_database(database: pg_sys::Oid) -> Option<Slot> {
    let slot = WORKERS
        .share()
        .slots
        .iter()
        .find(|slot| slot.database == database)
        .copied();
    let mut slot = slot?;
    if !is_at_work(slot.pid, database) {
        slot.pid = 0;
        slot.state = State::Absent;
    }
    Some(slot)
}

/// Changes the slot of the current database, where it has one.
pub(in crate::extension) fn update(change: impl FnOnce(&mut Slot)) {
    // SAFETY: a plain variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId };
    let mut workers = WORKERS.exclusive();
    if let Some(slot) = workers
        .slots
        .iter_mut()
        .find(|slot| slot.database == database)
    {
        change(slot);
    }
}

/// Whether the process exists and is connected to the database: operating systems use process ids again.
fn is_at_work(pid: i32, database: pg_sys::Oid) -> bool {
    if pid == 0 {
        return false;
    }
    // SAFETY: PostgreSQL looks the process up in shared memory, where the entry stays readable when the process ends.
    unsafe {
        let process = pg_sys::BackendPidGetProc(pid);
        !process.is_null() && (*process).databaseId == database
    }
}

/// Where the slot of a database goes: its own place, or one never used, or one of a database without the extension, or at worst
/// one of a database whose worker has left.
fn place(slots: &[Slot], database: pg_sys::Oid) -> Option<usize> {
    let free = |slot: &Slot| slot.pid == 0 && slot.state == State::Absent;
    slots
        .iter()
        .enumerate()
        .filter_map(|(position, slot)| {
            let worth = match slot {
                slot if slot.database == database => 0,
                slot if slot.database == pg_sys::InvalidOid => 1,
                slot if free(slot) && slot.started_at == 0 => 2,
                slot if free(slot) => 3,
                _ => return None,
            };
            Some((worth, position))
        })
        .min()
        .map(|(_, position)| position)
}

/// Why a process cannot be the worker of its database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::extension) enum Refusal {
    /// Another process is.
    Taken,
    /// So many databases have one.
    Full,
}

/// Makes the calling process the one worker of the current database.
pub(in crate::extension) fn announce_worker() -> Result<(), Refusal> {
    // SAFETY: plain variables and a clock.
    let (database, pid, now) = unsafe {
        (
            pg_sys::MyDatabaseId,
            pg_sys::MyProcPid,
            pg_sys::GetCurrentTimestamp(),
        )
    };
    let mut workers = WORKERS.exclusive();
    let position = place(&workers.slots, database).ok_or(Refusal::Full)?;
    let slot = &mut workers.slots[position];
    if slot.database != database {
        *slot = Slot {
            database,
            ..Slot::FREE
        };
    } else if slot.pid != pid && is_at_work(slot.pid, database) {
        return Err(Refusal::Taken);
    }
    slot.pid = pid;
    slot.latch = my_latch();
    // Before it began, perhaps.
    slot.written = true;
    slot.state = State::Starting;
    slot.started_at = now;
    Ok(())
}

/// Gives the slot up when the worker leaves; its counts and its error stay until another database needs the slot.
pub(in crate::extension) fn leave() {
    update(|slot| {
        slot.pid = 0;
        slot.latch = 0;
        slot.state = State::Absent;
    });
}

/// Whether the worker of the current database lacks a setting.
pub(in crate::extension) fn is_unconfigured() -> bool {
    // SAFETY: a plain variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId };
    of_database(database).is_some_and(|slot| slot.state == State::Unconfigured)
}

/// Takes the error back once it is over.
pub(in crate::extension) fn clear_error() {
    update(|slot| {
        slot.error_length = 0;
        slot.error_at = 0;
    });
}

/// Keeps what went wrong last, for worker_status().
pub(in crate::extension) fn note_error(message: &str) {
    // SAFETY: a clock.
    let now = unsafe { pg_sys::GetCurrentTimestamp() };
    let mut end = message.len().min(ERROR_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    update(|slot| {
        slot.error[..end].copy_from_slice(&message.as_bytes()[..end]);
        slot.error_length = end;
        slot.error_at = now;
    });
}

/// Makes the launcher look at all databases now.
pub(in crate::extension) fn wake_launcher() {
    let mut workers = WORKERS.exclusive();
    workers.look_again = true;
    wake(workers.launcher_latch);
}

/// Wakes the current database's worker; makes the launcher look for one to start where there is none.
pub(in crate::extension) fn wake_mailer() {
    // SAFETY: a plain variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId };
    match of_database(database) {
        Some(slot) if slot.pid != 0 => wake(slot.latch),
        _ => wake_launcher(),
    }
}

thread_local! {
    /// Whether this transaction will wake the mailer when it commits.
    static WAKING: RefCell<Pending<()>> = RefCell::default();
    /// Whether it has written rows of a watched table.
    static WRITING: RefCell<Pending<()>> = RefCell::default();
}

/// Tells the worker of the current database that rows of watched tables were written. Writers that commit before it has looked share a
/// wake-up, and most of them a lock.
fn announce_written() {
    // SAFETY: a plain variable of the process.
    let database = unsafe { pg_sys::MyDatabaseId };
    let is_waiting = |slot: &&Slot| slot.database == database && slot.pid != 0 && !slot.written;
    if !WORKERS.share().slots.iter().any(|slot| is_waiting(&slot)) {
        return;
    }
    let mut workers = WORKERS.exclusive();
    if let Some(slot) = workers.slots.iter_mut().find(|slot| is_waiting(&&**slot)) {
        slot.written = true;
        wake(slot.latch);
    }
}

/// Tells the worker when, and only if, the current transaction commits.
pub(in crate::extension) fn announce_written_on_commit() {
    on_commit(&WRITING, (), |_| announce_written());
}

/// Whether rows were written since this was asked last, or the worker began.
pub(in crate::extension) fn take_written() -> bool {
    let mut was_written = false;
    update(|slot| was_written = std::mem::take(&mut slot.written));
    was_written
}

/// Wakes the mailer when, and only if, the current transaction commits; once, however often it is called.
pub(in crate::extension) fn wake_mailer_on_commit() {
    on_commit(&WAKING, (), |_| wake_mailer());
}
