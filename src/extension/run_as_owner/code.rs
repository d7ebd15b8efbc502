//! Finds the code that a query would run with its role's rights, and whose that code is.
//!
//! Whoever owns a view may replace it, whoever owns a function its body, and both run with the rights of whoever reads: a query
//! over somebody else's relation may hand its role to them. What a query runs is known once it is analysed and rewritten, with
//! its views and row security in place; from then on the locks on its relations keep it so.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::role;

// catalog/pg_inherits.h, which pgrx does not bind: what it raises needs a guard.
unsafe extern "C-unwind" {
    fn find_all_inheritors(
        parent: pg_sys::Oid,
        lock_mode: pg_sys::LOCKMODE,
        parent_counts: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;
}

/// Something whose owner decides what is run, by its OID: as a number, since pgrx gives OIDs no order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Code {
    Function(u32),
    /// Its constraints are checked when a value becomes one of it.
    Domain(u32),
    /// Its server's owner says where a user is logged in, and as whom.
    ForeignTable(u32),
}

/// Code that must not run with a role's rights.
#[derive(Debug)]
pub(super) struct Foreign {
    code: Code,
    owner: pg_sys::Oid,
}

/// Collects code while PostgreSQL walks a tree.
struct Walk {
    found: BTreeSet<Code>,
    /// Only what the query itself names; not what relations bring along.
    named_only: bool,
}

/// Gives code in `query`, of one parameter (text[]) with `keys`, that would run with the rights of `role` though its owner does
/// not have them: is no member of it.
///
/// What the query names itself is its author's choice, unless `role` is a superuser.
pub(super) fn foreign_code(query: &CStr, keys: bool, role: pg_sys::Oid) -> Option<Foreign> {
    // SAFETY: the steps of pg_analyze_and_rewrite_fixedparams; errors are raised.
    unsafe {
        let analysed = analyse(query, keys);
        let mut named = BTreeSet::new();
        if !pg_sys::superuser_arg(role) {
            named = collect([analysed], true);
        }
        let rewritten = pg_sys::QueryRewrite(analysed);
        let queries = (0..list_length(rewritten))
            .map(|at| pg_sys::list_nth(rewritten, at).cast::<pg_sys::Query>());
        collect(queries, false)
            .difference(&named)
            .find_map(|&code| foreign(code, role))
    }
}

/// Gives code whose owner does not have the rights of `role`.
fn foreign(code: Code, role: pg_sys::Oid) -> Option<Foreign> {
    let owner = code.owner()?;
    // SAFETY: look-ups in the syscache.
    let has_them = unsafe {
        owner == role
            || pg_sys::superuser_arg(owner)
            || pg_sys::is_member_of_role_nosuper(owner, role)
    };
    (!has_them).then_some(Foreign { code, owner })
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
                Code::Domain(id) => owner_in(
                    id.into(),
                    pg_sys::SysCacheIdentifier::TYPEOID as i32,
                    |tuple| (*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_type>()).typowner,
                ),
                Code::ForeignTable(id) => role::class_of(id.into()).map(|class| class.relowner),
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
                Code::Domain(id) => {
                    format!(
                        "domain {}",
                        text(pg_sys::format_type_be_qualified(id.into()))
                    )
                }
                Code::ForeignTable(id) => {
                    let id = pg_sys::Oid::from(id);
                    let schema = pg_sys::get_namespace_name(pg_sys::get_rel_namespace(id));
                    let name = pg_sys::quote_qualified_identifier(schema, pg_sys::get_rel_name(id));
                    format!("foreign table {}", text(name))
                }
            }
        }
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

fn list_length(list: *mut pg_sys::List) -> i32 {
    // SAFETY: a list, or none.
    unsafe { list.as_ref() }.map_or(0, |list| list.length)
}

/// Parses and analyses a query, which takes locks on its relations.
///
/// # Safety
/// Within a transaction.
unsafe fn analyse(query: &CStr, keys: bool) -> *mut pg_sys::Query {
    // SAFETY: as the caller's.
    unsafe {
        let statements =
            pg_sys::raw_parser(query.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        if list_length(statements) != 1 {
            ErrorReport::new(
                PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
                "an expression must not contain several statements",
                "analyse",
            )
            .report(PgLogLevel::ERROR);
        }
        let types = [pg_sys::TEXTARRAYOID];
        pg_sys::parse_analyze_fixedparams(
            pg_sys::list_nth(statements, 0).cast(),
            query.as_ptr(),
            types.as_ptr(),
            i32::from(keys),
            std::ptr::null_mut(),
        )
    }
}

/// Walks through queries.
///
/// # Safety
/// They are trees of PostgreSQL's.
unsafe fn collect(
    queries: impl IntoIterator<Item = *mut pg_sys::Query>,
    named_only: bool,
) -> BTreeSet<Code> {
    let mut walk = Walk {
        found: BTreeSet::new(),
        named_only,
    };
    for query in queries {
        // SAFETY: as the caller's; `walk` outlives the call.
        unsafe { visit(query.cast(), (&raw mut walk).cast()) };
    }
    walk.found
}

/// Visits a node and what is below.
#[pg_guard]
unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: called with the nodes of a tree, by collect() or PostgreSQL, and with collect()'s walk.
    unsafe {
        if node.is_null() {
            return false;
        }
        let walk = &mut *context.cast::<Walk>();
        let is_cast = match (*node).type_ {
            pg_sys::NodeTag::T_Query => {
                let query = node.cast::<pg_sys::Query>();
                let entries = (*query).rtable;
                for at in 0..list_length(entries) {
                    walk.entry(&*pg_sys::list_nth(entries, at).cast());
                }
                return pg_sys::query_tree_walker(query, Some(visit), context, 0);
            }
            pg_sys::NodeTag::T_CoerceToDomain => {
                let domain = (*node.cast::<pg_sys::CoerceToDomain>()).resulttype;
                walk.found.insert(Code::Domain(domain.to_u32()));
                false
            }
            pg_sys::NodeTag::T_FuncExpr => !matches!(
                (*node.cast::<pg_sys::FuncExpr>()).funcformat,
                pg_sys::CoercionForm::COERCE_EXPLICIT_CALL
                    | pg_sys::CoercionForm::COERCE_SQL_SYNTAX
            ),
            pg_sys::NodeTag::T_CoerceViaIO => true,
            _ => false,
        };
        // Whose a cast is, depends on the type that a relation's owner has chosen.
        if !(walk.named_only && is_cast) {
            pg_sys::check_functions_in_node(node, Some(add_function), context);
        }
        pg_sys::expression_tree_walker(node, Some(visit), context)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn add_function(function: pg_sys::Oid, context: *mut c_void) -> bool {
    // SAFETY: the walk of collect().
    let walk = unsafe { &mut *context.cast::<Walk>() };
    walk.found.insert(Code::Function(function.to_u32()));
    false
}

impl Walk {
    /// Adds what a relation runs by itself.
    ///
    /// # Safety
    /// With an entry of an analysed query, whose relation is locked.
    unsafe fn entry(&mut self, entry: &pg_sys::RangeTblEntry) {
        if self.named_only || entry.rtekind != pg_sys::RTEKind::RTE_RELATION {
            return;
        }
        // SAFETY: as the caller's; the planner takes the same locks on children.
        unsafe {
            let mut relations = vec![entry.relid];
            if entry.inh {
                let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
                let children = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                    find_all_inheritors(entry.relid, lock, std::ptr::null_mut())
                });
                relations = (0..list_length(children))
                    .map(|at| pg_sys::list_nth_oid(children, at))
                    .collect();
            }
            for relation in relations {
                if pg_sys::get_rel_relkind(relation) as u8 == pg_sys::RELKIND_FOREIGN_TABLE {
                    self.found.insert(Code::ForeignTable(relation.to_u32()));
                }
            }
            let mut seen = BTreeSet::new();
            self.columns(entry.relid, &mut seen);
        }
    }

    /// Adds the functions that to_jsonb() calls for the columns of a relation or composite type: casts to JSON.
    ///
    /// # Safety
    /// With the OID of a relation.
    unsafe fn columns(&mut self, relation: pg_sys::Oid, seen: &mut BTreeSet<u32>) {
        // SAFETY: look-ups in the syscache.
        unsafe {
            let columns = role::class_of(relation).map_or(0, |class| class.relnatts);
            for number in 1..=columns {
                let mut of_type = pg_sys::get_atttype(relation, number);
                let element = pg_sys::get_element_type(of_type);
                if element != pg_sys::InvalidOid {
                    of_type = element;
                }
                // Built-in ones have no casts of others; a dropped column has no type.
                if of_type.to_u32() < pg_sys::FirstNormalObjectId {
                    continue;
                }
                of_type = pg_sys::getBaseType(of_type);
                if !seen.insert(of_type.to_u32()) {
                    continue;
                }
                let mut function = pg_sys::InvalidOid;
                let path = pg_sys::find_coercion_pathway(
                    pg_sys::JSONOID,
                    of_type,
                    pg_sys::CoercionContext::COERCION_EXPLICIT,
                    &raw mut function,
                );
                if path == pg_sys::CoercionPathType::COERCION_PATH_FUNC {
                    self.found.insert(Code::Function(function.to_u32()));
                }
                let composite = pg_sys::get_typ_typrelid(of_type);
                if composite != pg_sys::InvalidOid {
                    self.columns(composite, seen);
                }
            }
        }
    }
}
