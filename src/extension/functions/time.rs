//! Time zones, and the time that expressions are to assume.

use std::cell::Cell;
use std::ffi::{CStr, CString};

use pgrx::datum::TimestampWithTimeZone;
use pgrx::prelude::*;

use crate::extension::{settings, time_zone};

/// The database's time zone.
#[pg_extern(sql = false)]
fn database_time_zone() -> String {
    time_zone::of_database().to_string_lossy().into_owned()
}

/// Whether PostgreSQL knows a time zone of this name.
#[pg_extern(sql = false)]
fn is_time_zone(name: &str) -> bool {
    CString::new(name).is_ok_and(|name| time_zone::is_known(&name))
}

const ASSUMED_NOW: &CStr = c"marketing_automation.assumed_now";

/// Sets the time that [`assumed_now`] gives until the transaction ends, or its part that is rolled back; null: the present.
#[pg_extern(sql = false)]
fn assume_time(at: Option<TimestampWithTimeZone>) {
    let value = at.map(|at| pg_sys::TimestampTz::from(at).to_string());
    settings::set_local(ASSUMED_NOW, value);
}

thread_local! {
    static WAS_ASKED: Cell<bool> = const { Cell::new(false) };
}

/// Whether anybody has asked for the assumed time since this was called last: what has not will be the same at any other time.
#[pg_extern(sql = false)]
fn time_was_asked() -> bool {
    WAS_ASKED.replace(false)
}

/// The time that a run assumes; without one, that of the transaction.
#[pg_extern(sql = false)]
fn assumed_now() -> Option<TimestampWithTimeZone> {
    WAS_ASKED.set(true);
    // SAFETY: a read of the transaction's time, on the main thread.
    let now = || unsafe { pg_sys::GetCurrentTransactionStartTimestamp() };
    TimestampWithTimeZone::try_from(settings::assumed_now().unwrap_or_else(now)).ok()
}
