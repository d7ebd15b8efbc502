//! A setting by its name, for SQL. `current_setting()` fails in a session that has not used the library yet, where it is
//! not preloaded; calling a function of the library loads it.

use std::ffi::{CStr, CString};

use pgrx::prelude::*;

#[pg_extern(sql = false)]
fn setting(name: &str) -> Option<String> {
    let name = CString::new(format!("marketing_automation.{name}")).ok()?;
    // SAFETY: a C string on the main thread; the result is a copy in the current memory context, or null.
    let value = unsafe {
        let value = pg_sys::GetConfigOptionByName(name.as_ptr(), std::ptr::null_mut(), false);
        (!value.is_null()).then(|| CStr::from_ptr(value))
    };
    value.map(|value| value.to_string_lossy().into_owned())
}
