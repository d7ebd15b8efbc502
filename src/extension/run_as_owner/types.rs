//! Finds the types whose owners decide what runs when a value becomes one of them.
//!
//! Domains check it, and their owners may add constraints at any time; estimates of range types call a function of the type's
//! owner. They may be deep in a composite, an array or a range: whatever makes such a value from text checks them.

use std::collections::BTreeSet;
use std::ffi::c_void;

use pgrx::prelude::*;

use super::code::Code;
use super::role;

/// Adds the domains and range types of which values of a type consist.
pub(super) fn add(of_type: pg_sys::Oid, found: &mut BTreeSet<Code>) {
    add_new(of_type, found, &mut BTreeSet::new());
}

/// Adds those of a relation's columns.
pub(super) fn add_columns(relation: pg_sys::Oid, found: &mut BTreeSet<Code>) {
    add_new_columns(relation, found, &mut BTreeSet::new());
}

fn add_new(of_type: pg_sys::Oid, found: &mut BTreeSet<Code>, seen: &mut BTreeSet<u32>) {
    // Built-in ones consist of built-in ones; a dropped column has no type.
    if of_type.to_u32() < pg_sys::FirstNormalObjectId || !seen.insert(of_type.to_u32()) {
        return;
    }
    // SAFETY: look-ups in the syscache.
    unsafe {
        match pg_sys::get_typtype(of_type) as u8 {
            pg_sys::TYPTYPE_DOMAIN => {
                found.insert(Code::Type(of_type.to_u32()));
                add_new(pg_sys::getBaseType(of_type), found, seen);
            }
            pg_sys::TYPTYPE_RANGE => {
                found.insert(Code::Type(of_type.to_u32()));
                add_new(pg_sys::get_range_subtype(of_type), found, seen);
            }
            pg_sys::TYPTYPE_MULTIRANGE => {
                add_new(pg_sys::get_multirange_range(of_type), found, seen);
            }
            pg_sys::TYPTYPE_COMPOSITE => {
                add_new_columns(pg_sys::get_typ_typrelid(of_type), found, seen);
            }
            _ => add_new(pg_sys::get_element_type(of_type), found, seen),
        }
    }
}

fn add_new_columns(relation: pg_sys::Oid, found: &mut BTreeSet<Code>, seen: &mut BTreeSet<u32>) {
    let columns = role::class_of(relation).map_or(0, |class| class.relnatts);
    for number in 1..=columns {
        // SAFETY: a look-up in the syscache.
        add_new(
            unsafe { pg_sys::get_atttype(relation, number) },
            found,
            seen,
        );
    }
}

/// Gives the types that a parsed statement names, and those of the relations that it names: analysing it makes values of them
/// from its literals.
///
/// # Safety
/// With a tree of the raw parser.
pub(super) unsafe fn of_statement(statement: *mut pg_sys::Node) -> BTreeSet<Code> {
    let mut found = BTreeSet::new();
    // SAFETY: as the caller's; `found` outlives the call.
    unsafe { visit(statement, (&raw mut found).cast()) };
    found
}

#[pg_guard]
unsafe extern "C-unwind" fn visit(node: *mut pg_sys::Node, context: *mut c_void) -> bool {
    // SAFETY: called with the nodes of a tree, by of_statement() or PostgreSQL, and with the set of the former.
    unsafe {
        if node.is_null() {
            return false;
        }
        let found = &mut *context.cast::<BTreeSet<Code>>();
        match (*node).type_ {
            pg_sys::NodeTag::T_TypeName => {
                let of_type = pg_sys::LookupTypeNameOid(std::ptr::null_mut(), node.cast(), true);
                add(of_type, found);
            }
            pg_sys::NodeTag::T_RangeVar => {
                // Analysis takes the same lock.
                let relation = pg_sys::RangeVarGetRelidExtended(
                    node.cast(),
                    pg_sys::AccessShareLock as pg_sys::LOCKMODE,
                    pg_sys::RVROption::RVR_MISSING_OK,
                    None,
                    std::ptr::null_mut(),
                );
                add_columns(relation, found);
            }
            _ => {}
        }
        pg_sys::raw_expression_tree_walker(node, Some(visit), context)
    }
}
