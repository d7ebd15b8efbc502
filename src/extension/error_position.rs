//! Keeps the position of errors in user SQL, so that psql points into what the user wrote.
//!
//! pgrx turns a PostgreSQL error into a Rust panic and raises it again at the function's edge, without position and
//! context. Here a callback on PostgreSQL's error context stack remembers the position, and another one puts it back,
//! relative to the user's own text.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::panic::AssertUnwindSafe;

use pgrx::prelude::*;

// utils/elog.h; variadic, so that pgrx does not bind it. It formats into the error being built.
unsafe extern "C-unwind" {
    fn errcontext_msg(format: *const c_char, ...) -> c_int;
    fn errhint(format: *const c_char, ...) -> c_int;
    fn geterrcode() -> c_int;
}

thread_local! {
    /// Position of the last error, in characters from 1; 0: none.
    static ERROR_AT: Cell<c_int> = const { Cell::new(0) };
    /// What the second callback reads when the error is raised again; kept until the next one.
    static POINTER: RefCell<Option<Box<Pointer>>> = const { RefCell::new(None) };
}

/// An entry of the error context stack for as long as it lives; unwinding takes it off too.
struct Watch {
    callback: pg_sys::ErrorContextCallback,
}

impl Watch {
    fn start() -> Box<Self> {
        ERROR_AT.set(0);
        // SAFETY: elog.c's stack belongs to the main thread; the entry is boxed, so that its address is stable, and
        // taken off by Drop.
        unsafe {
            let mut watch = Box::new(Watch {
                callback: pg_sys::ErrorContextCallback {
                    previous: pg_sys::error_context_stack,
                    callback: Some(remember_position),
                    arg: std::ptr::null_mut(),
                },
            });
            pg_sys::error_context_stack = &raw mut watch.callback;
            watch
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SAFETY: as in start(); entries end in the order in which they began.
        unsafe { pg_sys::error_context_stack = self.callback.previous };
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn remember_position(_argument: *mut c_void) {
    // SAFETY: called by elog.c while an error is being built. SPI has moved the position already, the parser has not.
    let position = unsafe { pg_sys::geterrposition().max(pg_sys::getinternalerrposition()) };
    if position > 0 {
        ERROR_AT.set(position);
    }
}

/// What is missing may be there, in a schema where the expression does not look.
const UNKNOWN_NAMES: [PgSqlErrorCode; 3] = [
    PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
    PgSqlErrorCode::ERRCODE_UNDEFINED_FUNCTION,
    PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
];
const QUALIFY: &CStr =
    c"Names are looked up in pg_catalog only: write the schema of others, as in public.orders, public.f(self.id) or a operator(public.=) b.";

struct Pointer {
    callback: pg_sys::ErrorContextCallback,
    position: c_int,
    text: CString,
    what: CString,
}

#[pg_guard]
unsafe extern "C-unwind" fn point(argument: *mut c_void) {
    // SAFETY: called by elog.c while the error is raised again; the argument is the Pointer in POINTER.
    unsafe {
        let pointer = &*argument.cast::<Pointer>();
        if pointer.position > 0 {
            pg_sys::internalerrposition(pointer.position);
            pg_sys::internalerrquery(pointer.text.as_ptr());
        }
        errcontext_msg(c"%s".as_ptr(), pointer.what.as_ptr());
        if UNKNOWN_NAMES
            .iter()
            .any(|code| *code as c_int == geterrcode())
        {
            errhint(c"%s".as_ptr(), QUALIFY.as_ptr());
        }
    }
}

/// Runs `body`, which parses or plans `text` behind `prefix`; an error gets its position within `text`, and `what` as
/// its context.
pub(in crate::extension) fn pointing_into<R>(
    text: &str,
    prefix: &str,
    what: &str,
    body: impl FnOnce() -> R,
) -> R {
    PgTryBuilder::new(AssertUnwindSafe(|| {
        let _watch = Watch::start();
        body()
    }))
    .catch_others(|error| {
        let position = ERROR_AT.get() - prefix.chars().count() as c_int;
        let inside = (1..=text.chars().count() as c_int + 1).contains(&position);
        let clean = |text: &str| CString::new(text.replace('\0', "")).unwrap_or_default();
        // SAFETY: the entry outlives the error that is about to be raised. Whoever catches that one sets the stack back
        // to what it was before, as PG_TRY and pgrx do.
        unsafe {
            let mut pointer = Box::new(Pointer {
                callback: pg_sys::ErrorContextCallback {
                    previous: pg_sys::error_context_stack,
                    callback: Some(point),
                    arg: std::ptr::null_mut(),
                },
                position: if inside { position } else { 0 },
                text: clean(text),
                what: clean(what),
            });
            pointer.callback.arg = (&raw mut *pointer).cast();
            pg_sys::error_context_stack = &raw mut pointer.callback;
            POINTER.set(Some(pointer));
        }
        error.rethrow()
    })
    .execute()
}
