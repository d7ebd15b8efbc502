//! Which column of a table the key of a model is.

use std::ffi::{CStr, CString};

use pgrx::prelude::*;

use super::capture::KEY_TYPES;
use crate::extension::run_as_owner::selected_column;

/// Gives the name of the column of `relation` that `query`, which selects one expression from it, selects; null: the expression is no
/// column, or of a type whose text form depends on settings.
#[pg_extern(sql = false)]
fn selected_key_column(owner: pg_sys::Oid, relation: pg_sys::Oid, query: &str) -> Option<String> {
    let Ok(text) = CString::new(query) else {
        pgrx::error!("query contains a null byte");
    };
    let number = selected_column(owner, relation, &text)?;
    // SAFETY: look-ups in the syscache.
    unsafe {
        let its_type = pg_sys::getBaseType(pg_sys::get_atttype(relation, number));
        if !KEY_TYPES.contains(&its_type) {
            return None;
        }
        let name = pg_sys::get_attname(relation, number, true);
        (!name.is_null()).then(|| CStr::from_ptr(name).to_string_lossy().into_owned())
    }
}
