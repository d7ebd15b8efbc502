//! Walks through the trees of queries, for what is in them.

use std::collections::BTreeSet;
use std::ffi::{CStr, c_void};

use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

use super::code::Code;
use super::{role, types};

// catalog/pg_inherits.h, which pgrx does not bind: what it raises needs a guard.
unsafe extern "C-unwind" {
    fn find_all_inheritors(
        parent: pg_sys::Oid,
        lock_mode: pg_sys::LOCKMODE,
        parent_counts: *mut *mut pg_sys::List,
    ) -> *mut pg_sys::List;
}

/// Collects while PostgreSQL walks a tree.
struct Walk {
    code: BTreeSet<Code>,
    relations: BTreeSet<u32>,
    kind: Kind,
}

#[derive(PartialEq, Eq)]
enum Kind {
    /// What the tree itself names; not what relations bring along.
    Named,
    /// All that runs, also for the types of columns.
    Run,
    /// And the types of the columns that are read.
    RunAsSuperuser,
}

/// What a tree names.
pub(super) struct Named {
    pub(super) code: BTreeSet<Code>,
    pub(super) relations: BTreeSet<u32>,
}

pub(super) fn list_length(list: *mut pg_sys::List) -> i32 {
    // SAFETY: a list, or none.
    unsafe { list.as_ref() }.map_or(0, |list| list.length)
}

/// Gives a relation and all that inherit from it, partitions among them, and locks them as the planner does.
///
/// # Safety
/// With the OID of a relation that is locked.
pub(super) unsafe fn inheritors(relation: pg_sys::Oid) -> Vec<pg_sys::Oid> {
    let lock = pg_sys::AccessShareLock as pg_sys::LOCKMODE;
    // SAFETY: as the caller's; errors are raised.
    unsafe {
        let children = pg_sys::ffi::pg_guard_ffi_boundary(|| {
            find_all_inheritors(relation, lock, std::ptr::null_mut())
        });
        (0..list_length(children))
            .map(|at| pg_sys::list_nth_oid(children, at))
            .collect()
    }
}

/// Parses a query, which is one statement.
///
/// # Safety
/// Within a transaction.
pub(super) unsafe fn parse(query: &CStr) -> *mut pg_sys::RawStmt {
    // SAFETY: as the caller's.
    unsafe {
        let statements =
            pg_sys::raw_parser(query.as_ptr(), pg_sys::RawParseMode::RAW_PARSE_DEFAULT);
        if list_length(statements) != 1 {
            ErrorReport::new(
                PgSqlErrorCode::ERRCODE_SYNTAX_ERROR,
                "an expression must not contain several statements",
                "parse",
            )
            .report(PgLogLevel::ERROR);
        }
        pg_sys::list_nth(statements, 0).cast()
    }
}

/// Analyses a parsed query, which takes locks on its relations.
///
/// # Safety
/// Within a transaction.
pub(super) unsafe fn analyse(
    statement: *mut pg_sys::RawStmt,
    query: &CStr,
    keys: bool,
) -> *mut pg_sys::Query {
    let types = [pg_sys::TEXTARRAYOID, pg_sys::JSONBOID];
    let count = if keys { types.len() } else { 0 };
    // SAFETY: as the caller's.
    unsafe {
        pg_sys::parse_analyze_fixedparams(
            statement,
            query.as_ptr(),
            types.as_ptr(),
            count as i32,
            std::ptr::null_mut(),
        )
    }
}

/// Gives what trees name.
///
/// # Safety
/// They are trees of PostgreSQL's.
pub(super) unsafe fn named<T>(trees: impl IntoIterator<Item = *mut T>) -> Named {
    // SAFETY: as the caller's.
    let walk = unsafe { collect(trees, Kind::Named) };
    Named {
        code: walk.code,
        relations: walk.relations,
    }
}

/// Gives what rewritten queries run, as a superuser or not.
///
/// # Safety
/// They are trees of PostgreSQL's, whose relations are locked.
pub(super) unsafe fn run(
    queries: impl IntoIterator<Item = *mut pg_sys::Query>,
    superuser: bool,
) -> BTreeSet<Code> {
    let kind = match superuser {
        true => Kind::RunAsSuperuser,
        false => Kind::Run,
    };
    // SAFETY: as the caller's.
    unsafe { collect(queries, kind) }.code
}

/// Walks through trees.
///
/// # Safety
/// They are trees of PostgreSQL's.
unsafe fn collect<T>(trees: impl IntoIterator<Item = *mut T>, kind: Kind) -> Walk {
    let mut walk = Walk {
        code: BTreeSet::new(),
        relations: BTreeSet::new(),
        kind,
    };
    for tree in trees {
        // SAFETY: as the caller's; `walk` outlives the call.
        unsafe { visit(tree.cast(), (&raw mut walk).cast()) };
    }
    walk
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
            pg_sys::NodeTag::T_Var => {
                if walk.kind == Kind::RunAsSuperuser {
                    types::add((*node.cast::<pg_sys::Var>()).vartype, &mut walk.code);
                }
                false
            }
            pg_sys::NodeTag::T_CoerceToDomain => {
                let domain = (*node.cast::<pg_sys::CoerceToDomain>()).resulttype;
                walk.code.insert(Code::Type(domain.to_u32()));
                false
            }
            pg_sys::NodeTag::T_FuncExpr => {
                let call = node.cast::<pg_sys::FuncExpr>();
                // It may make values of that type from text, as jsonb_populate_record() does.
                if pg_sys::func_volatile((*call).funcid) as u8 != pg_sys::PROVOLATILE_IMMUTABLE {
                    types::add((*call).funcresulttype, &mut walk.code);
                }
                !matches!(
                    (*call).funcformat,
                    pg_sys::CoercionForm::COERCE_EXPLICIT_CALL
                        | pg_sys::CoercionForm::COERCE_SQL_SYNTAX
                )
            }
            pg_sys::NodeTag::T_CoerceViaIO => {
                if walk.kind != Kind::Named {
                    let result = (*node.cast::<pg_sys::CoerceViaIO>()).resulttype;
                    types::add(result, &mut walk.code);
                }
                true
            }
            pg_sys::NodeTag::T_RangeTblFunction => {
                walk.types((*node.cast::<pg_sys::RangeTblFunction>()).funccoltypes);
                false
            }
            pg_sys::NodeTag::T_TableFunc => {
                walk.types((*node.cast::<pg_sys::TableFunc>()).coltypes);
                false
            }
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            pg_sys::NodeTag::T_JsonExpr => {
                types::add(pg_sys::exprType(node), &mut walk.code);
                false
            }
            _ => false,
        };
        // Whose a cast is, depends on the type that a relation's owner has chosen.
        if !(walk.kind == Kind::Named && is_cast) {
            pg_sys::check_functions_in_node(node, Some(add_function), context);
        }
        pg_sys::expression_tree_walker(node, Some(visit), context)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn add_function(function: pg_sys::Oid, context: *mut c_void) -> bool {
    // SAFETY: the walk of collect().
    let walk = unsafe { &mut *context.cast::<Walk>() };
    walk.code.insert(Code::Function(function.to_u32()));
    false
}

impl Walk {
    /// Adds what is in a list of types.
    ///
    /// # Safety
    /// With a list of OIDs, or none.
    unsafe fn types(&mut self, list: *mut pg_sys::List) {
        for at in 0..list_length(list) {
            // SAFETY: as the caller's.
            types::add(unsafe { pg_sys::list_nth_oid(list, at) }, &mut self.code);
        }
    }

    /// Adds what a relation runs by itself.
    ///
    /// # Safety
    /// With an entry of an analysed query, whose relation is locked.
    unsafe fn entry(&mut self, entry: &pg_sys::RangeTblEntry) {
        if entry.rtekind != pg_sys::RTEKind::RTE_RELATION {
            return;
        }
        self.relations.insert(entry.relid.to_u32());
        if self.kind == Kind::Named {
            return;
        }
        // SAFETY: as the caller's; the planner takes the same locks on children.
        unsafe {
            let relations = match entry.inh {
                true => inheritors(entry.relid),
                false => vec![entry.relid],
            };
            for relation in relations {
                if pg_sys::get_rel_relkind(relation) as u8 == pg_sys::RELKIND_FOREIGN_TABLE {
                    self.code.insert(Code::ForeignTable(relation.to_u32()));
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
                    self.code.insert(Code::Function(function.to_u32()));
                }
                let composite = pg_sys::get_typ_typrelid(of_type);
                if composite != pg_sys::InvalidOid {
                    self.columns(composite, seen);
                }
            }
        }
    }
}
