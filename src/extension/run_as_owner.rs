//! Runs user SQL as its owner: the one place where expressions that users wrote are executed.
//!
//! It does as REFRESH MATERIALIZED VIEW does: the SQL runs under the owner's user id, in a security-restricted operation
//! (CVE-2020-25695, CVE-2022-1552: no SET ROLE, no temporary objects left behind), and with pinned settings. In addition it runs
//! read-only, so that not even a function that the expression calls can write; but for the expressions of calls, which are there to
//! write. The result is complete, in a tuplestore, before the extension's own statement reads its first row.

mod calls;
mod code;
mod column;
mod dependencies;
mod foreign_code;
mod query;
mod reader_calls;
mod role;
#[cfg(any(test, feature = "pg_test"))]
mod server_tests;
mod types;
mod walk;

use std::ffi::{CStr, CString};

use pgrx::prelude::*;

use super::{settings, time_limit, time_zone};

pub(super) use column::selected_column;
pub(super) use query::plan;

/// What user SQL runs under, whatever the calling session has set: rows must have the same text form, and operators the
/// same meaning, for everybody. `search_path` as PostgreSQL 17 sets it for maintenance commands: another schema would let
/// whoever may create in it capture operators.
const SETTINGS: [(&CStr, &CStr); 10] = [
    (c"search_path", c"pg_catalog, pg_temp"),
    (c"row_security", c"on"),
    (c"datestyle", c"ISO, MDY"),
    (c"intervalstyle", c"postgres"),
    (c"extra_float_digits", c"1"),
    (c"bytea_output", c"hex"),
    (c"lc_monetary", c"C"),
    (c"lc_numeric", c"C"),
    (c"standard_conforming_strings", c"on"),
    (c"transform_null_equals", c"off"),
];

/// Prepares this process for user SQL.
pub(super) fn init() {
    calls::init();
}

/// What runs as its owner.
#[derive(Clone, Copy)]
pub(in crate::extension) struct Query<'a> {
    pub(in crate::extension) text: &'a CStr,
    /// It has the parameters $1, keys (text[]), and $2, results of calls (jsonb): see `results_by_key()`.
    pub(in crate::extension) keys: bool,
    /// What it calls may write.
    pub(in crate::extension) writes: bool,
}

/// Runs `body`, which executes `query`, with the rights of `owner` on `relation` (see [`role::running_roles`]), under [`SETTINGS`],
/// read-only unless it is to write, and within the limits of time ([`time_limit`]) and of waiting for locks. The first of these roles
/// runs it to whose rights nobody else's code would come (see [`foreign_code`]).
///
/// Its notices and warnings are for members of the owner; whoever else runs it, an operator or a reader, does not hear of them.
///
/// What writes can do no more than its owner, and leaves nothing that runs later with the rights of somebody else: a
/// security-restricted operation refuses to defer triggers to the end of the transaction, which is of whoever processes.
///
/// Read-only means what it does for a transaction: notifications and advisory locks pass, large objects too on PostgreSQL
/// 15. The variable behind `transaction_read_only` is set directly, since PostgreSQL 16 refuses that setting at any
/// nest level but the transaction's. Nothing that the query calls can switch it off: PostgreSQL refuses that once there
/// is a snapshot. An ERROR inside leaves through here: the abort of the (sub)transaction restores user, settings and
/// this variable, as everywhere in PostgreSQL (AbortSubTransaction, StartTransaction).
pub(in crate::extension) fn as_owner<R>(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    query: Query<'_>,
    body: impl FnOnce() -> R,
) -> R {
    role::require_role(owner);
    role::require_membership(owner);
    let roles = role::running_roles(owner, relation);
    let time_zone = time_zone::of_database();
    // SAFETY: the sequence of RefreshMatViewByOid in matview.c, on the main thread; what is set is restored below or by
    // the abort.
    unsafe {
        let mut user = pg_sys::InvalidOid;
        let mut context = 0;
        pg_sys::GetUserIdAndSecContext(&mut user, &mut context);
        let read_only = pg_sys::XactReadOnly;
        let nest_level = pg_sys::NewGUCNestLevel();
        for (name, value) in SETTINGS {
            set_local(name, value);
        }
        set_local(c"timezone", &time_zone);
        set_lock_timeout();
        // What it tells may quote rows. Those whose rights it has would see these anyway.
        if !code::has_rights(pg_sys::GetOuterUserId(), owner) {
            set_local(c"client_min_messages", c"error");
        }
        // The extension's own statements may have set it for themselves.
        let planner = c"enable_nestloop";
        let value = pg_sys::GetConfigOptionResetString(planner.as_ptr());
        set_local(planner, CStr::from_ptr(value));
        // Where the caller's transaction is read-only, so is what it calls.
        pg_sys::XactReadOnly = read_only || !query.writes;
        let restricted = context
            | pg_sys::SECURITY_LOCAL_USERID_CHANGE as i32
            | pg_sys::SECURITY_RESTRICTED_OPERATION as i32
            | calls::USER_SQL;
        let mut refusal = None;
        for role in roles {
            pg_sys::SetUserIdAndSecContext(role, restricted);
            let foreign = foreign_code::find(query.text, query.keys, role);
            match (foreign, refusal.take()) {
                (None, _) => break,
                // Of the owner's own rights, if of any.
                (Some(foreign), before) => refusal = before.or(Some((foreign, role))),
            }
        }
        if let Some((foreign, role)) = refusal {
            foreign.refuse(role);
        }
        let result = time_limit::limited(body);
        pg_sys::AtEOXact_GUC(false, nest_level);
        // After the settings: one of them may be transaction_read_only, set to on by a function of the query.
        pg_sys::XactReadOnly = read_only;
        pg_sys::SetUserIdAndSecContext(user, context);
        result
    }
}

/// Sets a setting until the current nest level ends.
///
/// # Safety
/// Within a transaction, after `NewGUCNestLevel`.
unsafe fn set_local(name: &CStr, value: &CStr) {
    // SAFETY: two C strings; errors are raised.
    unsafe {
        pg_sys::set_config_option(
            name.as_ptr(),
            value.as_ptr(),
            pg_sys::GucContext::PGC_SUSET,
            pg_sys::GucSource::PGC_S_SESSION,
            pg_sys::GucAction::GUC_ACTION_SAVE,
            true,
            0,
            false,
        );
    }
}

/// Bounds how long the query waits for a lock, until the current nest level ends.
///
/// # Safety
/// Within a transaction, after `NewGUCNestLevel`.
unsafe fn set_lock_timeout() {
    // SAFETY: a plain variable.
    let of_caller = unsafe { pg_sys::LockTimeout };
    let own = settings::expression_lock_timeout();
    if own > 0
        && (of_caller == 0 || own < of_caller)
        && let Ok(value) = CString::new(own.to_string())
    {
        // SAFETY: as the caller's.
        unsafe { set_local(c"lock_timeout", &value) };
    }
}
