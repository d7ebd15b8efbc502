//! Finds calls in rules of relations that do what their reader may, and not what the relation's owner may.
//!
//! A view's tables are read with its owner's rights, but its functions run as whoever reads it. query_to_xml() executes a text as
//! that one, pg_read_file() asks whether that one may read files. So who owns a view or a policy could borrow its reader's rights
//! without a function of his own.

use std::collections::BTreeSet;
use std::ffi::CStr;

use pgrx::prelude::*;

use super::code::{self, Code};
use super::role;
use super::walk;

/// Built-in functions that are not immutable and do for a superuser what they do for everybody. All others may do more; those of
/// dates and times, which depend on the time zone, are known by their arguments.
const SAME_FOR_ALL: &[&CStr] = &[
    c"array_to_json",
    c"array_to_string",
    c"clock_timestamp",
    c"concat",
    c"concat_ws",
    c"convert",
    c"convert_from",
    c"convert_to",
    c"enum_first",
    c"enum_last",
    c"enum_range",
    c"format",
    c"gen_random_uuid",
    c"json_agg",
    c"json_build_array",
    c"json_build_object",
    c"json_object_agg",
    c"json_populate_record",
    c"json_populate_recordset",
    c"json_to_record",
    c"json_to_recordset",
    c"jsonb_agg",
    c"jsonb_build_array",
    c"jsonb_build_object",
    c"jsonb_object_agg",
    c"jsonb_populate_record",
    c"jsonb_populate_recordset",
    c"jsonb_to_record",
    c"jsonb_to_recordset",
    c"length",
    c"make_timestamptz",
    c"now",
    c"numeric",
    c"pg_typeof",
    c"phraseto_tsquery",
    c"plainto_tsquery",
    c"quote_literal",
    c"quote_nullable",
    c"random",
    c"row_to_json",
    c"statement_timestamp",
    c"to_char",
    c"to_date",
    c"to_json",
    c"to_jsonb",
    c"to_number",
    c"to_timestamp",
    c"to_tsquery",
    c"to_tsvector",
    c"transaction_timestamp",
    c"ts_headline",
    c"websearch_to_tsquery",
];

/// Functions, built in or of extensions that come with PostgreSQL, that execute a text or look up in it whose code to run.
const EXECUTE_TEXT: &[&CStr] = &[
    c"connectby",
    c"crosstab",
    c"crosstab2",
    c"crosstab3",
    c"crosstab4",
    c"cursor_to_xml",
    c"cursor_to_xmlschema",
    c"database_to_xml",
    c"database_to_xml_and_xmlschema",
    c"database_to_xmlschema",
    c"pg_input_error_info",
    c"pg_input_is_valid",
    c"query_to_xml",
    c"query_to_xml_and_xmlschema",
    c"query_to_xmlschema",
    c"schema_to_xml",
    c"schema_to_xml_and_xmlschema",
    c"schema_to_xmlschema",
    c"table_to_xml",
    c"table_to_xml_and_xmlschema",
    c"table_to_xmlschema",
    c"ts_rewrite",
    c"ts_stat",
    c"xpath_table",
];

/// Whether `role` runs by a call of `function` what its author chooses.
///
/// # Safety
/// Within a transaction.
unsafe fn does_as_reader(function: pg_sys::Oid, role: pg_sys::Oid) -> bool {
    // SAFETY: look-ups in the syscache, of which nothing is kept.
    unsafe {
        let volatility = pg_sys::func_volatile(function) as u8;
        if volatility == pg_sys::PROVOLATILE_IMMUTABLE {
            return false;
        }
        let name = pg_sys::get_func_name(function);
        if name.is_null() {
            return false;
        }
        let name = CStr::from_ptr(name);
        let mut types: *mut pg_sys::Oid = std::ptr::null_mut();
        let mut count = 0;
        pg_sys::get_func_signature(function, &mut types, &mut count);
        let count = usize::try_from(count).unwrap_or_default();
        let takes = |categories: &[u8]| {
            (0..count).any(|at| {
                let (mut category, mut preferred) = (0, false);
                pg_sys::get_type_category_preferred(*types.add(at), &mut category, &mut preferred);
                categories.contains(&(category as u8))
            })
        };
        let built_in = function.to_u32() < pg_sys::FirstNormalObjectId;
        if pg_sys::superuser_arg(role) {
            let dates = [pg_sys::TYPCATEGORY_DATETIME, pg_sys::TYPCATEGORY_TIMESPAN];
            return !(built_in
                && (SAME_FOR_ALL.contains(&name)
                    || volatility == pg_sys::PROVOLATILE_STABLE && takes(&dates)));
        }
        EXECUTE_TEXT.contains(&name)
            || !built_in
                && volatility == pg_sys::PROVOLATILE_VOLATILE
                && takes(&[pg_sys::TYPCATEGORY_STRING])
    }
}

/// Whether a role may call a function.
fn may_call(role: pg_sys::Oid, function: pg_sys::Oid) -> bool {
    let right = pg_sys::AclMode::from(pg_sys::ACL_EXECUTE);
    // SAFETY: a look-up.
    unsafe {
        #[cfg(feature = "pg15")]
        let result = pg_sys::pg_proc_aclcheck(function, role, right);
        #[cfg(not(feature = "pg15"))]
        let result = pg_sys::object_aclcheck(pg_sys::ProcedureRelationId, function, role, right);
        result == pg_sys::AclResult::ACLCHECK_OK
    }
}

/// A relation on the way from a query to its tables.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    relation: u32,
    /// With whose rights it is read.
    reader: u32,
    /// The first relation on the way that belongs to somebody without the rights of the role; what is behind it, system views such as
    /// pg_stats too, is that one's doing.
    foreign: Option<u32>,
}

/// Gives the calls of this kind in views and policies behind `relations` that belong to somebody without the rights of `role`.
///
/// # Safety
/// The relations of a query that is rewritten, so that all behind them are locked.
pub(super) unsafe fn behind(relations: BTreeSet<u32>, role: pg_sys::Oid) -> BTreeSet<Code> {
    let mut found = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut open: Vec<_> = relations
        .into_iter()
        .map(|relation| Step {
            relation,
            reader: role.to_u32(),
            foreign: None,
        })
        .collect();
    while let Some(step) = open.pop() {
        if !seen.insert(step) {
            continue;
        }
        let Some(class) = role::class_of(step.relation.into()) else {
            continue;
        };
        let is_view = class.relkind as u8 == pg_sys::RELKIND_VIEW;
        let has_policies = class.relrowsecurity
            && [step.reader.into(), role]
                .into_iter()
                .any(|user| is_restricted(step.relation.into(), user));
        if !is_view && !has_policies {
            continue;
        }
        let foreign = step
            .foreign
            .or((!code::has_rights(class.relowner, role)).then_some(step.relation));
        // SAFETY: as the caller's.
        let named = unsafe { named_in_rule(step.relation.into(), is_view) };
        let reader = if is_view {
            class.relowner.to_u32()
        } else {
            step.reader
        };
        open.extend(named.relations.into_iter().map(|relation| Step {
            relation,
            reader,
            foreign,
        }));
        let Some(relation) = foreign else {
            continue;
        };
        let author =
            role::class_of(relation.into()).map_or(pg_sys::InvalidOid, |class| class.relowner);
        found.extend(named.code.into_iter().filter_map(|code| match code {
            Code::Function(function) => {
                // SAFETY: within a transaction.
                let as_reader = unsafe { does_as_reader(function.into(), role) };
                (as_reader || !may_call(author, function.into()))
                    .then_some(Code::Call { function, relation })
            }
            _ => None,
        }));
    }
    found
}

/// Gives what a view, or the policies of a table, name.
///
/// # Safety
/// The relation is locked.
unsafe fn named_in_rule(relation: pg_sys::Oid, is_view: bool) -> walk::Named {
    // SAFETY: as the caller's; the trees belong to the relation, which is open while they are walked.
    unsafe {
        let opened = pg_sys::relation_open(relation, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
        let mut trees = vec![];
        if is_view {
            trees.push(pg_sys::get_view_query(opened).cast::<pg_sys::Node>());
        } else if let Some(security) = (*opened).rd_rsdesc.as_ref() {
            for at in 0..walk::list_length(security.policies) {
                let policy =
                    pg_sys::list_nth(security.policies, at).cast::<pg_sys::RowSecurityPolicy>();
                trees.push((*policy).qual.cast());
            }
        }
        let named = walk::named(trees);
        pg_sys::relation_close(opened, pg_sys::NoLock as pg_sys::LOCKMODE);
        named
    }
}

/// Whether row security restricts what a user reads of a relation.
fn is_restricted(relation: pg_sys::Oid, user: pg_sys::Oid) -> bool {
    // SAFETY: a look-up; it raises nothing.
    let state = unsafe { pg_sys::check_enable_rls(relation, user, true) };
    state == pg_sys::CheckEnableRlsResult::RLS_ENABLED as i32
}
