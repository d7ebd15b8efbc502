//! Functions that catch the cancel and go on: `exception when query_canceled`, in a loop.
//!
//! PL/pgSQL asks a plugin before each statement. Once a cancel has been refused, ours cancels there, again and again: what a handler
//! would do is cancelled as well, outside of the block that it belongs to, so that function after function ends. Another language that
//! catches errors (PL/Perl's `eval`) has no such place: after ten refusals its connection ends, as nothing else is left.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

use pgrx::prelude::*;

/// So many cancels may be refused, one a second.
const MOST: u32 = 10;

/// PLpgSQL_plugin of plpgsql.h: five functions of the plugin, the same from PostgreSQL 9 to 18, and then some that PL/pgSQL writes into
/// it, more with each version.
#[repr(C)]
struct Plugin {
    func_setup: *const c_void,
    func_beg: *const c_void,
    func_end: *const c_void,
    stmt_beg: extern "C-unwind" fn(*mut c_void, *mut c_void),
    stmt_end: *const c_void,
    of_plpgsql: [*const c_void; 27],
}

// utils/fmgr.h; a hash table of the process, which knows the name or makes an entry for it.
unsafe extern "C-unwind" {
    fn find_rendezvous_variable(name: *const c_char) -> *mut *mut c_void;
}

const PLUGIN: &CStr = c"PLpgSQL_plugin";

static mut OURS: Plugin = Plugin {
    func_setup: ptr::null(),
    func_beg: ptr::null(),
    func_end: ptr::null(),
    stmt_beg: cancel_again,
    stmt_end: ptr::null(),
    of_plpgsql: [ptr::null(); 27],
};

/// Where PL/pgSQL looks for its plugin; null: this process has not asked.
static PLACE: AtomicPtr<*mut c_void> = AtomicPtr::new(ptr::null_mut());
/// How often user SQL that runs has refused.
static REFUSED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// Whose plugin was there before: a debugger's, or none.
    static BEFORE: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

#[pg_guard]
extern "C-unwind" fn cancel_again(_state: *mut c_void, _statement: *mut c_void) {
    // SAFETY: what the handler of a cancel does, and what PostgreSQL does at its next safe point; called by PL/pgSQL.
    unsafe {
        pg_sys::QueryCancelPending = 1;
        pg_sys::InterruptPending = 1;
        pg_sys::ProcessInterrupts();
    }
}

/// Before user SQL runs: nothing is refused yet.
pub(super) fn begin() {
    REFUSED.store(0, Ordering::Relaxed);
    if PLACE.load(Ordering::Relaxed).is_null() {
        // SAFETY: a name that ends with a zero; raises no error but for lack of memory.
        PLACE.store(
            unsafe { find_rendezvous_variable(PLUGIN.as_ptr()) },
            Ordering::Relaxed,
        );
    }
    // SAFETY: the place of a pointer, which is there for as long as the process.
    BEFORE.set(unsafe { *PLACE.load(Ordering::Relaxed) });
}

/// A cancel was refused. In a signal handler.
pub(super) fn note() {
    let times = REFUSED.fetch_add(1, Ordering::Relaxed) + 1;
    // SAFETY: plain variables, and a pointer that PL/pgSQL reads whole.
    unsafe {
        *PLACE.load(Ordering::Relaxed) = (&raw mut OURS).cast();
        if times >= MOST {
            pg_sys::ProcDiePending = 1;
            pg_sys::InterruptPending = 1;
        }
    }
}

/// After user SQL: functions run as before.
pub(super) fn end() {
    if REFUSED.swap(0, Ordering::Relaxed) > 0 {
        // SAFETY: as in begin().
        unsafe { *PLACE.load(Ordering::Relaxed) = BEFORE.get() };
    }
}
