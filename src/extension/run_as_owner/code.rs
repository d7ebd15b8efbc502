//! Code whose owner decides what is run, and whether a query may run it with its role's rights.

use std::ffi::CStr;

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::role;

/// Something whose owner decides what is run, by its OID: as a number, since pgrx gives OIDs no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Code {
    Function(u32),
    /// A domain or a range type: see `types`.
    Type(u32),
    /// Its server's owner says where a user is logged in, and as whom.
    ForeignTable(u32),
    /// A call in the rule of a relation, whose owner could not have it done: see `reader_calls`.
    Call {
        function: u32,
        relation: u32,
    },
}

/// Code that must not run with a role's rights.
#[derive(Debug)]
pub(super) struct Foreign {
    code: Code,
    owner: pg_sys::Oid,
}

/// Whether a role has the rights of `role`.
pub(super) fn has_rights(of: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: look-ups in the syscache.
    unsafe {
        of == role || pg_sys::superuser_arg(of) || pg_sys::is_member_of_role_nosuper(of, role)
    }
}

/// Gives code whose owner does not have the rights of `role`.
pub(super) fn foreign(code: Code, role: pg_sys::Oid) -> Option<Foreign> {
    let owner = code.owner()?;
    (!has_rights(owner, role)).then_some(Foreign { code, owner })
}

/// Whether the owner of `code` does not have the rights of `role`.
pub(super) fn is_foreign(code: Code, role: pg_sys::Oid) -> bool {
    foreign(code, role).is_some()
}

/// Refuses to run `code` as `role` if its owner does not have the rights of that one.
pub(super) fn refuse_foreign(code: Code, role: pg_sys::Oid) {
    if let Some(foreign) = foreign(code, role) {
        foreign.refuse(role);
    }
}

impl Foreign {
    /// Refuses to run it as `role`.
    pub(super) fn refuse(&self, role: pg_sys::Oid) -> ! {
        let (owner, name) = (quoted_role(self.owner), quoted_role(role));
        // SAFETY: a look-up.
        let hint = match unsafe { pg_sys::superuser_arg(role) } {
            true => "Let a role that is no superuser own the scenario and the model, or let a superuser own what they use.".to_owned(),
            false => format!("If {owner} may have all rights of {name}: grant {name} to {owner};"),
        };
        ErrorReport::new(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!(
                "{} of role {owner} would run with the rights of role {name}",
                self.code.description()
            ),
            "foreign_code",
        )
        .set_detail(format!(
            "Its owner may change what it does, and is no member of {name}."
        ))
        .set_hint(hint)
        .report(PgLogLevel::ERROR);
        unreachable!("an ERROR does not return")
    }
}

impl Code {
    /// Gives its owner; None: it is gone.
    fn owner(self) -> Option<pg_sys::Oid> {
        // SAFETY: look-ups in the syscache, of which nothing is kept.
        unsafe {
            match self {
                Code::Function(id) => owner_in(
                    id.into(),
                    pg_sys::SysCacheIdentifier::PROCOID as i32,
                    |tuple| (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_proc>()).proowner,
                ),
                Code::Type(id) => owner_in(
                    id.into(),
                    pg_sys::SysCacheIdentifier::TYPEOID as i32,
                    |tuple| (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_type>()).typowner,
                ),
                Code::ForeignTable(id) | Code::Call { relation: id, .. } => {
                    role::class_of(id.into()).map(|class| class.relowner)
                }
            }
        }
    }

    fn description(self) -> String {
        // SAFETY: they return strings in the current memory context.
        let text = |of: *mut std::ffi::c_char| unsafe { CStr::from_ptr(of) }.to_string_lossy();
        // SAFETY: look-ups in the syscache.
        unsafe {
            match self {
                Code::Function(id) => {
                    format!(
                        "function {}",
                        text(pg_sys::format_procedure_qualified(id.into()))
                    )
                }
                Code::Type(id) => {
                    let kind = match pg_sys::get_typtype(id.into()) as u8 {
                        pg_sys::TYPTYPE_DOMAIN => "domain",
                        _ => "type",
                    };
                    format!(
                        "{kind} {}",
                        text(pg_sys::format_type_be_qualified(id.into()))
                    )
                }
                Code::ForeignTable(id) => format!("foreign table {}", relation_name(id.into())),
                Code::Call { function, relation } => format!(
                    "call of {} in {}",
                    text(pg_sys::format_procedure(function.into())),
                    relation_name(relation.into())
                ),
            }
        }
    }
}

fn relation_name(id: pg_sys::Oid) -> String {
    // SAFETY: strings in the current memory context.
    unsafe {
        let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(id));
        let name = pg_sys::quote_qualified_identifier(schema, pg_sys::get_rel_name(id));
        CStr::from_ptr(name).to_string_lossy().into_owned()
    }
}

/// Reads an owner from the row of a catalog.
///
/// # Safety
/// `read` reads a row of that cache.
unsafe fn owner_in(
    id: pg_sys::Oid,
    cache: i32,
    read: impl FnOnce(pg_sys::HeapTuple) -> pg_sys::Oid,
) -> Option<pg_sys::Oid> {
    // SAFETY: as the caller's.
    unsafe {
        let tuple = pg_sys::SearchSysCache1(cache, id.into());
        if tuple.is_null() {
            return None;
        }
        let owner = read(tuple);
        pg_sys::ReleaseSysCache(tuple);
        Some(owner)
    }
}

fn quoted_role(role: pg_sys::Oid) -> String {
    // SAFETY: strings in the current memory context; null for a role that is gone.
    unsafe {
        let name = pg_sys::GetUserNameFromId(role, true);
        if name.is_null() {
            return role.to_u32().to_string();
        }
        CStr::from_ptr(pg_sys::quote_identifier(name))
            .to_string_lossy()
            .into_owned()
    }
}
