//! The roles of user SQL: whose rights it runs with, and which roles it must not run as.

use std::ffi::CStr;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// Gives what pg_class says of a relation; None: it does not exist.
pub(super) fn class_of(relation: pg_sys::Oid) -> Option<pg_sys::FormData_pg_class> {
    // SAFETY: a look-up in the syscache, of which the fixed part is copied.
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::RELOID as i32, relation.into());
        if tuple.is_null() {
            return None;
        }
        let class = *pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_class>();
        pg_sys::ReleaseSysCache(tuple);
        Some(class)
    }
}

/// Whose rights an expression may have that `owner` runs on `relation`, the better ones first: those of the owner, but never a
/// superuser's on a relation that is not a superuser's. Such a relation is read as its owner, as REFRESH MATERIALIZED VIEW and
/// logical replication do. Who is a member of the relation's owner may read as that one, too.
pub(super) fn running_roles(owner: pg_sys::Oid, relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    let Some(its_owner) = class_of(relation).map(|class| class.relowner) else {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
            format!("relation with OID {} does not exist", relation.to_u32()),
            "running_roles",
        )
        .report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    };
    // SAFETY: look-ups in the syscache.
    unsafe {
        match pg_sys::superuser_arg(owner) {
            true if pg_sys::superuser_arg(its_owner) => vec![owner],
            true => vec![its_owner],
            false
                if its_owner != owner
                    && !pg_sys::superuser_arg(its_owner)
                    && pg_sys::is_member_of_role_nosuper(owner, its_owner) =>
            {
                vec![owner, its_owner]
            }
            false => vec![owner],
        }
    }
}

/// Refuses a role that does not exist any more.
pub(super) fn require_role(role: pg_sys::Oid) {
    // SAFETY: a syscache look-up.
    let exists = unsafe {
        pg_sys::SearchSysCacheExists(
            pg_sys::SysCacheIdentifier::AUTHOID as i32,
            role.into(),
            0.into(),
            0.into(),
            0.into(),
        )
    };
    if !exists {
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
            format!("owner role with OID {} does not exist", role.to_u32()),
            "as_owner",
        )
        .set_hint("The role was dropped: give the scenario or model another owner.")
        .report(PgLogLevel::ERROR);
    }
}

/// Refuses a role that the owner of the extension could not become: functions of the extension run with that one's rights, and
/// whoever created it may not be a superuser any more.
pub(super) fn require_membership(role: pg_sys::Oid) {
    // SAFETY: look-ups in the syscache.
    unsafe {
        let schema = pg_sys::get_namespace_oid(c"marketing_automation_internal".as_ptr(), false);
        let tuple = pg_sys::SearchSysCache1(
            pg_sys::SysCacheIdentifier::NAMESPACEOID as i32,
            schema.into(),
        );
        if tuple.is_null() {
            return;
        }
        let extension =
            (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_namespace>()).nspowner;
        pg_sys::ReleaseSysCache(tuple);
        if pg_sys::is_member_of_role(extension, role) {
            return;
        }
        let name = |of| {
            let name = pg_sys::GetUserNameFromId(of, false);
            CStr::from_ptr(pg_sys::quote_identifier(name))
                .to_string_lossy()
                .into_owned()
        };
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("the owner of marketing_automation, {}, may not run as role {}", name(extension), name(role)),
            "require_membership",
        )
        .set_detail("Expressions run with the rights of the owner of their scenario, to which the owner of the extension must belong.")
        .set_hint(format!("Make it a superuser again, or: grant {} to {};", name(role), name(extension)))
        .report(PgLogLevel::ERROR);
    }
}
