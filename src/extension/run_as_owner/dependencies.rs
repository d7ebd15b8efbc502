//! Says on what the rows of a query depend: whether on its tables alone, and on which.
//!
//! Who knows that these tables are as they were when they were read last need not read them again. So whatever cannot be known to
//! give the same for the same rows counts as an obstacle, and a doubt as one, too.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_void};

use pgrx::prelude::*;

use super::{Query, as_owner, role, walk};

/// The languages internal and c, by their OIDs in pg_language.dat.
const COMPILED: [u32; 2] = [12, 13];

/// Collects while PostgreSQL walks a tree.
#[derive(Default)]
struct Dependencies {
    tables: BTreeSet<u32>,
    views: BTreeSet<u32>,
    /// How many times the query names a relation, its views' queries included.
    relations: i32,
    obstacle: Option<String>,
}

/// Gives the OIDs of all tables that `query` may read when it runs as its owner, those of views, partitions and row security among
/// them; its tree, in which dates such as 'today' are computed already; where its rows depend on anything else, the first such thing; and
/// how many relations it names: one, if each of its rows depends on one row alone; and the OIDs of the views. The query has no parameter.
#[pg_extern(sql = false)]
#[allow(clippy::type_complexity)] // The macro wants the row written out.
fn query_dependencies(
    owner: pg_sys::Oid,
    relation: pg_sys::Oid,
    query: &str,
) -> TableIterator<
    'static,
    (
        name!(tables, Vec<pg_sys::Oid>),
        name!(tree, String),
        name!(obstacle, Option<String>),
        name!(relations, i32),
        name!(views, Vec<pg_sys::Oid>),
    ),
> {
    let Ok(text) = CString::new(query) else {
        pgrx::error!("query contains a null byte");
    };
    let checked = Query {
        text: &text,
        keys: false,
        writes: false,
    };
    // SAFETY: the steps of pg_analyze_and_rewrite_fixedparams; errors are raised.
    let (found, tree) = as_owner(owner, relation, checked, || unsafe {
        let rewritten = pg_sys::QueryRewrite(walk::analyse(walk::parse(&text), &text, false));
        let mut found = Dependencies::default();
        for at in 0..walk::list_length(rewritten) {
            visit(
                pg_sys::list_nth(rewritten, at).cast(),
                (&raw mut found).cast(),
            );
        }
        let tree = pg_sys::nodeToString(rewritten.cast());
        (found, CStr::from_ptr(tree).to_string_lossy().into_owned())
    });
    let oids = |of: BTreeSet<u32>| of.into_iter().map(pg_sys::Oid::from).collect();
    TableIterator::once((
        oids(found.tables),
        tree,
        found.obstacle,
        found.relations,
        oids(found.views),
    ))
}

/// Visits a node and what is below.
#[pg_guard]
unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: called with the nodes of a tree, by query_dependencies() or PostgreSQL, and with its collection.
    unsafe {
        if node.is_null() {
            return false;
        }
        let found = &mut *context.cast::<Dependencies>();
        match (*node).type_ {
            pg_sys::NodeTag::T_Query => {
                let query = node.cast::<pg_sys::Query>();
                let entries = (*query).rtable;
                for at in 0..walk::list_length(entries) {
                    found.entry(&*pg_sys::list_nth(entries, at).cast());
                }
                return pg_sys::query_tree_walker(query, Some(visit), context, 0);
            }
            // current_date and the like; current_user.
            pg_sys::NodeTag::T_SQLValueFunction => {
                found.meet(|| "the present, or the current role".into());
            }
            pg_sys::NodeTag::T_NextValueExpr => found.meet(|| "a sequence".into()),
            // Its checks are expressions of somebody else.
            pg_sys::NodeTag::T_CoerceToDomain => found.meet(|| "the checks of a domain".into()),
            pg_sys::NodeTag::T_TableFunc | pg_sys::NodeTag::T_XmlExpr => {
                found.meet(|| "XML or JSON that is made a table".into());
            }
            #[cfg(any(feature = "pg16", feature = "pg17", feature = "pg18"))]
            pg_sys::NodeTag::T_JsonConstructorExpr => found.meet(|| "JSON of values".into()),
            #[cfg(any(feature = "pg17", feature = "pg18"))]
            pg_sys::NodeTag::T_JsonExpr => found.meet(|| "a path in JSON".into()),
            _ => {}
        }
        pg_sys::check_functions_in_node(node, Some(add_function), context);
        pg_sys::expression_tree_walker(node, Some(visit), context)
    }
}

#[pg_guard]
unsafe extern "C-unwind" fn add_function(function: pg_sys::Oid, context: *mut c_void) -> bool {
    // SAFETY: the collection of query_dependencies().
    let found = unsafe { &mut *context.cast::<Dependencies>() };
    if !is_pure(function) {
        found.meet(|| {
            // SAFETY: a look-up.
            let name = unsafe { pg_sys::get_func_name(function) };
            if name.is_null() {
                return "a function".into();
            }
            // SAFETY: a C string.
            let name = unsafe { CStr::from_ptr(name) };
            format!("the function {}()", name.to_string_lossy())
        });
    }
    false
}

/// Whether a function gives the same for the same arguments, under the settings that user SQL has.
fn is_pure(function: pg_sys::Oid) -> bool {
    // SAFETY: look-ups in the syscache, of which nothing is kept.
    unsafe {
        let tuple =
            pg_sys::SearchSysCache1(pg_sys::SysCacheIdentifier::PROCOID as i32, function.into());
        if tuple.is_null() {
            return false;
        }
        let row = &*pg_sys::GETSTRUCT(tuple).cast::<pg_sys::FormData_pg_proc>();
        let (volatility, kind, language) = (row.provolatile as u8, row.prokind as u8, row.prolang);
        pg_sys::ReleaseSysCache(tuple);
        let immutable = volatility == pg_sys::PROVOLATILE_IMMUTABLE;
        if function.to_u32() >= pg_sys::FirstNormalObjectId {
            // One in another language may read tables, whatever it is declared to be, and its text can be replaced; an aggregate calls
            // others.
            return immutable
                && kind == pg_sys::PROKIND_FUNCTION
                && COMPILED.contains(&language.to_u32());
        }
        if immutable {
            return true;
        }
        if volatility != pg_sys::PROVOLATILE_STABLE {
            return false;
        }
        let name = pg_sys::get_func_name(function);
        if name.is_null() {
            return false;
        }
        // Of dates and times that depend on the time zone only. These three look at the clock: age(timestamp), and whatever gives a
        // time of day the difference to UTC that it has today.
        if [c"age", c"timetz", c"timezone"].contains(&CStr::from_ptr(name)) {
            return false;
        }
        let mut types: *mut pg_sys::Oid = std::ptr::null_mut();
        let mut count = 0;
        pg_sys::get_func_signature(function, &mut types, &mut count);
        (0..usize::try_from(count).unwrap_or_default()).any(|at| {
            [
                pg_sys::DATEOID,
                pg_sys::TIMESTAMPOID,
                pg_sys::TIMESTAMPTZOID,
                pg_sys::INTERVALOID,
            ]
            .contains(&*types.add(at))
        })
    }
}

impl Dependencies {
    /// Keeps the first obstacle.
    fn meet(&mut self, obstacle: impl FnOnce() -> String) {
        if self.obstacle.is_none() {
            self.obstacle = Some(obstacle());
        }
    }

    /// Adds the tables of an entry.
    ///
    /// # Safety
    /// With an entry of an analysed query, whose relation is locked.
    unsafe fn entry(&mut self, entry: &pg_sys::RangeTblEntry) {
        if !entry.tablesample.is_null() {
            self.meet(|| "a sample of a table".into());
        }
        if entry.rtekind != pg_sys::RTEKind::RTE_RELATION {
            // From PostgreSQL 16 on a view has no entry beside that of its query, which says what it is of.
            if entry.rtekind == pg_sys::RTEKind::RTE_SUBQUERY && entry.relid != pg_sys::InvalidOid {
                self.views.insert(entry.relid.to_u32());
            }
            return;
        }
        self.relations += 1;
        let relations = match entry.inh {
            // SAFETY: as the caller's.
            true => unsafe { walk::inheritors(entry.relid) },
            false => vec![entry.relid],
        };
        for relation in relations {
            let Some(class) = role::class_of(relation) else {
                self.meet(|| "a relation that is gone".into());
                continue;
            };
            let kind = class.relkind as u8;
            match kind {
                // Its query stands beside it.
                pg_sys::RELKIND_VIEW => {
                    self.views.insert(relation.to_u32());
                    continue;
                }
                pg_sys::RELKIND_FOREIGN_TABLE => self.meet(|| "a foreign table".into()),
                pg_sys::RELKIND_RELATION
                | pg_sys::RELKIND_MATVIEW
                | pg_sys::RELKIND_PARTITIONED_TABLE => {}
                _ => self.meet(|| "a sequence, or another relation without rows of its own".into()),
            }
            // Catalogs are written without being counted, too; of another access method nobody knows.
            if relation.to_u32() < pg_sys::FirstNormalObjectId {
                self.meet(|| "a system catalog".into());
            } else if class.relpersistence as u8 == pg_sys::RELPERSISTENCE_TEMP {
                self.meet(|| "a temporary table".into());
            } else if kind != pg_sys::RELKIND_PARTITIONED_TABLE
                && class.relam != pg_sys::HEAP_TABLE_AM_OID
                && kind != pg_sys::RELKIND_FOREIGN_TABLE
            {
                self.meet(|| "a table that is no heap".into());
            }
            self.tables.insert(relation.to_u32());
        }
    }
}
