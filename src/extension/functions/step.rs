//! What a session is at, for who looks at pg_stat_activity: one statement may process many activities.

use std::ffi::{CStr, CString};

use pgrx::prelude::*;

/// Shows a step before the statement that runs, in `pg_stat_activity.query`; null: the statement alone.
#[pg_extern(sql = false)]
fn show_step(step: Option<&str>) {
    // SAFETY: a string of the process that lives as long as its statement; null in a background worker.
    let statement = unsafe {
        match pg_sys::debug_query_string.is_null() {
            true => c"marketing_automation",
            false => CStr::from_ptr(pg_sys::debug_query_string),
        }
    };
    let shown = match step {
        None => statement.to_bytes().to_vec(),
        Some(step) => [
            format!("/* marketing_automation: {step} */ ").as_bytes(),
            statement.to_bytes(),
        ]
        .concat(),
    };
    if let Ok(shown) = CString::new(shown) {
        // SAFETY: it copies the text into shared memory, cut to track_activity_query_size.
        unsafe {
            pg_sys::pgstat_report_activity(pg_sys::BackendState::STATE_RUNNING, shown.as_ptr());
        }
    }
}
